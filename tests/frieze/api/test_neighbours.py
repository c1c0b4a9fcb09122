"""`frieze neighbours`: the file, the document and the sparse matrix."""

import numpy as np
import pyarrow.parquet as pq
import pytest

import frieze
from frieze.core import InputError


@pytest.fixture(scope="module")
def graph(world, tmp_path_factory):
    """The graph of the small world's 30 images, four neighbours each."""
    return frieze.neighbours(world / "photos.features", k=4, out=tmp_path_factory.mktemp("graph") / "g.parquet")


@pytest.fixture(scope="module")
def cosines(world):
    """The cosines of all images with all others, -inf with itself."""
    vectors = frieze.open_features(world / "photos.features").embeddings()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    scores = unit @ unit.T
    np.fill_diagonal(scores, -np.inf)
    return scores


def test_the_matrix_is_numpys(graph, world, cosines):
    """Each row of the matrix holds the cosines of its four nearest others, as the file does."""
    matrix = graph.to_scipy().toarray()
    expected = np.where(cosines >= -np.sort(-cosines, axis=1)[:, 3:4], cosines, 0)
    np.testing.assert_allclose(matrix, expected, atol=1e-5)
    assert graph.ids.tolist() == frieze.open_features(world / "photos.features").ids.tolist()
    edges = pq.read_table(graph["out"]).to_pylist()
    assert [edge["rank"] for edge in edges[:5]] == [1, 2, 3, 4, 1]
    names = graph.ids.tolist()
    for edge in edges:
        assert matrix[names.index(edge["id"]), names.index(edge["neighbour"])] == np.float32(edge["score"])
    assert (graph["rows"], graph["k"], graph["edges"], graph["kind"], graph["recall"]) == (30, 4, 120, "exact", None)


def test_of_an_index(world, run_json, run, tmp_path, indexed_by_l2):
    """An index is used with its metric; k is at most the number of others."""
    code, document = run_json("neighbours", indexed_by_l2, "--k", 99, "--out", tmp_path / "g.csv")
    assert (code, document["metric"], document["k"], document["edges"]) == (0, "l2", 29, 870)
    assert len((tmp_path / "g.csv").read_text().splitlines()) == 871
    result = run("neighbours", world / "photos.features", "--out", tmp_path / "h.parquet")
    assert "300 edges between 30 images" in result.stderr + result.stdout


@pytest.fixture(scope="module")
def indexed_by_l2(world, tmp_path_factory):
    """An index by the Euclidean distance."""
    out = tmp_path_factory.mktemp("l2") / "l2.index"
    frieze.index(world / "photos.features", out=out, metric="l2")
    return out


def test_a_large_table_gets_an_index(world, tmp_path, monkeypatch):
    """Beyond the limit the kind is chosen as by `frieze index`, and the recall is measured where it is not exact."""
    monkeypatch.setattr("frieze.api.neighbours._MOST_EXACT", 10)
    kinds = []
    from frieze import indexing

    build = indexing.build_index
    monkeypatch.setattr(
        "frieze.indexing.build_index", lambda *args, kind: kinds.append(kind) or build(*args, kind="ivf")
    )
    document = frieze.neighbours(world / "photos.features", k=3, out=tmp_path / "g.parquet")
    assert (kinds, document["kind"], document["recall_rows"]) == (["auto"], "ivf", 30)
    assert document["recall"] >= 0.9
    assert list(tmp_path.iterdir()) == [tmp_path / "g.parquet"]


def test_an_interrupted_run_leaves_nothing(world, tmp_path, monkeypatch):
    """A graph takes its name when it is whole; an existing one stays until then."""
    out = tmp_path / "g.parquet"
    frieze.neighbours(world / "photos.features", k=2, out=out)
    before = out.read_bytes()
    monkeypatch.setattr("frieze.api.neighbours._to_table", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        frieze.neighbours(world / "photos.features", k=3, out=out, force=True)
    assert (list(tmp_path.iterdir()), out.read_bytes()) == ([out], before)


def test_refusals(world, tmp_path, graph, monkeypatch):
    """Mistakes are named: a file that exists or is no graph, k below 1, a matrix of another form or graph."""
    table, out = world / "photos.features", tmp_path / "g.jsonl"
    document = frieze.neighbours(table, k=1, out=out)
    with pytest.raises(InputError, match="already exists"):
        frieze.neighbours(table, out=out)
    with pytest.raises(InputError, match="is no Parquet file"):
        document.to_scipy()
    with pytest.raises(InputError, match="k is 0"):
        frieze.neighbours(table, k=0, out=tmp_path / "h.parquet")
    with pytest.raises(InputError, match=r"photos\.head is a head"):
        frieze.neighbours(world / "photos.head", out=tmp_path / "h.parquet")
    monkeypatch.setitem(graph, "k", 5)
    with pytest.raises(InputError, match="holds another graph"):
        graph.to_scipy()
