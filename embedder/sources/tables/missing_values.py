"""Values that stand for a missing one: which texts mean that, and where they are taken at their word."""

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
"""How pandas, R and spreadsheets write a value that is not there; pandas reads the same ones back as such."""

_SHOWN = 5


def without_missing(texts: pa.ChunkedArray, place: str) -> tuple[pa.ChunkedArray, list[str]]:
    """Take spelled-out missing values of a column for what they mean, where the file has no other way to write them.

    Args:
        texts: Text [n].
        place: The file; its name says what it is. In a CSV `NaN` is a missing value, in JSONL and Parquet it is a
            text, for these have a null of their own.

    Returns:
        The column, null where a value is missing, and in words what was read so.
    """
    if not place.lower().endswith(UNTYPED):
        return texts, []
    spelled = _count_spelled(texts)
    if not spelled:
        return texts, []
    note = (
        f"Values of {place} that are read as missing: {spelled}. Where one is the name of a class, write the labels as"
        " JSONL or Parquet."
    )
    return pc.if_else(_is_spelled(texts), pa.scalar(None, pa.string()), texts), [note]


def odd_classes(labels: pa.ChunkedArray) -> list[str]:
    """Say which labels are spelled as missing values and are classes all the same: nothing to say of most sources."""
    spelled = _count_spelled(labels)
    if not spelled:
        return []
    return [f"Labels that are taken as the name of a class: {spelled}. Where none is known, leave it empty or null."]


def _is_spelled(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.is_in(pc.utf8_trim_whitespace(texts), pa.array(MISSING))


def _count_spelled(texts: pa.ChunkedArray) -> str:
    counts = {
        one["values"]: one["counts"]
        for one in pc.utf8_trim_whitespace(texts.filter(_is_spelled(texts))).value_counts().to_pylist()
    }
    shown = ", ".join(f"{text} ({counts[text]:,})" for text in sorted(counts)[:_SHOWN])
    return shown + (", ..." if len(counts) > _SHOWN else "")
