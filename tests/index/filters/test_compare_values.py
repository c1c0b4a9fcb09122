"""Comparisons of different types, judged by DuckDB; NumPy draws values from the ends of each type."""

from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frieze.core import InputError
from frieze.indexing.filters.parse import find_rows
from frieze.indexing.storage.row_metadata import RowMetadata, write_rows

N = 300
EDGES = [0, *(s * 2**power + step for s in (1, -1) for power in (7, 8, 15, 24, 31, 53, 63, 64) for step in (-1, 0, 1))]
SECONDS = [0, -1, 1_700_000_000, 1_720_000_000, -2_000_000_000]
UNITS = {"ms": 10**3, "us": 10**6, "ns": 10**9}
INTEGERS = {str(kind): kind for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())}
INTEGERS |= {str(kind): kind for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())}
DECIMALS = {"price": pa.decimal128(12, 2), "exact": pa.decimal128(30, 5)}
FLOATS = {"float": pa.float32(), "double": pa.float64()}
NAIVE = {unit: pa.timestamp(unit) for unit in UNITS}
ZONED = {"utc": pa.timestamp("ms", "UTC"), "berlin": pa.timestamp("us", "Europe/Berlin")}
TYPES = INTEGERS | DECIMALS | FLOATS | NAIVE | ZONED | {"day": pa.date32()}


