import numpy as np
import pyarrow as pa
import pytest

from frieze.classifiers.multilabel.examples import multilabel_rows
from frieze.core import InputError

LISTS = pa.list_(pa.string())


def rows(lists, kind=LISTS):
    """Return the columns of a table, ids in descending order."""
    names = [f"{number}.jpg" for number in range(len(lists))][::-1]
    return pa.table({"id": names, "sha256": names, "uri": names, "label": pa.array(lists, kind)})


def test_rows_without_a_list_are_left_out():
    """A row with null is unknown, one with an empty list has none of the labels; rows are in the order of their ids."""
    labelled = multilabel_rows(rows([["b"], [], None, ["b", "a", "b"]]))
    assert labelled.examples.ids.tolist() == ["0.jpg", "2.jpg", "3.jpg"]
    assert labelled.examples.rows.tolist() == [3, 1, 0]
    assert labelled.classes.tolist() == ["a", "b"]
    assert labelled.has_label.astype(int).tolist() == [[1, 1], [0, 0], [0, 1]]


def test_rows_are_stratified_by_their_rarest_label():
    """Of several labels the one on the fewest images counts, of none an empty text."""
    labelled = multilabel_rows(rows([["a", "b"], ["b"], ["b", "c"], ["c"], []]))
    assert dict(zip(labelled.examples.rows.tolist(), labelled.examples.labels, strict=True)) == {
        0: "a", 1: "b", 2: "c", 3: "c", 4: ""
    }  # fmt: skip


def test_empty_and_missing_items_are_no_labels():
    """An item of a list that is null or an empty text counts for nothing."""
    assert multilabel_rows(rows([["a", None, ""], ["b"]])).classes.tolist() == ["a", "b"]


@pytest.mark.parametrize("lists", [[None, []], [[""], None]])
def test_without_any_label(lists):
    """A table whose lists are all empty is refused."""
    with pytest.raises(InputError, match="None of the 2 rows has a label"):
        multilabel_rows(rows(lists))


def test_single_labels_are_refused():
    """A column of texts is for heads of one label an image."""
    with pytest.raises(InputError, match="Each image has one label"):
        multilabel_rows(rows(["a", "b"], LISTS.value_type))


def test_taking_rows_and_labels():
    """Rows and labels are selected together with what belongs to them."""
    labelled = multilabel_rows(rows([["a", "b"], ["b"], ["c"]]))
    taken = labelled.take(np.array([2, 0])).take_classes(np.array([True, False, True]))
    assert (taken.examples.ids.tolist(), taken.classes.tolist()) == (["2.jpg", "0.jpg"], ["a", "c"])
    assert taken.has_label.tolist() == [[True, False], [False, True]]
