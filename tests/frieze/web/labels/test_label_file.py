"""The file of labels: log and Parquet, writers at once, kills, and the commands that read it."""

import multiprocessing
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze
from frieze.core import FeatureFileError, InputError
from frieze.web.labels.history import Change
from frieze.web.labels.label_file import LabelFile


@pytest.fixture
def path(tmp_path):
    """Where a file of labels may be made."""
    return tmp_path / "photos.parquet"


def label(file, ids, text, **fields):
    """Label images."""
    return file.change(Change(session="me", ids=ids, label=text, sets_label=True, **fields))


def stored(path):
    """Return id -> label of the Parquet file."""
    table = pq.read_table(path)
    return dict(zip(table["id"].to_pylist(), table["label"].to_pylist(), strict=True))


def test_made_where_missing(path):
    """The file is there from the start, with its columns; and stays as it is when it is opened again."""
    LabelFile(path)
    assert pq.read_schema(path).names == ["id", "label", "tags", "who", "when", "held_out"]
    label(LabelFile(path), ["a"], "cat", add=["far"])
    LabelFile(path)
    assert stored(path) == {"a": "cat"}


def test_each_change_is_in_both(path):
    """After each change log and Parquet agree, also of a column of its own."""
    file = LabelFile(path)
    assert label(file, ["b", "a"], "cat") == ["b", "a"]
    label(file, ["a"], "yes", column="sharp")
    file.change(Change(action="undo", session="me"))
    file.change(Change(action="redo", session="me"))
    row = pq.read_table(path).to_pylist()[0]
    assert (row["id"], row["label"], row["sharp"], row["tags"]) == ("a", "cat", "yes", [])
    assert LabelFile(path).read() == file.read()


def _replace_with_a_copy(log):
    shutil.copy(log, log.with_name("copy"))
    log.with_name("copy").replace(log)


@pytest.mark.parametrize(
    "replace",
    [
        lambda log: log.unlink(),
        lambda log: log.write_bytes(b""),
        lambda log: log.write_bytes(2 * log.read_bytes().replace(b'{"key":"', b'{"key":"x')),
        _replace_with_a_copy,
    ],
    ids=["removed", "emptied", "of others", "a copy"],
)
def test_the_log_is_replaced(path, replace):
    """Where the log is removed or replaced under a page, the page says so, writes nothing, and loses no label."""
    file = LabelFile(path)
    label(file, ["a"], "cat")
    replace(file.log_path)
    before = {one.name: one.read_bytes() for one in path.parent.iterdir()}
    with pytest.raises(InputError, match="was removed or replaced") as refused:
        label(file, ["b"], "dog")
    assert refused.value.hint == "Start the page again."
    with pytest.raises(InputError, match="was removed or replaced"):
        file.read()
    assert {one.name: one.read_bytes() for one in path.parent.iterdir()} == before
    assert stored(path) == {"a": "cat"}


@pytest.mark.parametrize("n_bytes", [1, 20, -1])
def test_a_kill_while_appending(path, n_bytes):
    """A line that was cut off in the middle is no change, and the next one does not hang on to it."""
    file = LabelFile(path)
    label(file, ["a"], "cat")
    whole = file.log_path.read_bytes()
    file.log_path.write_bytes(whole + whole.replace(b'"cat"', b'"dog"')[:n_bytes])
    label(file, ["b"], "cat")
    assert {"b": "cat"}.items() <= stored(path).items()
    assert LabelFile(path).read() == file.read()


def test_half_a_line(path):
    """A line of another process that is not whole yet is read when it is, and not lost."""
    file, other = LabelFile(path), LabelFile(path)
    label(other, ["a"], "cat")
    whole = file.log_path.read_bytes()
    file.log_path.write_bytes(whole[:-30])
    assert file.read() == {}
    file.log_path.write_bytes(whole)
    assert list(file.read()) == ["a"]


def test_a_kill_before_the_table(path, monkeypatch):
    """A change in the log that the Parquet file does not have yet is there after the next start."""
    file = LabelFile(path)
    monkeypatch.setattr(LabelFile, "_write_table", lambda self: None)
    label(file, ["a"], "cat")
    monkeypatch.undo()
    assert stored(path) == {}
    LabelFile(path)
    assert stored(path) == {"a": "cat"}


def test_two_tabs(path):
    """Two pages over one file see each other's changes, and each undoes its own."""
    one, other = LabelFile(path), LabelFile(path)
    label(one, ["a", "b"], "cat")
    other.change(Change(session="other", ids=["b"], label="dog", sets_label=True))
    one.change(Change(action="undo", session="me"))
    assert stored(path) == {"b": "dog"}
    assert one.read() == other.read()


def test_writers_at_once(path):
    """Threads that write at once lose nothing."""
    file = LabelFile(path)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: label(file, [f"{n}"], "cat"), range(20)))
    assert len(stored(path)) == 20


def _label_many(path, first):
    file = LabelFile(path)
    for number in range(first, first + 20):
        label(file, [f"{number}"], "cat")


