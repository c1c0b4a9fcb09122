"""Figures of an epoch on the validation images; the judge is a fine grid of temperatures in NumPy."""

import numpy as np
import pytest

from frieze.classifiers.finetuning.inputs import Images, batches
from frieze.classifiers.finetuning.validation import Validation
from frieze.core import ModelError, import_keras

RNG = np.random.default_rng(0)
CODES = np.arange(30) % 3
LOGITS = (np.eye(3)[CODES] + RNG.normal(0, 0.8, (30, 3))).astype(np.float32)


def measure(factor=1.0, logits=LOGITS):
    """Measure a network whose probabilities are the softmax of `factor` times the logits."""
    keras = import_keras()
    inputs = keras.Input((3,))
    network = keras.Model([inputs], keras.layers.Softmax()(keras.layers.Rescaling(factor)(inputs)))
    points = Images(lambda positions: logits[positions], [(3,)], "float32")
    return Validation(lambda: batches(points, CODES, np.arange(30), batch_size=8, seed=None), CODES).measure(network)


def losses(factors):
    """Compute the mean log loss at each factor in NumPy, and the loss with one row in 32 taken to be wrong."""
    scaled = np.multiply.outer(factors, LOGITS.astype(float))
    log_probabilities = scaled - np.log(np.exp(scaled).sum(2, keepdims=True))
    right = log_probabilities[:, np.arange(30), CODES]
    targets = np.where(np.eye(3)[CODES] == 1, 31 / 32, 1 / 64)
    return -right.mean(1), -(targets * log_probabilities).sum((1, 2))


def test_loss_and_accuracy_are_those_of_the_network(tf):
    """`val_loss` is the mean log loss of the network as it is, `val_accuracy` the share of right classes."""
    figures = measure()
    assert figures["val_loss"] == pytest.approx(losses([1.0])[0][0], rel=1e-5)
    assert figures["val_accuracy"] == (LOGITS.argmax(1) == CODES).mean()


def test_the_calibrated_loss_is_that_of_the_best_temperature(tf):
    """`val_calibrated_loss` is the loss at the temperature that explains the images best."""
    plain, smoothed = losses(np.geomspace(0.05, 20, 4000))
    assert measure()["val_calibrated_loss"] == pytest.approx(plain[smoothed.argmin()], rel=1e-4)


@pytest.mark.parametrize("factor", [0.1, 8.0])
def test_sharpness_is_not_judged(factor, tf):
    """Logits that are blunter or sharper by a factor have another loss, but the same calibrated one."""
    changed, figures = measure(factor), measure()
    assert changed["val_calibrated_loss"] == pytest.approx(figures["val_calibrated_loss"], rel=1e-3)
    assert changed["val_loss"] > figures["val_loss"] + 0.05


def test_probabilities_that_are_no_numbers(tf):
    """A network that has diverged ends the run with a smaller rate to type."""
    with pytest.raises(ModelError, match="The loss is no longer finite") as caught:
        measure(logits=np.full_like(LOGITS, np.nan))
    assert "`learning_rate=1e-5, force=True`" in caught.value.hint
