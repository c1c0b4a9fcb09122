"""Filters: a condition in SQL's words over what is known about each row, to the rows that pass it.

sqlglot reads the condition; what stands in `_NODES` is computed by Arrow, all else is refused: nothing of it is run.
"""

import contextlib
import dataclasses
import difflib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import InputError, Rows
from index.rows import StoredRows, to_printable

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

_DIALECT = "duckdb"  # 'text', "column"
_SHOWN = 80  # letters of a condition in a message
_MEND = (
    "A filter compares columns, 'text', numbers, true, false and null with = != < <= > >=, in, between, like, ilike, "
    "is null, and joins these with and, or, not and ( )."
)

Of = Callable[["Expr"], Any]
"""Gives the value of a part of the condition: an Arrow array of N values, or a scalar."""


def find_rows(stored: StoredRows, where: str) -> Rows:
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
        condition = _parse(where)
        columns = _read_columns(stored, condition)
        passed = _condition(condition, functools.partial(_evaluate, columns=columns))
    except RecursionError as error:
        raise InputError("The filter has too many parts inside each other.", mend="Use: COLUMN in (...)") from error
    if isinstance(passed, pa.Scalar):
        return np.arange(len(stored) if passed.as_py() else 0)
    return pc.indices_nonzero(pc.fill_null(passed, False)).to_numpy().astype(np.int64)  # type: ignore[no-any-return]  # noqa: FBT003


def _parse(where: str) -> "Expr":
    import sqlglot
    from sqlglot.errors import ParseError, TokenError
    from sqlglot.expressions import Condition

    asked = to_printable(where)
    try:
        return sqlglot.parse_one(asked, dialect=_DIALECT, into=Condition)
    except TokenError as error:
        mend = "Text stands in single quotes, and a quote inside it is written twice: 'it''s'."
        raise InputError(f"The filter can't be read, for a quote has no end: {_short(asked)}", mend=mend) from error
    except ParseError as error:
        told = error.errors[0] if error.errors else {}
        rest = f"{told.get('highlight') or ''}{told.get('end_context') or ''}"
        place = f"The filter can't be read from here on: {_short(rest)}" if rest else "The filter is empty."
        raise InputError(f"{place}\nThe whole of it: {_short(asked)}" if rest else place, mend=_MEND) from error


def _read_columns(stored: StoredRows, condition: "Expr") -> dict[str, Any]:
    """Give the columns that a condition names, their values in as few types as may be."""
    from sqlglot.expressions import Column

    parts = list(condition.find_all(Column))
    for part in parts:
        if _name(part) not in stored.schema.names:
            raise _unknown(part, stored.schema.names)
    names = sorted({_name(part) for part in parts})
    table = stored.read(names)
    return {name: _simplify(table[name]) for name in names}


def _name(column: "Expr") -> str:
    """Give a column's name; one with dots is taken for a whole, also outside of quotes."""
    return ".".join(part.name for part in column.parts)  # type: ignore[attr-defined]  # a Column has them


def _unknown(column: "Expr", names: list[str]) -> InputError:
    name, mend = _name(column), f"There are: {', '.join(names)}."
    if close := difflib.get_close_matches(name, names, n=3):
        mend = f"Did you mean: {', '.join(close)}?"
    if column.this.args.get("quoted"):
        mend = f"Text stands in single quotes: '{name}'. {mend}"
    return InputError(f"The filter names a column that is not there: {_short(name)}", mend=mend)


def _simplify(values: Any) -> Any:
    """Give a column with its dictionary unpacked, whole numbers in int64, decimals in float64, and NaN as null."""
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
    (pa.types.is_decimal, pa.float64()),
)

_SORTS = {
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    "a number": lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
    "a date": lambda kind: pa.types.is_date(kind) or pa.types.is_timestamp(kind),
    "true or false": pa.types.is_boolean,
    "null": pa.types.is_null,
}
"""What can be compared, each with its own sort; null with all."""


def _sort(value: Any) -> str:
    return next((sort for sort, is_such in _SORTS.items() if is_such(value.type)), str(value.type))


def _evaluate(node: "Expr", columns: dict[str, Any]) -> Any:
    """Compute a part of the condition."""
    if node.key == "column":
        return columns[_name(node)]
    known = _NODES.get(node.key)
    if known is None or {name for name, value in node.args.items() if value} - {*known.parts, "negate"}:
        raise InputError(f"A filter can't hold this: {_text(node)}", mend=_MEND)
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
            mend="Compare it with something, such as: label = 'cat'",
        )
    return value


def _compare(node: "Expr", of: Of, *, by: Callable[[Any, Any], Any]) -> Any:
    return _compared(node, (of(node.this), of(node.expression)), by)


def _compared(node: "Expr", sides: tuple[Any, Any], by: Callable[[Any, Any], Any]) -> Any:
    left, right = (_as_date(value, of=other, node=node) for value, other in (sides, sides[::-1]))
    _check_sorts(node, left, right)
    if pa.types.is_null(left.type) or pa.types.is_null(right.type):
        return pa.scalar(None, pa.bool_())
    try:
        return by(*_meet(left, right))
    except pa.ArrowException as error:
        raise InputError(f"{_text(node)} can't be computed: {error}.", mend=_MEND) from error


