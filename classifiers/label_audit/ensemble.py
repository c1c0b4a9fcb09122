"""Several opinions on the class of each row, made into one."""

from collections.abc import Sequence

import numpy as np

from frieze.classifiers.calibration import _LEAST, _N_STEPS
from frieze.core import Floats, Rows


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
