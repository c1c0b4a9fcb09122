"""`frieze import`: each kind of file, and the other commands on its table."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import frieze
from frieze.core import InputError
from frieze.features import top_k

LABELS = ["cat"] * 30 + ["dog"] * 30
NAMES = [f"{label}/{number}.jpg" for number, label in enumerate(LABELS)]


@pytest.fixture(scope="module")
def vectors():
    """float32 [60, 8]: two clusters that float16 holds exactly."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 8)) + np.repeat([[4.0] * 8, [-4.0] * 8], 30, axis=0)
    return rows.astype(np.float16).astype(np.float32)


def _npy(folder, vectors):
    np.save(folder / "vectors.npy", vectors.astype(">f8"))
    (folder / "names.txt").write_text("\n".join(NAMES))
    return folder / "vectors.npy", "--ids", folder / "names.txt"


def _parquet(folder, vectors):
    (folder / "tables").mkdir()
    for number, rows in enumerate((slice(0, 20), slice(20, 60))):
        columns = {"name": NAMES[rows], "label": LABELS[rows], "clip": [*vectors[rows].astype(np.float64)]}
        pq.write_table(pa.table(columns), folder / "tables" / f"{number}.parquet")
    return folder / "tables", "--id", "name"


def _clip_retrieval(folder, vectors):
    for name in ("img_emb", "metadata"):
        (folder / "clip" / name).mkdir(parents=True)
    for number, rows in ((9, slice(0, 20)), (10, slice(20, 60))):
        np.save(folder / "clip" / "img_emb" / f"img_emb_{number}.npy", vectors[rows].astype(np.float16))
        table = pa.table({"image_path": NAMES[rows], "animal": LABELS[rows]})
        pq.write_table(table, folder / "clip" / "metadata" / f"metadata_{number}.parquet")
    return folder / "clip", "--label", "animal"


KINDS = {"npy": _npy, "parquet": _parquet, "clip-retrieval": _clip_retrieval}


@pytest.fixture(params=KINDS)
def line(request, tmp_path, vectors):
    """The words after `frieze import`, for real files of each kind."""
    return *KINDS[request.param](tmp_path, vectors), "--out", tmp_path / "v.features"


@pytest.fixture(scope="module")
def imported(tmp_path_factory, vectors):
    """A folder with v.features of labelled vectors made elsewhere, v.index and v.head."""
    folder = tmp_path_factory.mktemp("imported")
    source, _, name = _parquet(folder, vectors)
    frieze.import_vectors(source, out=folder / "v.features", id=name)
    frieze.index(folder / "v.features", out=folder / "v.index")
    frieze.train(folder / "v.features", out=folder / "v.head")
    return folder


def test_each_kind_comes_to_the_same(line, run_json, vectors):
    """The same vectors in each kind of file make the same rows."""
    code, document = run_json("import", *line)
    table = frieze.open_features(document["out"])
    assert (code, document["rows"], document["imported"], document["failed"]) == (0, 60, 60, 0)
    assert np.array_equal(table.embeddings(), vectors)
    assert table.ids.tolist() == NAMES
    assert table.labels.tolist() == ([None] * 60 if "--ids" in line else LABELS)


def test_each_kind_is_searched(line, run_json, tmp_path, vectors):
    """A table of each kind is indexed and searched, by id and by vectors, and finds what NumPy finds."""
    np.save(tmp_path / "query.npy", vectors[40])
    for command in (["import", *line], ["index", line[-1], "--out", tmp_path / "i"]):
        assert run_json(*command)[0] == 0
    _, document = run_json("search", tmp_path / "i", f"id:{NAMES[3]}", tmp_path / "query.npy", "-k", 5)
    expected, _ = top_k(vectors[[3, 40]], vectors, k=5)
    actual = [[hit["id"] for hit in query["hits"]] for query in document["queries"]]
    assert actual == [[NAMES[row] for row in rows] for rows in expected]


def test_a_second_run_has_nothing_to_do(line, run_json):
    """The same line again imports nothing and says so."""
    run_json("import", *line)
    code, document = run_json("import", *line)
    assert (code, document["imported"], document["unchanged"]) == (0, 0, 60)


def test_info(imported, run_json):
    """Info reports counts, labels and the source of the vectors."""
    _, document = run_json("info", imported / "v.features")
    assert (document["labels"], document["counts"]["rows"]) == ({"cat": 30, "dog": 30}, 60)
    assert document["backbone"]["handle"] == str(imported / "tables")


def test_heads(imported, run_json, tmp_path):
    """A head is trained, measured and used on vectors made elsewhere."""
    head, features = imported / "v.head", imported / "v.features"
    assert run_json("evaluate", head, features)[1]["accuracy"] == 1
    code, document = run_json("predict", head, features, "--out", tmp_path / "p.parquet")
    assert (code, document["rows"]) == (0, 60)
    assert pq.read_table(tmp_path / "p.parquet")["prediction"].to_pylist() == LABELS


