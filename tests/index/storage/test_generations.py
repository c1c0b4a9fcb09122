import errno
import functools
import hashlib
import json
import os
import shutil

import pytest

from frieze.core import FeatureFileError
from frieze.indexing import build_index, open_index, stored_index
from frieze.indexing.storage import generations
from frieze.indexing.storage.generations import (
    check_files,
    delete_old_generations,
    describe_files,
    next_generation,
    read_existing_document,
    write_document,
)


@pytest.fixture(scope="module")
def built(table, tmp_path_factory):
    """`built(kind)`: the folder of an index of the table, made once; not to be changed."""

    @functools.cache
    def build(kind):
        build_index(table, path := tmp_path_factory.mktemp("built") / kind, kind=kind)
        return path

    return build


@pytest.fixture(params=["exact", "ivf", "pca-pq"])
def out(request, built, tmp_path):
    """A copy of an index of the table: of one file of vectors, of whole vectors in lists, and of codes."""
    return shutil.copytree(built(request.param), tmp_path / "i")


def change(out, **values):
    """Edit values of index.json by hand."""
    path = out / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rewrite(out, **values):
    """Write other values into index.json with a valid hash."""
    write_document(out, json.loads((out / "index.json").read_text()) | values)


DAMAGES = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "one byte short": lambda whole: whole[:-1],
    "other bytes": lambda whole: b"x" * len(whole),
}


@pytest.mark.parametrize("name", ["vectors.faiss", "rows.parquet"])
@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
def test_a_broken_file_is_named_and_rebuilt(damage, name, out, table):
    """A file that is missing, truncated or overwritten is named with the command that rebuilds it."""
    path = out / "generation-1" / name
    whole = path.read_bytes()
    path.unlink()
    if damage in DAMAGES:
        path.write_bytes(DAMAGES[damage](whole))
    with pytest.raises(FeatureFileError, match=name) as caught:
        open_index(out)
    request = json.loads((out / "index.json").read_text())["request"]
    options = f"--kind {request['kind']} --metric cosine --recall 0.95"
    assert caught.value.hint == f"Rebuild it: frieze index {table.path} --out {out} {options} --force"
    assert build_index(table, out, **request)["rebuilt"]
    assert len(open_index(out)) == 2_000


def test_files_of_two_indexes_are_refused(out):
    """An index.json and files with different numbers of rows are refused."""
    rewrite(out, rows=60)
    with pytest.raises(FeatureFileError, match=r"different numbers of rows: \[60, 2000\]"):
        open_index(out)


def test_a_missing_index_is_named(tmp_path):
    """Where there is no index, the message says how to build one."""
    with pytest.raises(FeatureFileError, match="There is no") as caught:
        open_index(tmp_path / "none")
    assert f"frieze index FEATURES --out {tmp_path / 'none'}" in caught.value.hint


def test_features_are_no_index(table):
    """A table of features is not opened as an index."""
    with pytest.raises(FeatureFileError, match="There is no"):
        open_index(table.path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "features"}, "does not belong to an index"),
        ({"contract": 3}, "an index of contract 3; this version reads up to 2"),
    ],
)
def test_another_document_is_refused(values, message, out):
    """An index.json of another kind, or of a later version, is refused."""
    change(out, **values)
    with pytest.raises(FeatureFileError, match=message):
        open_index(out)


def test_an_index_of_an_older_version(small, tmp_path):
    """An index of the first contract is refused with the command that rebuilds it."""
    out = tmp_path / "i"
    build_index(small, out)
    document = json.loads((out / "index.json").read_text()) | {"contract": 1}
    request = {name: value for name, value in document["request"].items() if name != "max_memory"}
    write_document(out, {name: value for name, value in document.items() if name != "effort"} | {"request": request})
    with pytest.raises(FeatureFileError, match="was made by an older version") as caught:
        open_index(out)
    assert caught.value.hint.startswith(f"Type: frieze index {small.path} --out {out}")
    assert build_index(small, out)["rebuilt"]
    assert len(open_index(out)) == 60


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("values", [{"kind": "head"}, {"contract": 3}])
def test_another_document_is_not_replaced(force, values, small, tmp_path):
    """An index.json of another kind or of a later version is not replaced, also with --force."""
    out = tmp_path / "i"
    build_index(small, out)
    change(out, **values)
    with pytest.raises(FeatureFileError):
        build_index(small, out, force=force)
    assert (out / "generation-1").exists()


