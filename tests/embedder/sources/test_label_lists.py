import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
LABELS = [["a", "b"], ["c"], [], None]
NAMES = [f"{number}.jpg" for number in range(len(LABELS))]


def write_jsonl(folder, column, labels):
    """Write a manifest with a list a line."""
    lines = [json.dumps({"path": name, column: one}) for name, one in zip(NAMES, labels, strict=True)]
    (folder / "m.jsonl").write_text("\n".join(lines))
    return folder / "m.jsonl"


def write_paths(folder, column, labels):
    """Write a Parquet file of paths and lists."""
    pq.write_table(pa.table({"path": NAMES, column: pa.array(labels, pa.list_(pa.string()))}), folder / "p.parquet")
    return folder / "p.parquet"


def write_bytes(folder, column, labels):
    """Write a Parquet file of bytes and lists."""
    table = pa.table({"id": NAMES, "image": [JPEG] * 4, column: pa.array(labels, pa.list_(pa.string()))})
    pq.write_table(table, folder / "b.parquet")
    return folder / "b.parquet"


def write_tar(folder, column, labels):
    """Write a tar whose .json hold lists."""
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, one in zip(NAMES, labels, strict=True):
            text = json.dumps({column: one}).encode()
            for member, data in ((name, JPEG), (f"{name[0]}.json", text)):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return folder / "a.tar"


def in_memory(_folder, column, labels):
    """Return dicts of a program."""
    return [{"image": JPEG, column: one} for one in labels]


WRITERS = (write_jsonl, write_paths, write_bytes, write_tar, in_memory)


@pytest.fixture(params=WRITERS)
def listed(request, tmp_path):
    """`listed(column, labels)`: the rows of a source of each kind with these lists."""
    for name in NAMES:
        (tmp_path / name).write_bytes(JPEG)

    def write_and_open(column, labels, **options):
        source = request.param(tmp_path, column, labels)
        opened = open_source(source if isinstance(source, list) else str(source), SourceOptions(**options))
        return opened.listing.images.to_pylist()

    return write_and_open


@pytest.mark.parametrize("column", ["label", "labels"])
def test_one_rule(column, listed):
    """Whatever the source, `labels` holds every image's list, and `label` the only label of an image that has one."""
    rows = listed(column, LABELS)
    assert [row["label"] for row in rows] == [None, "c", None, None]
    assert [row["labels"] or [] for row in rows] == [["a", "b"], ["c"], [], []]
    assert not [name for name in rows[0] if name.startswith("source_")]


def test_never_several(listed):
    """Lists of one item are labels, and no list stays."""
    rows = listed("label", [["a"], ["b"], [], None])
    assert [row["label"] for row in rows] == ["a", "b", None, None]
    assert "labels" not in rows[0]


def test_file_of_labels(tmp_path):
    """A file of labels may hold lists, too, and its ids may be file names alone."""
    (tmp_path / "photos" / "in").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "photos" / "in" / name).write_bytes(JPEG)
    table = write_paths(tmp_path, "labels", LABELS)
    source = open_source(str(tmp_path / "photos"), SourceOptions(labels=str(table)))
    rows = source.listing.images.to_pylist()
    assert [(row["label"], row["labels"]) for row in rows] == [
        (one[0] if one and len(one) == 1 else None, one) for one in LABELS
    ]
    assert any("matched by file name" in note for note in source.notes)


def test_several_files(tmp_path):
    """One file of a source in which an image has several labels makes all its files keep their lists."""
    for name, labels in (("a", [[1], [2]]), ("b", [[1, 2], [3]])):
        table = pa.table({"image": [JPEG] * 2, "label": pa.array(labels, pa.list_(pa.int64()))})
        pq.write_table(table, tmp_path / f"{name}.parquet")
    rows = open_source(str(tmp_path), SourceOptions()).listing.images.to_pylist()
    assert [(row["label"], row["labels"]) for row in rows] == [
        ("1", ["1"]),
        ("2", ["2"]),
        (None, ["1", "2"]),
        ("3", ["3"]),
    ]


def test_a_text_named_labels(tmp_path):
    """A column `labels` that holds text is a column as any other, not guessed to be a label."""
    (tmp_path / "0.jpg").write_bytes(JPEG)
    (tmp_path / "m.csv").write_text('path,labels\n0.jpg,"a,b"\n')
    (row,) = open_source(str(tmp_path / "m.csv"), SourceOptions()).listing.images.to_pylist()
    assert (row["label"], row["labels"]) == (None, "a,b")


def test_numbers_of_arrays():
    """Arrays of class numbers become texts, as single numbers do."""
    images = [{"image": JPEG, "labels": np.array([3, 4])}, {"image": JPEG, "labels": np.array([5])}]
    rows = open_source(images, SourceOptions()).listing.images.to_pylist()
    assert [(row["label"], row["labels"]) for row in rows] == [(None, ["3", "4"]), ("5", ["5"])]
