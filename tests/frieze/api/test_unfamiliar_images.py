import logging

import pytest

from frieze.api.predicting import _note_unfamiliar


@pytest.mark.parametrize(
    ("rows", "n_unfamiliar", "is_noted"),
    [(1, 1, False), (3, 3, True), (20, 3, False), (20, 8, True), (10_000, 700, False), (10_000, 1_100, True)],
)
def test_unfamiliar_images_are_noted_where_they_are_many(caplog, rows, n_unfamiliar, is_noted):
    """A note says that images are unlike the training images where chance does not explain their number."""
    caplog.set_level(logging.WARNING, "frieze.notes")
    _note_unfamiliar({"rows": rows, "n_unfamiliar": n_unfamiliar})
    assert ["less like the head's training images" in message for message in caplog.messages] == [True] * is_noted


def test_a_head_that_does_not_know_its_training_images_is_silent(caplog):
    """A head of an earlier version gives no such note."""
    _note_unfamiliar({"rows": 100, "n_unfamiliar": None})
    assert caplog.messages == []
