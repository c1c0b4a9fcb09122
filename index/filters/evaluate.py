"""What a filter's condition may hold, and what Arrow computes of it; all else is refused: nothing of it is run."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, truncate
from frieze.indexing.filters.compare_values import compare, is_in, negate, to_number

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

DIALECT = "duckdb"  # 'text', "column"
_SHOWN = 80  # letters of a condition in a message
_PRECISE = ("ns", "us")  # nanoseconds, which end in 2262; beyond these microseconds
FILTER_HINT = (
    "A filter compares columns, 'text', numbers, true, false and null with = != < <= > >=, in, between, like, ilike, "
    "is null, and joins these with and, or, not and ( )."
)

Of = Callable[["Expr"], Any]
"""Gives the value of a part of the condition: an Arrow array of N values, or a scalar."""


def column_name(column: "Expr") -> str:
    """Give a column's name; one with dots is taken for a whole, also outside of quotes."""
    return ".".join(part.name for part in column.parts)  # type: ignore[attr-defined]  # a Column has them


_SORTS = {
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "a number": lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind),
    "a date": lambda kind: pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None),
    "a date with a time zone": lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None,
    "true or false": pa.types.is_boolean,
    "null": pa.types.is_null,
}
"""What can be compared, each with its own sort; null with all."""


def _sort(value: Any) -> str:
    return next((sort for sort, is_such in _SORTS.items() if is_such(value.type)), str(value.type))


def compute(condition: "Expr", columns: dict[str, Any]) -> Any:
    """Compute a condition over columns.

    Args:
        condition: As sqlglot read it.
        columns: For each column that it names an Arrow array of N values.

    Returns:
        What passes: an Arrow array of N booleans, or one for all; null where it is unknown.

    Raises:
        InputError: It holds what a filter does not know, or compares two things of different sorts.
    """
    return _condition(condition, functools.partial(_evaluate, columns=columns))


def _evaluate(node: "Expr", columns: dict[str, Any]) -> Any:
    """Compute a part of the condition."""
    if node.key == "column":
        return columns[column_name(node)]
    known = _NODES.get(node.key)
    if known is None or {name for name, value in node.args.items() if value} - {*known.parts, "negate"}:
        raise InputError(f"A filter can't hold this: {_text(node)}", hint=FILTER_HINT)
    value = known.compute(node, functools.partial(_evaluate, columns=columns))
    return pc.invert(value) if node.args.get("negate") else value


def _condition(node: "Expr", of: Of) -> Any:
    """Compute what has to be true or false."""
    value = of(node)
    if pa.types.is_null(value.type):
        return pa.scalar(None, pa.bool_())
    if not pa.types.is_boolean(value.type):
        raise InputError(
            f"{_text(node)} by itself is {_sort(value)}; wanted is what is true or false.",
            hint="Compare it with something, such as: label = 'cat'",
        )
    return value


def _compare(node: "Expr", of: Of, *, by: str) -> Any:
    return _compared(node, (of(node.this), of(node.expression)), by)


def _compared(node: "Expr", sides: tuple[Any, Any], by: str) -> Any:
    left, right = (_as_date(value, of=other, node=node) for value, other in (sides, sides[::-1]))
    _check_sorts(node, left, right)
    if pa.types.is_null(left.type) or pa.types.is_null(right.type):
        return pa.scalar(None, pa.bool_())
    try:
        return compare(left, right, by)
    except pa.ArrowException as error:
        raise InputError(f"{_text(node)} can't be computed: {error}.", hint=FILTER_HINT) from error


def _check_sorts(node: "Expr", left: Any, right: Any) -> None:
    _check_names_column(node, left, right)
    sorts = {_sort(left), _sort(right)} - {"null"}
    if len(sorts) > 1 or not sorts <= set(_SORTS):
        raise InputError(
            f"{_text(node)} compares {_sort(left)} with {_sort(right)}.",
            hint="Text stands in single quotes, numbers, true and false without; a date is written '2024-05-06'.",
        )


def _check_names_column(node: "Expr", left: Any, right: Any) -> None:
    if all(isinstance(value, pa.Scalar) and _sort(value) == "text" for value in (left, right)):
        raise InputError(
            f"{_text(node)} compares a text with a text, and no column.",
            hint=f'A column stands in double quotes, or in none where it is one word: "{left.as_py()}"',
        )


def _as_date(value: Any, *, of: Any, node: "Expr") -> Any:
    """Read a text that is compared with dates as one of them, in their own time zone where it tells none."""
    if not isinstance(value, pa.Scalar) or _sort(value) != "text" or not _sort(of).startswith("a date"):
        return value
    is_day, zone = pa.types.is_date(of.type), getattr(of.type, "tz", None)
    kinds = [pa.date32()] if is_day else [pa.timestamp(unit, zone) for unit in _PRECISE]
    read = _first_of(value, kinds)
    if read is None and zone is not None:
        local = _first_of(value, [pa.timestamp(unit) for unit in _PRECISE])
        read = None if local is None else _in_zone(local, zone, node)
    if read is None:
        example = "'2024-05-06'" if is_day else "'2024-05-06' or '2024-05-06 07:08:09'"
        raise InputError(f"{_text(node)}: {value.as_py()!r} is no date.", hint=f"Write it as {example}.")
    return read


