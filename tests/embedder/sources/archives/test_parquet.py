from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.archives import parquet
from frieze.embedder.sources.open import open_source, read_image

OURS = ("id", "uri", "label", "size_bytes", "mtime_ns")


def image(number):
    """Create bytes that pass for an image, others for each number."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(100 + number)


def read(source, rows):
    """Read images: their bytes, or (stage, reason) why there are none."""
    return [
        (one.stage, one.reason) if isinstance(one, ImageError) else one for one in source.read(np.array(rows, np.int64))
    ]


def rows(source, *names):
    """Return some columns of a source's listing, a tuple a row."""
    return [tuple(row[name] for name in names) for row in source.listing.images.to_pylist()]


@pytest.fixture
def listed(tmp_path):
    """`listed(columns, name="m.parquet", rows_a_group=None, **options)`: the source of a file of these columns."""

    def write_and_open(columns, name="m.parquet", rows_a_group=None, **options):
        pq.write_table(pa.table(columns), tmp_path / name, row_group_size=rows_a_group)
        return open_source(str(tmp_path / name), SourceOptions(**options))

    return write_and_open


STRUCTS = pa.array([{"bytes": image(0), "path": "a.jpg"}, {"bytes": None, "path": None}, None])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([image(0), None, None]),
        pa.array([image(0), None, None], pa.large_binary()),
        pa.array([image(0), None, None], pa.binary_view()),
        STRUCTS,
    ],
    ids=lambda column: str(column.type),
)
def test_forms_of_bytes(column, listed, tmp_path):
    """Bytes are found as such, or in Hugging Face's structs; where there are none, that is a failure."""
    source = listed({"image": column, "label": [3, 4, None], "year": [1999, 2000, 2001]})
    mtime_ns = (tmp_path / "m.parquet").stat().st_mtime_ns
    assert rows(source, *OURS, "year") == [
        ("m.parquet/0", f"{tmp_path}/m.parquet/0", "3", None, mtime_ns, 1999),
        ("m.parquet/1", f"{tmp_path}/m.parquet/1", "4", None, mtime_ns, 2000),
        ("m.parquet/2", f"{tmp_path}/m.parquet/2", None, None, mtime_ns, 2001),
    ]
    assert read(source, [0, 1, 2]) == [image(0), ("read", "no bytes"), ("read", "no bytes")]


@pytest.mark.parametrize("rows_a_group", [1, 2, 9])
def test_paths_without_bytes(rows_a_group, listed, tmp_path):
    """A struct without bytes is the image at its path, which begins at the file's folder; its facts are the image's."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "b.jpg").write_bytes(image(1))
    structs = [{"bytes": image(0), "path": "in/b.jpg"}, {"bytes": None, "path": "in/b.jpg"}]
    structs += [{"bytes": None, "path": str(tmp_path / "in" / "b.jpg")}, {"bytes": None, "path": "gone.jpg"}]
    structs += [{"bytes": None, "path": "ftp://x.org/a.jpg"}, None]
    source = listed({"image": pa.array(structs), "label": [0, 1, 2, 3, 4, 5]}, rows_a_group=rows_a_group)
    status = (tmp_path / "in" / "b.jpg").stat()
    assert rows(source, *OURS)[1] == (
        *("m.parquet/1", f"{tmp_path}/in/b.jpg", "1"),
        *(status.st_size, status.st_mtime_ns),
    )
    broken = [("read", "unreadable"), ("read", "not on disk"), ("read", "no bytes")]
    assert read(source, range(6)) == [image(0), image(1), image(1), *broken]
    assert read(source, [2, 5]) == [image(1), broken[2]]
    assert read_image(rows(source, "uri")[1][0]) == image(1)


def test_ids(listed):
    """A column of ids names the images, numbers too; where it is null, an image is named by its row."""
    source = listed({"id": [7, None], "jpg": [image(0), image(1)]})
    assert rows(source, "id") == [("7",), ("m.parquet/1",)]


def test_named_columns(listed):
    """Options name columns; a dictionary of labels is text."""
    columns = {"photo": [image(0)], "kind": pa.array(["cat"]).dictionary_encode(), "key": ["x"]}
    assert rows(listed(columns, image="photo", label="kind", id="key"), "id", "label") == [("x", "cat")]


def test_repeated_ids(listed):
    """Ids that are repeated are rejected."""
    with pytest.raises(InputError, match=r"names 1 id more than once: x\."):
        listed({"id": ["x", "x"], "image": [image(0), image(1)]})


class Files(NamedTuple):
    """A folder and its images; Hypothesis warns of long descriptions."""

    folder: Path
    images: list

    def __repr__(self):
        return str(self.folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of three files of 70, 0 and 50 images, in groups of 20 rows; and all the images in order."""
    folder = tmp_path_factory.mktemp("parquet")
    images = [image(number) for number in range(120)]
    for name, chosen in {"a": images[:70], "b": [], "c": images[70:]}.items():
        column = pa.array(chosen, pa.binary())
        pq.write_table(pa.table({"image": column}), folder / f"{name}.parquet", row_group_size=20)
    return Files(folder, images)