EDITS = [
    {"index_kind": "graph"},
    {"metric": "l2"},
    {"metric": ["cosine"]},
    {"rows": "2000"},
    {"contract": "1"},
    {"contract": None},
    {"generation": 1},
    {"effort": "all"},
    {"request": None},
    {"files": {}},
    {"features": {"path": 3}},
]


@pytest.mark.parametrize("values", EDITS, ids=str)
def test_an_edited_document_is_refused(values, small, tmp_path):
    """An index.json with an edited value is refused with the hint, and replaced with --force."""
    out = tmp_path / "i"
    build_index(small, out)
    change(out, **values)
    for use in (open_index, lambda path: build_index(small, path)):
        with pytest.raises(FeatureFileError, match="not as it was written") as caught:
            use(out)
        assert caught.value.hint == f"Make the index with: frieze index FEATURES --out {out} --force"
    assert build_index(small, out, force=True)["rows"] == 60


def test_a_document_that_lacks_a_field_is_refused(indexes, tmp_path):
    """An index.json without any one of its fields is refused."""
    whole = indexes("exact").document
    for name in whole:
        (tmp_path / "index.json").write_text(json.dumps({key: whole[key] for key in whole if key != name}))
        with pytest.raises(FeatureFileError, match="not as it was written"):
            open_index(tmp_path)


@pytest.mark.parametrize("name", ["../generation-1", "..", ".", "generation-1/..", "/", "", None])
def test_a_generation_lies_in_the_index(name, indexes, tmp_path):
    """A generation outside the folder is refused, also where the hash is valid."""
    write_document(tmp_path, indexes("exact").document | {"generation": name})
    with pytest.raises(FeatureFileError, match="not as it was written"):
        open_index(tmp_path)


@pytest.mark.parametrize("name", ["vectors.faiss", "rows.parquet"])
def test_a_file_of_another_index_is_refused(name, out, tmp_path, write_table, clustered):
    """A file of the same size from another index is refused."""
    names = [f"other-{row}.jpg" for row in range(2_000)]
    other = write_table(tmp_path / "other", clustered(2_000, seed=9), names=names)
    kind = json.loads((out / "index.json").read_text())["index_kind"]
    build_index(other, tmp_path / "other.index", kind=kind)
    path = out / "generation-1" / name
    size = path.stat().st_size
    path.write_bytes((tmp_path / "other.index" / "generation-1" / name).read_bytes()[:size].ljust(size, b"\0"))
    with pytest.raises(FeatureFileError, match="is not the file that was written"):
        open_index(out)


@pytest.mark.parametrize("n_bytes", [0, 1, 9, 10, 11, 19, 20, 21, 50])
def test_files_are_identified_by_both_ends(n_bytes, tmp_path, monkeypatch):
    """A change in the first or the last bytes is noticed at any size; the stored sha256 is that of the whole file."""
    monkeypatch.setattr(generations, "_END_BYTES", 10)
    path, content = tmp_path / "index.faiss", bytes(range(n_bytes))
    path.write_bytes(content)
    known = describe_files(tmp_path)
    check_files(tmp_path, known, hint="")
    assert known["index.faiss"]["sha256"] == hashlib.sha256(content).hexdigest()
    for place in {*range(min(10, n_bytes)), *range(max(0, n_bytes - 10), n_bytes)}:
        path.write_bytes(content[:place] + b"x" + content[place + 1 :])
        with pytest.raises(FeatureFileError, match="not the file"):
            check_files(tmp_path, known, hint="")


def test_a_broken_document_is_replaced_by_force_only(out, table):
    """An index.json that is no JSON, beside generations, is replaced with --force only."""
    (out / "index.json").write_text("{")
    with pytest.raises(FeatureFileError, match="can't be read") as caught:
        build_index(table, out)
    assert "--force" in caught.value.hint
    assert build_index(table, out, force=True)["rows"] == 2_000
    assert len(open_index(out)) == 2_000