def _check_sorts(node: "Expr", left: Any, right: Any) -> None:
    sorts = {_sort(left), _sort(right)} - {"null"}
    if len(sorts) > 1 or not sorts <= set(_SORTS):
        raise InputError(
            f"{_text(node)} compares {_sort(left)} with {_sort(right)}.",
            mend="Text stands in single quotes, numbers, true and false without; a date is written '2024-05-06'.",
        )


def _meet(left: Any, right: Any) -> tuple[Any, Any]:
    """Bring two numbers to one type: that of the column where the other one fits it, else float64."""
    if left.type == right.type or _sort(left) != "a number":
        return left, right
    for value, other in ((left, right), (right, left)):
        if isinstance(value, pa.Scalar) and (fitting := _fit(value, other.type)) is not None:
            return (fitting, other) if value is left else (other, fitting)
    return left.cast(pa.float64(), safe=False), right.cast(pa.float64(), safe=False)


def _fit(value: Any, kind: Any) -> Any:
    """Give a scalar in another type, None where that has no such value; a fraction fits every type of fractions."""
    try:
        return value.cast(kind)
    except pa.ArrowInvalid:
        return None


def _as_date(value: Any, *, of: Any, node: "Expr") -> Any:
    """Read a text that is compared with dates as one of them, in their own time zone where it tells none."""
    kind = of.type
    if not isinstance(value, pa.Scalar) or _sort(value) != "text" or _sort(of) != "a date":
        return value
    try:
        return value.cast(kind)
    except pa.ArrowInvalid as error:
        if (zone := getattr(kind, "tz", None)) is not None:
            with contextlib.suppress(pa.ArrowInvalid):
                return pc.assume_timezone(value.cast(pa.timestamp(kind.unit)), zone)
        example = "'2024-05-06'" if pa.types.is_date(kind) else "'2024-05-06' or '2024-05-06 07:08:09'"
        told = f"{_text(node)}: {value.as_py()!r} is no date."
        raise InputError(told, mend=f"Write it as {example}.") from error


def _is_in(node: "Expr", of: Of) -> Any:
    value, choices = of(node.this), [of(one) for one in node.expressions]
    if not all(isinstance(choice, pa.Scalar) for choice in choices):
        raise InputError(f"A filter can't hold this: {_text(node)}", mend="Between ( and ) stand values, not columns.")
    choices = [_as_date(choice, of=value, node=node) for choice in choices]
    for choice in choices:
        _check_sorts(node, value, choice)
    if pa.types.is_null(value.type):
        return pa.scalar(None, pa.bool_())
    known = [choice for choice in choices if choice.is_valid]
    wanted = [fitting for choice in known if (fitting := _fit(choice, value.type)) is not None]
    found = pc.is_in(value, value_set=pa.array([one.as_py() for one in wanted], value.type))
    is_told = pc.is_valid(value) if len(known) == len(choices) else pc.and_(pc.is_valid(value), found)
    return pc.if_else(is_told, found, pa.scalar(None, pa.bool_()))


def _is_between(node: "Expr", of: Of) -> Any:
    value = of(node.this)
    low, high = of(node.args["low"]), of(node.args["high"])
    return pc.and_kleene(_compared(node, (value, low), pc.greater_equal), _compared(node, (value, high), pc.less_equal))


def _is_like(node: "Expr", of: Of, *, ignore_case: bool) -> Any:
    value, pattern = of(node.this), of(node.expression)
    sorts = {_sort(value), _sort(pattern)}
    if not isinstance(pattern, pa.Scalar) or not sorts <= {"text", "null"}:
        raise InputError(f"{_text(node)}: a column of text is like a text.", mend="Such as: camera like 'Canon%'")
    if "null" in sorts:
        return pa.scalar(None, pa.bool_())
    return pc.match_like(value, pattern.as_py(), ignore_case=ignore_case)


def _is_null(node: "Expr", of: Of) -> Any:
    if node.expression.key != "null":
        raise InputError(f"A filter can't hold this: {_text(node)}", mend="After `is` stands null or not null.")
    return pc.is_null(of(node.this))


def _negate(node: "Expr", of: Of) -> Any:
    value = of(node.this)
    if not isinstance(value, pa.Scalar) or _sort(value) != "a number":
        raise InputError(f"A filter can't hold this: {_text(node)}", mend=_MEND)
    return pc.negate(value)


def _literal(node: "Expr", _of: Of) -> Any:
    if node.args["is_string"]:
        return pa.scalar(node.name)
    number = float(node.name)
    is_whole = node.name.isdecimal() and abs(number) < 2**63
    return pa.scalar(int(node.name) if is_whole else number)


@dataclasses.dataclass(frozen=True)
class _Node:
    """What a filter may hold.

    Attributes:
        parts: Names of what sqlglot may give it; with others it says more than we know.
        compute: Gives its value.
    """

    parts: tuple[str, ...]
    compute: Callable[["Expr", Of], Any]


def _comparison(by: Callable[[Any, Any], Any]) -> _Node:
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
    "eq": _comparison(pc.equal),
    "neq": _comparison(pc.not_equal),
    "lt": _comparison(pc.less),
    "lte": _comparison(pc.less_equal),
    "gt": _comparison(pc.greater),
    "gte": _comparison(pc.greater_equal),
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
    return _short(node.sql(dialect=_DIALECT))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
