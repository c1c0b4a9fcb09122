"""Filters: a condition in SQL's words over what is known about each row, to the rows that pass it.

sqlglot reads the condition; index/filters/evaluate.py tells what it may hold.
"""

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, Rows
from frieze.indexing.filters.evaluate import DIALECT, FILTER_HINT, column_name, compute, shorten
from frieze.indexing.storage.row_metadata import RowMetadata, to_printable

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


def find_rows(stored: RowMetadata, where: str) -> Rows:
    """Find the rows that pass a filter; only the columns it names are read.

    What is compared with an unknown value, null or a number that is none (NaN), does not pass, as in SQL.

    Args:
        stored: The rows and what is known about them.
        where: The condition, such as `label = 'cat' and year >= 2019`.

    Returns:
        int64 [n], ascending, 0 <= n <= N.

    Raises:
        InputError: It can't be read, holds what a filter does not know, names a column that is not there, or compares
            two things of different sorts.
    """
    try:
        condition = _parse(where, stored.schema.names)
        columns = _read_columns(stored, condition)
        passed = compute(condition, columns)
    except RecursionError as error:
        raise InputError("The filter has too many parts inside each other.", hint="Use: COLUMN in (...)") from error
    if isinstance(passed, pa.Scalar):
        return np.arange(len(stored) if passed.as_py() else 0)
    return pc.indices_nonzero(pc.fill_null(passed, False)).to_numpy().astype(np.int64)  # type: ignore[no-any-return]  # noqa: FBT003


def _parse(where: str, names: list[str]) -> "Expr":
    import sqlglot
    from sqlglot.errors import ParseError, TokenError
    from sqlglot.expressions import Condition

    asked = to_printable(where)
    try:
        return sqlglot.parse_one(asked, dialect=DIALECT, into=Condition)
    except TokenError as error:
        hint = "Text stands in single quotes, and a quote inside it is written twice: 'it''s'."
        raise InputError(f"The filter can't be read, for a quote has no end: {shorten(asked)}", hint=hint) from error
    except ParseError as error:
        told = error.errors[0] if error.errors else {}
        rest = f"{told.get('highlight') or ''}{told.get('end_context') or ''}"
        place = f"The filter can't be read from here on: {shorten(rest)}" if rest else "The filter is empty."
        hint = f"{_advise_quotes(asked, names)}{FILTER_HINT}"
        raise InputError(f"{place}\nThe whole of it: {shorten(asked)}" if rest else place, hint=hint) from error


_NO_WORDS = ("VAR", "STRING", "IDENTIFIER")
"""What sqlglot calls names and texts, which are no words of SQL."""


def _advise_quotes(where: str, names: list[str]) -> str:
    """Say of columns whose names are words of SQL how these are written; nothing where none is named."""
    from sqlglot import tokenize

    known = {name.lower(): name for name in names}
    words = [token.text.lower() for token in tokenize(where, read=DIALECT) if token.token_type.name not in _NO_WORDS]
    quoted = dict.fromkeys(f'"{known[word]}"' for word in words if word in known)
    return f"A column that is named as a word of SQL stands in double quotes: {', '.join(quoted)}. " if quoted else ""


def _read_columns(stored: RowMetadata, condition: "Expr") -> dict[str, Any]:
    """Give the columns that a condition names, their values in as few types as may be."""
    from sqlglot.expressions import Column

    parts = list(condition.find_all(Column))
    for part in parts:
        if stored.named(column_name(part)) not in stored.schema.names:
            raise _unknown(part, stored.schema.names)
    names = {name: stored.named(name) for name in sorted({column_name(part) for part in parts})}
    table = stored.read(sorted(set(names.values())))
    return {name: _simplify(table[column]) for name, column in names.items()}


def _unknown(column: "Expr", names: list[str]) -> InputError:
    name, hint = column_name(column), f"There are: {', '.join(names)}."
    if close := difflib.get_close_matches(name, names, n=3):
        hint = f"Did you mean: {', '.join(close)}?"
    if column.this.args.get("quoted"):
        hint = f"Text stands in single quotes: '{name}'. {hint}"
    return InputError(f"The filter names a column that is not there: {shorten(name)}", hint=hint)


def _simplify(values: Any) -> Any:
    """Give a column with its dictionary unpacked, whole numbers in 64 bits, and NaN as null."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    for is_such, simple in _SIMPLER:
        if is_such(values.type):
            values = values.cast(simple)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values


_SIMPLER = (
    (pa.types.is_string_view, pa.string()),
    (lambda kind: pa.types.is_integer(kind) and kind != pa.uint64(), pa.int64()),
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_date64, pa.date32()),
)
