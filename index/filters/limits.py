"""Read how many hits may have the same value of a column (`--per`)."""

import difflib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, Rows
from frieze.indexing.storage.row_metadata import RowMetadata


def read_limit(stored: RowMetadata, per: str) -> tuple[Rows, int]:
    """Read `COLUMN` or `COLUMN:N` and number the column's values.

    Args:
        stored: The rows with their metadata.
        per: A column, and how many of a value, 1 by default; a column may have a colon in its name.

    Returns:
        codes: int64 [N], equal for rows of equal values; a missing value is one, too.
        most: How many hits may have the same.

    Raises:
        InputError: There is no such column, its values can't be compared, or N is no number above 0.
    """
    name, most = stored.resolve_name(per), 1
    if name not in stored.schema.names:
        head, _, tail = per.rpartition(":")
        name, most = stored.resolve_name(head), int(tail) if tail.isascii() and tail.isdigit() else 0
    if name not in stored.schema.names:
        raise _unknown_column_error(per, stored.schema.names)
    if most < 1:
        raise InputError(f"`per` is {per}.", hint=f"Use a number above 0: `per='{name}:2'`.")
    return _number_values(stored, name), most


def _unknown_column_error(per: str, names: list[str]) -> InputError:
    close = difflib.get_close_matches(per.rpartition(":")[0] or per, names, n=3)
    hint = f"Did you mean: {', '.join(close)}?" if close else f"There are: {', '.join(names)}."
    return InputError(f"`per` names an unknown column: {per}", hint=hint)


def _number_values(stored: RowMetadata, name: str) -> Rows:
    """Number the values of a column, int64 [N]; a missing value is one, too."""
    values = stored.read([name])[name]
    if pa.types.is_nested(values.type):
        raise InputError(
            f"The column {name} holds {values.type}, not single values.", hint="Use a column of text, numbers or dates."
        )
    if pa.types.is_null(values.type):
        return np.zeros(len(values), np.int64)
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    codes = plain.combine_chunks().dictionary_encode().indices
    return np.asarray(pc.fill_null(codes, -1)).astype(np.int64)
