"""Evaluate a filter's condition with Arrow; anything else is refused, and nothing of it is run."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, truncate
from frieze.indexing.filters.compare_values import compare, is_in, is_list, negate, simplify, to_number

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

DIALECT = "duckdb"  # 'text', "column"
_MAX_SHOWN = 80  # characters of a condition in a message
_TIME_UNITS = ("ns", "us")  # nanoseconds, which end in 2262; beyond that microseconds
_NANOSECOND_YEARS = {str(year) for year in range(1678, 2262)}  # pyarrow 18 casts others to a wrong time
FILTER_HINT = (
    "A filter compares columns, 'text', numbers, true, false and null with = != < <= > >=, in, between, like, ilike, "
    "is null, 'text' in a column of lists, and joins these with and, or, not and ( )."
)

Evaluate = Callable[["Expr"], Any]
"""Computes the value of a part of the condition: an Arrow array of N values, or a scalar."""


def column_name(column: "Expr") -> str:
    """Return a column's name; a name with dots is one name, also without quotes."""
    return ".".join(part.name for part in column.parts)  # type: ignore[attr-defined]  # a Column has them


_TYPE_GROUPS = {
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "a number": lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind),
    "a date": lambda kind: pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is None),
    "a date with a time zone": lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None,
    "true or false": pa.types.is_boolean,
    "null": pa.types.is_null,
}
"""Groups of types whose values can be compared with each other; null with all."""


def _type_group(value: Any) -> str:
    return next((group for group, contains in _TYPE_GROUPS.items() if contains(value.type)), str(value.type))


