"""Compare values of different types by their exact value: nothing is rounded, except where one of them is a float.

The rules are DuckDB's. A number written without an exponent is exact, whatever its digits; one with an exponent is a
64-bit float. A 32-bit float is compared with exact numbers as a 32-bit float. Times are counted in seconds.
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
"""Units of a timestamp per second."""
_NANOSECONDS = 9  # digits after the point of a time in seconds
_DIGITS = 76  # digits of Arrow's widest decimal
_EXACT = Context(prec=2 * _DIGITS)
_MIRRORED = {"less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal"}


_SIMPLER = (
    (pa.types.is_string_view, pa.string()),
    (lambda kind: pa.types.is_integer(kind) and kind != pa.uint64(), pa.int64()),
    (pa.types.is_float16, pa.float32()),
    (pa.types.is_date64, pa.date32()),
)


def simplify(values: Any) -> Any:
    """Return a column with its dictionary decoded, integers in 64 bits, and NaN as null."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    for matches, simple in _SIMPLER:
        if matches(values.type):
            values = values.cast(simple)
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    return values


def is_list(kind: Any) -> bool:
    """Return whether a type is one of lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def to_number(text: str) -> Any:
    """Parse a number of a filter.

    Returns:
        An Arrow scalar: exact, or a float where it has an exponent or more digits than Arrow supports.

    Raises:
        ValueError: It is not a number.

    >>> to_number("18446744073709551615").type, to_number("1e3").type
    (Decimal128Type(decimal128(20, 0)), DataType(double))
    """
    digits = sum(character.isdecimal() for character in text)
    is_exact = digits <= _DIGITS and set(text) <= set("0123456789._")
    return pa.scalar(Decimal(text) if is_exact else float(text))


def negate(number: Any) -> Any:
    """Return a scalar with its sign changed and its type kept."""
    value = number.as_py()
    return pa.scalar(value.copy_negate() if isinstance(value, Decimal) else -value, number.type)


def compare(left: Any, right: Any, function: str) -> Any:
    """Compare two columns, a column and a literal, or two literals of one group of types.

    Args:
        left: An Arrow array [N] or scalar.
        right: The same.
        function: Name of pyarrow.compute's function, such as `less_equal`.

    Returns:
        Booleans [N], or one; null where one of the two is.

    Raises:
        pa.ArrowException: Arrow can't compare them.
    """
    if _is_literal(left) and not _is_literal(right):
        left, right, function = right, left, _MIRRORED.get(function, function)
    if left.type == right.type or not (_is_ordered(left.type) and _is_ordered(right.type)):
        return getattr(pc, function)(left, right)
    if (kind := _common_float_type(left.type, right.type)) is not None:
        return getattr(pc, function)(_as_float(left, kind), _as_float(right, kind))
    if _is_literal(right) and not _is_literal(left):
        return _compare_with(left, right, function)
    scale = max(_scale(left.type), _scale(right.type))
    return getattr(pc, function)(_as_decimal(left, scale), _as_decimal(right, scale))


def is_in(column: Any, choices: Sequence[Any]) -> Any:
    """Return which values of a column are among some choices.

    Args:
        column: An Arrow array [N] or scalar.
        choices: Scalars of its group of types, none null.

    Returns:
        Booleans [N], or one; false where the value is null.
    """
    by_type: dict[Any, list[Any]] = {column.type: []}
    for choice in choices:
        kind = _common_float_type(column.type, choice.type) or column.type
        value = _as_float(choice, kind) if pa.types.is_floating(kind) else _convert_exactly(choice, kind)
        by_type.setdefault(kind, []).extend([] if value is None else [value.as_py()])
    matches = [_is_among(column, values, kind) for kind, values in by_type.items()]
    return matches[0] if len(matches) == 1 else pc.or_(*matches)  # in its own type, and at most in one of floats


def _is_among(column: Any, values: list[Any], kind: Any) -> Any:
    converted = column if column.type == kind else _as_float(column, kind)
    return pc.is_in(converted, value_set=pa.array(values, kind), skip_nulls=True)


def _is_literal(value: Any) -> bool:
    return isinstance(value, pa.Scalar)


def _is_exact(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_decimal(kind))


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date32(kind))


def _is_ordered(kind: Any) -> bool:
    return _is_exact(kind) or _is_time(kind) or pa.types.is_floating(kind)


def _common_float_type(*kinds: Any) -> Any:
    """Return the float type in which types of numbers are compared; None where none is a float."""
    floats = [kind for kind in kinds if pa.types.is_floating(kind)]
    return max(floats, key=lambda kind: kind.bit_width, default=None)


def _as_float(value: Any, kind: Any) -> Any:
    if pa.types.is_decimal(value.type):  # Arrow rounds to the nearest only from text (measured with 26)
        value = value.cast(pa.string()).cast(pa.float64())
    return value.cast(kind, safe=False)


def _scale(kind: Any) -> int:
    return _NANOSECONDS if _is_time(kind) else max(0, getattr(kind, "scale", 0))


def _as_decimal(value: Any, scale: int) -> Any:
    """Convert exact numbers, or times as seconds, to decimals with so many digits after the point."""
    kind = value.type
    if _is_time(kind):
        counted = value.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64()).cast(pa.decimal128(19, 0))
        second = Decimal(_DAY_S) if pa.types.is_date32(kind) else Decimal(1) / _UNITS[kind.unit]
        value = pc.multiply(counted, pa.scalar(second))
    return value.cast(pa.decimal256(_DIGITS, scale))


def _compare_with(column: Any, literal: Any, function: str) -> Any:
    """Compare an exact column with a literal that its type may not contain: with the next value below it."""
    if not literal.is_valid:
        return pa.scalar(None, pa.bool_())
    if (fitting := _convert_exactly(literal, column.type)) is not None:
        return getattr(pc, function)(column, fitting)
    if function in ("equal", "not_equal"):
        return _constant(column, function == "not_equal")
    per_one, lowest, highest, make = _value_range(column.type)
    below = math.floor(_exact_value(literal) * per_one)
    is_lower = function.startswith("less")
    if not lowest <= below <= highest:
        return _constant(column, is_lower == (below > highest))
    return (pc.less_equal if is_lower else pc.greater)(column, make(below))


def _constant(column: Any, value: bool) -> Any:
    return pc.if_else(pc.is_valid(column), value, pa.scalar(None, pa.bool_()))


def _convert_exactly(literal: Any, kind: Any) -> Any:
    """Convert a literal to a column's type; None where the type has no such value."""
    if literal.type == kind or not _is_ordered(kind):
        return literal.cast(kind)
    per_one, lowest, highest, make = _value_range(kind)
    steps = _exact_value(literal) * per_one
    return make(int(steps)) if steps.denominator == 1 and lowest <= steps <= highest else None


