"""Parse a filter (`--where`): an SQL condition over the metadata of each row, to the rows that pass it.

sqlglot parses the condition; index/filters/evaluate.py defines the supported expressions and computes it.
"""

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, Rows
from frieze.indexing.filters.compare_values import simplify
from frieze.indexing.filters.evaluate import DIALECT, FILTER_HINT, column_name, compute, shorten
from frieze.indexing.storage.row_metadata import RowMetadata, to_printable

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


def find_rows(stored: RowMetadata, where: str) -> Rows:
    """Find the rows that pass a filter; only the columns it names are read.

    A comparison with null or NaN does not pass, as in SQL.

    Args:
        stored: The rows with their metadata.
        where: The condition, such as `label = 'cat' and year >= 2019`.

    Returns:
        int64 [n], ascending, 0 <= n <= N.

    Raises:
        InputError: It can't be parsed, contains an unsupported expression, names an unknown column, or compares values
            of different types.
    """
    try:
        condition = parse_filter(where, stored.schema.names)
        columns = _read_columns(stored, condition)
        passed = compute(condition, columns)
    except RecursionError as error:
        raise InputError("The filter is nested too deeply.", hint="Use: COLUMN in (...)") from error
    if isinstance(passed, pa.Scalar):
        return np.arange(len(stored) if passed.as_py() else 0)
    return pc.indices_nonzero(pc.fill_null(passed, False)).to_numpy().astype(np.int64)  # type: ignore[no-any-return]  # noqa: FBT003


def parse_filter(where: str, names: list[str]) -> "Expr":
    """Parse a filter.

    Args:
        where: The filter.
        names: The columns of the table, for the hint of an error.

    Raises:
        InputError: It can't be parsed.
    """
    import sqlglot
    from sqlglot.errors import ParseError, TokenError
    from sqlglot.expressions import Condition

    text = to_printable(where)
    try:
        return sqlglot.parse_one(text, dialect=DIALECT, into=Condition)
    except TokenError as error:
        hint = "Text needs single quotes, and a quote inside it is written twice: 'it''s'."
        raise InputError(f"The filter can't be parsed: a quote is not closed: {shorten(text)}", hint=hint) from error
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        rest = f"{first.get('highlight') or ''}{first.get('end_context') or ''}"
        message = f"The filter can't be parsed from here on: {shorten(rest)}" if rest else "The filter is empty."
        hint = f"{_quoting_hint(text, names)}{FILTER_HINT}"
        raise InputError(f"{message}\nThe whole filter: {shorten(text)}" if rest else message, hint=hint) from error


NOT_KEYWORDS = ("VAR", "STRING", "IDENTIFIER")
"""sqlglot's token types of names and texts; all others are keywords of SQL."""


def _quoting_hint(where: str, names: list[str]) -> str:
    """Return a hint to quote columns that are named like keywords of SQL; empty where none is used."""
    from sqlglot import tokenize

    columns = {name.lower(): name for name in names}
    tokens = tokenize(where, read=DIALECT)
    keywords = [token.text.lower() for token in tokens if token.token_type.name not in NOT_KEYWORDS]
    quoted = dict.fromkeys(f'"{columns[word]}"' for word in keywords if word in columns)
    return f"A column named like a keyword of SQL needs double quotes: {', '.join(quoted)}. " if quoted else ""


def _read_columns(stored: RowMetadata, condition: "Expr") -> dict[str, Any]:
    """Return the columns that a condition names, their values in as few types as possible."""
    from sqlglot.expressions import Column

    parts = list(condition.find_all(Column))
    for part in parts:
        if stored.resolve_name(column_name(part)) not in stored.schema.names:
            raise _unknown_column_error(part, stored.schema.names)
    names = {name: stored.resolve_name(name) for name in sorted({column_name(part) for part in parts})}
    table = stored.read(sorted(set(names.values())))
    return {name: simplify(table[column]) for name, column in names.items()}


def _unknown_column_error(column: "Expr", names: list[str]) -> InputError:
    name, hint = column_name(column), f"There are: {', '.join(names)}."
    if close := difflib.get_close_matches(name, names, n=3):
        hint = f"Did you mean: {', '.join(close)}?"
    if column.this.args.get("quoted") or column.arg_key in ("expression", "expressions"):  # a value's place
        hint = f"Text needs single quotes: '{name}'. {hint}"
    return InputError(f"The filter names an unknown column: {shorten(name)}", hint=hint)
