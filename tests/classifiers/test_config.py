import dataclasses

import numpy as np
import pytest

from frieze.classifiers import FinetuneConfig, HeadConfig
from frieze.classifiers.config import FitOptions, Network
from frieze.core import InputError


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"layers": (0,)}, "`layers='256,128'`"),
        ({"layers": (20_000,)}, "`layers='256,128'`"),
        ({"layers": (8,) * 9}, "`layers='256,128'`"),
        ({"dropout": 1.0}, "`dropout=0.3`"),
        ({"dropout": -0.1}, "`dropout=0.3`"),
        ({"epochs": 0}, "epochs=100"),
        ({"patience": 0}, "patience=5`"),
    ],
)
def test_invalid_networks_are_refused(options, hint):
    """Layers, dropout, epochs and patience out of range are refused with what can be typed."""
    with pytest.raises(InputError) as caught:
        Network(**options)
    assert hint in caught.value.hint


def test_only_a_network_has_layers():
    """What shapes a network is refused for another head, not ignored."""
    with pytest.raises(InputError, match="A linear head has no layers") as caught:
        HeadConfig("linear", network=Network(dropout=0.5))
    assert "`head='keras'`" in caught.value.hint


def test_weights_and_groups_go_with_rows():
    """The options for some rows have the weights and groups of these, or none."""
    options = FitOptions(np.arange(5, dtype="f4"), seed=3, groups=np.arange(5) * 2).take(np.array([4, 1]))
    assert (options.weights.tolist(), options.groups.tolist(), options.seed) == ([4, 1], [8, 2], 3)
    assert FitOptions(seed=3).take(np.array([4, 1])) == FitOptions(seed=3)
    assert FitOptions().take(np.array([0])).weights is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` is 0; it must be at least 1"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"patience": -1}, "`patience` is -1"),
        ({"learning_rate": 0.0}, "The learning rate is 0.0"),
        ({"learning_rate": 1.0}, "The learning rate is 1.0"),
        ({"learning_rate": float("nan")}, "The learning rate is nan"),
        ({"schedule": "linear"}, "Unknown schedule: linear"),
        ({"caches": True}, "can't be augmented"),
    ],
)
def test_invalid_options_are_refused(options, message):
    """Numbers out of range, and kept maps of images that change, are refused with what to type."""
    with pytest.raises(InputError, match=message) as caught:
        FinetuneConfig(**options)
    assert "=" in caught.value.hint or "cosine" in caught.value.hint


def test_cache_without_augmentation():
    """Maps are kept where images stay as they are."""
    assert dataclasses.asdict(FinetuneConfig(caches=True, augments=False))["caches"] is True
