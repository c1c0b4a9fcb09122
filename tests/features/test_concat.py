import datetime as dt

import pyarrow as pa
import pytest

from frieze.features.concat import join_rows


@pytest.mark.parametrize(
    ("old", "new", "joined"),
    [
        ([1999], ["unknown"], ["1999", "unknown"]),
        ([True], ["maybe"], ["true", "maybe"]),
        ([dt.date(2020, 1, 2)], ["soon"], ["2020-01-02", "soon"]),
        ([[1, 2]], [["é"]], ["[1, 2]", '["é"]']),
        ([{"a": 1}], [{"a": "x"}], ['{"a": 1}', '{"a": "x"}']),
        ([b"\xff"], [1], ["\"b'\\\\xff'\"", "1"]),
        ([2**60 + 1], [0.5], [str(2**60 + 1), "0.5"]),
        ([None, 7], ["x"], [None, "7", "x"]),
    ],
)
def test_clashing_types(old, new, joined):
    """Values of types that don't go together become text, and no value is lost."""
    assert join_rows([pa.table({"a": old}), pa.table({"a": new})])["a"].to_pylist() == joined


def test_dictionary_and_text():
    """A column of categories and one of text are text."""
    joined = join_rows([pa.table({"a": pa.array(["x"]).dictionary_encode()}), pa.table({"a": ["y"]})])
    assert (joined["a"].type, joined["a"].to_pylist()) == (pa.string(), ["x", "y"])


def test_only_what_clashes():
    """Beside a column that clashes, others keep their type; where they are missing they are null."""
    joined = join_rows([pa.table({"a": [1], "b": [2]}), pa.table({"a": ["x"], "c": [0.5]})])
    assert joined.to_pylist() == [{"a": "1", "b": 2, "c": None}, {"a": "x", "b": None, "c": 0.5}]


def test_numbers_stay_numbers():
    """Whole numbers and fractions go together."""
    assert join_rows([pa.table({"a": [1]}), pa.table({"a": [0.5]})])["a"].to_pylist() == [1.0, 0.5]
