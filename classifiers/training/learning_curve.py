"""Learning curve: the accuracy of a head on parts of its training images, and what more of them would bring."""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, Rows, Strings, counted

Mask = npt.NDArray[np.bool_]

DRAWS = ((1 / 8, 4), (1 / 4, 4), (1 / 2, 3))
"""Shares of the training images that heads are fitted on, and how many draws of each."""

_FORECAST = (2, 4)
_FEWEST_IN_PART, _FEWEST_PER_CLASS, _FEWEST_GROUPS = 16, 2, 16
_FEWEST_HELD_OUT = 5
_LEAST_RISE = 1.3
_N_BOOTSTRAPS = 400
_EXPONENTS: Floats = np.linspace(
    0.05, 0.6, 12, dtype=np.float32
)  # of image classifiers .07 to .5; up to 1.2 gains were forecast too low
_BOUNDS = (0.01, 0.99)  # of the bootstrap, which is too sure where images are few: these hold 95 %, as measured
_LEAST_VARIANCE = 1e-8


@dataclasses.dataclass(frozen=True)
class HeadsOnPart:
    """Heads on some share of the training images.

    Attributes:
        n_train: Images that a draw is fitted on, on average.
        is_right: bool [draws, n], whether each held-out image is predicted right.
    """

    n_train: float
    is_right: Mask


