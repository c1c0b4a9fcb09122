import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frieze.core import InputError
from frieze.indexing.filters.parse import find_rows
from frieze.indexing.storage.row_metadata import RowMetadata, write_rows

N = 200
_IS_OLD = int(pa.__version__.partition(".")[0]) < 21
_WRITES_VIEWS = pytest.mark.skipif(_IS_OLD, reason="pyarrow 21 is the first")
NEVER_NULL = {"pairs"} if _IS_OLD else set()  # pyarrow 18 writes no null among lists of fixed size
TEXTS = ["cat", "Cat", "dog", "it's", "50%", "a_b", "a.b", "(", "É", "日本", "two\nlines", ""]
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(day) for day in range(5)]
TIMES = [dt.datetime(2024, 1, day, hour) for day in range(1, 4) for hour in (0, 12)]  # noqa: DTZ001  no time zone
VALUES = {
    "label": TEXTS[:4],
    "camera": TEXTS,
    "year": [2018, 2019, 2020, -1],
    "iso": [0.1, 100.0, -2.5, float("nan")],
    "weight": [0.1, 2.5, 16777216.0],
    "is_good": [True, False],
    "day": DAYS,
    "taken": TIMES,
    "odd-name": [1, 2, 3],
    "exif.iso": [1, 2],
}
"""Column -> what stands in it, beside nulls."""
LISTS = {
    "tags": [["cat", "it's"], [], ["dog", None], ["cat", "cat", "É"]],
    "sizes": [[1, 2.5], [300], []],
    "days": [[DAYS[0], DAYS[3]], [DAYS[1]]],
    "pairs": [[1, 2], [3, None]],
}
"""Column of lists -> what stands in it, beside nulls."""
TYPES = {
    "label": pa.dictionary(pa.int32(), pa.string()),
    "camera": pa.large_string(),
    "year": pa.int16(),
    "weight": pa.float32(),
    "day": pa.date32(),
    "taken": pa.timestamp("us"),
    "odd-name": pa.uint64(),
    "tags": pa.list_(pa.string()),
    "sizes": pa.large_list(pa.float32()),
    "days": pa.list_(pa.date32()),
    "pairs": pa.list_(pa.int16(), 2),
}


def columns():
    """200 rows of every type of column, a fifth of each null."""
    rng = np.random.default_rng(0)
    drawn = {
        name: [
            None if rng.random() < 0.2 and name not in NEVER_NULL else values[rng.integers(len(values))]
            for _ in range(N)
        ]
        for name, values in (VALUES | LISTS).items()
    }
    return pa.table({name: pa.array(values, TYPES.get(name)) for name, values in drawn.items()})


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Those rows, stored, with columns that can't be compared."""
    path = tmp_path_factory.mktemp("filters") / "rows.parquet"
    write_rows([columns().append_column("boxes", pa.array([[1]] * N)).append_column("none", pa.nulls(N))], path)
    return RowMetadata(path, hint="")


@pytest.fixture(scope="module")
def judge():
    """DuckDB on the same rows: `judge(where)` gives the numbers of those that pass; NaN is null for it too."""
    table = columns()
    iso = pc.if_else(pc.is_nan(table["iso"]), None, table["iso"])
    table = table.set_column(table.schema.get_field_index("iso"), "iso", iso)
    table = table.set_column(0, "label", table["label"].cast(pa.string())).append_column("n", pa.array(range(N)))
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.register("t", table)
        yield lambda where: [n for (n,) in connection.execute(f"select n from t where {where} order by n").fetchall()]  # noqa: S608


def literal(value):
    """Format a value as an SQL literal."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, int | float) else "'" + str(value).replace("'", "''") + "'"


def quoted(name):
    """Format a column's name, quoted where it has to be."""
    return name if name.replace("_", "").isalpha() else f'"{name}"'


