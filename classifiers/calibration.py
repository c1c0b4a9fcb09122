"""Temperature: the factor on the logits that makes probabilities true."""

import numpy as np

from frieze.core import Floats, Rows


def fit_temperature(margins: Floats, codes: Rows) -> float:
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


_N_STEPS = 100  # after which the weights hardly move


_LEAST = 1e-30  # of a probability, so that what all think impossible divides nothing by nothing


def calibrated(opinion: Floats, codes: Rows) -> Floats:
    """Soften or sharpen probabilities float32 [N, C], each > 0, so that they explain the labels best."""
    return calibrated_margins(np.log(opinion), codes)


def calibrated_margins(margins: Floats, codes: Rows) -> Floats:
    """Give the probabilities float32 [N, C] of margins, at the temperature that explains the labels best."""
    from scipy.special import softmax

    honest: Floats = softmax(fit_temperature(margins, codes) * margins, axis=1)
    return honest


def likelihood(opinion: Floats, codes: Rows) -> float:
    """Give the mean logarithm of the given labels' probabilities."""
    return float(np.log(np.maximum(opinion[np.arange(len(codes)), codes], _LEAST)).mean(dtype=np.float64))
