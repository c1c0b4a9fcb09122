import numpy as np
import pytest

from frieze.classifiers import HeadConfig
from frieze.classifiers.config import FitOptions, Network
from frieze.core import InputError


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"layers": (0,)}, "--layers 256,128"),
        ({"layers": (20_000,)}, "--layers 256,128"),
        ({"layers": (8,) * 9}, "--layers 256,128"),
        ({"dropout": 1.0}, "--dropout 0.3"),
        ({"dropout": -0.1}, "--dropout 0.3"),
        ({"epochs": 0}, "--epochs 100"),
        ({"patience": 0}, "--patience 5"),
    ],
)
def test_a_network_that_can_not_be(options, hint):
    """Layers, dropout, epochs and patience out of range are refused with what can be typed."""
    with pytest.raises(InputError) as caught:
        Network(**options)
    assert hint in caught.value.hint


def test_only_a_network_has_layers():
    """What shapes a network is refused for another head, not ignored."""
    with pytest.raises(InputError, match="A linear head has no layers") as caught:
        HeadConfig("linear", network=Network(dropout=0.5))
    assert "--head keras" in caught.value.hint


def test_weights_go_with_rows():
    """The terms for some rows have the weights of these."""
    options = FitOptions(np.arange(5, dtype="f4"), seed=3).take(np.array([4, 1]))
    assert (options.weights.tolist(), options.seed) == ([4, 1], 3)
    assert FitOptions().take(np.array([0])).weights is None
