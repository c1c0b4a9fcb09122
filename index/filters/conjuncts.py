"""Take a filter apart: the conditions that it joins with `and`, each with the columns that it names."""

import dataclasses
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from frieze.indexing.filters.evaluate import DIALECT, column_name
from frieze.indexing.filters.parse import NOT_KEYWORDS, parse_filter
from frieze.indexing.storage.row_metadata import RowMetadata

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


@dataclasses.dataclass(frozen=True)
class Conjunct:
    """One of the conditions that a filter joins with `and`.

    Attributes:
        sql: The condition; in parentheses where it joins others with `or`.
        columns: The columns that it names, as the table has them.
    """

    sql: str
    columns: frozenset[str]


def split_filter(stored: RowMetadata, where: str) -> list[Conjunct]:
    """Return the conditions that a filter joins with `and`; all of them together pass the rows that it passes.

    Args:
        stored: The rows with their metadata.
        where: The filter.

    Raises:
        InputError: It can't be parsed.
    """
    from sqlglot.expressions import Column

    return [
        Conjunct(
            f"({_to_sql(node)})" if node.key == "or" else _to_sql(node),
            frozenset(stored.resolve_name(column_name(part)) for part in node.find_all(Column)),
        )
        for node in _split(parse_filter(where, stored.schema.names))
    ]


def _split(node: "Expr") -> Iterator["Expr"]:
    inner = node.unnest()
    if inner.key == "and":
        yield from _split(inner.this)
        yield from _split(inner.expression)
    else:
        yield inner


def _to_sql(node: "Expr") -> str:
    """Return a condition as text with its keywords in small letters, as the documentation writes them."""
    from sqlglot import tokenize

    sql = node.sql(DIALECT)
    for token in tokenize(sql, read=DIALECT):
        if token.token_type.name not in NOT_KEYWORDS:
            sql = sql[: token.start] + sql[token.start : token.end + 1].lower() + sql[token.end + 1 :]
    return sql


def join_filters(conditions: Iterable[str]) -> str:
    """Join conditions with `and`, without those that are empty."""
    return " and ".join(filter(None, conditions))


def quote_column(name: str) -> str:
    """Return a column's name as filters have it: in double quotes where it is no plain word.

    >>> quote_column("width"), quote_column("case"), quote_column("taken on")
    ('width', '"case"', '"taken on"')
    """
    from sqlglot import tokenize

    is_word = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) is not None
    if is_word and [token.token_type.name for token in tokenize(name, read=DIALECT)] == ["VAR"]:
        return name
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def quote_text(text: str) -> str:
    """Return a text as filters have it.

    >>> quote_text("it's")
    "'it''s'"
    """
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
