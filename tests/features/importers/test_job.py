import contextlib
import hashlib
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError, InputError, MismatchError, lock
from frieze.features import VectorOptions, check_can_embed, import_vectors, open_features, read_failures, read_manifest
from frieze.features.importers.columns import ColumnMapping, read_chunks
from frieze.features.writer import FeatureWriter

OPTIONS = VectorOptions()
N_ROWS = 10_000
BAD_ROWS = [3, 4095, 4096, 9999]


def _run(path, out, *, force=False, **requested):
    return import_vectors(path, out, options=VectorOptions(**requested), force=force)


def _counts(document):
    return tuple(document[name] for name in ("rows", "imported", "unchanged", "failed"))


def _content(out):
    """Return the whole content of a table, part by part and byte by byte."""
    parts = {path.name: path.read_bytes() for path in (out / "parts").iterdir()}
    failures = sorted(read_failures(out).to_pylist(), key=lambda row: row["message"])
    return parts, failures, read_manifest(out).generation, read_manifest(out).n_failed


@contextlib.contextmanager
def _stopped(monkeypatch, call, n):
    """Stop the block where the writer's method is called for the n-th time."""
    whole, calls = getattr(FeatureWriter, call), []

    def stop(*args, **options):
        calls.append(args)
        if len(calls) == n:
            raise KeyboardInterrupt
        return whole(*args, **options)

    monkeypatch.setattr(FeatureWriter, call, stop)
    with pytest.raises(KeyboardInterrupt):
        yield
    monkeypatch.undo()


@pytest.fixture(scope="session")
def vectors():
    """float32 [10,000, 3]; four rows are not finite."""
    rows = np.random.default_rng(0).normal(size=(N_ROWS, 3)).astype(np.float32)
    rows[BAD_ROWS, 1] = np.nan
    return rows


@pytest.fixture
def npy(vectors, tmp_path):
    """The vectors as `photos.v1.npy`."""
    np.save(tmp_path / "photos.v1.npy", vectors)
    return tmp_path / "photos.v1.npy"


@pytest.fixture
def unbroken(npy, tmp_path):
    """What an unbroken run makes of them."""
    _run(npy, tmp_path / "unbroken")
    return _content(tmp_path / "unbroken")


def test_the_vectors_are_stored(npy, vectors, tmp_path):
    """Every finite row is stored under its number, bit by bit, in parts of 4,096 rows of the file."""
    document = _run(npy, tmp_path / "out")
    table, good = open_features(tmp_path / "out"), np.delete(np.arange(N_ROWS), BAD_ROWS)
    assert _counts(document) == (9996, 9996, 0, 4)
    assert np.array_equal(table.embeddings(), vectors[good])
    assert table.ids.tolist() == [str(row) for row in good]
    assert [part.rows for part in table.manifest.parts] == [4094, 4095, 1807]


def test_the_document(npy, tmp_path):
    """The document counts, names and times."""
    document = _run(npy, tmp_path / "out")
    assert document.pop("seconds") > 0
    assert document == {
        "rows": 9996,
        "imported": 9996,
        "unchanged": 0,
        "failed": 4,
        "failures": {"not finite": 4},
        "n_zero": 0,
        "constant": 0,
        "dim": 3,
        "backbone": "photos.v1",
        "out": str(tmp_path / "out"),
    }


def test_the_failures_are_stored(npy, tmp_path):
    """What can't be used stands in failures.parquet, by id, place and reason."""
    _run(npy, tmp_path / "out")
    failures = read_failures(tmp_path / "out").to_pylist()
    assert [(row["id"], row["uri"], row["stage"], row["reason"]) for row in failures] == [
        (str(row), f"{npy}#{row}", "embed", "not finite") for row in BAD_ROWS
    ]


