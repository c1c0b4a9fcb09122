"""Tune search parameters: find the least `nprobe` or `efSearch` that reaches a recall, and the fastest combination."""

import bisect
import dataclasses
import math

import numpy as np

from frieze.core import Floats
from frieze.indexing.build.recall import GroundTruth, interval, measure_rate, measure_recall
from frieze.indexing.faiss_layer.kinds import KINDS
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams

_FINENESS = 32  # values closer than this fraction are as good; each trial costs 500 searches
_K_FACTORS = (2, 4, 8, 16, 32)
_MAX_EF_SEARCH = 2048
_MIN_GAIN = 0.001  # recall that doubling the search parameter must gain to double it again


@dataclasses.dataclass(frozen=True)
class Tuned:
    """Search parameters and what they measured.

    Attributes:
        search_params: The search parameters.
        recall: Mean recall on the ground truth, in [0, 1].
        meets_target: Whether the recall target is reached, also for queries that were not measured.
        rate: Queries a second, many at once; 0 where the target is missed.
        interval: 95 % confidence interval of the mean recall of other queries.
    """

    search_params: SearchParams
    recall: float
    meets_target: bool
    rate: float = 0.0
    interval: tuple[float, float] = (1.0, 1.0)


def tune(searcher: Searcher, ground_truth: GroundTruth, *, target: float) -> Tuned:
    """Set the fastest search parameters that reach a recall, or those that come nearest where none do.

    Args:
        searcher: Its search parameters are set.
        ground_truth: Queries that recall is measured on.
        target: Recall to reach, in (0, 1].
    """
    best: Tuned | None = None
    for k_factor in _K_FACTORS if KINDS[searcher.kind].is_refined else (1,):
        tuned = _least_search_param(searcher, ground_truth, target=target, k_factor=k_factor)
        if tuned.meets_target:
            searcher.search_params = tuned.search_params
            tuned = dataclasses.replace(tuned, rate=measure_rate(searcher, ground_truth))
        is_slower = best is not None and best.meets_target and tuned.rate <= best.rate
        best = best if best and (best.rate, best.recall) >= (tuned.rate, tuned.recall) else tuned
        if is_slower:
            break
    assert best is not None  # noqa: S101  there is a factor at least
    searcher.search_params = best.search_params
    return best


def tune_at_100(searcher: Searcher, ground_truth: GroundTruth, *, target: float) -> Tuned:
    """Set the search parameters for 100 hits: at least those for ten, and the least that reach the recall.

    Args:
        searcher: Tuned for ten hits; its search parameters for 100 are set.
        ground_truth: Queries that recall is measured on, with 100 answers each.
        target: Recall to reach, in (0, 1].
    """
    at_10, best = searcher.search_params, None
    for k_factor in (at_10.k_factor, *(one for one in _K_FACTORS if one > at_10.k_factor)):
        tuned = _least_search_param(
            searcher, ground_truth, target=target, k_factor=k_factor, at_least=at_10.search_param
        )
        is_better = best is None or (tuned.meets_target, tuned.recall) > (best.meets_target, best.recall)
        best = tuned if is_better else best
        if tuned.meets_target or not KINDS[searcher.kind].is_refined:
            break
    assert best is not None  # noqa: S101  there is a factor at least
    searcher.search_params, searcher.search_params_at_100 = at_10, best.search_params
    return best


def _least_search_param(
    searcher: Searcher, ground_truth: GroundTruth, *, target: float, k_factor: int, at_least: int = 1
) -> Tuned:
    """Find the least search parameter that reaches the recall, within 3 %; the largest one tried where none does.

    Args:
        searcher: Its search parameters are left at those tried last.
        ground_truth: Queries that recall is measured on.
        target: Recall to reach, in (0, 1].
        k_factor: How many times k candidates are rescored.
        at_least: No smaller value is tried.
    """
    trials = _RecallTrials(searcher, ground_truth, k_factor)
    if KINDS[searcher.kind].is_graph:
        # FAISS's graph scores at least as many rows as are requested, however small efSearch is.
        at_least = max(at_least, math.ceil((ground_truth.k + 1) * k_factor / searcher.share))
    value, largest = at_least, max(at_least, _largest_search_param(searcher))
    while not (is_reached := meets_target(trials.measure(value), target)) and value < largest and trials.grows(value):
        value = min(2 * value, largest)
    if is_reached:
        below = max(value // 2, at_least - 1)
        values = range(value, below, -max(1, value // _FINENESS))[::-1]  # the last one is known to reach the recall
        first = bisect.bisect_left(
            values, x=True, hi=len(values) - 1, key=lambda one: meets_target(trials.measure(one), target)
        )
        value = values[first]
    recalls = trials.measure(value)
    return Tuned(SearchParams(value, k_factor), float(recalls.mean()), is_reached, interval=interval(recalls))


def _largest_search_param(searcher: Searcher) -> int:
    if not KINDS[searcher.kind].search_param:
        return 1
    import faiss

    lists = faiss.try_extract_index_ivf(searcher.faiss_index)
    return int(lists.nlist) if lists is not None else _MAX_EF_SEARCH


class _RecallTrials:
    """Recalls measured with one number of rescored candidates, each value of the search parameter once."""

    def __init__(self, searcher: Searcher, ground_truth: GroundTruth, k_factor: int) -> None:
        self._searcher, self._ground_truth, self._k_factor = searcher, ground_truth, k_factor
        self._recalls: dict[int, Floats] = {}

    def measure(self, value: int) -> Floats:
        """Set a value on the searcher and measure the recall of each query, float32 [Q]."""
        if value not in self._recalls:
            self._searcher.search_params = SearchParams(value, self._k_factor)
            self._recalls[value] = measure_recall(self._searcher, self._ground_truth)
        return self._recalls[value]

    def grows(self, value: int) -> bool:
        """Return whether doubling to a value gained recall: where it did not, too few candidates are rescored."""
        before = self._recalls.get(value // 2)
        if before is None or self._k_factor == 1:
            return True
        return float(self._recalls[value].mean() - before.mean()) > _MIN_GAIN


def meets_target(recalls: Floats, target: float) -> bool:
    """Return whether the mean recall of other queries will reach a target too: the mean less two standard errors."""
    return float(recalls.mean() - 2 * recalls.std() / np.sqrt(len(recalls))) >= target
