import dataclasses
import errno
import json
import os
import shutil
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError, InputError, MismatchError, lock, unit_rows
from frieze.features import METRICS, open_features, top_k
from frieze.indexing import KINDS, build_index, open_index
from frieze.indexing.build import build
from frieze.indexing.faiss_layer.kinds import count_bytes, write_recipe
from frieze.indexing.storage.generations import write_document

EVERY = [(kind, metric) for kind in KINDS for metric in METRICS if KINDS[kind].supports(metric)]


@pytest.fixture
def out(small, tmp_path):
    """An index of the small table."""
    build_index(small, tmp_path / "small.index")
    return tmp_path / "small.index"


def snapshot(folder):
    """Read every file below a folder except the lock."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_document_describes_the_index(kind, metric, table, tmp_path):
    """The command's document has every documented field, with measured values."""
    document = build_index(table, tmp_path / "i", kind=kind, metric=metric)
    assert (document["rows"], document["dim"], document["kind"], document["metric"]) == (2_000, 16, kind, metric)
    assert document["recipe"] == write_recipe(kind, 2_000, 16)
    assert KINDS[kind].floor <= document["recall_at_10"] <= 1
    assert document["bytes"] == sum(map(len, snapshot(tmp_path / "i" / "generation-1").values()))
    assert 0 < document["ms_per_query"] / 1e3 < document["build_seconds"]
    assert document["peak_memory_bytes"] > 2_000 * 16 * 4
    assert document["memory_bytes"] == pytest.approx(count_bytes(kind, 2_000, 16), rel=0.35, abs=10_000)
    assert document["why"] == f"{kind} was requested."


def test_index_json_describes_the_index(small, out):
    """index.json holds the table, the options and the versions of the libraries."""
    document = json.loads((out / "index.json").read_text())
    assert (document["contract"], document["kind"], document["index_kind"]) == (2, "index", "exact")
    assert document["features"] == {
        "path": str(small.path),
        "generation": small.manifest.generation,
        "backbone": small.spec.to_json(),
    }
    assert document["request"] == {"metric": "cosine", "kind": "auto", "recall": 0.95, "max_memory": None}
    assert document["versions"]["faiss"] == faiss.__version__
    assert (document["generation"], document["recall_target"]) == ("generation-1", 0.95)
    assert document["effort"] == {"k_factor": 1}


def test_a_current_index_is_not_rebuilt(small, out):
    """Built again with the same options, nothing is written and the stored figures are returned."""
    before = snapshot(out)
    document = build_index(small, out)
    stored = json.loads((out / "index.json").read_text())
    assert not document["rebuilt"]
    assert document["build_seconds"] == stored["build_seconds"]
    assert snapshot(out) == before


@pytest.mark.parametrize(
    "change", [{"metric": "l2"}, {"kind": "ivf"}, {"recall": 0.9}, {"max_memory": "1GB"}, {"force": True}]
)
def test_other_options_write_a_new_generation(change, small, out):
    """Another metric, kind or recall, or --force, replaces the generation."""
    assert build_index(small, out, **change)["rebuilt"]
    assert open_index(out).document["generation"] == "generation-2"
    assert [child.name for child in out.glob("*generation*")] == ["generation-2"]


def test_a_grown_table_is_indexed_again(small, out, tmp_path, write_table, clustered):
    """When the table has other rows than the index, the index is rebuilt."""
    shutil.rmtree(small.path)
    grown = write_table(small.path, clustered(61, 8))
    assert build_index(grown, out)["rebuilt"]
    assert open_index(out).ids.tolist() == grown.ids.tolist()


@pytest.fixture
def write_other(tmp_path, write_table, clustered, make_spec):
    """`write_other(letter)`: another table, of the backbone whose fingerprint is that letter."""
    return lambda letter: write_table(tmp_path / "other", clustered(30, 8), spec=make_spec(8, fingerprint=letter * 64))


@pytest.mark.parametrize(
    ("letter", "problem"), [("e", "fingerprint: e+ here, f+ there"), ("f", "is an index of another table, /")]
)
def test_another_table_is_refused(letter, problem, write_other, out):
    """An index of another table, of the same backbone or another one, is not replaced without force."""
    other, before = write_other(letter), snapshot(out)
    with pytest.raises(MismatchError, match=problem) as caught:
        build_index(other, out)
    assert "`force=True`" in caught.value.hint
    assert snapshot(out) == before
    assert build_index(other, out, force=True)["rows"] == 30


