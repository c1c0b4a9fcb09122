"""Temperature scaling: calibrate probabilities by one factor on the logits."""

import numpy as np

from frieze.core import Floats, Rows

_MIN_PROBABILITY = 1e-30  # keeps the logarithm finite where a class has no probability


def fit_temperature(logits: Floats, codes: Rows) -> float:
    """Fit the temperature T whose softmax(logits / T) explains the labels best, and return 1 / T.

    Args:
        logits: float [N, C]; -inf where the head of a row does not know the class, which then has no part in its row.
        codes: int64 [N], the right column of each row, never one of -inf.

    Returns:
        The factor on the logits, 1 / T > 0. One row in N + 2 is taken to be wrong, so that logits without a mistake do
        not end in certainty.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2 (the temperature); Platt 1999,
    Probabilistic Outputs for Support Vector Machines, section 2.2 (the targets).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    label_noise = 1 / (len(logits) + 2)
    is_known = np.isfinite(logits)
    targets = np.where(is_known, label_noise / (is_known.sum(axis=1, keepdims=True) - 1), 0)
    targets[np.arange(len(codes)), codes] = 1 - label_noise

    def loss(log_factor: float) -> float:
        log_probabilities = np.where(is_known, log_softmax(np.exp(log_factor) * logits, axis=1), 0)
        return -float((targets * log_probabilities).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-10, 10), method="bounded").x))


def calibrate_logits(logits: Floats, codes: Rows) -> tuple[Floats, float]:
    """Calibrate logits [N, C] on their labels int64 [N].

    Returns:
        probabilities: float32 [N, C], the softmax at the temperature that explains the labels best.
        factor: 1 / temperature, > 0.
    """
    from scipy.special import softmax

    factor = fit_temperature(logits, codes)
    return softmax(factor * logits, axis=1).astype(np.float32), factor


def calibrate_probabilities(probabilities: Floats, codes: Rows) -> Floats:
    """Calibrate probabilities float32 [N, C], each > 0, on their labels int64 [N]."""
    return calibrate_logits(np.log(probabilities), codes)[0]


def mean_log_likelihood(probabilities: Floats, codes: Rows) -> float:
    """Compute the mean logarithm of the labels' probabilities; its negative is the log loss."""
    of_labels = probabilities[np.arange(len(codes)), codes]
    return float(np.log(np.maximum(of_labels, _MIN_PROBABILITY)).mean(dtype=np.float64))