@st.composite
def predicates(draw):
    """One comparison of a column with its own values, others like them, or null."""
    name = draw(st.sampled_from(sorted(VALUES)))
    others = {"year": [2018.5, 40_000], "weight": [0.3, 7], "iso": [100, 0.25], "odd-name": [-1, 2.5]}
    known = [value for value in VALUES[name] if value == value]  # noqa: PLR0124  NaN has no word in SQL
    values = st.sampled_from([literal(value) for value in [*known, *others.get(name, []), None]])
    column, sign = quoted(name), st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
    forms = [
        lambda: f"{column} {draw(sign)} {draw(values)}",
        lambda: f"{draw(values)} {draw(sign)} {column}",
        lambda: f"{column} {draw(NOT)}in ({', '.join(draw(st.lists(values, min_size=1, max_size=4)))})",
        lambda: f"{column} {draw(NOT)}between {draw(values)} and {draw(values)}",
        lambda: f"{column} is {draw(NOT)}null",
    ]
    if name in {"label", "camera"}:
        forms.append(lambda: f"{column} {draw(NOT)}{draw(LIKE)} {literal(draw(PATTERNS))}")
    return draw(st.sampled_from(forms))()


@st.composite
def memberships(draw):
    """Whether a column of lists holds one of its values, another, or null; or has a list at all."""
    name = draw(st.sampled_from(sorted(LISTS)))
    values = sorted({value for values in LISTS[name] for value in values if value is not None})
    value = literal(draw(st.sampled_from([*values, {"sizes": 7, "pairs": 2.5}.get(name, values[0])])))
    return draw(st.sampled_from([f"{value} {draw(NOT)}in {name}", f"{name} is {draw(NOT)}null"]))


NOT = st.sampled_from(["", "not "])
LIKE = st.sampled_from(["like", "ilike"])
PATTERNS = st.one_of(st.text("%_catéÉ.(日\n'", max_size=5), st.sampled_from(TEXTS))
LEAVES = st.one_of(
    predicates(),
    memberships(),
    st.sampled_from(["is_good", "true", "null", "label = camera", "year > weight", "day < taken"]),
)
CONDITIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("{} or {}".format, inner, inner),
        st.builds("not ({})".format, inner),
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("'cat' in label", "on its right"),
        ("label in tags", "on the left of `in` stands a value"),
        ("tags = 'cat'", "compares a list with a value"),
        ("3 in tags", "compares text with a number"),
    ],
)
def test_what_lists_are_not_asked(where, message, stored):
    """A list is asked for a value of its own type; anything else is refused."""
    with pytest.raises(InputError, match=message):
        find_rows(stored, where)


@pytest.mark.parametrize(("values", "expected"), [([[], []], []), ([[None], None], [])])
def test_lists_without_values_hold_none(values, expected, tmp_path):
    """A column whose lists are empty or hold null alone, of whatever type, passes no row."""
    assert find_rows(rows_of(tmp_path, x=pa.array(values)), "'a' in x").tolist() == expected


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=CONDITIONS)
def test_agrees_with_duckdb(where, stored, judge):
    """Whatever the filter, the rows that pass are those that DuckDB finds."""
    assert find_rows(stored, where).tolist() == judge(where)


@pytest.mark.parametrize(
    ("where", "same"),
    [
        ("exif.iso = 1", '"exif.iso" = 1'),
        ("LABEL = 'cat' AND Year = 2018", None),
        ("label == 'cat'", "label = 'cat'"),
        ("label notnull", "label is not null"),
        ("label = 'cat' -- so it is", "label = 'cat'"),
        ("camera like '50\\%'", "camera = '50%'"),
        ("weight = 0.1", "weight > 0.09 and weight < 0.11"),
        ("none = 'a'", "false"),
        ("none is null", "true"),
        ("iso is null", "not iso < 1e9 is not null"),
        ("boxes is not null", "true"),
        ("year in (" + ", ".join(map(str, range(2019, 9_000))) + ")", "year > 2018"),
        (" or ".join(["year = 2020"] * 3_000), "year = 2020"),
        ("year > 99999999999999999999", "false"),
    ],
    ids=lambda where: str(where)[:30],
)
def test_equivalent_filters(where, same, stored):
    """Variants that people write beside plain SQL mean the same; column names are case-sensitive."""
    if same is None:
        with pytest.raises(InputError, match="an unknown column: LABEL"):
            find_rows(stored, where)
    else:
        np.testing.assert_array_equal(find_rows(stored, where), find_rows(stored, same))


