"""Comparing values of different types by what they are worth: none is rounded, but where one of them is a float.

The rules are DuckDB's. A number that is written without an exponent is exact, whatever its digits; one with an exponent
is a float of 64 bits. A float of 32 bits meets exact numbers as such a float. Times are counted in seconds.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_DAY_S = 86_400
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""How many of a timestamp's units a second has."""
_NANOSECONDS = 9  # digits behind the point of a time in seconds
_DIGITS = 76  # of Arrow's widest decimal
_EXACT = Context(prec=2 * _DIGITS)
_MIRRORED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}


def to_number(text: str) -> Any:
    """Read a number as it is written in a filter.

    Returns:
        An Arrow scalar: exact, or a float where it has an exponent or more digits than Arrow can hold.

    Raises:
        ValueError: It is no number.

    >>> to_number("18446744073709551615").type, to_number("1e3").type
    (Decimal128Type(decimal128(20, 0)), DataType(double))
    """
    digits = sum(letter.isdecimal() for letter in text)
    is_exact = digits <= _DIGITS and set(text) <= set("0123456789._")
    return pa.scalar(Decimal(text) if is_exact else float(text))


def negate(number: Any) -> Any:
    """Give a scalar with its sign changed; it keeps its type."""
    value = number.as_py()
    return pa.scalar(value.copy_negate() if isinstance(value, Decimal) else -value, number.type)


def compare(left: Any, right: Any, by: str) -> Any:
    """Compare two columns, a column and a literal, or two literals of one sort.

    Args:
        left: An Arrow array [N] or scalar.
        right: The same.
        by: Name of pyarrow.compute's function, such as `less_equal`.

    Returns:
        Booleans [N], or one; null where one of the two is.

    Raises:
        pa.ArrowException: Arrow can't compare them.
    """
    if _is_literal(left) and not _is_literal(right):
        left, right, by = right, left, _MIRRORED.get(by, by)
    if left.type == right.type or not (_is_counted(left.type) and _is_counted(right.type)):
        return getattr(pc, by)(left, right)
    if (kind := _to_meet(left.type, right.type)) is not None:
        return getattr(pc, by)(_as_float(left, kind), _as_float(right, kind))
    if _is_literal(right) and not _is_literal(left):
        return _compare_with(left, right, by)
    scale = max(_scale(left.type), _scale(right.type))
    return getattr(pc, by)(_as_decimal(left, scale), _as_decimal(right, scale))


def is_in(column: Any, choices: Sequence[Any]) -> Any:
    """Tell which values of a column are among some.

    Args:
        column: An Arrow array [N] or scalar.
        choices: Scalars of its sort, none null.

    Returns:
        Booleans [N], or one; false where the value is null.
    """
    wanted: dict[Any, list[Any]] = {column.type: []}
    for choice in choices:
        kind = _to_meet(column.type, choice.type) or column.type
        value = _as_float(choice, kind) if pa.types.is_floating(kind) else _fit(choice, kind)
        wanted.setdefault(kind, []).extend([] if value is None else [value.as_py()])
    found = [_is_among(column, values, kind) for kind, values in wanted.items()]
    return found[0] if len(found) == 1 else pc.or_(*found)  # at most as floats, too


def _is_among(column: Any, values: list[Any], kind: Any) -> Any:
    seen = column if column.type == kind else _as_float(column, kind)
    return pc.is_in(seen, value_set=pa.array(values, kind), skip_nulls=True)


def _is_literal(value: Any) -> bool:
    return isinstance(value, pa.Scalar)


def _is_exact(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind))


def _is_counted(kind: Any) -> bool:
    return _is_exact(kind) or _is_time(kind) or pa.types.is_floating(kind)


def _to_meet(*kinds: Any) -> Any:
    """Give the type of floats in which two types of numbers meet; None where neither is one."""
    floats = [kind for kind in kinds if pa.types.is_floating(kind)]
    return max(floats, key=lambda kind: kind.bit_width, default=None)


def _as_float(value: Any, kind: Any) -> Any:
    if pa.types.is_decimal(value.type):  # Arrow rounds to the nearest from text alone (seen in 26)
        value = value.cast(pa.string()).cast(pa.float64())
    return value.cast(kind, safe=False)


def _scale(kind: Any) -> int:
    return _NANOSECONDS if _is_time(kind) else max(0, getattr(kind, "scale", 0))


def _as_decimal(value: Any, scale: int) -> Any:
    """Give exact numbers, or times as seconds, with so many digits behind the point."""
    kind = value.type
    if _is_time(kind):
        counted = value.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64()).cast(pa.decimal128(19, 0))
        second = Decimal(_DAY_S) if pa.types.is_date32(kind) else Decimal(1) / _UNITS[kind.unit]
        value = pc.multiply(counted, pa.scalar(second))
    return value.cast(pa.decimal256(_DIGITS, scale))


def _compare_with(column: Any, literal: Any, by: str) -> Any:
    """Compare an exact column with a literal that its type may not have: with the next value below it."""
    if not literal.is_valid:
        return pa.scalar(None, pa.bool_())
    if (fitting := _fit(literal, column.type)) is not None:
        return getattr(pc, by)(column, fitting)
    if by in ("equal", "not_equal"):
        return _all(column, by == "not_equal")
    per_one, least, most, make = _grid(column.type)
    below = math.floor(_count(literal) * per_one)
    is_lower = by.startswith("less")
    if not least <= below <= most:
        return _all(column, is_lower == (below > most))
    return (pc.less_equal if is_lower else pc.greater)(column, make(below))


def _all(column: Any, answer: bool) -> Any:
    return pc.if_else(pc.is_valid(column), answer, pa.scalar(None, pa.bool_()))


def _fit(literal: Any, kind: Any) -> Any:
    """Give a literal in a column's type; None where that has no such value."""
    if literal.type == kind or not _is_counted(kind):
        return literal.cast(kind)
    per_one, least, most, make = _grid(kind)
    steps = _count(literal) * per_one
    return make(int(steps)) if steps.denominator == 1 and least <= steps <= most else None


def _count(literal: Any) -> Fraction:
    """Give what an exact literal is worth; of a time the seconds since 1970."""
    if pa.types.is_timestamp(literal.type):
        return Fraction(literal.value, _UNITS[literal.type.unit])
    return Fraction(literal.value) * _DAY_S if pa.types.is_date32(literal.type) else Fraction(literal.as_py())


def _grid(kind: Any) -> tuple[Fraction, int, int, Callable[[int], Any]]:
    """Tell which values an exact type has.

    Returns:
        How many steps of it make one (of a time, one second), the least and the most steps, and what makes such a
        value of a number of steps.
    """
    if pa.types.is_decimal(kind):
        most = 10**kind.precision - 1
        return (
            Fraction(10) ** kind.scale,
            -most,
            most,
            lambda n: pa.scalar(_EXACT.scaleb(Decimal(n), -kind.scale), kind),
        )
    if pa.types.is_date32(kind):
        return Fraction(1, _DAY_S), -(2**31), 2**31 - 1, lambda n: pa.scalar(n, pa.int32()).cast(kind)
    per_one = Fraction(_UNITS[kind.unit] if pa.types.is_timestamp(kind) else 1)
    if pa.types.is_unsigned_integer(kind):
        return per_one, 0, 2**kind.bit_width - 1, lambda n: pa.scalar(n, kind)
    most = 2 ** (kind.bit_width - 1) - 1
    return per_one, -most - 1, most, lambda n: pa.scalar(n, pa.int64()).cast(kind)
