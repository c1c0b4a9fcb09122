"""The history of labels and tags: what changes amount to, undo and redo."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.core import InputError
from frieze.web.labels.history import Change, LabelHistory, check_column


@pytest.fixture
def history():
    """A history without a change."""
    return LabelHistory()


def label(history, ids, text, *, session="me", **fields):
    """Label images of `ids`, one a letter."""
    history.apply(Change(session=session, ids=list(ids), label=text, sets_label=True, **fields))


def step(history, action, session="me"):
    """Undo or redo the last change of a session."""
    key = history.last(is_undo=action == "undo", session=session)
    return history.apply(Change(action=action, session=session, of=key))


def labels(history):
    """Return the labels by image."""
    return {name: image.labels["label"] for name, image in history.images.items()}


def test_the_last_label_holds(history):
    """Of several labels the last one holds, and null takes an image's label back."""
    for ids, text in (("ab", "cat"), ("bc", "dog"), ("a", None)):
        label(history, ids, text)
    assert labels(history) == {"b": "dog", "c": "dog"}


def test_columns_and_tags(history):
    """Columns do not touch each other, nor do tags touch labels."""
    label(history, "a", "cat")
    label(history, "a", "yes", column="sharp", is_held_out=True)
    history.apply(Change(ids=["a"], add=["night", "far"]))
    history.apply(Change(ids=["a"], remove=["night"]))
    image = history.images["a"]
    assert (image.labels, image.tags, image.held_out) == ({"label": "cat", "sharp": "yes"}, ["far"], ["sharp"])


def test_held_out_stays(history):
    """An answer that is held out stays so where it is corrected, until it is taken back."""
    seen = []
    for text, is_held_out in (("yes", True), ("no", False), (None, False), ("no", False)):
        label(history, "a", text, column="sharp", is_held_out=is_held_out)
        seen.append(history.images["a"].held_out if "a" in history.images else None)
    assert seen == [["sharp"], ["sharp"], None, []]


def test_undo_of_one_among_others(history):
    """A session undoes its own last change; what others said since of the same images stays."""
    label(history, "ab", "cat", session="me")
    label(history, "b", "dog", session="other")
    assert step(history, "undo") == ["a", "b"]
    assert labels(history) == {"b": "dog"}
    assert history.can_undo("other")
    assert not history.can_undo("me")


def test_a_new_change_ends_redo(history):
    """What was undone can be redone until the session changes something else."""
    label(history, "a", "cat")
    step(history, "undo")
    label(history, "b", "dog", session="other")
    assert history.can_redo("me")
    label(history, "b", "dog")
    with pytest.raises(InputError, match="nothing to redo"):
        step(history, "redo")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["cat", "dog", None])), min_size=1, max_size=8))
def test_undo_and_redo_without_end(changes):
    """Undone one by one, all changes pass their states backwards, and redone forwards again."""
    history, states = LabelHistory(), [{}]
    for image, text in changes:
        label(history, image, text)
        states.append(labels(history))
    undone = [labels(history) for _ in changes if step(history, "undo")]
    redone = [labels(history) for _ in changes if step(history, "redo")]
    assert undone == states[-2::-1]
    assert redone == states[1:]


def test_a_line_that_names_nothing(history):
    """To undo what is not there, or is undone already, changes nothing."""
    label(history, "a", "cat")
    key = history.last(is_undo=True, session="me")
    step(history, "undo")
    for of in (key, "none", None):
        assert history.apply(Change(action="undo", session="me", of=of)) == []
    step(history, "redo")
    assert labels(history) == {"a": "cat"}


@pytest.mark.parametrize("name", ["id", "Tags", "when", "held_out", "cls", "Image/class/text", "a\nb", " a", "\x00"])
def test_names_of_columns(name):
    """A column can't have the name of another one, one that is read before `label`, or one that can't be printed."""
    with pytest.raises(InputError, match="No column of labels"):
        check_column(name)