def _exact_value(literal: Any) -> Fraction:
    """Return the value of an exact literal; of a time the seconds since 1970."""
    if pa.types.is_timestamp(literal.type):
        return Fraction(literal.value, _UNITS[literal.type.unit])
    return Fraction(literal.value) * _DAY_S if pa.types.is_date32(literal.type) else Fraction(literal.as_py())


def _value_range(kind: Any) -> tuple[Fraction, int, int, Callable[[int], Any]]:
    """Return the range and resolution of an exact type.

    Returns:
        Steps per one (of a time, per second), the smallest and the largest number of steps, and the function that
        makes a scalar of a number of steps.
    """
    if pa.types.is_decimal(kind):
        highest = 10**kind.precision - 1
        return (
            Fraction(10) ** kind.scale,
            -highest,
            highest,
            lambda n: pa.scalar(_EXACT.scaleb(Decimal(n), -kind.scale), kind),
        )
    if pa.types.is_date32(kind):
        return Fraction(1, _DAY_S), -(2**31), 2**31 - 1, lambda n: pa.scalar(n, pa.int32()).cast(kind)
    per_one = Fraction(_UNITS[kind.unit] if pa.types.is_timestamp(kind) else 1)
    if pa.types.is_unsigned_integer(kind):
        return per_one, 0, 2**kind.bit_width - 1, lambda n: pa.scalar(n, kind)
    highest = 2 ** (kind.bit_width - 1) - 1
    return per_one, -highest - 1, highest, lambda n: pa.scalar(n, pa.int64()).cast(kind)
