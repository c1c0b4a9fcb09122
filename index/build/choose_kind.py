"""Choosing the kind of an index and how hard it looks."""

import dataclasses
from typing import Any

from frieze.core import InputError, counted
from frieze.indexing.build.build_request import TRAINED_SHARE, TRIED_SHARE, BuildRequest
from frieze.indexing.build.recall import measure_ms, measure_rate, probe_for_many
from frieze.indexing.build.train_and_add import Filler
from frieze.indexing.build.trials import Trial, try_kinds
from frieze.indexing.build.tune_search import Tuned, tune, tune_for_many
from frieze.indexing.faiss_layer.kinds import KINDS, count_lists, write_recipe
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams
from frieze.indexing.faiss_layer.vectors import HeldVectors, draw_rows

_QUICK_MS = 5.0  # an exact query below this is as good as instant
_TIMED_FLOATS = 1 << 24  # 64 MB of rows tell how long an exact query takes


@dataclasses.dataclass(frozen=True)
class Choice:
    """What was chosen, and how it measured.

    Attributes:
        searcher: The index, filled, with its effort set.
        recipe: FAISS factory string.
        tuned: What it reaches for ten hits.
        many: The same for a hundred.
        why: A sentence or two.
        tried: Every kind that was looked at, as plain JSON values, the best first.
        is_refreshed: Whether what an older index had learnt was used again.
        ms_per_query: Median of single queries, in milliseconds.
    """

    searcher: Searcher
    recipe: str
    tuned: Tuned
    why: str
    tried: list[dict[str, Any]]
    many: Tuned = Tuned(SearchParams(), 1.0, does=True)  # noqa: RUF009  frozen
    is_refreshed: bool = False
    ms_per_query: float = 0.0


def choose(task: BuildRequest, kind: str) -> Choice:
    """Fill the index that serves a collection best.

    Args:
        task: What is asked for.
        kind: A key of `KINDS`, or `auto`: exact where that is quick, else the kind that answers most queries a second
            at the recall wanted within the memory given.

    Raises:
        InputError: None does.
    """
    few = counted(len(task.vectors), "row is too few", "rows are too few")
    if kind != "auto":
        _check(task, kind)
        if not task.can_learn(kind):
            return fill(task, "exact", why=f"{few} to train {kind}.")
        return fill(task, kind, why=f"{kind} was asked for.")
    if task.fits("exact"):
        if count_lists(len(task.vectors)) == 1:
            return fill(task, "exact", why=f"{few} to train lists.")
        if (exact_ms := time_exact(task).ms) < _QUICK_MS:
            return fill(task, "exact", why=f"An exact query takes {exact_ms:.2g} ms here.")
    return _best(task, try_kinds(task))


def _check(task: BuildRequest, kind: str) -> None:
    metric = task.vectors.metric
    if not KINDS[kind].serves(metric):
        raise InputError(
            f"{kind} keeps principal components alone, which tells little of dot products.",
            hint="Leave --kind out, or use --metric cosine.",
        )
    if not task.fits(kind):
        raise task.too_large(kind, kind)


@dataclasses.dataclass(frozen=True)
class Speed:
    """How fast an index answers.

    Attributes:
        ms: Median of single queries, in milliseconds.
        rate: Queries a second, many at once.
    """

    ms: float
    rate: float


