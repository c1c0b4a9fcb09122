"""Looking through an index: the judge is the table that it was made of."""

import numpy as np
import pytest

from frieze.core import InputError, unit_rows
from frieze.indexing import (
    column_types,
    count_labels,
    filter_rows,
    label_codes,
    label_rows,
    look_up,
    read_vectors,
    take_rows,
)


@pytest.fixture
def opened(indexes):
    """An exact index by cosine."""
    return indexes("exact", "cosine")


def test_look_up(opened, table):
    """What is known of an image is its row of the table, found by its id alone."""
    row = 17
    known = look_up(opened, table.ids[row])
    assert (known["id"], known["label"]) == (table.ids[row], table.labels[row])
    assert known["uri"] == table.rows["uri"][row].as_py()
    with pytest.raises(InputError, match="has the id nowhere"):
        look_up(opened, "nowhere")


def test_select_and_take(opened, table):
    """Rows that pass a filter come in the order of the table; without a filter all do."""
    assert filter_rows(opened, None).tolist() == list(range(len(table)))
    name = table.ids[3]
    rows = filter_rows(opened, f"id = '{name}'")
    assert [one["id"] for one in take_rows(opened, rows)] == [name]


def test_labels(opened, table):
    """Each label is counted, and its rows are those of the table; null comes last."""
    labels = np.asarray(table.labels, object)
    counts = count_labels(opened)
    assert sum(counts.values()) == len(table)
    for label, n_images in counts.items():
        expected = [row for row, one in enumerate(labels) if one == label]
        assert (len(expected), label_rows(opened, label).tolist()) == (n_images, expected)
    assert list(counts)[-1] is None or None not in counts


def test_label_codes(opened, table):
    """The codes name each row's label; -1 is none."""
    names, codes = label_codes(opened)
    assert [None if code < 0 else names[code] for code in codes] == list(table.labels)
    assert names == sorted(names)


def test_columns(opened):
    """What filters can ask for is named with its type."""
    assert {"id", "label", "uri", "width"} <= set(column_types(opened))


def test_vectors(opened, table):
    """Embeddings of any rows are given in the order asked for, of unit length by cosine."""
    rows = np.array([9, 2, 1999, 2])
    found = np.concatenate(list(read_vectors(opened, rows)))
    assert found == pytest.approx(unit_rows(table.embeddings())[rows], abs=1e-6)
