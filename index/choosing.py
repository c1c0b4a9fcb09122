"""Choosing the kind of an index and how hard it looks, by measuring."""

import bisect
import dataclasses
from collections.abc import Callable

import numpy as np

from features import Features, Floats
from index.kinds import KINDS, POINTS_PER_LIST, count_lists, write_recipe
from index.measures import MEASURES
from index.recall import Probe, measure_ms, measure_recall
from index.searcher import Searcher, all_cores
from index.vectors import draw_rows, stream, take_rows

_QUICK_MS = 5.0  # an exact query below this is as good as instant
_WORTH = 0.5  # lists are worth their loss of recall where they save half of the time, and tried no further
_FINENESS = 32  # efforts closer than this part are as good; each trial costs 500 searches
_TIMED_FLOATS = 1 << 24  # 64 MB of rows tell how long an exact query takes


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen, and how it measured.

    Attributes:
        kind: A key of `KINDS`.
        recipe: FAISS factory string.
        searcher: The index, filled, with its effort set.
        recall: Measured recall@10, in [0, 1].
        why: One sentence.
    """

    kind: str
    recipe: str
    searcher: Searcher
    recall: float
    why: str


@dataclasses.dataclass(frozen=True)
class Task:
    """What is asked for.

    Attributes:
        features: A table of N >= 1 rows.
        probe: Its queries with their exact answers.
        metric: A key of `MEASURES`.
        target: Recall@10 wanted, in (0, 1].
    """

    features: Features
    probe: Probe
    metric: str
    target: float


def choose(task: Task, kind: str) -> Choice:
    """Fill the index that serves a table best.

    Args:
        task: What is asked for.
        kind: A key of `KINDS`, or `auto`: exact where that is quick or where lists can't win, else lists.
    """
    if kind != "auto":
        return _fill(task, kind, why=f"{kind} was asked for.")
    n_rows = len(task.features)
    if count_lists(n_rows) == 1:
        return _fill(task, "exact", why=f"{n_rows} rows are too few to train lists.")
    exact_ms = time_exact(task)
    if exact_ms < _QUICK_MS:
        return _fill(task, "exact", why=f"An exact query takes {exact_ms:.2g} ms here.")
    why = f"An exact query would take {exact_ms:.2g} ms here."
    return _settle(task, _fill(task, "ivf", why=why, limit_ms=_WORTH * exact_ms), exact_ms)


def _settle(task: Task, lists: Choice, exact_ms: float) -> Choice:
    """Keep lists only where they find enough and win time."""
    if lists.recall < task.target:
        why = f"{lists.recipe} reached a recall of only {lists.recall:.3f} in half the time of an exact query."
        return _fill(task, "exact", why=why)
    lists_ms = measure_ms(lists.searcher, task.probe)
    if lists_ms >= exact_ms:
        why = f"{lists.recipe} needs {lists_ms:.2g} ms a query for that recall, an exact one {exact_ms:.2g} ms."
        return _fill(task, "exact", why=why)
    return lists


def time_exact(task: Task) -> float:
    """Estimate how many milliseconds an exact query takes, from a sample that is searched and scaled up."""
    n_rows, dim = len(task.features), task.features.spec.dim
    sample = take_rows(task.features, draw_rows(n_rows, max(1, _TIMED_FLOATS // dim)))
    searcher = _empty("exact", task)
    searcher.raw.add(MEASURES[task.metric].prepare(sample))
    return measure_ms(searcher, task.probe) * n_rows / len(sample)


def _fill(task: Task, kind: str, *, why: str, limit_ms: float | None = None) -> Choice:
    searcher = _empty(kind, task)
    prepare = MEASURES[task.metric].prepare
    with all_cores():
        _train(searcher, task, prepare)
        for _, embeddings in stream(task.features):
            searcher.raw.add(prepare(embeddings))
    most = count_lists(len(task.features)) if KINDS[kind].knob else 1
    if limit_ms is not None:
        most = limit_effort(searcher, task.probe, most=most, limit_ms=limit_ms)
    recall = tune(searcher, task.probe, target=task.target, most=most)
    return Choice(kind, write_recipe(kind, len(task.features)), searcher, recall, why)


def _empty(kind: str, task: Task) -> Searcher:
    import faiss

    metric = getattr(faiss, MEASURES[task.metric].faiss_name)
    recipe = write_recipe(kind, len(task.features))
    return Searcher(faiss.index_factory(task.features.spec.dim, recipe, metric), kind=kind, metric=task.metric)


def _train(searcher: Searcher, task: Task, prepare: Callable[[Floats], Floats]) -> None:
    if searcher.raw.is_trained:
        return
    n_rows = len(task.features)
    n_trained = POINTS_PER_LIST * count_lists(n_rows)  # measured at 100,000 x 256: 64 or 256 a list find no more
    # A table of fewer rows than one list wants is trained all the same, without FAISS's warning on stderr.
    searcher.raw.cp.min_points_per_centroid = 1
    searcher.raw.train(prepare(take_rows(task.features, draw_rows(n_rows, n_trained))))


def tune(searcher: Searcher, probe: Probe, *, target: float, most: int) -> float:
    """Set the least effort that reaches a recall, to 3 % of it; `most` where none does.

    Args:
        searcher: Its effort is set.
        probe: What recall is measured on.
        target: Recall wanted, in (0, 1].
        most: Largest effort, >= 1.

    Returns:
        Recall measured at that effort, in [0, 1].
    """
    recalls: dict[int, Floats] = {}

    def is_enough(effort: int) -> bool:
        searcher.effort = effort
        recalls[effort] = measure_recall(searcher, probe)
        return _lower_bound(recalls[effort]) >= target

    effort = 1
    while not (found := is_enough(effort)) and effort < most:
        effort = min(2 * effort, most)
    if found:
        tried = range(effort, effort // 2, -max(1, effort // _FINENESS))[::-1]  # the last one is known to do
        effort = tried[bisect.bisect_left(tried, True, hi=len(tried) - 1, key=is_enough)]  # noqa: FBT003  the value sought
    searcher.effort = effort
    return float(recalls[effort].mean())


def limit_effort(searcher: Searcher, probe: Probe, *, most: int, limit_ms: float) -> int:
    """Give an effort up to `most`, >= 1, at which a query takes no longer than the limit; time grows with effort."""
    while most > 1:
        searcher.effort = most
        share = limit_ms / measure_ms(searcher, probe)
        if share >= 1:
            break
        most = max(1, int(0.9 * share * most))  # a little below: each trial costs up to two seconds
    return most


def _lower_bound(recalls: Floats) -> float:
    """Give what the mean over other queries will reach too: the mean less two standard errors."""
    return float(recalls.mean() - 2 * recalls.std() / np.sqrt(len(recalls)))
