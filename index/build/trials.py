"""Try each kind of index on a collection, or on a sample of it."""

import dataclasses
import time
from typing import Any

from frieze.indexing.build.build_request import TRIED_SHARE, BuildRequest
from frieze.indexing.build.recall import compute_ground_truth
from frieze.indexing.build.train_and_add import IndexTrainer
from frieze.indexing.build.tune_search import Tuned, tune
from frieze.indexing.faiss_layer.kinds import KINDS, write_recipe
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import InMemoryVectors, draw_rows

_TRIED_ROWS = 50_000
_TRIED_FLOATS = 1 << 24
"""Kinds are compared on so many rows, and so many numbers in all, where there are more than twice as many."""
_GRAPH_SHARE = 0.6
"""Factor on a graph's rate that was measured on a sample: on 50,000 of 200,000 rows hnsw answered 1.2 times the queries
of pq, with all rows 0.66 times as many."""
_LONG_S, _TIMES_LONGER = 60.0, 3.0
"""A kind that takes longer to build than this, and so many times as long as the quickest, is not worth the wait."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A kind that was considered.

    Attributes:
        kind: A key of `KINDS`.
        recipe: FAISS factory string for all rows.
        memory_bytes: Estimated memory of the index.
        tuned: Result of tuning on the rows it was tried on; None where it does not fit the memory.
        seconds: Time of building and tuning.
        build_s: Estimated time of building with all rows.
        is_slow: Whether that is far beyond the time of other kinds that meet the target.
        rate_factor: Factor on its rate in comparison with other kinds.
        searcher: The index, where it has all rows and nothing tried before was faster.
    """

    kind: str
    recipe: str
    memory_bytes: int
    tuned: Tuned | None = None
    seconds: float = 0.0
    build_s: float = 0.0
    is_slow: bool = False
    rate_factor: float = 1.0
    searcher: Searcher | None = None

    @property
    def rate(self) -> float:
        """Queries a second on the rows it was tried on; 0 where the target is missed."""
        return 0.0 if self.tuned is None else self.tuned.rate

    @property
    def order(self) -> tuple[float, float]:
        """Sort key of trials: queries a second where they meet the target, then recall."""
        if self.tuned is None:
            return -1.0, 0.0
        return self.rate * self.rate_factor * (not self.is_slow), self.tuned.recall

    @property
    def meets_target(self) -> bool:
        """Whether the recall target is reached, with a build time like that of other kinds."""
        return self.tuned is not None and self.tuned.meets_target and not self.is_slow

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        document: dict[str, Any] = {"kind": self.kind, "recipe": self.recipe, "memory_bytes": self.memory_bytes}
        if self.tuned is None:
            return document | {"recall_at_10": None, "queries_per_second": None, "seconds": None}
        recall, rate = round(self.tuned.recall, 4), round(self.tuned.rate) if self.meets_target else None
        return document | {"recall_at_10": recall, "queries_per_second": rate, "seconds": round(self.seconds, 2)}


def try_kinds(request: BuildRequest) -> list[Trial]:
    """Try each kind that fits on a sample of the rows, or on all where these are not many more.

    Returns:
        Those that meet the target, the fastest first as far as a sample can tell; then the others by recall; then those
        that exceed the memory limits.
    """
    n_tried = min(_TRIED_ROWS, _TRIED_FLOATS // request.vectors.dim, request.rows_within(TRIED_SHARE))
    sampled = request if len(request.vectors) <= 2 * n_tried else _sample(request, n_tried)
    trainer = IndexTrainer(sampled.vectors, unseen=sampled.ground_truth.rows)
    trials: list[Trial] = []
    for kind in KINDS:
        if kind != "exact" and request.is_possible(kind):
            trials = _keep_best_searcher([*trials, _try_kind(kind, request, sampled, trainer)])
    return sorted(_mark_slow(trials), key=lambda trial: trial.order, reverse=True)


def _sample(request: BuildRequest, n_rows: int) -> BuildRequest:
    """Return the request for a sample of its rows, held in memory."""
    rows = draw_rows(len(request.vectors), n_rows)
    vectors = InMemoryVectors(request.vectors.take(rows), metric=request.vectors.metric)
    return dataclasses.replace(request, vectors=vectors, ground_truth=compute_ground_truth(vectors))


def _try_kind(kind: str, request: BuildRequest, sampled: BuildRequest, trainer: IndexTrainer) -> Trial:
    """Build and tune a kind on the sampled rows; only estimate its memory where it does not fit."""
    recipe = write_recipe(kind, len(request.vectors), request.vectors.dim)
    trial = Trial(kind, recipe, request.count_bytes(kind))
    if not request.fits(kind):
        return trial
    is_sample = sampled is not request
    ground_truth = sampled.ground_truth_for(kind)
    begun = time.perf_counter()
    faiss_index = trainer.train_and_add(kind, left_out=ground_truth.left_out)
    build_s = (time.perf_counter() - begun) * len(request.vectors) / len(sampled.vectors)
    searcher = Searcher.over(sampled.vectors, faiss_index, kind=kind, left_out=ground_truth.left_out)
    tuned = tune(searcher, ground_truth, target=request.target)
    return dataclasses.replace(
        trial,
        tuned=tuned,
        seconds=time.perf_counter() - begun,
        build_s=build_s,
        rate_factor=searcher.share * (_GRAPH_SHARE if KINDS[kind].is_graph and is_sample else 1.0),
        searcher=None if is_sample else searcher,
    )


def _mark_slow(trials: list[Trial]) -> list[Trial]:
    """Mark the kinds that take far longer to build than the quickest that meets the target."""
    quickest = min((trial.build_s for trial in trials if trial.meets_target), default=0.0)
    limit_s = max(_LONG_S, _TIMES_LONGER * quickest)
    return [dataclasses.replace(trial, is_slow=trial.build_s > limit_s) for trial in trials]


def _keep_best_searcher(trials: list[Trial]) -> list[Trial]:
    """Drop all searchers but that of the best trial so far: memory holds two kinds at most."""
    best = max(trials, key=lambda trial: trial.order)
    return [trial if trial is best else dataclasses.replace(trial, searcher=None) for trial in trials]
