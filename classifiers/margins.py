"""From margins to probabilities: their softmax, at the temperature that makes them honest."""

from typing import ClassVar

import numpy as np

from classifiers.terms import FitMemory
from features import Floats, Rows


class Softmax:
    """What scikit-learn's heads have in common: stored by skops, probabilities are the softmax of margins."""

    file_name: ClassVar[str] = "head.skops"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "skops")
    is_calibrated: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    memory: ClassVar[FitMemory] = FitMemory()
    note: str = ""

    def margins(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D]."""
        raise NotImplementedError

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D], N >= 1; each row sums to 1."""
        from scipy.special import softmax

        found: Floats = softmax(self.margins(embeddings), axis=1)
        return found


def two_sided(margins: Floats) -> Floats:
    """Give [N, 2] margins for [N], those of the second of two classes."""
    return np.column_stack([-margins, margins])


def best_factor(margins: Floats, codes: Rows) -> float:
    """Find the factor on the margins whose softmax explains the labels best.

    Args:
        margins: float [N, C]; -inf where a row's judge does not know the class, which then has no part in its row.
        codes: int64 [N], the right column of each row, never one of -inf.

    Returns:
        One over the temperature, > 0. One row in N + 2 is taken for wrong, so that margins without a mistake do not
        end in certainty.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2 (the temperature); Platt 1999,
    Probabilistic Outputs for Support Vector Machines, section 2.2 (the targets).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    doubt = 1 / (len(margins) + 2)
    is_known = np.isfinite(margins)
    targets = np.where(is_known, doubt / (is_known.sum(axis=1, keepdims=True) - 1), 0)
    targets[np.arange(len(codes)), codes] = 1 - doubt

    def loss(log_factor: float) -> float:
        logs = np.where(is_known, log_softmax(np.exp(log_factor) * margins, axis=1), 0)
        return -float((targets * logs).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-10, 10), method="bounded").x))
