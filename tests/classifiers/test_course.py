import dataclasses

import pytest

from frieze.classifiers import FinetuneConfig
from frieze.core import InputError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "--epochs is 0; it must be at least 1"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"patience": -1}, "--patience is -1"),
        ({"learning_rate": 0.0}, "The learning rate is 0.0"),
        ({"learning_rate": 1.0}, "The learning rate is 1.0"),
        ({"learning_rate": float("nan")}, "The learning rate is nan"),
        ({"schedule": "linear"}, "Unknown schedule: linear"),
        ({"caches": True}, "can't be augmented"),
    ],
)
def test_what_makes_no_sense(options, message):
    """Numbers out of range, and kept maps of images that change, are refused with what to type."""
    with pytest.raises(InputError, match=message) as caught:
        FinetuneConfig(**options)
    assert "--" in caught.value.hint or "cosine" in caught.value.hint


def test_cache_without_augmentation():
    """Maps are kept where images stay as they are."""
    assert dataclasses.asdict(FinetuneConfig(caches=True, augments=False))["caches"] is True
