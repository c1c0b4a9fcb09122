import datetime as dt
import decimal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError
from frieze.features import HASHES, BackboneSpec, part_schema
from frieze.indexing.storage.row_metadata import RowMetadata, to_plain, write_rows

SPEC = BackboneSpec(name="two", handle="two/", fingerprint="ab" * 32, dim=2, image_size=(8, 8))


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """10,000 rows in three row groups, whose labels differ from group to group."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    labels = pa.array([f"l{row // 4_000}" for row in range(10_000)]).dictionary_encode()
    write_rows([pa.table({"id": [f"{row}.jpg" for row in range(10_000)], "label": labels})], path)
    return path


def test_rows_keep_the_requested_order(stored):
    """Rows are read by number from any row group, also repeated, with their own label."""
    rows = np.array([9_999, 0, 4_095, 4_096, 0, 8_192])
    taken = RowMetadata(stored, hint="").take(rows)
    assert taken == [{"id": f"{row}.jpg", "label": f"l{row // 4_000}"} for row in rows]


@pytest.mark.parametrize("sizes", [[10_000], [1, 4_096, 4_095, 1_808], [700] * 14 + [200], [5, 0, 9_995]])
def test_row_groups_are_whole(sizes, tmp_path):
    """However the rows arrive, they are written in row groups of 4,096: a row is found by its number alone."""
    ends = np.cumsum(sizes)
    whole = pa.table({"id": [str(row) for row in range(10_000)], "label": ["x"] * 10_000})
    write_rows(
        [whole.slice(end - size, size) for end, size in zip(ends, sizes, strict=True)], tmp_path / "rows.parquet"
    )
    file = pq.ParquetFile(tmp_path / "rows.parquet")
    assert [file.metadata.row_group(number).num_rows for number in range(3)] == [4_096, 4_096, 1_808]
    assert file.read()["id"].to_pylist() == [str(row) for row in range(10_000)]


@pytest.fixture
def hashed(tmp_path):
    """Three rows with perceptual hashes."""
    fields = [pa.field("id", pa.string()), *(part_schema(SPEC, has_perceptual_hashes=True).field(n) for n in HASHES)]
    columns = [["a", "b", "c"], pa.array([2**64 - 2, 4, None], pa.uint64()), pa.array([2, None, None], pa.uint64())]
    write_rows([pa.table(columns, schema=pa.schema(fields))], tmp_path / "rows.parquet")
    return RowMetadata(tmp_path / "rows.parquet", hint="")


def test_perceptual_hashes_are_read_as_columns(hashed):
    """Perceptual hashes are read by name, and are neither in a row's metadata nor among the columns that are told."""
    assert hashed.columns(HASHES).to_pydict() == {"phash": [2**64 - 2, 4, None], "content_phash": [2, None, None]}
    assert (hashed.take(np.array([2, 0])), hashed.schema.names) == ([{"id": "c"}, {"id": "a"}], ["id"])
    assert hashed.take_table(np.empty(0, np.int64)).column_names == ["id"]


def test_columns_named_like_perceptual_hashes(tmp_path):
    """A user's column `phash` is in a row's metadata, and is no perceptual hash."""
    write_rows([pa.table({"id": ["a"], "phash": pa.array([5], pa.uint64())})], tmp_path / "rows.parquet")
    rows = RowMetadata(tmp_path / "rows.parquet", hint="")
    assert (rows.take(np.array([0])), rows.schema.names) == ([{"id": "a", "phash": 5}], ["id", "phash"])
    assert rows.columns(HASHES).to_pydict() == {"phash": [None], "content_phash": [None]}


def test_no_rows(stored):
    """No rows requested, none returned."""
    assert RowMetadata(stored, hint="").take(np.empty(0, np.int64)) == []


@pytest.mark.parametrize(
    ("name", "row"),
    [("0.jpg", 0), ("9999.jpg", 9_999), ("999.jpg", 999), ("99.jp", None), ("", None), ("0.jpg\udcff", None)],
)
def test_find_compares_the_whole_id(name, row, stored):
    """An id is compared as a whole: neither its beginning nor its end is enough."""
    assert RowMetadata(stored, hint="").find(name) == row


def test_a_broken_row_group_is_reported(stored, tmp_path):
    """Bytes that broke inside the file raise an error with the hint once a hit needs them."""
    damaged = bytearray(stored.read_bytes())
    damaged[100:5_000] = b"\0" * 4_900
    (tmp_path / "rows.parquet").write_bytes(damaged)
    rows = RowMetadata(tmp_path / "rows.parquet", hint="Rebuild it.")
    with pytest.raises(FeatureFileError, match=r"rows\.parquet is broken") as caught:
        rows.take(np.array([0]))
    assert caught.value.hint == "Rebuild it."


def test_single_columns_are_read(stored):
    """All rows of single columns can be read, and names and types are known before."""
    rows = RowMetadata(stored, hint="")
    assert rows.schema.names == ["id", "label"]
    assert rows.read(["label"]).column_names == ["label"]
    assert rows.read(["id"])["id"].to_pylist() == [f"{row}.jpg" for row in range(10_000)]


def test_the_file_is_plain_parquet(stored):
    """The file is plain Parquet with the columns as they were, in row order."""
    table = pq.read_table(stored)
    assert table["id"][4_096].as_py() == "4096.jpg"
    assert table["label"].to_pylist()[7_999:8_001] == ["l1", "l2"]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (b"\x01\xff", "01ff"),
        (float("inf"), None),
        (dt.datetime(2024, 5, 6, 7, 8), "2024-05-06 07:08:00"),  # noqa: DTZ001  a column without a time zone
        (decimal.Decimal("1.50"), "1.50"),
        ([("key", float("nan"))], [["key", None]]),
        ({"inner": [True, 2, None, "text"]}, {"inner": [True, 2, None, "text"]}),
    ],
)
def test_values_become_plain_json(value, plain):
    """Whatever type the user's column has, its values become JSON."""
    assert to_plain(value) == plain


def test_concurrent_reads(stored):
    """Many threads can read at once, also row groups that are read for the first time."""
    rows = np.random.default_rng(0).integers(0, 10_000, (200, 30))
    for _ in range(10):
        fresh = RowMetadata(stored, hint="")
        with ThreadPoolExecutor(8) as threads:
            taken = list(threads.map(fresh.take, rows))
        assert [[row["id"] for row in one] for one in taken] == [[f"{row}.jpg" for row in one] for one in rows]