@pytest.mark.slow
def test_processes_at_once(path):
    """Processes that write at once lose nothing, neither in the log nor in the Parquet file."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_label_many, args=(path, first)) for first in (0, 20, 40)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(stored(path)) == 60


KILLED = """
import sys
from pathlib import Path
from frieze.web.labels.history import Change
from frieze.web.labels.label_file import LabelFile
file = LabelFile(Path(sys.argv[1]))
for number in range(10_000):
    file.change(Change(session="me", ids=[str(number)], label="cat", sets_label=True))
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_real_kill(path):
    """Every change that was acknowledged before a SIGKILL is there after it, and at most one more."""
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True) as process:
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        process.kill()
        acknowledged += process.stdout.read().split("\n")[:-1]
    LabelFile(path)
    assert len(set(stored(path)) - set(acknowledged)) <= 1
    assert set(acknowledged) <= set(stored(path))


def test_without_its_log(path):
    """A file that comes without its log is taken as it is; what it says can't be undone, and is there once."""
    label(LabelFile(path), ["a"], "cat", add=["far"], column="sharp", is_held_out=True)
    before = LabelFile(path).read()
    LabelFile(path).log_path.unlink()
    second = LabelFile(path)
    assert second.read() == LabelFile(path).read() == before
    with pytest.raises(InputError, match="nothing to undo"):
        second.change(Change(action="undo", session="me"))


def test_only_the_log_is_left(path):
    """A Parquet file that was deleted is made again of the log."""
    label(LabelFile(path), ["a"], "cat")
    path.unlink()
    LabelFile(path)
    assert stored(path) == {"a": "cat"}


@pytest.mark.parametrize("keeps_metadata", [False, True])
def test_changed_elsewhere(path, keeps_metadata):
    """A file that another program wrote over is not overwritten; the message says how to take it as it is."""
    label(LabelFile(path), ["a"], "cat")
    metadata = pq.read_schema(path).metadata if keeps_metadata else None
    changed = pq.read_table(path).set_column(1, "label", pa.array(["dog"]))
    pq.write_table(changed.replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match="changed by another program") as refused:
        LabelFile(path)
    assert "photos.parquet.log.jsonl" in refused.value.hint
    path.with_name("photos.parquet.log.jsonl").unlink()
    LabelFile(path)
    assert stored(path) == {"a": "dog"}


@pytest.mark.parametrize("keeps_metadata", [False, True])
def test_changed_elsewhere_meanwhile(path, keeps_metadata):
    """What another program writes while the page runs is not overwritten by the next change; nothing is stored."""
    file = LabelFile(path)
    label(file, ["a"], "cat")
    log = file.log_path.read_bytes()
    metadata = pq.read_schema(path).metadata if keeps_metadata else None
    changed = pq.read_table(path).set_column(1, "label", pa.array(["dog"]))
    pq.write_table(changed.replace_schema_metadata(metadata), path)
    with pytest.raises(InputError, match="changed by another program") as refused:
        label(file, ["b"], "cat")
    assert "Then start the page again" in refused.value.hint
    assert (stored(path), file.log_path.read_bytes()) == ({"a": "dog"}, log)


def test_another_page_is_no_other_program(path):
    """Two pages write the file in turns."""
    one, other = LabelFile(path), LabelFile(path)
    for number, file in enumerate([one, other, one, other]):
        label(file, [str(number)], "cat")
    assert stored(path) == dict.fromkeys("0123", "cat")


@pytest.mark.parametrize("is_read_only", [False, True])
def test_a_damaged_file(path, is_read_only):
    """A file that can't be read says that it is made of its log again, where it has one."""
    label(LabelFile(path), ["a"], "cat")
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="can't be read") as refused:
        LabelFile(path, is_read_only=is_read_only)
    assert refused.value.hint == "Delete photos.parquet: it is made of photos.parquet.log.jsonl again."
    path.unlink()
    LabelFile(path)
    assert stored(path) == {"a": "cat"}


def test_an_older_log(path):
    """A log that lost lines that the Parquet file was made of does not take them away from it."""
    file = LabelFile(path)
    label(file, ["a"], "cat")
    older = file.log_path.read_bytes()
    label(file, ["b"], "dog")
    file.log_path.write_bytes(older)
    with pytest.raises(InputError, match="is older than"):
        LabelFile(path)
    assert stored(path) == {"a": "cat", "b": "dog"}


def test_a_row_of_pandas(path):
    """A row of an id and a label alone, as another program adds it to a file without a log, is read."""
    LabelFile(path).log_path.unlink()
    pq.write_table(pa.Table.from_pylist([{"id": "a", "label": "cat"}], schema=pq.read_schema(path)), path)
    assert LabelFile(path).read()["a"].when is not None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": None, "label": "cat"}, "the column id holds None"),
        ({"id": "a", "__index_level_0__": 7}, "in row 1 the column __index_level_0__ holds 7"),
        ({"id": "a", "label": True}, "the column label holds True"),
    ],
)
def test_a_row_that_can_not_be_read(path, row, message):
    """A row without an id, or whose label is no text, is refused with its place."""
    pq.write_table(pa.Table.from_pylist([dict.fromkeys(LabelFile(path).table().column_names) | row]), path)
    path.with_name("photos.parquet.log.jsonl").unlink()
    with pytest.raises(InputError, match=message) as refused:
        LabelFile(path)
    assert "index=False" in refused.value.hint


