"""`frieze map`: the judges are scikit-learn's PCA and the table itself."""

import json
import re

import numpy as np
import pytest
from sklearn.decomposition import PCA

import frieze
from frieze.core import unit_rows
from frieze.reports import projection


@pytest.fixture(scope="module")
def mapped(world, tmp_path_factory):
    """The page of the world's map: what `map` said, and the data in the page."""
    out = tmp_path_factory.mktemp("map") / "map.html"
    document = frieze.map(world / "photos.features", out=out)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', out.read_text(), re.DOTALL)
    return document, json.loads(data[1])


def test_points_are_principal_components(world, mapped):
    """Points are the first two principal components of the unit vectors, in one scale, moved into the unit square."""
    table = frieze.open_features(world / "photos.features")
    expected = PCA(2).fit_transform(unit_rows(table.embeddings()))
    expected = (expected - (expected.min(0) + expected.max(0)) / 2) / np.ptp(expected, axis=0).max()
    actual = np.array([mapped[1]["x"], mapped[1]["y"]]).T - 0.5
    for axis in range(2):
        assert abs(np.corrcoef(actual[:, axis], expected[:, axis])[0, 1]) > 0.999
        assert np.ptp(actual[:, axis]) == pytest.approx(np.ptp(expected[:, axis]), abs=0.01)


def test_facts(world, mapped):
    """It says how many points, what laid them out, and how much of the variance the plane keeps."""
    table = frieze.open_features(world / "photos.features")
    document, data = mapped
    assert (document["points"], document["rows"], document["method"], document["pictures"]) == (30, 30, "pca", 30)
    assert document["kept"] == pytest.approx(
        PCA(2).fit(unit_rows(table.embeddings())).explained_variance_ratio_.sum(), abs=1e-3
    )
    assert data["ids"] == list(table.ids)
    assert np.array(data["labels"])[data["codes"]].tolist() == list(table.labels)


def test_many_rows_are_drawn(monkeypatch):
    """Of more rows than a map shows, so many are drawn: each once, in order, the same ones every time."""
    monkeypatch.setattr(projection, "MOST_POINTS", 50)
    rows = projection.choose_rows(1000)
    assert (len(rows), len(set(rows)), sorted(rows)) == (50, 50, list(rows))
    assert (projection.choose_rows(1000) == rows).all()
    assert projection.choose_rows(50).tolist() == list(range(50))


@pytest.mark.parametrize("n_rows", [1, 2, 3])
def test_few_rows(n_rows):
    """One image, and two, are points too."""
    points = projection.project(np.eye(4, dtype=np.float32)[:n_rows], np.arange(n_rows), method="pca")
    assert points.positions.shape == (n_rows, 2)
    assert np.isfinite(points.positions).all()


def test_equal_vectors():
    """Images that are all alike lie in the middle."""
    points = projection.project(np.ones((5, 3), np.float32), np.arange(5), method="pca")
    assert points.positions == pytest.approx(np.full((5, 2), 0.5))
    assert points.kept == 0


def test_umap_is_not_there(world, run, tmp_path, monkeypatch):
    """Where UMAP is not installed, it says what to type, before anything is read."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    result = run("map", world / "photos.features", "--out", tmp_path / "m.html", "--method", "umap")
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "pip install 'frieze[umap]'" in result.stderr


def test_projector(world, tmp_path):
    """The Projector's files hold the vectors, and a line of id and label for each."""
    document = frieze.map(world / "photos.features", out=tmp_path / "log", projector=True)
    table = frieze.open_features(world / "photos.features")
    assert (document["points"], document["rows"]) == (30, 30)
    tensors = np.loadtxt(tmp_path / "log" / "tensors.tsv", delimiter="\t")
    assert tensors == pytest.approx(table.embeddings(), rel=1e-5, abs=1e-6)
    lines = (tmp_path / "log" / "metadata.tsv").read_text().splitlines()
    assert lines == ["id\tlabel", *(f"{name}\t{label}" for name, label in zip(table.ids, table.labels, strict=True))]
    assert 'tensor_path: "tensors.tsv"' in (tmp_path / "log" / "projector_config.pbtxt").read_text()


