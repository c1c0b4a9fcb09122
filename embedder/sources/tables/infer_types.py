"""Types for columns that come as text: numbers, dates and yes or no, where these say just what the text says."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from frieze.embedder.sources.tables.missing_values import MISSING

_TYPES = (pa.int64(), pa.float64(), pa.bool_(), pa.date32())
"""Looked at in this order."""


def with_types(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Give the type that its values are written in to each column that is text.

    Args:
        table: Any.
        names: Its columns that may change; those of another type than text stay.

    Returns:
        The table. A column has another type only where each of its values, written back, is the text that stood there,
        so that `01234`, `1e5` and `1.10` stay text; beside numbers, dates and the like a missing value (an empty text,
        `NA`, `NaN`) is null.

    >>> table = pa.table({"year": ["1999", "NA"], "zip": ["01234", "99999"]})
    >>> with_types(table, ["year", "zip"]).to_pylist()
    [{'year': 1999, 'zip': '01234'}, {'year': None, 'zip': '99999'}]
    """
    for name in names:
        if table[name].type == pa.string():
            table = table.set_column(table.column_names.index(name), name, _with_type(table[name]))
    return table


def _with_type(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    if pc.all(pc.or_kleene(texts.is_null(), pc.equal(texts, ""))).as_py():
        return pa.chunked_array([pa.nulls(len(texts))])
    values = pc.if_else(pc.is_in(texts, pa.array(["", *MISSING])), pa.scalar(None, pa.string()), texts)
    if values.null_count == len(values):
        return texts
    found = next((kind for kind in _TYPES if _is_written_in(values, kind)), None)
    return texts if found is None else values.cast(found)


def _is_written_in(values: pa.ChunkedArray, kind: pa.DataType) -> bool:
    try:
        parsed = values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return any(write(parsed).equals(values) for write in (_as_arrow, _as_python))


def _as_arrow(parsed: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write values as most programs do: 1, 0.5, true."""
    return parsed.cast(pa.string())


def _as_python(parsed: pa.ChunkedArray) -> pa.ChunkedArray:
    """Write values as Python and pandas do: 1.0, 2e-05, True."""
    return pa.chunked_array([[None if value is None else str(value) for value in parsed.to_pylist()]], pa.string())
