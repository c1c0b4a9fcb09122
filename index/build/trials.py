"""Trying kinds of index on a collection, or on a sample of it."""

import dataclasses
import time
from typing import Any

from frieze.indexing.build.build_request import TRIED_SHARE, BuildRequest
from frieze.indexing.build.recall import make_probe
from frieze.indexing.build.train_and_add import Filler
from frieze.indexing.build.tune_search import Tuned, tune
from frieze.indexing.faiss_layer.kinds import KINDS, write_recipe
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import HeldVectors, draw_rows

_TRIED_ROWS = 50_000
_TRIED_FLOATS = 1 << 24
"""Kinds are told apart on so many rows, of so many numbers together, where there are more than twice as many."""
_GRAPH_SHARE = 0.6
"""What is left of a graph's lead on a sample: on 50,000 of 200,000 rows hnsw answered 1.2 times the queries of pq, and
with all rows 0.66 times as many."""
_LONG_S, _TIMES_LONGER = 60.0, 3.0
"""A kind that takes longer to fill than this, and so many times as long as the quickest, is not worth waiting for."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A kind that was looked at.

    Attributes:
        kind: A key of `KINDS`.
        recipe: FAISS factory string for all rows.
        memory_bytes: What the index would take in memory.
        tuned: What it reached on the rows it was tried on; None where it does not fit the memory.
        seconds: What filling and tuning took.
        fill_s: What filling with all rows would take.
        is_slow: Whether that is far beyond what other kinds that do would take.
        share: What of its rate counts beside other kinds', which were tried with all rows.
        searcher: The index where it was filled with all rows and nothing tried before was faster.
    """

    kind: str
    recipe: str
    memory_bytes: int
    tuned: Tuned | None = None
    seconds: float = 0.0
    fill_s: float = 0.0
    is_slow: bool = False
    share: float = 1.0
    searcher: Searcher | None = None

    @property
    def rate(self) -> float:
        """Queries a second on the rows it was tried on; 0 where the recall is not reached."""
        return 0.0 if self.tuned is None else self.tuned.rate

    @property
    def order(self) -> tuple[float, float]:
        """What trials are compared by: queries a second where they do, and recall."""
        return (-1.0, 0.0) if self.tuned is None else (self.rate * self.share * (not self.is_slow), self.tuned.recall)

    @property
    def does(self) -> bool:
        """Whether the recall wanted is reached, in a time to build that others take too."""
        return self.tuned is not None and self.tuned.does and not self.is_slow

    def to_json(self) -> dict[str, Any]:
        """Give it as plain JSON values."""
        told: dict[str, Any] = {"kind": self.kind, "recipe": self.recipe, "memory_bytes": self.memory_bytes}
        if self.tuned is None:
            return told | {"recall_at_10": None, "queries_per_second": None, "seconds": None}
        recall, rate = round(self.tuned.recall, 4), round(self.tuned.rate) if self.does else None
        return told | {"recall_at_10": recall, "queries_per_second": rate, "seconds": round(self.seconds, 2)}


def try_kinds(task: BuildRequest) -> list[Trial]:
    """Try each kind that fits on some rows, or on all where these are not many more.

    Returns:
        Those that do, the fastest first, as far as a sample can tell; then the others by what they reach; then those
        that do not fit.
    """
    n_tried = min(_TRIED_ROWS, _TRIED_FLOATS // task.vectors.dim, task.count_held(TRIED_SHARE))
    is_whole = len(task.vectors) <= 2 * n_tried
    held = (
        task.vectors
        if is_whole
        else HeldVectors(task.vectors.take(draw_rows(len(task.vectors), n_tried)), metric=task.vectors.metric)
    )
    bench = _Bench(task, task if is_whole else dataclasses.replace(task, vectors=held, probe=make_probe(held)))
    found: list[Trial] = []
    for kind in KINDS:
        if kind != "exact" and task.suits(kind):
            found = _without_lesser_searchers([*found, bench.trial(kind)])
    return sorted(_with_slow(found), key=lambda trial: trial.order, reverse=True)


def _with_slow(trials: list[Trial]) -> list[Trial]:
    """Tell which kinds take far longer to fill than the quickest that does."""
    quickest = min((trial.fill_s for trial in trials if trial.does), default=0.0)
    limit_s = max(_LONG_S, _TIMES_LONGER * quickest)
    return [dataclasses.replace(trial, is_slow=trial.fill_s > limit_s) for trial in trials]


def _without_lesser_searchers(trials: list[Trial]) -> list[Trial]:
    """Let go of all codes but those of the best so far: memory holds two kinds at most."""
    best = max(trials, key=lambda trial: trial.order)
    return [trial if trial is best else dataclasses.replace(trial, searcher=None) for trial in trials]


class _Bench:
    """What kinds are tried on.

    Args:
        task: What is asked for.
        tried: The same for some of the rows, or all.
    """

    def __init__(self, task: BuildRequest, tried: BuildRequest) -> None:
        self._task, self._tried, self._is_whole = task, tried, tried is task
        self._filler = Filler(tried.vectors, unseen=tried.probe.rows)

    def trial(self, kind: str) -> Trial:
        """Try a kind, or only look at it where it does not fit."""
        recipe = write_recipe(kind, len(self._task.vectors), self._task.vectors.dim)
        trial = Trial(kind, recipe, self._task.count_bytes(kind))
        if not self._task.fits(kind):
            return trial
        probe, vectors = self._tried.probe_for(kind), self._tried.vectors
        begun = time.perf_counter()
        codes = self._filler.fill(kind, left_out=probe.left_out)
        fill_s = (time.perf_counter() - begun) * len(self._task.vectors) / len(vectors)
        searcher = Searcher.over(vectors, codes, kind=kind, left_out=probe.left_out)
        tuned = tune(searcher, probe, target=self._task.target)
        share = searcher.share * (_GRAPH_SHARE if KINDS[kind].is_graph and not self._is_whole else 1.0)
        kept = searcher if self._is_whole else None
        seconds = time.perf_counter() - begun
        return dataclasses.replace(trial, tuned=tuned, seconds=seconds, fill_s=fill_s, share=share, searcher=kept)