def test_projector_over_another_folder(world, tmp_path, run):
    """A folder that is not the Projector's stays, with --force too; one that is, is replaced with --force alone."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("keep")
    for options in ([], ["--force"]):
        result = run("map", world / "photos.features", "--out", tmp_path / "mine", "--projector", *options)
        assert result.exit_code == 1
        assert (tmp_path / "mine" / "note").read_text() == "keep"
    codes = [
        run("map", world / "photos.features", "--out", tmp_path / "log", "--projector", *options).exit_code
        for options in ([], [], ["--force"])
    ]
    assert codes == [0, 1, 0]


def test_hostile_names(tmp_path):
    """Ids and labels that are markup, or part lines and columns, stay what they are and open nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = ["</script><script>alert(1)</script>", "a\tb\nc", "<!--", "plain"]
    vectors = pa.array(np.eye(4).tolist(), pa.list_(pa.float32(), 4))
    pq.write_table(pa.table({"id": names, "label": names, "embedding": vectors}), tmp_path / "v.parquet")
    frieze.import_vectors(tmp_path / "v.parquet", out=tmp_path / "f")
    frieze.map(tmp_path / "f", out=tmp_path / "map.html")
    page = (tmp_path / "map.html").read_text()
    assert page.count("</script>") == 2
    assert "<!--" not in page
    frieze.map(tmp_path / "f", out=tmp_path / "log", projector=True)
    lines = (tmp_path / "log" / "metadata.tsv").read_text().splitlines()
    assert [line.count("\t") for line in lines] == [1] * 5


def test_names_of_template_variables(tmp_path):
    """An id that holds a word by which the page marks where a part of it goes stays an id."""
    names = ["MANUSCRIPT.jpg", "DATA", "PLANE", "plain"]
    np.save(tmp_path / "v.npy", np.eye(4, dtype=np.float32))
    (tmp_path / "ids.txt").write_text("\n".join(names))
    frieze.import_vectors(tmp_path / "v.npy", ids=tmp_path / "ids.txt", out=tmp_path / "f")
    frieze.map(tmp_path / "f", out=tmp_path / "map.html")
    data = re.search(r'id="data">(.*?)</script>', (tmp_path / "map.html").read_text(), re.DOTALL)
    assert sorted(json.loads(data[1])["ids"]) == sorted(names)


@pytest.mark.slow
def test_umap_keeps_neighbours():
    """UMAP keeps neighbours together where PCA's plane has no room for them, the same way each time."""
    from sklearn.manifold import trustworthiness

    rng = np.random.default_rng(0)
    middles = unit_rows(rng.normal(size=(20, 32)).astype(np.float32))
    vectors = unit_rows(np.repeat(middles, 25, axis=0) + 0.08 * rng.normal(size=(500, 32)).astype(np.float32))
    methods = ("pca", "umap")
    positions = {name: projection.project(vectors, np.arange(500), method=name).positions for name in methods}
    assert trustworthiness(vectors, positions["umap"]) > max(0.95, trustworthiness(vectors, positions["pca"]) + 0.05)
    assert 0 <= positions["umap"].min() <= positions["umap"].max() <= 1
    assert (projection.project(vectors, np.arange(500), method="umap").positions == positions["umap"]).all()


@pytest.mark.slow
def test_umap_by_command(world, run, tmp_path):
    """The command and the function take it; it keeps no share of the variance."""
    result = run("map", world / "photos.features", "--out", tmp_path / "m.html", "--method", "umap", "--json")
    document = json.loads(result.stdout)
    assert (document["method"], document["points"], document["kept"]) == ("umap", 30, None)