def _first_of(text: Any, kinds: list[Any]) -> Any:
    for kind in kinds:
        with contextlib.suppress(pa.ArrowInvalid):
            return text.cast(kind)
    return None


def _in_zone(local: Any, zone: str, node: "Expr") -> Any:
    try:
        return pc.assume_timezone(local, zone)
    except pa.ArrowInvalid as error:  # the clocks were changed at that time
        raise InputError(
            f"{_text(node)}: a clock in {zone} shows that time twice or never.",
            hint="Write it with its offset, such as '2024-10-27 02:30:00+01:00'.",
        ) from error


def _is_in(node: "Expr", of: Of) -> Any:
    value, choices = of(node.this), [of(one) for one in node.expressions]
    if not all(isinstance(choice, pa.Scalar) for choice in choices):
        raise InputError(f"A filter can't hold this: {_text(node)}", hint="Between ( and ) stand values, not columns.")
    choices = [_as_date(choice, of=value, node=node) for choice in choices]
    for choice in choices:
        _check_sorts(node, value, choice)
    if pa.types.is_null(value.type):
        return pa.scalar(None, pa.bool_())
    known = [choice for choice in choices if choice.is_valid]
    found = is_in(value, known)
    is_told = pc.is_valid(value) if len(known) == len(choices) else pc.and_(pc.is_valid(value), found)
    return pc.if_else(is_told, found, pa.scalar(None, pa.bool_()))


def _is_between(node: "Expr", of: Of) -> Any:
    value = of(node.this)
    low, high = of(node.args["low"]), of(node.args["high"])
    return pc.and_kleene(_compared(node, (value, low), "greater_equal"), _compared(node, (value, high), "less_equal"))


def _is_like(node: "Expr", of: Of, *, ignore_case: bool) -> Any:
    value, pattern = of(node.this), of(node.expression)
    _check_names_column(node, value, pattern)
    sorts = {_sort(value), _sort(pattern)}
    if not isinstance(pattern, pa.Scalar) or not sorts <= {"text", "null"}:
        raise InputError(f"{_text(node)}: a column of text is like a text.", hint="Such as: camera like 'Canon%'")
    if "null" in sorts:
        return pa.scalar(None, pa.bool_())
    return pc.match_like(value, pattern.as_py(), ignore_case=ignore_case)


def _is_null(node: "Expr", of: Of) -> Any:
    if node.expression.key != "null":
        raise InputError(f"A filter can't hold this: {_text(node)}", hint="After `is` stands null or not null.")
    return pc.is_null(of(node.this))


def _negate(node: "Expr", of: Of) -> Any:
    value = of(node.this)
    if not isinstance(value, pa.Scalar) or _sort(value) != "a number":
        raise InputError(f"A filter can't hold this: {_text(node)}", hint=FILTER_HINT)
    return negate(value)


def _literal(node: "Expr", _of: Of) -> Any:
    if node.args["is_string"]:
        return pa.scalar(node.name)
    try:
        return to_number(node.name)
    except ValueError as error:
        raise InputError(f"A filter can't hold this: {_text(node)} is no number.", hint=FILTER_HINT) from error


@dataclasses.dataclass(frozen=True)
class _Node:
    """What a filter may hold.

    Attributes:
        parts: Names of what sqlglot may give it; with others it says more than we know.
        compute: Gives its value.
    """

    parts: tuple[str, ...]
    compute: Callable[["Expr", Of], Any]


def _comparison(by: str) -> _Node:
    return _Node(("this", "expression"), functools.partial(_compare, by=by))


def _junction(by: Callable[[Any, Any], Any]) -> _Node:
    def compute(node: "Expr", of: Of) -> Any:
        # A chain of hundreds is deep on its left; flatten goes through it without recursion.
        return functools.reduce(by, (_condition(part, of) for part in node.flatten()))

    return _Node(("this", "expression"), compute)


_NODES = {
    "and": _junction(pc.and_kleene),
    "or": _junction(pc.or_kleene),
    "not": _Node(("this",), lambda node, of: pc.invert(_condition(node.this, of))),
    "paren": _Node(("this",), lambda node, of: of(node.this)),
    "eq": _comparison("equal"),
    "neq": _comparison("not_equal"),
    "lt": _comparison("less"),
    "lte": _comparison("less_equal"),
    "gt": _comparison("greater"),
    "gte": _comparison("greater_equal"),
    "in": _Node(("this", "expressions"), _is_in),
    "between": _Node(("this", "low", "high"), _is_between),
    "like": _Node(("this", "expression"), functools.partial(_is_like, ignore_case=False)),
    "ilike": _Node(("this", "expression"), functools.partial(_is_like, ignore_case=True)),
    "is": _Node(("this", "expression"), _is_null),
    "neg": _Node(("this",), _negate),
    "literal": _Node(("this", "is_string"), _literal),
    "boolean": _Node(("this",), lambda node, _of: pa.scalar(node.this)),
    "null": _Node((), lambda _node, _of: pa.scalar(None)),
}
"""sqlglot's name of each part of a condition that a filter may hold, beside columns."""


def _text(node: "Expr") -> str:
    return shorten(node.sql(dialect=DIALECT))


def shorten(text: str) -> str:
    """Give the beginning of a text that is long, for a message."""
    return truncate(text, most=_SHOWN)