@given(calls=st.lists(st.lists(st.integers(0, 119), unique=True).map(sorted), max_size=4))
def test_any_rows(calls, files):
    """Whatever rows are requested, in whatever calls, each gives its own bytes."""
    folder, images = files
    source = open_source(str(folder), SourceOptions())
    assert source.in_order
    for call in calls:
        assert read(source, call) == [images[row] for row in call]


def test_read_one_by_one(files):
    """Each image is read by the uri that it is stored under."""
    folder, images = files
    source = open_source(str(folder), SourceOptions())
    assert [read_image(uri) for (uri,) in rows(source, "uri")] == images


@pytest.mark.parametrize("row", ["70", "-1", "x", "1.0"])
def test_no_such_row(row, files):
    """A uri of a row that does not exist is an ImageError."""
    with pytest.raises(ImageError):
        read_image(f"{files[0]}/a.parquet/{row}")


def test_read_row_of_a_missing_file(tmp_path):
    """A uri of a file that does not exist is an ImageError."""
    with pytest.raises(ImageError):
        read_image(f"{tmp_path}/gone.parquet/0")


def test_max_bytes(listed):
    """An image with more bytes than the limit is a failure."""
    source = listed({"image": [image(0), image(5), image(1)]}, max_bytes=105)
    assert read(source, [0, 1, 2]) == [image(0), ("read", "too large"), image(1)]


def test_several_types(listed, tmp_path):
    """Files whose columns of one name can't be one are rejected with the column."""
    listed({"image": [image(0)], "x": [{"y": 1}]}, "a.parquet")
    listed({"image": [image(1)], "x": [3]}, "b.parquet")
    with pytest.raises(InputError, match=r"columns of the same name and different types: .*x"):
        open_source(str(tmp_path), SourceOptions())


def test_bytes_and_paths(listed, tmp_path):
    """Files of bytes and of paths are not one source."""
    listed({"image": [image(0)]}, "a.parquet")
    pq.write_table(pa.table({"image": ["x.jpg"]}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"b\.parquet holds paths where other files of the source hold bytes"):
        open_source(str(tmp_path), SourceOptions())


def test_no_column(listed):
    """A file without a column of images is rejected, with the columns that are there."""
    with pytest.raises(
        InputError, match=r"m\.parquet has no column of a common name .*; there are: x\.\n.*`image='COLUMN'`"
    ):
        listed({"x": [image(0)]})


def test_a_broken_file_among_others(files, tmp_path):
    """A file that is no Parquet is rejected with its name."""
    (tmp_path / "a.parquet").write_bytes((files[0] / "a.parquet").read_bytes())
    (tmp_path / "b.parquet").write_bytes(b"PAR1" + bytes(50))
    with pytest.raises(InputError, match=r"b\.parquet can't be read"):
        open_source(str(tmp_path), SourceOptions())


def replace(path):
    """Put another file of fewer rows in a file's place."""
    pq.write_table(pa.table({"image": [image(99)]}), path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [(replace, "changed"), (lambda path: path.unlink(), "unreadable"), (lambda path: path.write_bytes(b""), "changed")],
    ids=["replaced", "removed", "emptied"],
)
def test_changed_meanwhile(change, reason, tmp_path):
    """A file that changes between listing and reading gives failures and no other image; other files go on."""
    for name in "ab":
        pq.write_table(pa.table({"image": [image(0), image(1)]}), tmp_path / f"{name}.parquet")
    source = open_source(str(tmp_path), SourceOptions())
    change(tmp_path / "a.parquet")
    assert read(source, [0, 1, 2, 3]) == [("read", reason), ("read", reason), image(0), image(1)]


def test_damaged_group(tmp_path):
    """A row group whose bytes are damaged gives failures; the others are read."""
    path = tmp_path / "a.parquet"
    images = pa.array([image(number) * 50 for number in range(8)])
    pq.write_table(pa.table({"image": images}), path, row_group_size=4, compression="zstd", use_dictionary=False)
    chunk = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset : chunk.data_page_offset + chunk.total_compressed_size] = bytes(
        chunk.total_compressed_size
    )
    path.write_bytes(data)
    actual = read(open_source(str(path), SourceOptions()), range(8))
    assert actual == [("read", "unreadable")] * 4 + [image(number) * 50 for number in range(4, 8)]


