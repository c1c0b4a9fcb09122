import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from frieze.classifiers.data.labelled_examples import labelled_rows
from frieze.core import InputError

IDS = [f"{number:02d}.jpg" for number in range(12)]
LABELS = ["a", "b", None] * 4


def rows(order=range(12), labels=LABELS):
    """Return twelve rows of a table in some order."""
    columns = {"id": IDS, "label": labels, "sha256": [name * 2 for name in IDS], "uri": IDS}
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()}).take(list(order))


def test_rows_without_a_label_are_left_out():
    """Only rows that have a label are examples, each with its own row number."""
    examples = labelled_rows(rows())
    assert examples.rows.tolist() == [0, 1, 3, 4, 6, 7, 9, 10]
    assert examples.labels.tolist() == ["a", "b"] * 4
    assert examples.sha256[0] == "00.jpg00.jpg"


@given(st.permutations(range(12)))
def test_order_of_the_table_does_not_matter(order):
    """Shuffled rows give the same examples in the same order; only the row numbers follow the table."""
    straight, shuffled = labelled_rows(rows()), labelled_rows(rows(order))
    assert shuffled.ids.tolist() == straight.ids.tolist()
    assert shuffled.labels.tolist() == straight.labels.tolist()
    assert np.array(order)[shuffled.rows].tolist() == straight.rows.tolist()


def test_take_chooses_by_place():
    """Taking positions keeps all columns in step."""
    taken = labelled_rows(rows()).take(np.array([2, 0]))
    assert (taken.rows.tolist(), taken.ids.tolist(), taken.labels.tolist()) == (
        [3, 0],
        ["03.jpg", "00.jpg"],
        ["a", "a"],
    )


@pytest.mark.parametrize(
    ("maker", "hint"), [("frieze embed", "SOURCE --labels FILE"), ("frieze import", "VECTORS --label COLUMN")]
)
def test_a_table_without_labels_is_refused(maker, hint):
    """Without any label the message says how the command that made the table takes labels."""
    with pytest.raises(InputError, match="None of the 12 rows has a label") as caught:
        labelled_rows(rows(labels=[None] * 12), maker=maker)
    assert f"{maker} {hint} --out FEATURES" in caught.value.hint
