"""Concatenate Arrow tables whose user columns may differ in type."""

import json
from collections.abc import Sequence

import pyarrow as pa

_CLASH = (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError)
"""What Arrow raises for types that it can't unify."""


def join_rows(tables: Sequence[pa.Table]) -> pa.Table:
    """Concatenate tables; a missing column is null.

    A column whose types can't be unified becomes text: Arrow's cast for plain values, JSON for nested ones.

    >>> join_rows([pa.table({"year": [1999]}), pa.table({"year": ["unknown"]})])["year"].to_pylist()
    ['1999', 'unknown']
    """
    try:
        return _concat(tables)
    except _CLASH:
        names = dict.fromkeys(name for table in tables for name in table.column_names)
        clashing = {name for name in names if not _has_one_type(tables, name)}
        return _concat([_with_text(table, clashing) for table in tables])


def unify_types(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the schema of concatenated tables, in which a column whose types can't be unified is text."""
    return join_rows([schema.empty_table() for schema in schemas]).schema


def _concat(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="permissive")


def _has_one_type(tables: Sequence[pa.Table], name: str) -> bool:
    try:
        _concat([table.select([name]) for table in tables if name in table.column_names])
    except _CLASH:
        return False
    return True


def _with_text(table: pa.Table, names: set[str]) -> pa.Table:
    for number, name in enumerate(table.column_names):
        if name in names:
            table = table.set_column(number, name, _to_text(table[name]))
    return table


def _to_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        return column.cast(pa.string())
    except _CLASH:
        texts = (None if value is None else _to_json(value) for value in column.to_pylist())
        return pa.chunked_array([pa.array(texts, pa.string())])


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
