"""How many hits may have the same value of a column."""

import numpy as np
import pyarrow as pa
import pytest

from frieze.core import InputError
from frieze.indexing.filters.limits import read_limit
from frieze.indexing.storage.row_metadata import RowMetadata, write_rows

COLUMNS = {
    "id": ["a", "b", "c", "d"],
    "label": ["cat", "dog", None, "cat"],
    "shot:2": [1.5, None, None, 1.5],
    "nothing": pa.nulls(4),
    "tags": [["x"], [], None, ["x"]],
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """The metadata of four rows."""
    path = tmp_path_factory.mktemp("limits") / "rows.parquet"
    table = pa.table(COLUMNS)
    labels = table["label"].dictionary_encode()
    write_rows([table.set_column(1, "label", labels)], path)
    return RowMetadata(path, hint="")


@pytest.mark.parametrize(
    ("per", "groups", "most"),
    [
        ("label", [[0, 3], [1], [2]], 1),
        ("label:3", [[0, 3], [1], [2]], 3),
        ("shot:2", [[0, 3], [1, 2]], 1),
        ("shot:2:2", [[0, 3], [1, 2]], 2),
        ("nothing", [[0, 1, 2, 3]], 1),
    ],
)
def test_values(per, groups, most, stored):
    """Rows of equal values have equal numbers, those without one, too; a colon may belong to the column's name."""
    codes, actual = read_limit(stored, per)
    assert actual == most
    assert sorted(np.flatnonzero(codes == code).tolist() for code in np.unique(codes)) == groups


@pytest.mark.parametrize(
    ("per", "message"),
    [
        ("labels", "`per` names an unknown column: labels"),
        ("colour:2", "unknown column: colour:2"),
        ("label:0", "`per` is label:0"),
        ("label:two", "`per` is label:two"),
        ("tags", "The column tags holds list<"),
    ],
)
def test_refusals(per, message, stored):
    """What is no column of single values, or no number above 0, is refused by its name."""
    with pytest.raises(InputError, match=message):
        read_limit(stored, per)
