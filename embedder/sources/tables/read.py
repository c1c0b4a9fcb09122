"""Reads tables: CSV, TSV, JSON lines and Parquet."""

import codecs
import contextlib
import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from frieze.core import InputError
from frieze.embedder.sources.files import open_uri
from frieze.embedder.sources.label_lists import to_label_lists
from frieze.embedder.sources.listing import infer_array
from frieze.embedder.sources.tables.class_names import with_class_names
from frieze.embedder.sources.tables.csv_layout import detect_layout, header_hint, read_header_line
from frieze.features import is_list, partition_values, to_text

_BLOCK_BYTES = 16 << 20
"""Size of a parsed block; a line of JSON must fit."""

_MAX_DEPTH = 32
"""How deep JSON may be nested: Parquet allows 100 levels, and a list takes two."""

_MAX_EXACT_INTEGER = 1 << 53
"""Largest bound up to which float64 represents every integer."""

_Types = dict[pa.DataType, pa.DataType]
_VIEWS: _Types = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
"""Types whose rows Arrow can't select -> equivalent types."""
_DATES: _Types = {pa.timestamp("s"): pa.string()}
"""The type that Arrow infers for texts in JSON that look like dates -> text."""

_JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class _Format(NamedTuple):
    """A format: how to read its header, and its columns."""

    header: Callable[[str], list[str]]
    read: Callable[[str, Sequence[str], str | None], pa.Table]


def read_header(uri: str) -> list[str]:
    """Return the names of a table's columns, in order.

    Raises:
        InputError: The file can't be read, or is not in the format of its extension.
    """
    with translate_read_errors(uri):
        return _format(uri).header(uri)


def read_table(uri: str, columns: Sequence[str], *, text: Sequence[str] = (), lists: str | None = None) -> pa.Table:
    """Read some columns of a table; text stays text, as does every column of a CSV.

    Args:
        uri: Path or URL; its extension decides the format.
        columns: Columns to read.
        text: Columns to convert to text: `007` stays `007`; an empty text and NaN are null.
        lists: One of these that may hold lists of values instead, which stay; where JSON lines have both lists and
            single values, a single value is a list of one.

    Raises:
        InputError: The file can't be read, or is not in the format of its extension.
    """
    with translate_read_errors(uri):
        table = _format(uri).read(uri, columns, lists)
    for name in text:
        if name in columns and not (name == lists and is_list(table[name].type)):
            table = table.set_column(table.column_names.index(name), name, to_text_column(table[name], uri, name))
    return table.select(list(columns))


def concat_tables(tables: Sequence[pa.Table], source: str) -> pa.Table:
    """Concatenate the tables of a source's files; a column that a file lacks is null there.

    Raises:
        InputError: Columns of one name have types that can't be unified.
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(
            f"The files of {source} have columns of the same name and different types: {error}.",
            hint="Pass them one at a time, each with another `out`, or make the types equal.",
        ) from error


def _format(uri: str) -> _Format:
    return _FORMATS[os.path.splitext(uri.lower())[1]]


def to_text_column(column: pa.ChunkedArray, uri: str, name: str) -> pa.ChunkedArray:
    """Convert a column to text; an empty text and NaN are null.

    Raises:
        InputError: Its type has no texts.
    """
    try:
        values = to_text(column, name, uri)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"The column {name} of {uri} has type {column.type}; expected is text.",
            hint="Name another column: with `label`, or with `image` or `id` of embed.",
        ) from error
    is_missing = pc.or_kleene(pc.is_null(column, nan_is_null=True), pc.equal(values, ""))
    return pc.if_else(is_missing, pa.scalar(None, pa.string()), values)


_UTF_8 = "Save it as UTF-8 text: in Excel as `CSV UTF-8 (comma delimited)`."


@contextlib.contextmanager
def translate_read_errors(uri: str) -> Iterator[None]:
    """Translate errors of Arrow, csv and the file system to an InputError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = _UTF_8 if "utf" in reason.lower() else "Check that its format matches its name."
        hint = "Check the path." if isinstance(error, FileNotFoundError) else hint
        raise InputError(f"{uri} can't be read: {reason.rstrip('.')}.", hint=hint) from error


def read_notes(uri: str) -> tuple[str, ...]:
    """Return notes about rows of a table that are read in a way the user may not expect.

    Raises:
        InputError: As for `read_table`.
    """
    with translate_read_errors(uri):
        return detect_layout(uri).notes if uri.lower().endswith(UNTYPED) else ()


def missing_header_hint(uri: str, names: Sequence[str]) -> str | None:
    """Return the hint for a CSV without a header; None where the header is not the problem.

    Args:
        uri: Path or URL.
        names: The names that were read as its header.
    """
    with translate_read_errors(uri):
        return header_hint(uri, names) if uri.lower().endswith(UNTYPED) else None


def _csv_header(uri: str) -> list[str]:
    names = read_header_line(uri, detect_layout(uri))
    if len(set(names)) < len(names):
        raise ValueError(f"its header names a column twice: {', '.join(names)}")
    return names


def _read_csv(uri: str, columns: Sequence[str], _lists: str | None) -> pa.Table:
    layout = detect_layout(uri)
    quote = '"' if layout.has_quotes else False
    with open_uri(uri) as file:
        return pa_csv.read_csv(
            file,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES, skip_rows=layout.n_skipped),
            parse_options=pa_csv.ParseOptions(
                delimiter=layout.separator, quote_char=quote, newlines_in_values=layout.has_quotes
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()), include_columns=list(columns)
            ),
        )