@pytest.mark.parametrize(("batch_bytes", "n_batches"), [(1, 32), (4000, 8), (1 << 20, 1)])
def test_a_group_is_read_in_batches(batch_bytes, n_batches, tmp_path, monkeypatch):
    """A batch has as many images as fit, one at least."""
    monkeypatch.setattr(parquet, "_BATCH_BYTES", batch_bytes)
    images = pa.array([image(0) * 9 for _ in range(32)])  # 936 bytes each
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet", use_dictionary=False)
    source = open_source(str(tmp_path / "a.parquet"), SourceOptions())
    batches, iterate = [], parquet._ImageFile.batches
    monkeypatch.setattr(
        parquet._ImageFile, "batches", lambda *args: (batches.append(one) or one for one in iterate(*args))
    )
    assert read(source, range(32)) == images.to_pylist()
    assert [len(one) for one in batches] == [32 // n_batches] * n_batches


@pytest.mark.slow
def test_one_large_group(tmp_path):
    """A row group larger than what may be held is read some rows, hence some pages, at a time."""
    path = tmp_path / "large.parquet"
    noise = np.random.default_rng(0)
    schema = pa.schema([("image", pa.binary())])
    with pq.ParquetWriter(path, schema, use_dictionary=False, write_batch_size=1) as writer:
        images = [b"\xff\xd8\xff\xe0" + noise.bytes(4 << 20) for _ in range(64)]
        writer.write_table(pa.table({"image": images}), row_group_size=64)
    del images
    source = open_source(str(path), SourceOptions())
    before, largest = pa.total_allocated_bytes(), 0
    for content in source.read(np.arange(64)):
        assert len(content) == (4 << 20) + 4
        largest = max(largest, pa.total_allocated_bytes() - before)
    assert largest < 64 << 20


def test_folders_that_give_a_column(tmp_path):
    """What folders `name=value` say is a column of the rows in them, of bytes or paths; a file's own comes first."""
    for place, columns in {
        "bytes/label=cat/0.parquet": {"image": [image(0)]},
        "bytes/label=dog/year=2020/0.parquet": {"image": [image(1)]},
        "paths/label=cat/0.parquet": {"path": ["../../a.jpg"]},
        "paths/label=dog/0.parquet": {"path": ["../../a.jpg"], "id": ["x"], "label": ["own"]},
    }.items():
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns), path)
    (tmp_path / "a.jpg").write_bytes(image(2))
    source = open_source(str(tmp_path / "bytes"), SourceOptions())
    assert rows(source, "id", "label", "year") == [
        ("label=cat/0.parquet/0", "cat", None),
        ("label=dog/year=2020/0.parquet/0", "dog", "2020"),
    ]
    assert read(source, [0, 1]) == [image(0), image(1)]
    source = open_source(str(tmp_path / "paths" / "*" / "*.parquet"), SourceOptions(label="label"))
    assert rows(source, "id", "label") == [("../../a.jpg", "cat"), ("x", "own")]