def test_rows_are_numbers_in_order(stored):
    """Rows are int64 in ascending order, also where none or all pass."""
    some, nothing, everything = (find_rows(stored, where) for where in ("is_good", "null", "true"))
    assert [rows.dtype for rows in (some, nothing, everything)] == [np.int64] * 3
    assert (np.diff(some) > 0).all()
    assert (len(nothing), everything.tolist()) == (0, list(range(N)))


def rows_of(tmp_path, **named):
    """Store columns of a few values."""
    write_rows([pa.table(named)], tmp_path / "rows.parquet")
    return RowMetadata(tmp_path / "rows.parquet", hint="")


@pytest.mark.parametrize(
    ("values", "where", "expected"),
    [
        (pa.array([2**63 + 1, 1], pa.uint64()), "x > 2", [0]),
        (pa.array([2**62 + 1, 2**62], pa.int64()), f"x = {2**62 + 1}", [0]),
        (pa.array([2**62 + 1, 1], pa.int64()), "x > 1.5", [0]),
        (pa.array(np.array([1.5, 2], np.float16)), "x <= 1.5", [0]),
        (pa.array([decimal.Decimal("1.50"), decimal.Decimal("1.52")]), "x = 1.523 or x = 1.5", [0]),
        pytest.param(pa.array(["a", "b"], pa.string_view()), "x like 'b%'", [1], marks=_WRITES_VIEWS),
        (pa.array(["a", None]).dictionary_encode(), "x != 'b'", [0]),
        (pa.array([0, 86_400_000], pa.date64()), "x > '1970-01-01'", [1]),
        (pa.array([0, 3600], pa.timestamp("s", "UTC")), "x >= '1970-01-01 01:00:00'", [1]),
        (pa.array([0, 3600], pa.timestamp("s", "Europe/Berlin")), "x <= '1970-01-01 01:00:00'", [0]),
        (pa.array([0, 3600], pa.timestamp("s", "UTC")), "x in ('1970-01-01T03:00:00+02:00')", [1]),
    ],
    ids=lambda value: str(getattr(value, "type", "")) or None,
)
def test_types_of_columns(values, where, expected, tmp_path):
    """Text, numbers and dates of every column type are compared by value; time zones count."""
    assert find_rows(rows_of(tmp_path, x=values), where).tolist() == expected


def test_only_its_columns_are_read(stored, monkeypatch):
    """Only the columns that a filter names are read."""
    read, names = stored.read, []
    monkeypatch.setattr(stored, "read", lambda target: names.append(target) or read(target))
    find_rows(stored, "label = 'cat' and (year > 2018 or label is null)")
    assert names == [["label", "year"]]


