"""Finding how hard an index has to look for a recall, and at which effort it is fastest."""

import bisect
import dataclasses
import math

import numpy as np

from frieze.core import Floats
from frieze.indexing.build.recall import Probe, interval, measure_rate, measure_recall
from frieze.indexing.faiss_layer.kinds import KINDS
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams

_FINENESS = 32  # efforts closer than this part are as good; each trial costs 500 searches
_K_FACTORS = (2, 4, 8, 16, 32)
_LARGEST_EF = 2048
_STILL = 0.001  # what looking twice as hard has to find for it to go on


@dataclasses.dataclass(frozen=True)
class Tuned:
    """An effort and what it gives.

    Attributes:
        effort: How hard the index looks.
        recall: Mean recall measured on the probe, in [0, 1].
        does: Whether the recall wanted is reached, also by queries that were not measured.
        rate: Queries a second, many at once; 0 where the recall is not reached.
        interval: Where the mean recall of other queries lies, by 95 %.
    """

    effort: SearchParams
    recall: float
    does: bool
    rate: float = 0.0
    interval: tuple[float, float] = (1.0, 1.0)


def tune(searcher: Searcher, probe: Probe, *, target: float) -> Tuned:
    """Set the effort that reaches a recall soonest, or that which comes nearest where none does.

    Args:
        searcher: Its effort is set.
        probe: What recall is measured on.
        target: Recall wanted, in (0, 1].
    """
    best: Tuned | None = None
    for k_factor in _K_FACTORS if KINDS[searcher.kind].is_refined else (1,):
        found = _Search(searcher, probe, target, k_factor).least()
        if found.does:
            searcher.effort = found.effort
            found = dataclasses.replace(found, rate=measure_rate(searcher, probe))
        slower = best is not None and best.does and found.rate <= best.rate
        best = best if best and (best.rate, best.recall) >= (found.rate, found.recall) else found
        if slower:
            break
    assert best is not None  # noqa: S101  there is a factor at least
    searcher.effort = best.effort
    return best


def tune_for_many(searcher: Searcher, probe: Probe, *, target: float) -> Tuned:
    """Set the effort for many hits: no less than that for ten, and the least that reaches the recall.

    Args:
        searcher: Tuned for ten hits; its effort for many is set.
        probe: What recall is measured on, with many answers.
        target: Recall wanted, in (0, 1].
    """
    few, best = searcher.effort, None
    for k_factor in (few.k_factor, *(one for one in _K_FACTORS if one > few.k_factor)):
        found = _Search(searcher, probe, target, k_factor).least(few.knob)
        best = found if best is None or (found.does, found.recall) > (best.does, best.recall) else best
        if found.does or not KINDS[searcher.kind].is_refined:
            break
    assert best is not None  # noqa: S101  there is a factor at least
    searcher.effort, searcher.many = few, best.effort
    return best


@dataclasses.dataclass(frozen=True)
class _Search:
    """For one number of rows that are scored anew the least knob that does."""

    searcher: Searcher
    probe: Probe
    target: float
    k_factor: int
    recalls: dict[int, Floats] = dataclasses.field(default_factory=dict)

    def least(self, least: int = 1) -> Tuned:
        """Give the least knob that reaches the recall, to 3 % of it; the largest that was tried where none does.

        Args:
            least: No smaller one is tried.
        """
        if KINDS[self.searcher.kind].is_graph:
            # FAISS's graph looks at as many rows as are asked for at the least, however small its knob.
            least = max(least, math.ceil((self.probe.k + 1) * self.k_factor / self.searcher.share))
        knob, most = least, max(least, self._most())
        while not (found := self._does(knob)) and knob < most and self._grows(knob):
            knob = min(2 * knob, most)
        if found:
            lowest = max(knob // 2, least - 1)
            tried = range(knob, lowest, -max(1, knob // _FINENESS))[::-1]  # the last one is known to do
            knob = tried[bisect.bisect_left(tried, True, hi=len(tried) - 1, key=self._does)]  # noqa: FBT003  the value sought
        recalls = self.recalls[knob]
        return Tuned(SearchParams(knob, self.k_factor), float(recalls.mean()), found, interval=interval(recalls))

    def _most(self) -> int:
        if not KINDS[self.searcher.kind].knob:
            return 1
        import faiss

        lists = faiss.try_extract_index_ivf(self.searcher.codes)
        return int(lists.nlist) if lists is not None else _LARGEST_EF

    def _does(self, knob: int) -> bool:
        self.searcher.effort = SearchParams(knob, self.k_factor)
        self.recalls[knob] = measure_recall(self.searcher, self.probe)
        return reaches(self.recalls[knob], self.target)

    def _grows(self, knob: int) -> bool:
        """Tell whether looking harder still finds more: where it does not, too few rows are scored anew."""
        before = self.recalls.get(knob // 2)
        return before is None or self.k_factor == 1 or float(self.recalls[knob].mean() - before.mean()) > _STILL


def reaches(recalls: Floats, target: float) -> bool:
    """Tell whether the mean over other queries will reach a recall too: the mean less two standard errors does."""
    return float(recalls.mean() - 2 * recalls.std() / np.sqrt(len(recalls))) >= target