def test_a_link_to_the_table_is_the_same_table(small, out, tmp_path):
    """A table that is named by another path is no other table."""
    (tmp_path / "link").symlink_to(small.path)
    assert not build_index(open_features(tmp_path / "link"), out)["rebuilt"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "features.json",
        "index.json",
        "index.json.bak",
        "generation-2024",
        "generation-1/photo.jpg",
        "generation-x/index.faiss",
        ".generation-1.keep/index.faiss",
        "generation-1/index.faiss/mine",
    ],
)
def test_a_foreign_folder_is_left_alone(name, force, small, tmp_path):
    """A folder with other files is refused, also with --force, and nothing is written into it."""
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(FeatureFileError):
        build_index(small, tmp_path / "mine", force=force)
    assert snapshot(tmp_path / "mine") == {name: b"{}"}
    assert not (tmp_path / "mine" / ".lock").exists()


def test_a_foreign_folder_beside_an_index_stays(small, out):
    """A rebuild deletes no folder that holds a user's file, whatever its name."""
    for name in ("generation-2024", "generation-photos", ".generation-3.tmp"):
        (out / name).mkdir()
        (out / name / "photo.jpg").write_bytes(b"mine")
    assert build_index(small, out, force=True)["rebuilt"]
    assert open_index(out).document["generation"] == "generation-2025"
    assert len(list(out.glob("*/photo.jpg"))) == 3
    assert not (out / "generation-1").exists()


def test_a_linked_generation_is_not_followed(small, out, tmp_path):
    """A link named like a generation stays, and so does its target."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "index.faiss").write_bytes(b"mine")
    (out / "generation-7").symlink_to(tmp_path / "elsewhere")
    build_index(small, out, force=True)
    assert (out / "generation-7" / "index.faiss").read_bytes() == b"mine"


def test_a_relative_path_with_a_colon_works(small, tmp_path, monkeypatch):
    """A relative path that looks like a URL is a path."""
    monkeypatch.chdir(tmp_path)
    document = build_index(small, Path("a:b/i"))
    assert document["index"] == str(tmp_path / "a:b" / "i")
    assert open_index("a:b/i").ids.tolist() == small.ids.tolist()


def test_a_file_at_the_output_path_is_refused(small, tmp_path):
    """A file at the index's path is refused, and so is a path below a file."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FeatureFileError, match="already exists and is not an index"):
        build_index(small, tmp_path / "file")
    with pytest.raises(FeatureFileError, match="can't be written: Not a directory"):
        build_index(small, tmp_path / "file" / "index")


def test_the_table_is_not_overwritten(small):
    """The features are not overwritten by their own index."""
    before = snapshot(small.path)
    with pytest.raises(FeatureFileError, match="already exists and is not an index"):
        build_index(small, small.path, force=True)
    assert snapshot(small.path) == before


def test_an_empty_folder_is_used(small, tmp_path):
    """An index is written into an empty folder, and into one whose parents are missing."""
    (tmp_path / "empty").mkdir()
    assert build_index(small, tmp_path / "empty")["rows"] == 60
    assert build_index(small, tmp_path / "a" / "b" / "c")["rows"] == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "cos"}, "Unknown metric: cos."),
        ({"kind": "graph"}, "Unknown kind of index: graph."),
        ({"recall": 0}, "The recall is 0."),
        ({"max_memory": "lots"}, "lots is no size of memory."),
        ({"recall": 95}, "The recall is 95."),
        ({"recall": float("nan")}, "The recall is nan."),
    ],
)
def test_options_out_of_range_are_refused(options, message, small, tmp_path):
    """An unknown word or a recall outside (0, 1] is an input error, and no folder is made."""
    with pytest.raises(InputError) as caught:
        build_index(small, tmp_path / "i", **options)
    assert caught.value.message == message
    assert not (tmp_path / "i").exists()


def test_an_empty_table_is_refused(tmp_path, write_table):
    """A table without rows has nothing to index."""
    empty = write_table(tmp_path / "t", np.empty((0, 8), np.float32))
    with pytest.raises(InputError, match="holds no rows to index"):
        build_index(empty, tmp_path / "i")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_rows", [1, 2, 11])
def test_the_smallest_tables_work(n_rows, kind, tmp_path, write_table, clustered):
    """A table of a single row or a few is indexed and searched."""
    table = write_table(tmp_path / "t", clustered(n_rows, 8))
    assert build_index(table, tmp_path / "i", kind=kind)["recall_at_10"] == 1
    ids, _ = open_index(tmp_path / "i").top_k(table.embeddings(), n_rows)
    assert ids[:, 0].tolist() == table.ids.tolist()


def test_one_writer_at_a_time(small, out):
    """While another process writes the index, a build is refused, and the message names that process."""
    with lock(out), pytest.raises(FeatureFileError, match="is being written by process"):
        build_index(small, out, force=True)