@pytest.fixture
def photo(tmp_path):
    """A photograph."""
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_images_are_refused_as_queries(imported, run, photo):
    """A search by an image is refused, since the vectors were made elsewhere, with the queries that work."""
    result = run("search", imported / "v.index", photo)
    assert result.exit_code == 1
    assert f"holds vectors made elsewhere, imported from {imported / 'tables'}" in result.stderr
    assert "Search by id:NAME, or by a .npy file" in result.stderr


def test_no_image_is_predicted(imported, run, photo, tmp_path):
    """A prediction on images says that the vectors were made elsewhere, and how new ones get in."""
    result = run("predict", imported / "v.head", photo, "--out", tmp_path / "p.parquet")
    assert result.exit_code == 1
    assert "holds vectors made elsewhere" in result.stderr
    assert f"frieze predict {imported / 'v.head'} FEATURES --out {tmp_path / 'p.parquet'}" in result.stderr


def test_a_head_of_other_vectors(imported, run, tmp_path):
    """A head trained on an import refuses another one, and says that both are to be imported together."""
    np.save(tmp_path / "v.npy", np.eye(8, dtype=np.float32))
    frieze.import_vectors(tmp_path / "v.npy", out=tmp_path / "other")
    result = run("predict", imported / "v.head", tmp_path / "other", "--out", tmp_path / "p.parquet")
    assert (result.exit_code, "--backbone" in result.stderr) == (1, False)
    assert f"Import {imported / 'tables'} and the new vectors together" in result.stderr


def test_training_without_labels(run, tmp_path):
    """Vectors without labels can't be learned from; the hint is of the import."""
    np.save(tmp_path / "v.npy", np.eye(8, dtype=np.float32))
    frieze.import_vectors(tmp_path / "v.npy", out=tmp_path / "f")
    result = run("train", tmp_path / "f", "--out", tmp_path / "h")
    assert (result.exit_code, "frieze import VECTORS --label COLUMN" in result.stderr) == (1, True)


def test_skipped_rows_are_exit_code_3(run, tmp_path):
    """Where rows can't be used, the others are imported, and the exit code is 3."""
    np.save(tmp_path / "v.npy", np.array([[1.0], [np.nan], [np.nan]]))
    result = run("import", tmp_path / "v.npy", "--out", tmp_path / "f", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["rows"], document["failures"]) == (3, 1, {"not finite": 2})
    assert f"2 rows can't be used (not finite 2): see {tmp_path / 'f'}/failures.parquet" in result.stderr


def test_another_file_needs_force(run, tmp_path):
    """Another file at the same --out ends with exit code 1 and the word --force, which then replaces."""
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.full((2, 2), ord(name)))
    line = ("import", tmp_path / "b.npy", "--out", tmp_path / "f")
    assert run("import", tmp_path / "a.npy", "--out", tmp_path / "f").exit_code == 0
    refused = run(*line)
    assert (refused.exit_code, "--force" in refused.stderr) == (1, True)
    assert run(*line, "--force").exit_code == 0
    assert frieze.open_features(tmp_path / "f").embeddings().tolist() == [[98, 98], [98, 98]]


def test_embedded_tables_are_refused(world, tmp_path):
    """Vectors made elsewhere never enter a table that was embedded here."""
    np.save(tmp_path / "v.npy", np.ones((2, 2)))
    with pytest.raises(InputError, match="holds those of frieze-mini-3"):
        frieze.import_vectors(tmp_path / "v.npy", out=world / "photos.features")


def test_facts_for_people(run, tmp_path):
    """With --verbose the counts are printed one a line; else one line has what counts."""
    np.save(tmp_path / "v.npy", np.ones((2, 3)))
    summary = run("import", tmp_path / "v.npy", "--out", tmp_path / "f").stdout
    assert summary == f"2 vectors of 3 numbers in {tmp_path / 'f'}: 2 imported, 0 unchanged.\n"
    lines = run("import", tmp_path / "v.npy", "--out", tmp_path / "f", "-v").stdout.splitlines()
    assert {"rows       2", "dim        3", "backbone   v"} <= set(lines)


def test_zero_vectors_are_reported(run, tmp_path):
    """Vectors of zeros, and numbers that are the same in all vectors, are reported in one line each."""
    vectors = np.zeros((200, 4))
    vectors[::2, 0] = np.arange(100) + 1
    np.save(tmp_path / "v.npy", vectors)
    done = run("import", tmp_path / "v.npy", "--out", tmp_path / "f")
    assert "Note: vectors that are all zeros: 100 of 200; they are similar to nothing." in done.stderr
    assert "Note: numbers that are the same in every vector: 3 of 4." in done.stderr
    np.save(tmp_path / "w.npy", vectors[::2] + np.random.default_rng(0).normal(size=(100, 4)))
    assert "Note" not in run("import", tmp_path / "w.npy", "--out", tmp_path / "g").stderr
