import json

import pytest

from features import FeatureFileError
from index import KINDS, build_index, index_files, open_index, search
from index.index_files import next_generation, stored_document, sweep


@pytest.fixture(params=KINDS)
def out(request, table, tmp_path):
    """An index of the table, of each kind."""
    build_index(table, tmp_path / "i", kind=request.param)
    return tmp_path / "i"


def change(out, **values):
    """Write other values into index.json."""
    path = out / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


DAMAGES = {
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "one byte short": lambda whole: whole[:-1],
    "other bytes": lambda whole: b"x" * len(whole),
}


@pytest.mark.parametrize("name", ["index.faiss", "rows.parquet"])
@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
def test_a_broken_file_is_told_and_mended(damage, name, out, table):
    """A file that is missing, cut or overwritten is named with the command that mends it; the next build mends it."""
    path = out / "generation-1" / name
    whole = path.read_bytes()
    path.unlink()
    if damage in DAMAGES:
        path.write_bytes(DAMAGES[damage](whole))
    with pytest.raises(FeatureFileError, match=name) as caught:
        open_index(out)
    assert caught.value.mend == f"Make it anew: frieze index {table.path} --out {out} --force"
    request = json.loads((out / "index.json").read_text())["request"]
    assert build_index(table, out, **request)["rebuilt"]
    assert len(open_index(out)) == 2_000


def test_files_of_two_indexes_are_refused(out):
    """An index.json and files that count different rows do not belong together."""
    change(out, rows=60)
    with pytest.raises(FeatureFileError, match=r"count different rows: \[60, 2000\]"):
        open_index(out)


def test_nothing_there_is_told(tmp_path):
    """Where there is no index, the message says how to make one."""
    with pytest.raises(FeatureFileError, match="There is no") as caught:
        open_index(tmp_path / "none")
    assert f"frieze index FEATURES --out {tmp_path / 'none'}" in caught.value.mend


def test_features_are_no_index(table):
    """A table of features is not opened as an index."""
    with pytest.raises(FeatureFileError, match="There is no"):
        open_index(table.path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "features"}, "does not belong to an index"),
        ({"contract": 2}, "an index of contract 2; this version reads up to 1"),
    ],
)
def test_another_document_is_refused(values, message, out):
    """An index.json of another thing, or of a later version, is refused."""
    change(out, **values)
    with pytest.raises(FeatureFileError, match=message):
        open_index(out)


def test_a_document_without_its_fields_is_refused(out):
    """An index.json that lacks fields says which."""
    (out / "index.json").write_text(json.dumps({"kind": "index", "contract": 1, "rows": 1, "dim": 1}))
    with pytest.raises(FeatureFileError, match="features, files, generation, index_kind, metric, nprobe, request"):
        open_index(out)


def test_a_ruined_document_goes_by_force_only(out, table):
    """An index.json that is no JSON, beside generations, is replaced with --force, and only then."""
    (out / "index.json").write_text("{")
    with pytest.raises(FeatureFileError, match="can't be read") as caught:
        build_index(table, out)
    assert "--force" in caught.value.mend
    assert build_index(table, out, force=True)["rows"] == 2_000
    assert len(open_index(out)) == 2_000


def test_an_unfinished_first_build_is_room(tmp_path):
    """A folder that holds only what a broken first build leaves is room for an index."""
    for name in ("generation-1", ".generation-2.abc.tmp"):
        (tmp_path / "i" / name).mkdir(parents=True)
    (tmp_path / "i" / ".lock").touch()
    assert stored_document(tmp_path / "i", force=False) is None


def test_sweeping_keeps_the_live_generation(tmp_path):
    """Other generations and half-written files go; the live one and foreign files stay."""
    for name in ("generation-2", "generation-10", ".generation-11.abc.tmp", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / ".index.json.77.tmp").touch()
    assert next_generation(tmp_path).name == "generation-11"
    sweep(tmp_path, live="generation-10")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["generation-10", "notes"]


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
    stale = index_files.read_document(out)
    build_index(table, out, metric="dot", kind=stale["index_kind"])
    documents = iter([stale])
    monkeypatch.setattr(search, "read_document", lambda path: next(documents, None) or index_files.read_document(path))
    assert open_index(out).metric == "dot"
