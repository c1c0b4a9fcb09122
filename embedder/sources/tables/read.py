"""Tables that name images or tell of them: CSV, TSV, lines of JSON, Parquet."""

import codecs
import contextlib
import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from frieze.core import InputError
from frieze.embedder.sources.files import open_place
from frieze.embedder.sources.listing import to_array
from frieze.embedder.sources.tables.class_names import with_class_names
from frieze.embedder.sources.tables.csv_layout import header_of, layout_of, mend_header
from frieze.features import partition_values, to_text

_BLOCK_BYTES = 16 << 20
"""What is parsed at a time; a line of JSON must fit."""

_DEEPEST = 32
"""How deep the values of JSON may be nested: Parquet has room for 100 levels, and a list takes two."""

_EXACT_TO = 1 << 53
"""Up to where a floating-point number of 64 bits can be every whole number."""

_Types = dict[pa.DataType, pa.DataType]
_VIEWS: _Types = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
"""Types whose rows Arrow can't take, and those that hold the same."""
_DATES: _Types = {pa.timestamp("s"): pa.string()}
"""What Arrow makes of texts in JSON that look like dates, and what they are."""

_JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class _Format(NamedTuple):
    """One format: how to read the names of its columns, and how to read it."""

    header: Callable[[str], list[str]]
    read: Callable[[str, Sequence[str]], pa.Table]


def read_header(place: str) -> list[str]:
    """Give the names of a table's columns, in order.

    Raises:
        InputError: The file can't be read, or is not what its name says.
    """
    with named_errors(place):
        return _format(place).header(place)


def read_table(place: str, columns: Sequence[str], *, text: Sequence[str] = ()) -> pa.Table:
    """Read some columns of a table; what is text in the file is text here, and so is all of a CSV.

    Args:
        place: Path or URL; its name says what it is.
        columns: Those to read.
        text: Those of them to read as text, whatever they look like: `007` stays `007`; an empty text and no number
            (NaN) are null.

    Raises:
        InputError: The file can't be read, or is not what its name says.
    """
    with named_errors(place):
        table = _format(place).read(place, columns)
    for name in text:
        if name in columns:
            table = table.set_column(table.column_names.index(name), name, _to_text(table[name], place, name))
    return table.select(list(columns))


def concat(tables: Sequence[pa.Table], source: str) -> pa.Table:
    """Put the tables of a source's files under each other; a column that one lacks is null there.

    Raises:
        InputError: Columns of one name have types that can't be one.
    """
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise InputError(
            f"The files of {source} have columns of one name and different types: {error}.",
            hint="Give them one at a time, each with an --out of its own, or make the types alike.",
        ) from error


def _format(place: str) -> _Format:
    return _FORMATS[os.path.splitext(place.lower())[1]]


def _to_text(column: pa.ChunkedArray, place: str, name: str) -> pa.ChunkedArray:
    try:
        values = to_text(column, name, place)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(
            f"The column {name} of {place} is of type {column.type}; wanted is text.",
            hint="Name another column: with --label, or with --image or --id of embed.",
        ) from error
    is_none = pc.or_kleene(pc.is_null(column, nan_is_null=True), pc.equal(values, ""))
    return pc.if_else(is_none, pa.scalar(None, pa.string()), values)