def compute(condition: "Expr", columns: dict[str, Any]) -> Any:
    """Compute a condition over columns.

    Args:
        condition: The condition, parsed by sqlglot.
        columns: An Arrow array of N values for each column that it names.

    Returns:
        Which rows pass: an Arrow array of N booleans, or one for all; null where it is unknown.

    Raises:
        InputError: It contains an unsupported expression, or compares values of different types.
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


def _condition(node: "Expr", evaluate: Evaluate) -> Any:
    """Compute a part that must be boolean."""
    value = evaluate(node)
    if pa.types.is_null(value.type):
        return pa.scalar(None, pa.bool_())
    if not pa.types.is_boolean(value.type):
        raise InputError(
            f"{_text(node)} by itself is {_type_group(value)}; a condition must be true or false.",
            hint="Compare it with something, such as: label = 'cat'",
        )
    return value


def _compare(node: "Expr", evaluate: Evaluate, *, by: str) -> Any:
    return _compared(node, (evaluate(node.this), evaluate(node.expression)), by)


def _compared(node: "Expr", sides: tuple[Any, Any], by: str) -> Any:
    left, right = (_as_date(value, compared=other, node=node) for value, other in (sides, sides[::-1]))
    _check_types(node, left, right)
    if pa.types.is_null(left.type) or pa.types.is_null(right.type):
        return pa.scalar(None, pa.bool_())
    try:
        return compare(left, right, by)
    except pa.ArrowException as error:
        raise InputError(f"{_text(node)} can't be computed: {error}.", hint=FILTER_HINT) from error


def _check_types(node: "Expr", left: Any, right: Any) -> None:
    _check_names_column(node, left, right)
    groups = {_type_group(left), _type_group(right)} - {"null"}
    if is_list(left.type) or is_list(right.type):
        raise InputError(
            f"{_text(node)} compares a list with a value.",
            hint="Ask what a list of texts, numbers or dates holds, such as: 'beach' in tags",
        )
    if len(groups) > 1 or not groups <= set(_TYPE_GROUPS):
        raise InputError(
            f"{_text(node)} compares {_type_group(left)} with {_type_group(right)}.",
            hint="Text needs single quotes, numbers, true and false do not; a date is written '2024-05-06'.",
        )


def _check_names_column(node: "Expr", left: Any, right: Any) -> None:
    if all(isinstance(value, pa.Scalar) and _type_group(value) == "text" for value in (left, right)):
        raise InputError(
            f"{_text(node)} compares text with text, and no column.",
            hint=f'A column needs double quotes, or none where it is one word: "{left.as_py()}"',
        )


def _as_date(value: Any, *, compared: Any, node: "Expr") -> Any:
    """Parse a text that is compared with dates as a date, in their time zone where it names none."""
    if (
        not isinstance(value, pa.Scalar)
        or _type_group(value) != "text"
        or not _type_group(compared).startswith("a date")
    ):
        return value
    is_day, zone = pa.types.is_date(compared.type), getattr(compared.type, "tz", None)
    types = [pa.date32()] if is_day else [pa.timestamp(unit, zone) for unit in _TIME_UNITS]
    date = _cast_to_first(value, types)
    if date is None and zone is not None:
        local = _cast_to_first(value, [pa.timestamp(unit) for unit in _TIME_UNITS])
        date = None if local is None else _in_zone(local, zone, node)
    if date is None:
        example = "'2024-05-06'" if is_day else "'2024-05-06' or '2024-05-06 07:08:09'"
        raise InputError(f"{_text(node)}: {value.as_py()!r} is no date.", hint=f"Write it as {example}.")
    return date


def _cast_to_first(text: Any, types: list[Any]) -> Any:
    """Cast a text to the first type that it fits; None where it fits none."""
    for type_ in types:
        if getattr(type_, "unit", "") == "ns" and text.as_py()[:4] not in _NANOSECOND_YEARS:
            continue
        with contextlib.suppress(pa.ArrowInvalid):
            return text.cast(type_)
    return None


def _in_zone(local: Any, zone: str, node: "Expr") -> Any:
    try:
        return pc.assume_timezone(local, zone)
    except pa.ArrowInvalid as error:  # the clocks were changed at that time
        raise InputError(
            f"{_text(node)}: a clock in {zone} shows that time twice or never.",
            hint="Write it with its offset, such as '2024-10-27 02:30:00+01:00'.",
        ) from error


def _is_in(node: "Expr", evaluate: Evaluate) -> Any:
    if node.args.get("field") is not None:
        return _holds(node, evaluate(node.args["field"]), evaluate(node.this))
    value, choices = evaluate(node.this), [evaluate(one) for one in node.expressions]
    if not all(isinstance(choice, pa.Scalar) for choice in choices):
        raise InputError(f"A filter can't hold this: {_text(node)}", hint="Use values, not columns, between ( and ).")
    choices = [_as_date(choice, compared=value, node=node) for choice in choices]
    for choice in choices:
        _check_types(node, value, choice)
    if pa.types.is_null(value.type):
        return pa.scalar(None, pa.bool_())
    valid_choices = [choice for choice in choices if choice.is_valid]
    matches = is_in(value, valid_choices)
    has_null_choice = len(valid_choices) < len(choices)
    is_known = pc.and_(pc.is_valid(value), matches) if has_null_choice else pc.is_valid(value)
    return pc.if_else(is_known, matches, pa.scalar(None, pa.bool_()))


def _holds(node: "Expr", lists: Any, value: Any) -> Any:
    """Return which lists of a column hold a value; null where there is no list."""
    if not is_list(lists.type) or not isinstance(value, pa.Scalar):
        raise InputError(
            f"{_text(node)}: on the left of `in` stands a value, on its right ( ) or a column of lists.",
            hint="Such as: 'beach' in tags",
        )
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    holds = np.zeros(len(lists), bool)
    items = pc.list_flatten(lists)
    if not pa.types.is_null(items.type):
        items, value = simplify(items), _as_date(value, compared=simplify(items), node=node)
        _check_types(node, items, value)
        is_equal = compare(items, value, "equal")
        holds[pc.list_parent_indices(lists).filter(is_equal).to_numpy(zero_copy_only=False)] = True
    return pc.if_else(pc.and_(pc.is_valid(lists), value.is_valid), pa.array(holds), pa.scalar(None, pa.bool_()))


def _is_between(node: "Expr", evaluate: Evaluate) -> Any:
    value = evaluate(node.this)
    low, high = evaluate(node.args["low"]), evaluate(node.args["high"])
    return pc.and_kleene(_compared(node, (value, low), "greater_equal"), _compared(node, (value, high), "less_equal"))


def _is_like(node: "Expr", evaluate: Evaluate, *, ignore_case: bool) -> Any:
    value, pattern = evaluate(node.this), evaluate(node.expression)
    _check_names_column(node, value, pattern)
    groups = {_type_group(value), _type_group(pattern)}
    if not isinstance(pattern, pa.Scalar) or not groups <= {"text", "null"}:
        raise InputError(
            f"{_text(node)}: like compares a column of text with a text.", hint="Such as: camera like 'Canon%'"
        )
    if "null" in groups:
        return pa.scalar(None, pa.bool_())
    return pc.match_like(value, pattern.as_py(), ignore_case=ignore_case)


def _is_null(node: "Expr", evaluate: Evaluate) -> Any:
    if node.expression.key != "null":
        raise InputError(f"A filter can't hold this: {_text(node)}", hint='Use "is null" or "is not null".')
    return pc.is_null(evaluate(node.this))


def _negate(node: "Expr", evaluate: Evaluate) -> Any:
    value = evaluate(node.this)
    if not isinstance(value, pa.Scalar) or _type_group(value) != "a number":
        raise InputError(f"A filter can't hold this: {_text(node)}", hint=FILTER_HINT)
    return negate(value)


def _literal(node: "Expr", _evaluate_part: Evaluate) -> Any:
    if node.args["is_string"]:
        return pa.scalar(node.name)
    try:
        return to_number(node.name)
    except ValueError as error:
        raise InputError(f"A filter can't hold this: {_text(node)} is no number.", hint=FILTER_HINT) from error


@dataclasses.dataclass(frozen=True)
class _Node:
    """A supported expression of a filter.

    Attributes:
        parts: Names of sqlglot's arguments that are supported; with others the expression is refused.
        compute: Computes its value.
    """

    parts: tuple[str, ...]
    compute: Callable[["Expr", Evaluate], Any]


def _comparison(by: str) -> _Node:
    return _Node(("this", "expression"), functools.partial(_compare, by=by))


def _junction(by: Callable[[Any, Any], Any]) -> _Node:
    def compute(node: "Expr", evaluate: Evaluate) -> Any:
        # A chain of hundreds nests deeply on its left; flatten walks it without recursion.
        return functools.reduce(by, (_condition(part, evaluate) for part in node.flatten()))

    return _Node(("this", "expression"), compute)


_NODES = {
    "and": _junction(pc.and_kleene),
    "or": _junction(pc.or_kleene),
    "not": _Node(("this",), lambda node, evaluate: pc.invert(_condition(node.this, evaluate))),
    "paren": _Node(("this",), lambda node, evaluate: evaluate(node.this)),
    "eq": _comparison("equal"),
    "neq": _comparison("not_equal"),
    "lt": _comparison("less"),
    "lte": _comparison("less_equal"),
    "gt": _comparison("greater"),
    "gte": _comparison("greater_equal"),
    "in": _Node(("this", "expressions", "field"), _is_in),
    "between": _Node(("this", "low", "high"), _is_between),
    "like": _Node(("this", "expression"), functools.partial(_is_like, ignore_case=False)),
    "ilike": _Node(("this", "expression"), functools.partial(_is_like, ignore_case=True)),
    "is": _Node(("this", "expression"), _is_null),
    "neg": _Node(("this",), _negate),
    "literal": _Node(("this", "is_string"), _literal),
    "boolean": _Node(("this",), lambda node, _evaluate_part: pa.scalar(node.this)),
    "null": _Node((), lambda _node, _evaluate_part: pa.scalar(None)),
}
"""The supported expressions by sqlglot's name, beside columns."""


def _text(node: "Expr") -> str:
    return shorten(node.sql(dialect=DIALECT))


def shorten(text: str) -> str:
    """Return the beginning of a long text, for a message."""
    return truncate(text, most=_MAX_SHOWN)