def time_exact(task: BuildRequest) -> Speed:
    """Estimate how fast exact search is, from a sample that is searched and scaled up."""
    n_timed = min(max(1, _TIMED_FLOATS // task.vectors.dim), task.count_held(TRIED_SHARE))
    sample = HeldVectors(task.vectors.take(draw_rows(len(task.vectors), n_timed)), metric=task.vectors.metric)
    exact = Searcher.over(sample, None, kind="exact")
    times = len(task.vectors) / len(sample)
    return Speed(measure_ms(exact, task.probe) * times, measure_rate(exact, task.probe) / times)


def fill(task: BuildRequest, kind: str, *, why: str, tried: list[Trial] | None = None) -> Choice:
    """Fill an index of a kind with all rows and tune it."""
    most, probe = task.count_held(TRAINED_SHARE), task.probe_for(kind)
    filler = Filler(task.vectors, unseen=task.probe.rows, most_trained=most, adder=task.adder)
    codes = filler.fill(kind, left_out=probe.left_out)
    searcher = Searcher.over(task.vectors, codes, kind=kind, left_out=probe.left_out)
    tuned = Tuned(SearchParams(), 1.0, does=True) if codes is None else tune(searcher, probe, target=task.target)
    return _choice(task, searcher, tuned, why, tried or [])


def _choice(task: BuildRequest, searcher: Searcher, tuned: Tuned, why: str, tried: list[Trial]) -> Choice:
    recipe = write_recipe(searcher.kind, len(task.vectors), task.vectors.dim)
    return settle(task, Choice(searcher, recipe, tuned, why, [trial.to_json() for trial in tried]))


def settle(task: BuildRequest, choice: Choice) -> Choice:
    """Tune an index that was chosen for many hits, put the rows into it that have measured it, and time it."""
    if choice.searcher.codes is None:
        speed = time_exact(task)
        return dataclasses.replace(
            choice, ms_per_query=speed.ms, tuned=dataclasses.replace(choice.tuned, rate=speed.rate)
        )
    probe, tuned = task.probe_for(choice.searcher.kind), choice.tuned
    many = tune_for_many(choice.searcher, probe_for_many(task.vectors, probe), target=task.target)
    if len(probe.left_out):
        choice.searcher.add(probe.left_out, task.vectors.take(probe.left_out))
        tuned = dataclasses.replace(tuned, rate=measure_rate(choice.searcher, task.probe)) if tuned.does else tuned
    ms = measure_ms(choice.searcher, task.probe)
    return dataclasses.replace(choice, ms_per_query=ms, many=many, tuned=tuned)


def _best(task: BuildRequest, trials: list[Trial]) -> Choice:
    """Fill what answers most queries; where that falls short with all rows, the next one."""
    for number, trial in enumerate(trials):
        if not trial.does:
            break
        why = _why(trial, trials[number + 1 :], task)
        if trial.searcher is not None and trial.tuned is not None:
            return _choice(task, trial.searcher, trial.tuned, why, trials)
        choice = fill(task, trial.kind, why=why, tried=trials)
        if choice.tuned.does:
            return choice
        del choice  # before the next one takes its memory
    if task.fits("exact"):
        return fill(task, "exact", why=f"No other kind reaches a recall of {task.target:g} here.", tried=trials)
    raise _nothing_does(task, trials)


def _why(chosen: Trial, others: list[Trial], task: BuildRequest) -> str:
    """Say why a kind won and the others lost."""
    told = [f"{chosen.kind} answers most queries a second at a recall of {task.target:g}{task.within()}"]
    does = [trial.kind for trial in others if trial.does]
    slow = [trial.kind for trial in others if trial.is_slow]
    short = [trial.kind for trial in others if trial.tuned is not None and not trial.does and not trial.is_slow]
    large = [trial.kind for trial in others if trial.tuned is None]
    faster = [trial.kind for trial in others if trial.does and trial.rate > chosen.rate]
    told += [f"the runner-up is {does[0]}"] if does else []
    told += [f"then {', '.join(does[1:])}"] if does[1:] else []
    told += [f"faster on a sample alone: {', '.join(faster)}"] if faster else []
    told += [f"slow to build: {', '.join(slow)}"] if slow else []
    told += [f"short of the recall: {', '.join(short)}"] if short else []
    told += [f"too large: {', '.join(large)}"] if large else []
    return "; ".join(told) + "."


def _nothing_does(task: BuildRequest, trials: list[Trial]) -> InputError:
    """Name the best there is, and what to change."""
    best = trials[0].tuned if trials else None
    if best is None:
        smallest = min(KINDS, key=task.count_bytes)
        return task.too_large(smallest, f"No kind of index fits; the smallest, {smallest},")
    return InputError(
        f"No kind of index reaches a recall of {task.target:g}{task.within()}; the best is {trials[0].kind}, with"
        f" {best.recall:.3f}.",
        hint=f"Give --recall {int(best.recall * 100) / 100:g}, or {task.enough_for('exact')}.",
    )