def test_the_file_stands_where_a_backbone_would(npy, tmp_path):
    """The spec names the file, its bytes' sha256 and width; the rest says that the vectors were made elsewhere."""
    _run(npy, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    spec, sha256 = manifest.spec, hashlib.sha256(npy.read_bytes()).hexdigest()
    assert (spec.name, spec.handle, spec.fingerprint, spec.dim) == ("photos.v1", str(npy), sha256, 3)
    assert {spec.fit, spec.pixels, spec.decoding} == {"made elsewhere"}
    assert (spec.image_size, manifest.source, manifest.engine) == ((0, 0), str(npy), "none")


def test_another_run_has_nothing_to_do(npy, tmp_path, monkeypatch):
    """A second run reads no row, changes nothing, and says so."""
    _run(npy, tmp_path / "out")
    before = _content(tmp_path / "out")
    monkeypatch.setattr("frieze.features.importers.job.read_chunks", lambda *_: pytest.fail("rows were read"))
    assert _counts(_run(npy, tmp_path / "out")) == (9996, 0, 9996, 4)
    assert _content(tmp_path / "out") == before


@pytest.mark.parametrize("call", ["commit", "add_failures", "update"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_stopped_run_is_gone_on_with(npy, tmp_path, monkeypatch, unbroken, call, n):
    """After a stop at any commit, before or after its part stands, the next run makes what an unbroken one makes."""
    with _stopped(monkeypatch, call, n):
        _run(npy, tmp_path / "out")
    document = _run(npy, tmp_path / "out")
    assert _content(tmp_path / "out") == unbroken
    assert document["imported"] + document["unchanged"] == 9996


@pytest.mark.parametrize("spoil", [os.unlink, lambda path: os.truncate(path, 100)], ids=["lost", "cut"])
def test_a_lost_part_comes_back(npy, tmp_path, unbroken, spoil):
    """A part that was lost or cut short is made again, and no other."""
    _run(npy, tmp_path / "out")
    spoil(tmp_path / "out" / "parts" / "part-000001.parquet")
    assert _counts(_run(npy, tmp_path / "out")) == (9996, 4095, 5901, 4)
    assert _content(tmp_path / "out") == unbroken


def test_only_what_is_missing_is_made(tmp_path, monkeypatch):
    """A run that goes on reads from the first missing part on, and makes rows of missing parts alone."""
    np.save(tmp_path / "v.npy", np.ones((20_000, 1)))
    _run(tmp_path / "v.npy", tmp_path / "out")
    for part in (1, 3):
        (tmp_path / "out" / "parts" / f"part-00000{part}.parquet").unlink()
    first, made, to_rows = [], [], ColumnMapping.to_rows
    monkeypatch.setattr(
        "frieze.features.importers.job.read_chunks",
        lambda files, piece: first.append(piece) or read_chunks(files, piece),
    )
    monkeypatch.setattr(ColumnMapping, "to_rows", lambda self, chunk: made.append(chunk.start) or to_rows(self, chunk))
    assert _counts(_run(tmp_path / "v.npy", tmp_path / "out")) == (20_000, 8192, 11_808, 0)
    assert (first, made) == ([1], [4096, 3 * 4096])


def test_lost_failures_come_back(npy, tmp_path, unbroken):
    """A failures.parquet that was lost is made again, and no part is written anew."""
    _run(npy, tmp_path / "out")
    before = [path.stat().st_mtime_ns for path in (tmp_path / "out" / "parts").iterdir()]
    (tmp_path / "out" / "failures.parquet").unlink()
    assert _counts(_run(npy, tmp_path / "out")) == (9996, 0, 9996, 4)
    assert _content(tmp_path / "out") == unbroken
    assert [path.stat().st_mtime_ns for path in (tmp_path / "out" / "parts").iterdir()] == before


def test_a_piece_without_a_usable_row(tmp_path):
    """A piece of which no row can be used makes no part, and is not tried again."""
    rows = np.ones((9000, 2), np.float32)
    rows[:4096] = np.inf
    np.save(tmp_path / "v.npy", rows)
    assert _counts(_run(tmp_path / "v.npy", tmp_path / "out")) == (4904, 4904, 0, 4096)
    assert [part.name[-9:-8] for part in read_manifest(tmp_path / "out").parts] == ["1", "2"]
    assert _counts(_run(tmp_path / "v.npy", tmp_path / "out")) == (4904, 0, 4904, 4096)


def test_another_file_is_refused(npy, tmp_path):
    """Other bytes never enter a table; the mend is another --out or --force."""
    _run(npy, tmp_path / "out")
    np.save(npy, np.zeros((1, 3), np.float32))
    with pytest.raises(MismatchError, match=r"photos\.v1 \(fingerprint: ") as caught:
        _run(npy, tmp_path / "out")
    assert caught.value.hint == f"Use another `out`, or replace {tmp_path / 'out'} with `force=True`."


def test_another_place_is_refused(npy, tmp_path):
    """The same bytes from another place are refused: the rows' places would differ."""
    _run(npy, tmp_path / "out")
    moved = npy.rename(tmp_path / "photos.v2.npy")
    with pytest.raises(MismatchError, match=re.escape(f"was imported from {npy}, not from {moved}.")):
        _run(moved, tmp_path / "out")


def test_other_options_are_refused(tmp_path):
    """A table imported with other options does not silently keep what these made."""
    pq.write_table(pa.table({"name": ["a"], "v": [[1.0]]}), tmp_path / "v.parquet")
    _run(tmp_path / "v.parquet", tmp_path / "out")
    with pytest.raises(MismatchError, match="was imported with no options, not with `id='name'`") as caught:
        _run(tmp_path / "v.parquet", tmp_path / "out", id="name")
    assert "`force=True`" in caught.value.hint


@pytest.mark.parametrize("changed", ["ids.txt", "v.npy"])
def test_ids_belong_to_the_fingerprint(tmp_path, changed):
    """With a file of ids, names and hashes of both files make the fingerprint."""
    np.save(tmp_path / "v.npy", np.eye(2))
    (tmp_path / "ids.txt").write_text("a\nb\n")
    _run(tmp_path / "v.npy", tmp_path / "out", ids=tmp_path / "ids.txt")
    assert open_features(tmp_path / "out").ids.tolist() == ["a", "b"]
    np.save(tmp_path / "v.npy", np.eye(2) * 2) if changed == "v.npy" else (tmp_path / changed).write_text("c\nd\n")
    with pytest.raises(MismatchError, match="fingerprint"):
        _run(tmp_path / "v.npy", tmp_path / "out", ids=tmp_path / "ids.txt")


def test_force_replaces(npy, tmp_path, unbroken):
    """With --force a table is replaced by what a fresh run makes, and nothing else is left."""
    np.save(tmp_path / "other.npy", np.eye(3))
    _run(tmp_path / "other.npy", tmp_path / "out")
    document = _run(npy, tmp_path / "out", force=True)
    assert (_counts(document), document["out"]) == ((9996, 9996, 0, 4), str(tmp_path / "out"))
    assert _content(tmp_path / "out") == unbroken
    assert not (tmp_path / ".out.new").exists()


@pytest.mark.parametrize("source", ["the same", "another"])
def test_a_stopped_force_keeps_the_table(npy, tmp_path, monkeypatch, unbroken, source):
    """Until the new table is whole the old one stays; a later --force goes on with the new one, if it is its own."""
    np.save(tmp_path / "other.npy", np.eye(3))
    _run(tmp_path / "other.npy", tmp_path / "out")
    with _stopped(monkeypatch, "add_failures", 1):
        _run(npy, tmp_path / "out", force=True)
    assert open_features(tmp_path / "out").ids.tolist() == ["0", "1", "2"]
    if source == "the same":
        assert _counts(_run(npy, tmp_path / "out", force=True)) == (9996, 5902, 4094, 4)
        assert _content(tmp_path / "out") == unbroken
    else:
        assert _counts(_run(tmp_path / "other.npy", tmp_path / "out", force=True)) == (3, 3, 0, 0)


def test_force_never_takes_what_is_not_ours(npy, tmp_path):
    """A folder with anything but a table in it is not replaced."""
    _run(npy, tmp_path / "out")
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(FeatureFileError, match=r"is not replaced: .*mine\.txt"):
        _run(npy, tmp_path / "out", force=True)


@pytest.mark.parametrize("table_beside_it", [False, True])
def test_force_takes_no_folder_in_its_way(npy, tmp_path, table_beside_it):
    """What lies where the new table is made, and is no half-made table, is never deleted."""
    np.save(tmp_path / "other.npy", np.eye(3))
    _run(npy, tmp_path / "out")
    mine = tmp_path / ".out.new" / "mine.txt"
    if table_beside_it:
        _run(tmp_path / "other.npy", mine.parent)
    mine.parent.mkdir(exist_ok=True)
    mine.touch()
    with pytest.raises(FeatureFileError, match=r"\.out\.new"):
        _run(npy, tmp_path / "out", force=True)
    assert mine.exists()


@pytest.mark.parametrize("force", [False, True])
def test_another_folder_is_refused(npy, tmp_path, monkeypatch, force):
    """A folder that holds something else is refused before the minutes that reading takes."""
    monkeypatch.setattr("frieze.features.importers.job.open_vectors", lambda *_: pytest.fail("vectors were looked at"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    with pytest.raises(FeatureFileError, match="is not a table of features"):
        _run(npy, tmp_path / "out", force=force)
    assert os.listdir(tmp_path / "out") == ["mine.txt"]  # noqa: PTH208  names are enough


@pytest.mark.parametrize("force", [False, True])
def test_one_run_at_a_time(npy, tmp_path, force):
    """A table that is being written is refused, with the writer's process id."""
    _run(npy, tmp_path / "out")
    with lock(tmp_path / "out"), pytest.raises(FeatureFileError, match=f"process {os.getpid()}"):
        _run(npy, tmp_path / "out", force=force)


def test_a_broken_file_leaves_nothing(tmp_path):
    """A file that can't be read is refused before any folder is made."""
    (tmp_path / "v.npy").write_text("no vectors")
    with pytest.raises(InputError, match="is no file of vectors"):
        _run(tmp_path / "v.npy", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_progress(npy, tmp_path):
    """Progress is told at the start and after each piece, in rows."""
    message = []
    import_vectors(npy, tmp_path / "out", options=OPTIONS, progress=lambda done, total: message.append((done, total)))
    assert message == [(0, N_ROWS), (4096, N_ROWS), (8192, N_ROWS), (N_ROWS, N_ROWS)]


def test_memory_stays_flat(tmp_path):
    """No more than a few pieces are held at once, however large the file is."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(1 << 23, np.float32)), 64)
    pq.write_table(pa.table({"v": lists}), tmp_path / "v.parquet", use_dictionary=False, compression="none")
    n_bytes, held = lists.nbytes, []
    del lists
    before = pa.total_allocated_bytes()
    import_vectors(
        tmp_path / "v.parquet",
        tmp_path / "out",
        options=OPTIONS,
        progress=lambda *_: held.append(pa.total_allocated_bytes() - before),
    )
    assert max(held) < n_bytes / 4


def test_made_elsewhere(npy, tmp_path, spec):
    """An image asked for among vectors made elsewhere is refused, with where these came from; elsewhere it is not."""
    _run(npy, tmp_path / "out")
    check_can_embed(spec, where="photos.index", hint="")
    with pytest.raises(InputError, match=r"photos\.index holds vectors made elsewhere, imported from .*npy") as caught:
        check_can_embed(read_manifest(tmp_path / "out").spec, where="photos.index", hint="Ask by id.")
    assert caught.value.hint == "Ask by id."


def _write_partitions(folder):
    """Write vectors as Hive and Spark lay tables out: two classes, two files in one of them, one class unknown."""
    for number, place in enumerate(["label=cat/a.parquet", "label=cat/b.parquet", "label=d%20g/a.parquet"]):
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"embedding": [[number, 1.0]] * 2}), path)
    path = folder / "label=__HIVE_DEFAULT_PARTITION__" / "a.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"embedding": [[9.0, 1.0]]}), path)
    return folder


def test_folders_that_give_a_column(tmp_path):
    """What folders `name=value` say is a column of their rows; ids name them, for files in two may have one name."""
    document = _run(_write_partitions(tmp_path / "v"), tmp_path / "out")
    assert _counts(document) == (7, 7, 0, 0)
    table = open_features(tmp_path / "out")
    assert dict(zip(table.ids.tolist(), table.rows["label"].to_pylist(), strict=True)) == {
        "label=__HIVE_DEFAULT_PARTITION__/a.parquet/0": None,
        **{f"label=cat/{name}.parquet/{row}": "cat" for name in "ab" for row in (0, 1)},
        **{f"label=d%20g/a.parquet/{row}": "d g" for row in (0, 1)},
    }
    assert _counts(_run(tmp_path / "v", tmp_path / "out")) == (7, 0, 7, 0)


def test_a_folder_renamed_is_another_table(tmp_path):
    """Another name of such a folder is another label, and no table to go on with."""
    _run(_write_partitions(tmp_path / "v"), tmp_path / "out")
    (tmp_path / "v" / "label=cat").rename(tmp_path / "v" / "label=cow")
    with pytest.raises(MismatchError):
        _run(tmp_path / "v", tmp_path / "out")


def test_an_id_of_such_a_column(tmp_path):
    """Such a column can be named as any other."""
    _run(_write_partitions(tmp_path / "v") / "label=d%20g", tmp_path / "out")
    assert open_features(tmp_path / "out").rows["label"].to_pylist() == ["d g"] * 2
    assert _run(tmp_path / "v", tmp_path / "by-label", id="label")["failures"] == {"repeated id": 4, "no id": 1}


def test_zero_vectors_are_counted(tmp_path):
    """Vectors of zeros are taken, and counted; so are numbers that are the same in all of them."""
    vectors = np.random.default_rng(0).normal(size=(5000, 8)).astype("f4")
    vectors[:, 5:] = 0.25
    vectors[::2] = 0
    np.save(tmp_path / "v.npy", vectors)
    document = _run(tmp_path / "v.npy", tmp_path / "out")
    assert (_counts(document), document["n_zero"], document["constant"]) == ((5000, 5000, 0, 0), 2500, 0)
    np.save(tmp_path / "w.npy", vectors[1::2])
    document = _run(tmp_path / "w.npy", tmp_path / "constant")
    assert (document["n_zero"], document["constant"]) == (0, 3)


def test_not_finite_rows_are_failures(tmp_path):
    """A vector with one number that is none, or infinite, is a failure of its row."""
    vectors = np.ones((6, 4), "f4")
    vectors[1, 2], vectors[3, 0], vectors[4] = np.nan, np.inf, -np.inf
    np.save(tmp_path / "v.npy", vectors)
    document = _run(tmp_path / "v.npy", tmp_path / "out")
    assert (_counts(document), document["failures"]) == ((3, 3, 0, 3), {"not finite": 3})


def test_bytes_that_are_no_text_are_no_ids(tmp_path):
    """Ids of raw bytes are refused by the column's name, with what to write; bytes of text are taken."""
    for ids, name in (([b"a", b"b"], "text"), ([b"\xff\x00", b"\xfe"], "raw")):
        pq.write_table(pa.table({"id": ids, "embedding": [[1.0, 2.0], [3.0, 4.0]]}), tmp_path / f"{name}.parquet")
    assert _run(tmp_path / "text.parquet", tmp_path / "t")["imported"] == 2
    with pytest.raises(InputError, match=r"The column id of .* holds bytes that are no text") as caught:
        _run(tmp_path / "raw.parquet", tmp_path / "r")
    assert "bytes.hex" in caught.value.hint


def test_notes(tmp_path):
    """What a table has otherwise than its file is noted, by the run that adds rows."""
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"embedding": [[1.0, 2.0], [3.0, 4.0]], "sha256": ["a", "b"]}), path)
    (note,) = _run(path, tmp_path / "t")["notes"]
    assert note.startswith("the column sha256 is stored as source_sha256: it holds other things")
    assert "notes" not in _run(path, tmp_path / "t")
