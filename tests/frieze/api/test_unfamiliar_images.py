import logging

import pytest

from frieze.api.predicting import _note_unfamiliar


@pytest.mark.parametrize("is_unfamiliar", [False, True])
def test_unfamiliar_images_are_noted(caplog, is_unfamiliar):
    """A note says how many images are unlike the training images, where they are more than chance explains."""
    caplog.set_level(logging.WARNING, "frieze.notes")
    _note_unfamiliar({"rows": 2_000, "n_unfamiliar": 900, "is_unfamiliar": is_unfamiliar})
    assert [message.startswith("900 of 2,000 images") for message in caplog.messages] == [True] * is_unfamiliar