@pytest.mark.parametrize(
    ("where", "message", "hint"),
    [
        ("lable = 'cat'", "unknown column: lable", "Did you mean: label"),
        ("zzz = 1", "unknown column: zzz", "There are: label, camera"),
        ('label = "zzz"', "unknown column: zzz", "Text needs single quotes: 'zzz'."),
        ("label = zzz", "unknown column: zzz", "Text needs single quotes: 'zzz'. There are: label"),
        ("label in (zzz)", "unknown column: zzz", "Text needs single quotes: 'zzz'."),
        ("label = = 'cat'", "on: = 'cat'\nThe whole filter: label = = 'cat'", "A filter compares"),
        ("label = 'cat' year = 3", "from here on: year = 3", "A filter compares"),
        ("year in (1, 2", "from here on: 2", "A filter compares"),
        ("(year = 1", "from here on: 1", "A filter compares"),
        ("select year", "from here on: select year", "A filter compares"),
        ("  ", "The filter is empty", "A filter compares"),
        ("year = 3 and", "from here on: and", "A filter compares"),
        ("label = 'cat", "a quote is not closed: label = 'cat", "written twice: 'it''s'"),
        ("lower(label) = 'cat'", "can't hold this: LOWER(label)", "A filter compares"),
        ("year + 1 > 3", "can't hold this: year + 1", "A filter compares"),
        ("year in (select 1)", "can't hold this: year IN (SELECT 1)", "A filter compares"),
        ("year = 3; drop table t", "from here on: drop table t", "A filter compares"),
        ("year between symmetric 3 and 1", "can't hold this: (year BETWEEN 3 AND 1", "A filter compares"),
        ("label like 'a' escape 'b'", "can't hold this: label LIKE 'a' ESCAPE", "A filter compares"),
        ("year::text = '3'", "can't hold this: CAST(year AS TEXT)", "A filter compares"),
        ("case when is_good then true end", "can't hold this: CASE", "A filter compares"),
        ("year = ?", "can't hold this: ?", "A filter compares"),
        ("is_good is true", "can't hold this: is_good IS TRUE", 'Use "is null" or "is not null".'),
        ("year in (year)", "can't hold this: year IN (year)", "values, not columns"),
        ("-year = 3", "can't hold this: -year", "A filter compares"),
        ("year = 1e", "can't hold this: 1e is no number", "A filter compares"),
        ("year > 'x'", "year > 'x' compares a number with text", "Text needs single quotes"),
        ("label = 3", "label = 3 compares text with a number", "Text needs single quotes"),
        ("year in (1, 'x')", "compares a number with text", "Text needs single quotes"),
        ("is_good = 1", "compares true or false with a number", "Text needs single quotes"),
        ("boxes = 1", "compares a list with a value", "Ask what a list"),
        ("label between 1 and 2", "compares text with a number", "Text needs single quotes"),
        ("year like '2%'", "year LIKE '2%': like compares a column of text with a text", "Such as: camera like"),
        ("label like camera", "like compares a column of text with a text", "Such as: camera like"),
        ("day > 'May'", "'May' is no date", "Write it as '2024-05-06'."),
        ("day = '2024-01-01 12:00:00'", "is no date", "Write it as '2024-05-06'."),
        ("taken in ('2024-13-01')", "'2024-13-01' is no date", "or '2024-05-06 07:08:09'"),
        ("label", "label by itself is text", "Compare it with something"),
        ("year or is_good", "year by itself is a number", "Compare it with something"),
        ("(" * 2_000 + "is_good" + ")" * 2_000, "nested too deeply", "Use: COLUMN in"),
        ("\udcff = 3", "can't be parsed from here on: \\udcff", "A filter compares"),
    ],
    ids=lambda text: text.encode("ascii", "replace").decode()[:30],
)
def test_mistakes_are_explained(where, message, hint, stored):
    """A filter that can't be parsed or evaluated is refused with the failing part and what to write."""
    with pytest.raises(InputError) as caught:
        find_rows(stored, where)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert str(caught.value).encode()  # can be printed


@pytest.mark.parametrize(
    "where",
    ["'camera' = 'x'", "'camera' like 'x%'", "'camera' in ('x', 'y')", "year > 3 and not 'camera' <> 'x'",
     "'camera' between 'a' and 'b'"],
)  # fmt: skip
def test_text_against_text(where, stored):
    """A text in the place of a column is refused: the result would not depend on any row."""
    with pytest.raises(InputError, match="compares text with text, and no column") as caught:
        find_rows(stored, where)
    assert caught.value.hint.endswith('none where it is one word: "camera"')


@pytest.mark.parametrize(
    "where", ["when = 'x'", "FROM = 'x'", "year > 3 and from in ('x')", "map = 'x'", "case like 'x'"]
)
def test_columns_named_like_keywords(where, tmp_path):
    """The message quotes each such column, and so it can be used."""
    names = ["when", "From", "map", "case"]
    write_rows([pa.table({name: ["x", "y"] for name in names} | {"year": [4, 5]})], tmp_path / "rows.parquet")
    stored = RowMetadata(tmp_path / "rows.parquet", hint="")
    (name,) = [name for name in names if name.lower() in where.lower()]
    with pytest.raises(InputError, match="can't be parsed from here on") as caught:
        find_rows(stored, where)
    assert caught.value.hint.startswith(f'A column named like a keyword of SQL needs double quotes: "{name}".')
    assert find_rows(stored, f"\"{name}\" = 'x'").tolist() == [0]