def test_threads_are_restored(small, tmp_path):
    """A build and a search restore FAISS's number of threads."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        build_index(small, tmp_path / "i")
        open_index(tmp_path / "i").top_k(small.embeddings(), 3)
        assert faiss.omp_get_max_threads() == 1
    finally:
        faiss.omp_set_num_threads(before)


def test_a_table_that_lost_a_part_is_named(small, tmp_path):
    """A missing part of the table ends the build with the table's error and leaves no index."""
    next((small.path / "parts").iterdir()).unlink()
    with pytest.raises(FeatureFileError, match=r"part-000000\.parquet is missing or broken"):
        build_index(open_features(small.path), tmp_path / "i")
    assert not (tmp_path / "i" / "index.json").exists()


def test_a_moved_table_is_the_same_table(small, out):
    """Whether an index is current depends on the table's content, not on its path."""
    moved = small.path.rename(small.path.with_name("moved"))
    assert not build_index(open_features(moved), out)["rebuilt"]
    assert dataclasses.asdict(open_index(out).spec) == dataclasses.asdict(small.spec)


@pytest.fixture
def broad():
    """2,500 rows and 1,500 queries from 25 broad clusters of 256 dimensions: principal components lose much of them."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(25, 256))[rng.integers(25, size=4_000)] + rng.normal(size=(4_000, 256))
    return np.split(rows.astype(np.float32), [2_500])


def test_recall_of_a_small_table_is_unbiased(broad, tmp_path, write_table):
    """The measured recall is that of queries outside the table, within its interval and theirs."""
    embeddings, queries = broad
    document = build_index(write_table(tmp_path / "t", embeddings), tmp_path / "i", kind="pca-pq")
    ids, _ = open_index(tmp_path / "i").top_k(queries, 10)
    expected, _ = top_k(unit_rows(queries), unit_rows(embeddings), k=10)
    actual = np.array([[int(name.rpartition("-")[2].removesuffix(".jpg")) for name in row] for row in ids])
    true = np.mean([np.isin(*pair).mean() for pair in zip(expected, actual, strict=True)])
    low, high = document["recall_interval"]
    assert low - 0.005 <= true <= high + 0.005
    assert high - low < 0.03


@pytest.mark.parametrize(("recall", "meets_target"), [(0.2, True), (0.95, False)])
def test_a_missed_target_is_reported(recall, meets_target, tmp_path, write_table):
    """A requested kind whose recall is too low is built, and the document says that it misses the target."""
    noise = np.random.default_rng(0).normal(size=(1_000, 128)).astype(np.float32)
    document = build_index(write_table(tmp_path / "t", noise), tmp_path / "i", kind="pca-pq", recall=recall)
    assert (document["recall_target"], document["meets_target"]) == (recall, meets_target)
    assert (document["recall_interval"][0] >= recall) == meets_target


LACKS = {
    "python": MemoryError(),
    "arrow": pa.ArrowMemoryError("malloc of size 64 failed"),
    "system": OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
}


@pytest.mark.parametrize("lack", LACKS.values(), ids=LACKS)
@pytest.mark.parametrize("where", ["write_vectors", "compute_ground_truth", "choose", "write_rows"])
def test_out_of_memory_is_reported(where, lack, small, tmp_path, monkeypatch):
    """Wherever memory runs out, the error says how to build with less, and nothing is left behind."""

    def fail(*_, **__):
        raise lack

    monkeypatch.setattr(build, where, fail)
    with pytest.raises(InputError, match="not enough memory to index 60 rows of width 8") as caught:
        build_index(small, tmp_path / "i")
    assert "`max_build_memory='500MB'`" in caught.value.hint
    assert [path.name for path in (tmp_path / "i").iterdir()] == [".lock"]


def test_out_of_memory_is_not_a_broken_table(small, tmp_path, monkeypatch):
    """When there is no memory to read a part, the error does not call the table broken."""

    def fail(*_, **__):
        raise LACKS["arrow"]

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", fail)
    with pytest.raises(InputError, match="not enough memory"):
        build_index(small, tmp_path / "i")


def test_an_older_index_stays_readable(small, out):
    """An index without figures that were added later opens and is not rebuilt; these figures are null."""
    younger = ("recall_interval", "recall_at_100", "many_meets_target", "meets_target", "effort_at_100")
    document = json.loads((out / "index.json").read_text())
    write_document(out, {name: value for name, value in document.items() if name not in (*younger, "sha256")})
    document = build_index(small, out)
    assert not document["rebuilt"]
    assert [document[name] for name in younger] == [None] * len(younger)
    assert len(open_index(out).search(small.embeddings()[:1], k=20)[0]) == 20
