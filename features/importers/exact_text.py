"""Convert columns of ids and labels to text without making different values equal."""

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError

_EXACT_TO = {pa.float16(): 1 << 11, pa.float32(): 1 << 24, pa.float64(): 1 << 53}
"""Up to this number, a floating-point type holds every whole number."""


def to_text(column: pa.Array | pa.ChunkedArray, name: str, place: str) -> pa.Array | pa.ChunkedArray:
    """Convert a column to text; whole numbers are written without a point, also of floating-point types.

    Args:
        column: Any column that Arrow can cast to text.
        name: Its name, for messages.
        place: Its file, for messages.

    Raises:
        InputError: It holds whole numbers too large to be exact.
        ArrowInvalid: It can't be cast to text.
        ArrowNotImplementedError: The same.

    >>> to_text(pa.chunked_array([[20240101123456.0, 1.5, None]]), "id", "a.parquet").to_pylist()
    ['20240101123456', '1.5', None]
    """
    texts = column.cast(pa.string())
    limit = _EXACT_TO.get(column.type)
    if limit is None:
        return texts
    values = column.cast(pa.float64())
    is_whole = pc.and_(pc.is_finite(values), pc.equal(pc.floor(values), values))
    whole = pc.if_else(is_whole, values, pa.scalar(None, pa.float64()))
    largest = pc.max(pc.abs(whole)).as_py() or 0
    if largest >= limit:
        raise InputError(
            f"The column {name} of {place} holds {column.type} numbers such as {largest:.0f}: from {limit} on these"
            " can't be every whole number, and two that differ may be written alike.",
            hint=f"Write it as text or int64 where it is made, as pandas does with dtype={{{name!r}: 'Int64'}}.",
        )
    return pc.coalesce(whole.cast(pa.int64()).cast(pa.string()), texts)
