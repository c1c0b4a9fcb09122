import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError
from frieze.features.part_files import describe_part, part_name, read_part, write_part


@pytest.fixture
def part(tmp_path, rows, images):
    """A written part of two rows."""
    write_part(rows(images(("a", 1, 1), ("b", 2, 1))), tmp_path / "part-000000.parquet")
    return tmp_path / "part-000000.parquet"


def test_names_sort_as_numbers():
    """Up to a million parts, the order of names is the order of numbers."""
    assert sorted(map(part_name, [10, 9, 999_999, 0])) == list(map(part_name, [0, 9, 10, 999_999]))


def test_part_reads_back(part, rows, images):
    """A part read back is the table that was written: rows, types, nullability and file metadata."""
    assert read_part(part).equals(rows(images(("a", 1, 1), ("b", 2, 1))), check_metadata=True)


def test_some_columns(part):
    """Asked for some columns, only they are read."""
    assert read_part(part, ["id"]).to_pydict() == {"id": ["a", "b"]}


def test_part_explains_itself(part, spec):
    """A part alone tells its backbone and its rows."""
    assert describe_part(part) == (spec, 2)


def test_vectors_are_stored_plain(part):
    """Vectors are neither compressed nor dictionary-encoded: either halves the speed of reading."""
    row_group = pq.read_metadata(part).row_group(0)
    columns = [row_group.column(number) for number in range(row_group.num_columns)]
    vectors = next(column for column in columns if column.path_in_schema.startswith("embedding"))
    assert (vectors.compression, set(vectors.encodings)) == ("UNCOMPRESSED", {"PLAIN", "RLE"})
    assert {column.compression for column in columns if column is not vectors} == {"ZSTD"}


def test_pages_have_checksums(part):
    """A changed byte in a vector is found when pages are held against their checksums."""
    data = bytearray(part.read_bytes())
    data[data.index(np.float32(97).tobytes())] ^= 1
    part.write_bytes(data)
    assert read_part(part)["embedding"].to_pylist() != [[1, 97, 1, 1], [1, 98, 2, 1]]
    with pytest.raises(FeatureFileError, match="CRC checksum"):
        read_part(part, check_pages=True)


def test_row_groups(tmp_path, rows, images):
    """A row group holds at most 4,096 rows, so that a reader streams."""
    table = rows(images(("a", 1, 1))).take(np.zeros(5000, np.int64))
    write_part(table, tmp_path / "part")
    metadata = pq.read_metadata(tmp_path / "part")
    assert [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)] == [4096, 904]


def test_foreign_parquet_refused(tmp_path):
    """A Parquet file that does not say which backbone made it is none of ours."""
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "part")
    with pytest.raises(FeatureFileError, match=r"does not say what made it(?s:.)*Move it away"):
        describe_part(tmp_path / "part")


@pytest.mark.parametrize("read", [read_part, describe_part])
def test_broken_part(read, part):
    """A cut part is named."""
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(FeatureFileError, match=r"part-000000\.parquet is missing or broken"):
        read(part)
