"""Several opinions on the class of each row, made into one."""

from collections.abc import Sequence

import numpy as np

from classifiers.margins import best_factor
from features import Floats, Rows

_N_STEPS = 100  # after which the weights hardly move
_LEAST = 1e-30  # of a probability, so that what all think impossible divides nothing by nothing


def calibrated(opinion: Floats, codes: Rows) -> Floats:
    """Soften or sharpen probabilities float32 [N, C], each > 0, so that they explain the labels best."""
    return calibrated_margins(np.log(opinion), codes)


def calibrated_margins(margins: Floats, codes: Rows) -> Floats:
    """Give the probabilities float32 [N, C] of margins, at the temperature that explains the labels best."""
    from scipy.special import softmax

    honest: Floats = softmax(best_factor(margins, codes) * margins, axis=1)
    return honest


def likelihood(opinion: Floats, codes: Rows) -> float:
    """Give the mean logarithm of the given labels' probabilities."""
    return float(np.log(np.maximum(opinion[np.arange(len(codes)), codes], _LEAST)).mean(dtype=np.float64))


def pool(opinions: Sequence[Floats], codes: Rows) -> Floats:
    """Give the weighted mean of opinions, whose weights explain the given labels best.

    Which opinion is worth more hangs on the collection: where classes are of several kinds, neighbours know more than a
    linear head does; where the vectors are poor, less.

    Args:
        opinions: float32 [N, C] each, calibrated, by judges that have not seen the labels they are asked about.
        codes: int64 [N], the given labels.

    Returns:
        float32 [N, C]; each row sums to 1 as theirs do.

    Source: Genest and Zidek 1986, Combining Probability Distributions, section 3 (the linear opinion pool); Breiman
    1996, Stacked Regressions (weights from what was held out); Dempster, Laird and Rubin 1977, section 4.3 (the steps).
    """
    own = np.maximum([opinion[np.arange(len(codes)), codes] for opinion in opinions], _LEAST)  # [n, N]
    weights = np.full(len(opinions), 1 / len(opinions))
    for _ in range(_N_STEPS):
        shares = weights[:, None] * own
        weights = (shares / shares.sum(axis=0)).mean(axis=1)
    pooled = np.zeros_like(opinions[0])
    for weight, opinion in zip(weights, opinions, strict=True):
        pooled += np.float32(weight) * opinion
    return pooled
