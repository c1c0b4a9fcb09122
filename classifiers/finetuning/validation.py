"""The validation images of a fine-tuning, and the figures of an epoch on them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from frieze.classifiers.calibration import calibrate_probabilities, mean_log_likelihood
from frieze.core import ModelError, Rows

_LEAST_PROBABILITY = 1e-12


@dataclasses.dataclass(frozen=True)
class Validation:
    """The images that choose the epoch.

    Attributes:
        batches: Returns their batches.
        codes: int64 [n], their classes in the same order.
    """

    batches: Callable[[], Any]
    codes: Rows

    def measure(self, predict: Callable[[Any], Any]) -> dict[str, float]:
        """Compute `val_loss`, `val_accuracy` and `val_calibrated_loss` of a network.

        The last is the loss at the temperature that fits these images best. The head that training starts from is
        calibrated on them, as the kept one will be: by its own temperature an epoch is judged as it will be used.

        Args:
            predict: The network: inputs of a batch -> float32 [b, C], its probabilities.

        Raises:
            ModelError: The probabilities are not finite.
        """
        probabilities = np.concatenate([np.asarray(predict(inputs)) for inputs, _ in self.batches()])
        probabilities = np.maximum(probabilities, _LEAST_PROBABILITY)
        if not np.isfinite(probabilities).all():
            raise loss_not_finite()
        calibrated = calibrate_probabilities(probabilities, self.codes)
        return {
            "val_accuracy": float((probabilities.argmax(axis=1) == self.codes).mean()),
            "val_loss": -mean_log_likelihood(probabilities, self.codes),
            "val_calibrated_loss": -mean_log_likelihood(calibrated, self.codes),
        }


def loss_not_finite() -> ModelError:
    """Return the error of a training that diverges."""
    return ModelError(
        "The loss is no longer finite: the steps are too large for this network.",
        hint="Restart with smaller ones: `learning_rate=1e-5, force=True`",
    )
