"""Write and read one part of a table: a Parquet file with page checksums and uncompressed vectors."""

import contextlib
import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from frieze.core import FeatureFileError, TablePath, to_parquet_source, translate_errors
from frieze.features.schema import SPEC_KEY
from frieze.features.spec import BackboneSpec

_ROW_GROUP_ROWS = 4096
_VECTOR = "embedding.list.element"


def part_name(number: int) -> str:
    """Return the file name of a part.

    >>> part_name(7)
    'part-000007.parquet'
    """
    return f"part-{number:06d}.parquet"


def write_part(table: pa.Table, path: TablePath) -> None:
    """Write rows as Parquet as docs/format.md defines it."""
    leaves = [_VECTOR if name == "embedding" else name for name in table.schema.names]
    pq.write_table(
        table,
        path,
        row_group_size=_ROW_GROUP_ROWS,
        use_dictionary=["label"],  # a dictionary of vectors would halve the reading speed
        compression={name: "zstd" if name != _VECTOR else "none" for name in leaves},
        write_statistics=["id"],
        store_schema=True,
        write_page_checksum=True,
    )


def read_part(
    path: TablePath, columns: Sequence[str] | None = None, *, leave_out: Sequence[str] = (), check_pages: bool = False
) -> pa.Table:
    """Read a part, or some of its columns.

    Args:
        path: The part.
        columns: The columns to read; None for all.
        leave_out: Columns not to read.
        check_pages: Verify the checksum of each page, so that corrupt bytes are an error and never other values.

    Raises:
        FeatureFileError: It is missing or broken.
    """
    with (
        name_broken_part(path),
        pq.ParquetFile(to_parquet_source(path), page_checksum_verification=check_pages) as file,
    ):
        names = columns or file.schema_arrow.names
        return file.read([name for name in names if name not in leave_out])


def read_schema(path: TablePath) -> pa.Schema:
    """Read the schema of a part.

    Raises:
        FeatureFileError: It is missing or broken.
    """
    with name_broken_part(path):
        return pq.read_schema(to_parquet_source(path))


def describe_part(path: TablePath) -> tuple[BackboneSpec, int]:
    """Read the backbone and the number of rows from a part's file metadata.

    Raises:
        FeatureFileError: The part is missing, broken, or not ours.
    """
    with name_broken_part(path):
        metadata = pq.read_metadata(to_parquet_source(path))
    try:
        stored = (metadata.metadata or {})[SPEC_KEY]
        return BackboneSpec.from_json(json.loads(stored)), metadata.num_rows
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FeatureFileError(f"{path} does not say what made it.", hint=f"Move it away: {path}") from error


def name_broken_part(path: TablePath) -> contextlib.AbstractContextManager[None]:
    """Translate an error of reading a part into one that names the file.

    Raises:
        FeatureFileError: The part is missing or broken.
    """
    return translate_errors(
        f"{path} is missing or broken",
        hint="Delete that file and run the command that made the table again: it writes its rows anew.",
        errors=(pa.ArrowException, OSError, UnicodeDecodeError),
    )
