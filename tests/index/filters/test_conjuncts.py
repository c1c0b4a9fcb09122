"""A filter taken apart: the conditions that it joins with `and`, which together find the same rows."""

import pyarrow as pa
import pytest

from frieze.indexing.filters.conjuncts import join_filters, quote_column, quote_text, split_filter
from frieze.indexing.filters.parse import find_rows
from frieze.indexing.storage.row_metadata import RowMetadata, write_rows


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Rows with texts and numbers, some of them missing."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    columns = {"id": ["a", "it's", "c", "d"], "label": ["x", "y", None, "x"], "width": [1.5, -3.5, 2e-3, None]}
    write_rows([pa.table(columns | {'say "a.b"': ["p", "q", "p", None], "case": [1, 2, 3, 4]})], path)
    return RowMetadata(path, hint="")


@pytest.mark.parametrize(
    ("where", "parts"),
    [
        ("label = 'x'", ["label = 'x'"]),
        ("label = 'x' AND (width > 1 and not id LIKE 'A%')", ["label = 'x'", "width > 1", "not id like 'A%'"]),
        ("label is null or width <= 2e-3", ["(label is null or width <= 2e-3)"]),
        ("id in ('it''s', 'c') and width between -4 and 1.50", ["id in ('it''s', 'c')", "width between -4 and 1.50"]),
        ("label is not null and id ilike 'A' and width <> -3.5", None),
        ('not (label = \'x\' and width > 1) and "say ""a.b""" = \'p\'', None),
        ("\"case\" >= 2 and id not in ('a') and label not like 'y'", None),
        ("label = 'LIKE AND in' and true", ["label = 'LIKE AND in'", "true"]),
    ],
)
def test_the_parts_find_the_same(stored, where, parts):
    """The conditions are told as they were typed, in small letters, and joined again find the same rows."""
    split = split_filter(stored, where)
    assert parts is None or [one.sql for one in split] == parts
    assert find_rows(stored, join_filters(one.sql for one in split)).tolist() == find_rows(stored, where).tolist()


def test_columns(stored):
    """Each condition knows the columns that it names."""
    split = split_filter(stored, "(label = 'x' or width > 1) and id = 'a' and 1 < 2")
    assert [set(one.columns) for one in split] == [{"label", "width"}, {"id"}, set()]


@pytest.mark.parametrize("name", ["id", "case", 'say "a.b"'])
def test_quoted_columns(stored, name):
    """A quoted name and text are read as what they are."""
    assert split_filter(stored, f"{quote_column(name)} is null")[0].columns == {name}
    assert find_rows(stored, f"id = {quote_text(chr(105) + 't' + chr(39) + 's')}").tolist() == [1]