@contextlib.contextmanager
def named_errors(place: str) -> Iterator[None]:
    """Turn what goes wrong while a table is read into an error that names it."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "Save it as UTF-8 text." if "utf" in reason.lower() else "Check that it is what its name says."
        raise InputError(f"{place} can't be read: {reason.rstrip('.')}.", hint=hint) from error


def read_notes(place: str) -> tuple[str, ...]:
    """Say in words what of a table is read otherwise than one may think.

    Raises:
        InputError: As for `read_table`.
    """
    with named_errors(place):
        return layout_of(place).notes if place.lower().endswith(UNTYPED) else ()


def header_mend(place: str, names: Sequence[str]) -> str | None:
    """Say what to type where a CSV has no line of names; None where that is not what is wrong.

    Args:
        place: Path or URL.
        names: What was read as the names of its columns.
    """
    with named_errors(place):
        return mend_header(place, names) if place.lower().endswith(UNTYPED) else None


def _csv_header(place: str) -> list[str]:
    names = header_of(place, layout_of(place))
    if len(set(names)) < len(names):
        raise ValueError(f"its header names a column twice: {', '.join(names)}")
    return names


def _read_csv(place: str, columns: Sequence[str]) -> pa.Table:
    layout = layout_of(place)
    quote = '"' if layout.has_quotes else False
    with open_place(place) as file:
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


def _json_header(place: str) -> list[str]:
    """Give the keys of all lines: any may come late."""
    with open_place(place) as file:
        for number, line in enumerate(iter(lambda: file.readline(_BLOCK_BYTES), b""), 1):
            _check_line(line.removeprefix(codecs.BOM_UTF8).strip(), number)
    return list(_parse_json(place).column_names)


def _check_line(line: bytes, number: int) -> None:
    if line and not (line.startswith(b"{") and line.endswith(b"}")):
        raise ValueError(f"line {number} is not one object in braces")
    if line.count(b"[") + line.count(b"{") > _DEEPEST:  # not all of them need be nested
        brackets = np.frombuffer(_JSON_STRING.sub(b"", line).translate(None, _ALL_BUT_BRACKETS), np.uint8)
        depths = np.cumsum(np.where(np.isin(brackets, list(b"[{")), 1, -1))
        if depths.max(initial=0) > _DEEPEST:
            raise ValueError(f"line {number} is nested {depths.max()} deep; the limit is {_DEEPEST}")


def _read_json(place: str, _columns: Sequence[str]) -> pa.Table:
    found = _parse_json(place).schema
    as_text = pa.schema([_replaced(field, _DATES) for field in found])
    return _parse_json(place, as_text if as_text != found else None)


def _parse_json(place: str, schema: pa.Schema | None = None) -> pa.Table:
    options = pa_json.ReadOptions(block_size=_BLOCK_BYTES)
    with open_place(place) as file:
        with contextlib.suppress(pa.ArrowInvalid):  # also where a value is a number in one line and a text in another
            table = pa_json.read_json(file, options, pa_json.ParseOptions(explicit_schema=schema))
            if not any(map(_may_be_rounded, table.columns)):
                return table
        file.seek(0)
        return _parse_lines(file)


def _may_be_rounded(column: pa.ChunkedArray) -> bool:
    """Tell whether numbers may be whole ones that Arrow could not keep: it makes floating-point ones of them."""
    kind = column.type
    if pa.types.is_struct(kind):
        return any(map(_may_be_rounded, column.flatten()))
    if pa.types.is_list(kind):
        return _may_be_rounded(pc.list_flatten(column))
    return kind == pa.float64() and (pc.max(pc.abs(column)).as_py() or 0) >= _EXACT_TO


def _parse_lines(file: Iterable[bytes]) -> pa.Table:
    """Parse lines one by one; a column whose values are of several types is text.

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
    return pa.table({name: to_array([row.get(name) for row in rows]) for name in names})


def _parquet_header(place: str) -> list[str]:
    with open_place(place) as file:
        names = list(pq.read_schema(file).names)
    return [*names, *(name for name in partition_values(place) if name not in names)]


def _read_parquet(place: str, columns: Sequence[str]) -> pa.Table:
    with open_place(place) as file:
        metadata = pq.read_metadata(file)
        there = metadata.schema.to_arrow_schema().names
        table = pq.read_table(file, columns=[name for name in columns if name in there])
    table = with_class_names(table, place)
    table = table.cast(pa.schema([_replaced(field, _VIEWS) for field in table.schema]))
    for name, value in partition_values(place).items():
        if name in columns and name not in there:
            value_of_all = pa.array([value] * metadata.num_rows, pa.string())
            table = table.append_column(name, value_of_all) if table.num_columns else pa.table({name: value_of_all})
    return table


def _replaced(field: pa.Field, types: _Types) -> pa.Field:
    """Give the field with some types replaced, wherever in its own they lie."""
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
"""What the name of a table ends in, in small letters."""
UNTYPED = tuple(suffix for suffix, form in _FORMATS.items() if form is _CSV)
"""The same, of those that hold nothing but text."""