def values_of(kind):
    """Values of a column: the ends of its type, and values that differ by its resolution."""
    if pa.types.is_date(kind):
        return [second // 86_400 for second in SECONDS]
    if pa.types.is_timestamp(kind):
        return [second * UNITS[kind.unit] + step for second in SECONDS for step in (-1, 0, 1)]
    if pa.types.is_decimal(kind):
        most, step = 10 ** (kind.precision - kind.scale) - 1, Decimal(1).scaleb(-kind.scale)
        return [Decimal(n) + many * step for n in EDGES if abs(n) < most for many in (-1, 0, 1)] + [Decimal(most)]
    if pa.types.is_floating(kind):
        return [float(n) for n in EDGES] + [0.1, -0.1, float("inf")]
    signed = pa.types.is_signed_integer(kind)
    least, most = (-(2 ** (kind.bit_width - 1)) if signed else 0), 2 ** (kind.bit_width - signed) - 1
    return [n for n in EDGES if least <= n <= most]


def columns():
    """300 rows of every type, an eighth of each null."""
    rng = np.random.default_rng(0)

    def draw(kind):
        values = values_of(kind)
        drawn = [None if rng.random() < 1 / 8 else values[rng.integers(len(values))] for _ in range(N)]
        storage = pa.int32() if pa.types.is_date(kind) else pa.int64() if pa.types.is_timestamp(kind) else kind
        return pa.array(drawn, storage).cast(kind)

    return pa.table({name: draw(kind) for name, kind in TYPES.items()})


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Those rows, stored."""
    path = tmp_path_factory.mktemp("comparing") / "rows.parquet"
    write_rows([columns().append_column("label", pa.nulls(N, pa.string()))], path)
    return RowMetadata(path, hint="")


@pytest.fixture(scope="module")
def judge():
    """DuckDB on the same rows: `judge(where)` gives the numbers of those that pass."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("t", columns().append_column("n", pa.array(range(N))))
        yield lambda where: [n for (n,) in connection.execute(f"select n from t where {where} order by n").fetchall()]  # noqa: S608


WHOLE = [str(n) for n in EDGES]
BETWEEN = [f"{n}.5" for n in EDGES] + [f"{n}.0" for n in EDGES] + ["0.1", "-0.01", "2.675", "18446744073709551615.001"]
ROUGH = ["1e3", "9.007199254740993e15", "1.8446744073709552e19", "-9.223372036854775808e18", "1e-1", "1e39"]
MOMENTS = ["1970-01-01 00:00:00", "2023-11-14 22:13:20", "2023-11-14T22:13:20.001", "2024-07-03 09:46"]
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
NOT = st.sampled_from(["", "not "])


@st.composite
def predicates(draw, names, literals, *, pairs=()):
    """A comparison of a column with a literal on either side, some of them, or another column of `pairs`."""
    name, one = draw(st.sampled_from(sorted(names))), st.sampled_from(literals)
    forms = [
        lambda: f'"{name}" {draw(SIGNS)} {draw(one)}',
        lambda: f'{draw(one)} {draw(SIGNS)} "{name}"',
        lambda: f'"{name}" {draw(NOT)}between {draw(one)} and {draw(one)}',
        lambda: f'"{name}" {draw(NOT)}in ({", ".join(draw(st.lists(one, min_size=1, max_size=4)))})',
        lambda: f'"{name}" {draw(SIGNS)} "{draw(st.sampled_from(sorted(pairs or names)))}"',
    ]
    return draw(st.sampled_from(forms))()


def quoted(texts):
    """Format texts as SQL literals."""
    return [f"'{text}'" for text in texts]


EXACT = predicates(INTEGERS.keys() | DECIMALS.keys(), [*WHOLE, *BETWEEN, "null"])
REAL = predicates(FLOATS, [*WHOLE, *BETWEEN, "null"], pairs=INTEGERS.keys() | DECIMALS.keys() | FLOATS.keys())
APPROXIMATE = predicates(INTEGERS.keys() | FLOATS.keys(), ROUGH)
LOCAL = predicates(NAIVE, quoted([*MOMENTS, "2024-07-03"]), pairs=["ms", "us", "day"])
MICRO = predicates(["us"], quoted(["2024-07-03 09:46:39.999999"]))
FAR = predicates(["ms", "us", "day"], quoted(["0001-01-01", "9999-12-31", "1500-06-01", "2024-07-03"]))
WORLD = predicates(ZONED, quoted([f"{text}{zone}" for text in MOMENTS for zone in ("Z", "+00:00", "-08:00")]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.one_of(EXACT, REAL, APPROXIMATE, LOCAL, MICRO, FAR, WORLD))
def test_agrees_with_duckdb(where, stored, judge):
    """Whatever the types of the two sides, the rows that pass are those that DuckDB finds."""
    assert find_rows(stored, where).tolist() == judge(where)


@pytest.mark.parametrize(
    ("kind", "values", "where", "expected"),
    [
        (pa.uint64(), [2**64 - 1, 2**63 + 1, 2**63], f"x in ({2**63 + 1}, -1)", [1]),
        (pa.uint64(), [2**64 - 1, 2**63 + 1, 2**63], f"x < {2**63 + 1} or x = {2**64}", [2]),
        (pa.uint64(), [2**64 - 1, 2**63 + 1, 2**63], f"x not between {2**63} and {2**63 + 1}", [0]),
        (pa.int64(), [2**53, 2**53 + 1], f"x in ({2**53 + 1}.0, 1e3)", [1]),
        (pa.int64(), [2**53, 2**53 + 1], "x < 1" + "0" * 80, [0, 1]),
        (pa.int64(), [1_000, 1], "x = 1_000", [0]),
        (pa.decimal256(60, 1), [Decimal(10) ** 50, Decimal("0.1")], f"x > {10**49}.05 and x != 0.10", [0]),
        (pa.timestamp("ms"), [1_700_000_000_001, 1_700_000_000_002], "x > '2023-11-14 22:13:20.0011'", [1]),
        (pa.timestamp("ms"), [1_700_000_000_001], "x = '2023-11-14 22:13:20.0010000001'", InputError),
        (pa.timestamp("ns"), [0, 10**18], "x < '9999-12-31' and x > '0001-01-01'", [0, 1]),
        (pa.timestamp("s", "Europe/Berlin"), [1_698_539_400], "x = '2023-10-29 02:30:00+02:00'", [0]),
        (pa.timestamp("s", "Europe/Berlin"), [1_698_539_400], "x = '2023-10-29 02:30:00'", InputError),
        (pa.timestamp("s", "Europe/Berlin"), [1_720_000_000], "x = '2024-07-03 11:46:40'", [0]),
        (pa.timestamp("s", "UTC"), [0], "x > day", InputError),
    ],
)
def test_what_duckdb_rounds_or_refuses(kind, values, where, expected, tmp_path):
    """Literals are never rounded to a column's type; ambiguous local times are refused."""
    storage = pa.int64() if pa.types.is_timestamp(kind) else kind
    day = pa.array([0] * len(values), pa.date32())
    write_rows([pa.table({"x": pa.array(values, storage).cast(kind), "day": day})], tmp_path / "rows.parquet")
    if expected is InputError:
        with pytest.raises(InputError, match=r"no date|twice or never|a date with a time zone with a date"):
            find_rows(RowMetadata(tmp_path / "rows.parquet", hint=""), where)
    else:
        assert find_rows(RowMetadata(tmp_path / "rows.parquet", hint=""), where).tolist() == expected