def test_another_table(path):
    """A Parquet file of other columns is refused, stays as it is, and gets no log."""
    pq.write_table(pa.table({"id": ["a"], "label": ["cat"]}), path)
    with pytest.raises(InputError, match="no file of labels that the page wrote"):
        LabelFile(path)
    assert pq.read_table(path).column_names == ["id", "label"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("name", ["labels.csv", "labels", "/"])
def test_another_suffix(tmp_path, name):
    """The name says Parquet."""
    with pytest.raises(InputError, match=name):
        LabelFile(tmp_path / name)


def test_no_folder(tmp_path):
    """A folder that is not there is told at the start."""
    with pytest.raises(FeatureFileError, match="can't be written: No such file"):
        LabelFile(tmp_path / "none" / "labels.parquet")


def test_read_only(path):
    """Read-only nothing is written, not even the missing file; what is there is read."""
    file = LabelFile(path, is_read_only=True)
    with pytest.raises(InputError, match="read-only"):
        label(file, ["a"], "cat")
    assert list(path.parent.iterdir()) == []
    label(LabelFile(path), ["a"], "cat")
    assert list(LabelFile(path, is_read_only=True).read()) == ["a"]


@pytest.fixture
def corrected(path):
    """A file with one corrected label, and a column `sharp` of four images."""
    file = LabelFile(path)
    label(file, ["red/0.png"], "blue", add=["far"])
    for number in range(4):
        label(file, [f"red/{number}.png", f"blue/{number}.png"], "yes" if number % 2 else "no", column="sharp")
    return path


def test_train_reads_corrections(world, corrected, tmp_path):
    """`train --labels` corrects the table's labels where the file has some, keeps the others, and says so."""
    document = frieze.train(world / "photos.features", out=tmp_path / "head", labels=corrected)
    assert document["classes"] == ["blue", "green", "red"]
    assert document["n_train"] + document["n_test"] == 30
    assert any("Labels from" in note and ": 1;" in note and ": 29." in note for note in document["label_notes"])


def test_nothing_to_correct(world, path, tmp_path):
    """A file without a label yet leaves the table's labels as they are, and says so."""
    LabelFile(path)
    document = frieze.train(world / "photos.features", out=tmp_path / "head", labels=path)
    assert document["n_train"] + document["n_test"] == 30
    assert any(": 0;" in note and ": 30." in note for note in document["label_notes"])


def test_train_reads_a_column(world, corrected, tmp_path):
    """A column of its own stands alone: other images have no label there."""
    document = frieze.train(world / "photos.features", out=tmp_path / "head", labels=corrected, label="sharp")
    assert document["classes"] == ["no", "yes"]
    assert document["n_train"] + document["n_test"] == 8


def test_audit_reads_corrections(world, corrected, tmp_path):
    """`audit --labels` audits the corrected labels: the one that was made wrong is its first finding."""
    frieze.audit(world / "photos.features", labels=corrected, out=tmp_path / "findings.parquet")
    assert "red/0.png" in pq.read_table(tmp_path / "findings.parquet")["id"].to_pylist()


@pytest.mark.parametrize("options", [{"labels": "none"}, {"label_from": "^[a-z]"}])
def test_embed_keeps_other_labels(world, photos, corrected, tmp_path, options):
    """A table whose labels are no names of folders does not lose them to corrections; the hint corrects those."""
    table = shutil.copytree(world / "photos.features", tmp_path / "photos.features")
    frieze.embed(photos, out=table, **options)
    before = frieze.open_features(table).labels
    with pytest.raises(InputError, match="would lose them") as refused:
        frieze.embed(photos, out=table, labels=corrected)
    assert f"frieze train {table} --labels {corrected}" in refused.value.hint
    assert list(frieze.open_features(table).labels) == list(before)
    frieze.embed(photos, out=table, **dict.fromkeys(options, ""))
    frieze.embed(photos, out=table, labels=corrected)
    frieze.embed(photos, out=table, labels=corrected)


def test_embed_reads_corrections(world, photos, corrected, tmp_path):
    """`embed --labels` stores corrected labels, else those by folder, and the tags as a column."""
    table = shutil.copytree(world / "photos.features", tmp_path / "photos.features")
    frieze.embed(photos, out=table, labels=corrected)
    opened = frieze.open_features(table)
    labels = dict(zip(opened.ids, opened.labels, strict=True))
    assert (labels["red/0.png"], labels["red/1.png"]) == ("blue", "red")
    tags = dict(zip(opened.ids, opened.rows["tags"].to_pylist(), strict=True))
    assert (list(tags["red/0.png"]), tags["green/1.png"]) == (["far"], None)
    assert np.count_nonzero(np.equal(list(labels.values()), "blue")) == 11