def _json_header(uri: str) -> list[str]:
    """Return the keys of all lines: each line may have other keys."""
    with open_uri(uri) as file:
        for number, line in enumerate(iter(lambda: file.readline(_BLOCK_BYTES), b""), 1):
            _check_line(line.removeprefix(codecs.BOM_UTF8).strip(), number)
    return list(_parse_json(uri).column_names)


def _check_line(line: bytes, number: int) -> None:
    if line and not (line.startswith(b"{") and line.endswith(b"}")):
        raise ValueError(f"line {number} is not one object in braces")
    if line.count(b"[") + line.count(b"{") > _MAX_DEPTH:  # brackets need not be nested
        brackets = np.frombuffer(_JSON_STRING.sub(b"", line).translate(None, _ALL_BUT_BRACKETS), np.uint8)
        depths = np.cumsum(np.where(np.isin(brackets, list(b"[{")), 1, -1))
        if depths.max(initial=0) > _MAX_DEPTH:
            raise ValueError(f"line {number} is nested {depths.max()} deep; the limit is {_MAX_DEPTH}")
    try:
        line.decode()  # Arrow does not check it
    except UnicodeDecodeError as error:
        raise ValueError(f"line {number}: {error}") from error


def _read_json(uri: str, _columns: Sequence[str], lists: str | None) -> pa.Table:
    inferred = _parse_json(uri, lists=lists).schema
    as_text = pa.schema([_replaced(field, _DATES) for field in inferred])
    return _parse_json(uri, as_text if as_text != inferred else None, lists=lists)


def _parse_json(uri: str, schema: pa.Schema | None = None, *, lists: str | None = None) -> pa.Table:
    options = pa_json.ReadOptions(block_size=_BLOCK_BYTES)
    with open_uri(uri) as file:
        with contextlib.suppress(pa.ArrowInvalid):  # such as a number in one line and a text in another
            table = pa_json.read_json(file, options, pa_json.ParseOptions(explicit_schema=schema))
            if not any(map(_may_be_rounded, table.columns)):
                return table
        file.seek(0)
        return _parse_lines(file, lists)


def _may_be_rounded(column: pa.ChunkedArray) -> bool:
    """Return whether a column of floats may hold integers that Arrow had to round."""
    kind = column.type
    if pa.types.is_struct(kind):
        return any(map(_may_be_rounded, column.flatten()))
    if pa.types.is_list(kind):
        return _may_be_rounded(pc.list_flatten(column))
    return kind == pa.float64() and (pc.max(pc.abs(column)).as_py() or 0) >= _MAX_EXACT_INTEGER


def _parse_lines(file: Iterable[bytes], lists: str | None) -> pa.Table:
    """Parse lines one by one; a column of mixed types becomes text, the one of `lists` that has any becomes lists.

    Raises:
        ValueError: A line is no JSON.
    """
    rows = []
    for number, line in enumerate(file, 1):
        try:
            rows += [json.loads(line.removeprefix(codecs.BOM_UTF8))] if line.strip() else []
        except ValueError as error:
            raise ValueError(f"line {number}: JSON parse error: {error}") from error
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pa.table(
        {
            name: _to_lists(values) if name == lists and list in map(type, values) else infer_array(values)
            for name, values in columns.items()
        }
    )


def _to_lists(values: Sequence[Any]) -> pa.Array:
    several = [value if isinstance(value, list) else None for value in values]
    return to_label_lists(several, [None if value is None or value == "" else str(value) for value in values])


def _parquet_header(uri: str) -> list[str]:
    with open_uri(uri) as file:
        names = list(pq.read_schema(file).names)
    return [*names, *(name for name in partition_values(uri) if name not in names)]


def _read_parquet(uri: str, columns: Sequence[str], _lists: str | None) -> pa.Table:
    with open_uri(uri) as file:
        metadata = pq.read_metadata(file)
        stored = metadata.schema.to_arrow_schema().names
        table = pq.read_table(file, columns=[name for name in columns if name in stored])
    table = with_class_names(table, uri)
    table = table.cast(pa.schema([_replaced(field, _VIEWS) for field in table.schema]))
    for name, value in partition_values(uri).items():
        if name in columns and name not in stored:
            value_of_all = pa.array([value] * metadata.num_rows, pa.string())
            table = table.append_column(name, value_of_all) if table.num_columns else pa.table({name: value_of_all})
    return table


def _replaced(field: pa.Field, types: _Types) -> pa.Field:
    """Return the field with some types replaced, at any depth."""
    return field.with_type(_replaced_type(field.type, types))


def _replaced_type(kind: pa.DataType, types: _Types) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([_replaced(field, types) for field in kind])
    if pa.types.is_map(kind):
        return pa.map_(_replaced(kind.key_field, types), _replaced(kind.item_field, types))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_replaced(kind.value_field, types), kind.list_size)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return (pa.list_ if pa.types.is_list(kind) else pa.large_list)(_replaced(kind.value_field, types))
    return types.get(kind, kind)


_CSV = _Format(_csv_header, _read_csv)
_JSON = _Format(_json_header, _read_json)
_FORMATS = {
    ".csv": _CSV,
    ".tsv": _CSV,
    ".jsonl": _JSON,
    ".ndjson": _JSON,
    ".parquet": _Format(_parquet_header, _read_parquet),
}
SUFFIXES = tuple(_FORMATS)
"""Extensions of tables, in lower case."""
UNTYPED = tuple(suffix for suffix, form in _FORMATS.items() if form is _CSV)
"""Extensions of formats without types, in which every value is text."""