def test_an_unfinished_first_build_is_overwritten(tmp_path):
    """A new index can be written into a folder with only the leftovers of a crashed first build."""
    for name in ("generation-1", ".generation-2.abc.tmp", ".generation-2.ab_1.old"):
        (tmp_path / "i" / name).mkdir(parents=True)
    (tmp_path / "i" / "generation-1" / "index.faiss").touch()
    (tmp_path / "i" / ".lock").touch()
    assert read_existing_document(tmp_path / "i", force=False) is None


def test_old_generations_are_deleted(tmp_path):
    """Other generations and partial files are deleted; the live one and foreign files stay."""
    for name in ("generation-2", "generation-10", ".generation-11.abc.tmp", "notes", "generation-x"):
        (tmp_path / name).mkdir()
    (tmp_path / ".index.json.77.tmp").touch()
    assert next_generation(tmp_path).name == "generation-11"
    delete_old_generations(tmp_path, live="generation-10")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["generation-10", "generation-x", "notes"]


def test_a_reader_goes_on_after_a_rebuild(out, table, queries):
    """An index that was opened before a rebuild answers as before, though its files are deleted."""
    old, expected = open_index(out), open_index(out).search(queries, k=5)
    build_index(table, out, metric="l2", kind=old.document["index_kind"])
    assert not (out / "generation-1").exists()
    assert old.search(queries, k=5) == expected
    assert old.ids.tolist() == table.ids.tolist()
    assert old.embedding("c07/img-7.jpg").shape == (16,)


def test_opening_during_a_switch(out, table, monkeypatch):
    """A reader that read index.json just before a rebuild opens the new generation."""

    def read_and_rebuild(path):
        monkeypatch.undo()
        stale = generations.read_document(path)
        build_index(table, out, metric="l2", kind=stale["index_kind"])
        return stale

    monkeypatch.setattr(stored_index, "read_document", read_and_rebuild)
    assert open_index(out).metric == "l2"


@pytest.mark.parametrize("name", ["vectors.faiss", "rows.parquet"])
def test_a_bad_sector_is_named(name, out, monkeypatch):
    """A file that the disk can't read is named, with the command to type and without a traceback."""
    opened, read = open_index(out), generations.hash_file

    def fail(path):
        if path.name == name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(generations, "hash_file", fail)
    with pytest.raises(FeatureFileError, match=rf"{name} can't be read: Input/output error") as caught:
        opened.check_hashes()
    assert caught.value.hint.startswith("Rebuild it: frieze index")


def test_each_bit_of_index_json_is_hashed(small, tmp_path):
    """An index.json with any bit flipped is refused, also where the values stay equal, such as 1E-05."""
    build_index(small, tmp_path / "i")
    rewrite(tmp_path / "i", ms_per_query=1.5e-05)
    path = tmp_path / "i" / "index.json"
    text = path.read_bytes()
    telling = text.index(b"e-05")
    for at in (telling, *range(0, len(text), 11)):
        for bit in range(8):
            path.write_bytes(text[:at] + bytes([text[at] ^ 1 << bit]) + text[at + 1 :])
            with pytest.raises(FeatureFileError):
                generations.read_document(tmp_path / "i")
    path.write_bytes(text)
    assert len(open_index(tmp_path / "i")) == 60


def test_the_hash_of_earlier_versions_is_known(small, tmp_path):
    """An index.json of an earlier version, with a hash of its values, is read; edited it is refused."""
    build_index(small, tmp_path / "i")
    path = tmp_path / "i" / "index.json"
    values = {name: value for name, value in json.loads(path.read_text()).items() if name != "sha256"}
    digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(values | {"sha256": digest}))
    assert len(open_index(tmp_path / "i")) == 60
    change(tmp_path / "i", rows=61)
    with pytest.raises(FeatureFileError, match="not as it was written"):
        open_index(tmp_path / "i")


def test_a_table_in_place_of_an_index(small):
    """Where a table is opened as an index, the hint makes an index of it."""
    with pytest.raises(FeatureFileError) as caught:
        open_index(small.path)
    assert (
        caught.value.hint
        == f"It is a table of features. Make an index of it with: frieze index {small.path} --out INDEX"
    )