def measure_curve(
    judge: Callable[[Rows], Mask],
    whole: Mask,
    labels: Strings,
    *,
    groups: Rows | None = None,
    held_out_groups: Rows | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit heads on parts of the training rows, and forecast the accuracy with more.

    Args:
        judge: Fits a head on training rows, int64 positions, and returns bool [n], which held-out rows it gets right.
        whole: bool [n], which ones the head on all training rows gets right.
        labels: Class names [N] of the training rows.
        groups: int64 [N]; parts are of whole groups. None for single rows.
        held_out_groups: int64 [n]; intervals are over groups. None for single rows.
        seed: Random seed.

    Returns:
        `points`: `n_train`, `accuracy` (mean over the draws) and `draws`, the fewest images first; `forecast` for two
        and four times as many training images: `n_train`, `accuracy`, and its 95 % interval `low`, `high`; and
        `advice`, a sentence. Both lists are empty where there are too few images for parts of them.
    """
    parts = draw_parts(labels, groups, seed=seed)
    if parts is None:
        of_groups = "" if groups is None else f" in {counted(len(np.unique(groups)), 'group')}"
        advice = f"No learning curve: {counted(len(labels), 'training image')}{of_groups} are too few to fit on parts."
        return {"points": [], "forecast": [], "advice": advice}
    points = [
        HeadsOnPart(float(np.mean([len(rows) for rows in draws])), np.array(list(map(judge, draws)))) for draws in parts
    ]
    points.append(HeadsOnPart(len(labels), whole[None]))
    n_held_out = whole.size if held_out_groups is None else len(np.unique(held_out_groups))
    n_wanted = [len(labels) * times for times in _FORECAST if n_held_out >= _FEWEST_HELD_OUT]
    forecast = forecast_accuracy(points, n_wanted, held_out_groups, seed=seed).tolist()
    known = [
        {"n_train": round(one.n_train), "accuracy": float(one.is_right.mean()), "draws": len(one.is_right)}
        for one in points
    ]
    names = ("n_train", "accuracy", "low", "high")
    more = [dict(zip(names, (n, *row), strict=True)) for n, row in zip(n_wanted, forecast, strict=True)]
    return {"points": known, "forecast": more, "advice": _advise(known, more)}


def _advise(points: list[dict[str, Any]], forecasts: list[dict[str, Any]]) -> str:
    """Say what more training images would bring.

    >>> _advise([{"n_train": 50, "accuracy": 0.7}, {"n_train": 100, "accuracy": 0.8}],
    ...         [{"n_train": 200, "accuracy": 0.86, "low": 0.81, "high": 0.9}])
    'Accuracy by training images: 50 0.700, 100 0.800. With 100 more it would be about 0.860 (0.810 to 0.900).'
    """
    known = ", ".join(f"{one['n_train']:,} {one['accuracy']:.3f}" for one in points)
    if not forecasts:
        return f"Accuracy by training images: {known}. Held-out images are of too few groups for a forecast."
    forecast = forecasts[0]
    n_more = forecast["n_train"] - points[-1]["n_train"]
    interval = f"{forecast['low']:.3f} to {forecast['high']:.3f}"
    with_more = f"With {n_more:,} more it would be about {forecast['accuracy']:.3f} ({interval})."
    return f"Accuracy by training images: {known}. {with_more}"


def draw_parts(labels: Strings, groups: Rows | None, *, seed: int) -> list[list[Rows]] | None:
    """Draw training rows for each share of `DRAWS`: of each class its part, or whole groups.

    Args:
        labels: Class names [N] of the training rows.
        groups: int64 [N]; None for single rows.
        seed: Random seed.

    Returns:
        For each share, the smallest first, the draws: ascending int64 positions. None where a part would be of too few
        images, groups or classes to say anything.
    """
    rng = np.random.default_rng(seed)
    n_classes = len(np.unique(labels))
    if DRAWS[0][0] * len(labels) < max(_FEWEST_IN_PART, _FEWEST_PER_CLASS * n_classes):
        return None
    if groups is not None and len(np.unique(groups)) < _FEWEST_GROUPS:
        return None
    units = np.unique(labels if groups is None else groups, return_inverse=True)[1]
    draw = _draw_rows if groups is None else _draw_groups
    parts = [[draw(units, share, rng) for _ in range(n_draws)] for share, n_draws in DRAWS]
    has_classes = all(len(np.unique(labels[rows])) > 1 for draws in parts for rows in draws)
    sizes = [float(np.mean([len(rows) for rows in draws])) for draws in parts]
    rises = all(_LEAST_RISE * size <= larger for size, larger in itertools.pairwise([*sizes, len(labels)]))
    return parts if has_classes and rises else None  # a group of most images is in nearly all parts


def _draw_rows(codes: Rows, share: float, rng: np.random.Generator) -> Rows:
    """Draw a share of the rows of each class, two of a class at least where it has them."""
    order = np.argsort(codes + rng.random(len(codes)))
    ranks = np.arange(len(order)) - np.searchsorted(codes[order], codes[order])  # of a row within its class
    counts = np.bincount(codes)
    fewest = np.maximum(np.round(share * counts), np.minimum(counts, _FEWEST_PER_CLASS))
    return np.sort(order[ranks < fewest[codes[order]]])


def _draw_groups(groups: Rows, share: float, rng: np.random.Generator) -> Rows:
    """Draw groups until they have a share of the rows."""
    sizes = np.bincount(groups)
    order = rng.permutation(len(sizes))
    n_groups = int(np.searchsorted(sizes[order].cumsum(), share * len(groups))) + 1
    return np.flatnonzero(np.isin(groups, order[:n_groups]))


def forecast_accuracy(points: list[HeadsOnPart], n_wanted: list[int], groups: Rows | None, *, seed: int) -> Floats:
    """Forecast the accuracy with other numbers of training images.

    A power law, error = a + b / n^c with a, b >= 0, is fitted to the mean errors. Its uncertainty is that of the
    held-out images (a bootstrap draws them, or their groups, for all points at once), of the draws of training images,
    and of the exponent, which is drawn by how well the law fits with it.

    Args:
        points: Two or more.
        n_wanted: m numbers of training images.
        groups: int64 [n], the group of each held-out image; None for single images.
        seed: Random seed.

    Returns:
        float64 [m, 3]: accuracy, and the bounds of its 95 % interval.

    Source: Hestness et al. 2017, Deep Learning Scaling is Predictable, Empirically, section 3 (the power law).
    """
    from scipy.special import softmax

    rng = np.random.default_rng(seed)
    errors = _Errors(points, groups)
    drawn = np.array([errors.draw(rng) for _ in range(_N_BOOTSTRAPS)])  # [bootstraps, points]
    law = _PowerLaw(
        n_train=np.array([point.n_train for point in points]),
        n_wanted=np.array(n_wanted, float),
        # That of the points around their mean: what all have in common moves the law, and not its fit.
        variance=np.maximum((drawn - drawn.mean(axis=1, keepdims=True)).var(axis=0), _LEAST_VARIANCE),
    )
    predicted, losses = law.predict(np.array([errors.mean()]))
    middle = 1 - softmax(-losses[0] / 2) @ predicted[0]
    predicted, losses = law.predict(drawn)
    # The Gumbel trick: the largest of log-likelihoods with this noise is a draw by likelihood.
    exponents = (rng.gumbel(size=losses.shape) - losses / 2).argmax(axis=1)
    low, high = np.quantile(1 - predicted[np.arange(len(drawn)), exponents], _BOUNDS, axis=0)
    return np.column_stack([middle, np.minimum(low, middle), np.maximum(high, middle)])


class _Errors:
    """The errors of points on held-out images, which can be drawn again."""

    def __init__(self, points: list[HeadsOnPart], groups: Rows | None) -> None:
        n_images = points[0].is_right.shape[1]
        units = np.arange(n_images) if groups is None else np.unique(groups, return_inverse=True)[1]
        self._sizes = np.bincount(units)
        self._n_draws = [len(one.is_right) for one in points]
        self._starts = np.cumsum([0, *self._n_draws[:-1]])
        wrong = ~np.concatenate([one.is_right for one in points])
        self._wrong: Floats = np.array([np.bincount(units, weights=row) for row in wrong])  # [all draws, units]

    def mean(self) -> Floats:
        """Return the error of each point."""
        return self._average(self._wrong.sum(axis=1) / self._sizes.sum(), np.ones(len(self._wrong), np.int64))

    def draw(self, rng: np.random.Generator) -> Floats:
        """Return the error of each point on images and draws that are drawn with replacement.

        Beside the images (or groups) there are one that all heads get right and one that all get wrong, since errors
        that did not occur are possible (Agresti and Coull 1998 add two of each to an interval).
        """
        n_units = len(self._sizes)
        *times, n_right, n_wrong = rng.multinomial(n_units, np.full(n_units + 2, 1 / (n_units + 2)))
        size = self._sizes.mean()
        counts = np.concatenate([rng.multinomial(n, np.full(n, 1 / n)) for n in self._n_draws])
        n_errors = self._wrong @ np.array(times) + n_wrong * size
        return self._average(n_errors / (times @ self._sizes + (n_right + n_wrong) * size), counts)

    def _average(self, errors: Floats, counts: Rows) -> Floats:
        """Average the errors of all draws within each point, each counted so often."""
        sums = np.add.reduceat(errors * counts, self._starts)
        means: Floats = (sums / self._n_draws).astype(np.float32)
        return means


@dataclasses.dataclass(frozen=True)
class _PowerLaw:
    """error = a + b / n^c, for each exponent c of `_EXPONENTS`.

    Attributes:
        n_train: float [p], where errors are known.
        n_wanted: float [m], where they are not.
        variance: float [p], of the known errors.
    """

    n_train: Floats
    n_wanted: Floats
    variance: npt.NDArray[np.floating[Any]]

    def predict(self, errors: Floats) -> tuple[Floats, Floats]:
        """Fit the law by weighted least squares, with a, b >= 0.

        Args:
            errors: float [B, p].

        Returns:
            predicted: float [B, exponents, m].
            losses: float [B, exponents], the weighted sum of squares.
        """
        weights = 1 / self.variance
        x = self.n_train ** -_EXPONENTS[:, None]  # [exponents, p]
        mean_x, mean_y = x @ weights / weights.sum(), errors @ weights / weights.sum()
        spread = ((x - mean_x[:, None]) ** 2) @ weights
        b = np.maximum(((errors - mean_y[:, None]) * weights) @ (x - mean_x[:, None]).T / spread, 0)
        a = mean_y[:, None] - b * mean_x
        b = np.where(a < 0, (errors * weights) @ x.T / ((x * x) @ weights), b)
        a = np.maximum(a, 0)
        residuals = errors[:, None, :] - a[..., None] - b[..., None] * x
        predicted: Floats = a[..., None] + b[..., None] * self.n_wanted ** -_EXPONENTS[:, None]
        return predicted, (residuals**2) @ weights
