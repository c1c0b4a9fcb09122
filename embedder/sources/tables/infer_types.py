"""Types of text columns, inferred from their values: numbers, dates, booleans, and missing values such as `NA`."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from frieze.embedder.sources.tables.read import UNTYPED

MISSING = (
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
    "NULL",
    "NaN",
    "None",
    "n/a",
    "nan",
    "null",
)
"""How pandas, R and spreadsheets write a missing value; pandas reads the same texts as missing."""

_SHOWN = 5

_TYPES = (pa.int64(), pa.float64(), pa.bool_(), pa.date32())
"""Tried in this order."""


def infer_types(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Convert text columns to the type of their values.

    Args:
        table: Any table.
        names: Columns that may be converted; only text is.

    Returns:
        The table. A column is converted only if each value, written back, is the same text: `01234`, `1e5` and `1.10`
        stay text. In a converted column a missing value (an empty text, `NA`, `NaN`) is null.

    >>> table = pa.table({"year": ["1999", "NA"], "zip": ["01234", "99999"]})
    >>> infer_types(table, ["year", "zip"]).to_pylist()
    [{'year': 1999, 'zip': '01234'}, {'year': None, 'zip': '99999'}]
    """
    for name in names:
        if table[name].type == pa.string():
            table = table.set_column(table.column_names.index(name), name, _infer_type(table[name]))
    return table


def _infer_type(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    if pc.all(pc.or_kleene(texts.is_null(), pc.equal(texts, ""))).as_py():
        return pa.chunked_array([pa.nulls(len(texts))])
    values = pc.if_else(pc.is_in(texts, pa.array(["", *MISSING])), pa.scalar(None, pa.string()), texts)
    if values.null_count == len(values):
        return texts
    inferred = next((kind for kind in _TYPES if _round_trips(values, kind)), None)
    return texts if inferred is None else values.cast(inferred)


def _round_trips(values: pa.ChunkedArray, kind: pa.DataType) -> bool:
    try:
        parsed = values.cast(kind)
    except pa.ArrowInvalid:
        return False
    return any(write(parsed).equals(values) for write in (_as_arrow, _as_python))


def _as_arrow(parsed: pa.ChunkedArray) -> pa.ChunkedArray:
    """Format values as most programs do: 1, 0.5, true."""
    return parsed.cast(pa.string())


def _as_python(parsed: pa.ChunkedArray) -> pa.ChunkedArray:
    """Format values as Python and pandas do: 1.0, 2e-05, True."""
    return pa.chunked_array([[None if value is None else str(value) for value in parsed.to_pylist()]], pa.string())


def replace_missing(texts: pa.ChunkedArray, uri: str) -> tuple[pa.ChunkedArray, list[str]]:
    """Replace spelled-out missing values by null, in formats that have no null.

    Args:
        texts: Text [n].
        uri: The file; its extension decides the format. In a CSV `NaN` is a missing value; in JSONL and Parquet it is
            text.

    Returns:
        The column, and a note on the values that are read as missing.
    """
    if not uri.lower().endswith(UNTYPED):
        return texts, []
    spelled = _count_spelled(texts)
    if not spelled:
        return texts, []
    note = (
        f"Values of {uri} that are read as missing: {spelled}. If one is the name of a class, write the labels as"
        " JSONL or Parquet."
    )
    return pc.if_else(_is_spelled(texts), pa.scalar(None, pa.string()), texts), [note]


def note_labels_like_missing(labels: pa.ChunkedArray) -> list[str]:
    """Return a note on labels that are spelled like missing values but are read as classes."""
    spelled = _count_spelled(labels)
    if not spelled:
        return []
    return [f"Labels that are read as names of classes: {spelled}. If they mean unknown, leave them empty or null."]


def _is_spelled(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(pc.utf8_trim_whitespace(texts), pa.array(MISSING))


def _count_spelled(texts: pa.ChunkedArray) -> str:
    counts = {
        one["values"]: one["counts"]
        for one in pc.utf8_trim_whitespace(texts.filter(_is_spelled(texts))).value_counts().to_pylist()
    }
    shown = ", ".join(f"{text} ({counts[text]:,})" for text in sorted(counts)[:_SHOWN])
    return shown + (", ..." if len(counts) > _SHOWN else "")
