"""Write tables as Parquet, CSV or JSON lines, by the suffix of the file's name."""

import base64
import codecs
import csv
import json
import math
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from frieze.core.errors import FeatureFileError
from frieze.core.storage.atomic_files import translate_io_errors, write_file
from frieze.core.storage.atomic_folders import check_free

Tables = Iterable[pa.Table]


def check_table_file(
    out: Path, is_ours: Callable[[list[str]], bool], what: str, *, force: bool, suffix: str | None = None
) -> None:
    """Refuse a path where no table can be written, or where something must not be overwritten.

    Args:
        out: The file to write.
        is_ours: Returns from the columns of an existing table whether it may be replaced.
        what: What such a table holds, in a word.
        force: Whether to replace such a table; any other file, or a folder, is never replaced.
        suffix: The only suffix that the name may have; None for that of any format.

    Raises:
        FeatureFileError: It is such a path, or the name has another suffix.
    """
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_writable(out, force=force)
    if out.exists() and not _is_empty(out) and not is_ours(_columns(out)):
        raise FeatureFileError(
            f"{out} already exists and holds no {what}.",
            hint=f"Use another `out`: `force=True` replaces {what} only.",
        )
    if suffix is not None and out.suffix.lower() != suffix:
        raise FeatureFileError(
            f"{out} ends in {out.suffix or 'no suffix'}; expected {suffix}.", hint=f"Give a name that ends in {suffix}."
        )
    _writer_of(out)


def check_writable(out: Path, *, force: bool, name: str = "out") -> None:
    """Refuse a path where nothing can be written, or where something exists and `force` is not set.

    Args:
        out: The path.
        force: Whether to replace what is there.
        name: The parameter that gave the path.

    Raises:
        FeatureFileError: It is such a path.
    """
    check_free(out, replace=force, name=name)
    with translate_io_errors(out):
        nearest = next(folder for folder in out.absolute().parents if folder.exists())
        # The result is first written under such a name, which must be allowed and not too long.
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".tmp", dir=nearest).cleanup()


def write_table_file(out: Path, schema: pa.Schema, tables: Tables) -> None:
    """Write a table atomically, in the format of the file's suffix.

    Args:
        out: The file, checked by `check_table_file`; missing folders above it are made.
        schema: The schema of each table.
        tables: The rows, in batches.

    Raises:
        FeatureFileError: The disk refuses, or the format can't hold a column.
    """
    _write(out, _writer_of(out), schema, tables)


def write_csv_for_excel(out: Path, schema: pa.Schema, tables: Tables) -> None:
    """Write a CSV file as `write_table_file` does, with the mark by which Excel knows that it is UTF-8.

    pandas, DuckDB, Polars and R skip the mark.

    Raises:
        FeatureFileError: The disk refuses.
    """
    _write(out, lambda path, *rows: _write_csv(path, *rows, mark=codecs.BOM_UTF8), schema, tables)


def _write(out: Path, write: Callable[[Path, pa.Schema, Tables], None], schema: pa.Schema, tables: Tables) -> None:
    with translate_io_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_file(out, lambda staging: write(staging, schema, tables))
    except pa.ArrowException as error:
        raise FeatureFileError(
            f"{out} can't be written: {error}.", hint="Give a name that ends in .jsonl: it takes every column."
        ) from error


def _writer_of(path: Path) -> Callable[[Path, pa.Schema, Tables], None]:
    """Return the writer of a file by its suffix."""
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise FeatureFileError(
            f"{path} ends in {suffix or 'no suffix'}: the suffix says how a table is written.",
            hint=f"Give a name that ends in {', '.join(list(_WRITERS)[:-1])} or {list(_WRITERS)[-1]}.",
        )
    return _WRITERS[suffix]


def _write_parquet(path: Path, schema: pa.Schema, tables: Tables) -> None:
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            writer.write_table(table)


def _write_csv(path: Path, schema: pa.Schema, tables: Tables, *, mark: bytes = b"") -> None:
    plain = _to_plain(schema.empty_table()).schema
    with path.open("wb") as file:
        file.write(mark)
        _write_csv_rows(file, plain, tables)


def _write_csv_rows(file: BinaryIO, plain: pa.Schema, tables: Tables) -> None:
    with pyarrow.csv.CSVWriter(file, plain) as writer:
        for table in tables:
            # In one chunk: for one without rows pyarrow 18 writes the header once more.
            writer.write_table(_to_plain(table).combine_chunks())


def _to_plain(table: pa.Table) -> pa.Table:
    """Convert columns that CSV can't hold: lists, structs and bytes to JSON text, decimals and the like to text."""
    for number, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(number, field.name, table.column(number).cast(field.type.value_type))
        elif not _is_plain(field.type):
            texts = [_to_cell(value) for value in table.column(number).to_pylist()]
            table = table.set_column(number, field.name, pa.array(texts, pa.string()))
    return table


def _to_cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return _to_json(value) if isinstance(value, dict | list | tuple | bytes) else _to_text(value)


def _is_plain(kind: pa.DataType) -> bool:
    types = pa.types
    is_text = types.is_string(kind) or types.is_large_string(kind)
    is_float = types.is_floating(kind) and not types.is_float16(kind)
    is_time = types.is_timestamp(kind) or types.is_date(kind)
    return is_text or is_float or is_time or types.is_integer(kind) or types.is_boolean(kind) or types.is_null(kind)


def _write_json_lines(path: Path, _schema: pa.Schema, tables: Tables) -> None:
    with path.open("w", encoding="utf-8") as file:
        for table in tables:
            file.writelines(f"{_to_json(row)}\n" for row in table.to_pylist())


def _to_json(value: Any) -> str:
    return json.dumps(to_finite(value), ensure_ascii=False, allow_nan=False, default=_to_text)


def to_finite(value: Any) -> Any:
    """Replace NaN and infinities, which JSON can't hold, by None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: to_finite(one) for name, one in value.items()}
    return [to_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _to_text(value: Any) -> str:
    """Convert a value that JSON can't hold: bytes to base64, times to ISO 8601."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


_WRITERS = {".parquet": _write_parquet, ".csv": _write_csv, ".jsonl": _write_json_lines}
"""Suffix -> writer."""


def _columns(path: Path) -> list[str]:
    """Return the columns of a table file; none where it is something else."""
    reader = _HEADERS.get(path.suffix.lower())
    try:
        return reader(path) if reader is not None and path.is_file() else []
    except (pa.ArrowException, OSError, ValueError, csv.Error):
        return []


def _is_empty(path: Path) -> bool:
    """Return whether this is a JSON lines file without rows, which has no columns."""
    return path.suffix.lower() == ".jsonl" and path.is_file() and not path.stat().st_size


def _parquet_columns(path: Path) -> list[str]:
    return list(pq.read_schema(path).names)


def _csv_columns(path: Path) -> list[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(file), [])


def _json_columns(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        row = json.loads(file.readline())
    return list(row) if isinstance(row, dict) else []


_HEADERS = {".parquet": _parquet_columns, ".csv": _csv_columns, ".jsonl": _json_columns}
