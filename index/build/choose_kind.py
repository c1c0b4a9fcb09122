"""Choose the kind of an index and its search parameters."""

import dataclasses
from typing import Any

from frieze.core import InputError, counted
from frieze.indexing.build.build_request import TRAINED_SHARE, TRIED_SHARE, BuildRequest
from frieze.indexing.build.recall import ground_truth_at_100, measure_ms, measure_rate
from frieze.indexing.build.train_and_add import IndexTrainer
from frieze.indexing.build.trials import Trial, try_kinds
from frieze.indexing.build.tune_search import Tuned, tune, tune_at_100
from frieze.indexing.faiss_layer.kinds import KINDS, count_lists, write_recipe
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams
from frieze.indexing.faiss_layer.vectors import InMemoryVectors, draw_rows

_QUICK_MS = 5.0  # an exact query below this is as good as instant
_TIMED_FLOATS = 1 << 24  # 64 MB of rows are enough to time an exact query


@dataclasses.dataclass(frozen=True)
class Choice:
    """The index that was chosen, with its measurements.

    Attributes:
        searcher: The index with all rows and tuned search parameters.
        recipe: FAISS factory string.
        tuned: Result of tuning for ten hits.
        tuned_at_100: The same for a hundred.
        why: The reason, in a sentence or two.
        tried: Every kind that was considered, as plain JSON values, the best first.
        is_refreshed: Whether the training of an older index was reused.
        ms_per_query: Median of single queries, in milliseconds.
    """

    searcher: Searcher
    recipe: str
    tuned: Tuned
    why: str
    tried: list[dict[str, Any]]
    tuned_at_100: Tuned = Tuned(SearchParams(), 1.0, meets_target=True)  # noqa: RUF009  frozen
    is_refreshed: bool = False
    ms_per_query: float = 0.0


def choose(request: BuildRequest, kind: str) -> Choice:
    """Build the index that serves a collection best.

    Args:
        request: Vectors, recall target and memory limits.
        kind: A key of `KINDS`, or `auto`: exact where that is fast, else the kind that answers most queries a second
            at the recall target within the memory limits.

    Raises:
        InputError: No kind meets the target within the limits.
    """
    few = counted(len(request.vectors), "row is too few", "rows are too few")
    if kind != "auto":
        _check(request, kind)
        if not request.has_enough_rows(kind):
            return build_kind(request, "exact", why=f"{few} to train {kind}.")
        return build_kind(request, kind, why=f"{kind} was requested.")
    if request.fits("exact"):
        if count_lists(len(request.vectors)) == 1:
            return build_kind(request, "exact", why=f"{few} to train lists.")
        if (exact_ms := time_exact(request).ms) < _QUICK_MS:
            return build_kind(request, "exact", why=f"An exact query takes {exact_ms:.2g} ms here.")
    return _build_best(request, try_kinds(request))


def _check(request: BuildRequest, kind: str) -> None:
    metric = request.vectors.metric
    if not KINDS[kind].supports(metric):
        raise InputError(
            f"{kind} keeps only principal components, which say little about dot products.",
            hint="Leave `kind` out, or use `metric='cosine'`.",
        )
    if not request.fits(kind):
        raise request.too_large_error(kind, kind)


@dataclasses.dataclass(frozen=True)
class Speed:
    """Latency and throughput of an index.

    Attributes:
        ms: Median of single queries, in milliseconds.
        rate: Queries a second, many at once.
    """

    ms: float
    rate: float


def time_exact(request: BuildRequest) -> Speed:
    """Estimate the speed of exact search by timing a sample and scaling up."""
    n_timed = min(max(1, _TIMED_FLOATS // request.vectors.dim), request.rows_within(TRIED_SHARE))
    sample = InMemoryVectors(
        request.vectors.take(draw_rows(len(request.vectors), n_timed)), metric=request.vectors.metric
    )
    exact = Searcher.over(sample, None, kind="exact")
    factor = len(request.vectors) / len(sample)
    return Speed(measure_ms(exact, request.ground_truth) * factor, measure_rate(exact, request.ground_truth) / factor)


def build_kind(request: BuildRequest, kind: str, *, why: str, tried: list[Trial] | None = None) -> Choice:
    """Train an index of a kind, add all rows and tune it."""
    n_rows, ground_truth = request.rows_within(TRAINED_SHARE), request.ground_truth_for(kind)
    trainer = IndexTrainer(
        request.vectors, unseen=request.ground_truth.rows, max_training_rows=n_rows, populator=request.populator
    )
    faiss_index = trainer.train_and_add(kind, left_out=ground_truth.left_out)
    searcher = Searcher.over(request.vectors, faiss_index, kind=kind, left_out=ground_truth.left_out)
    tuned = (
        Tuned(SearchParams(), 1.0, meets_target=True)
        if faiss_index is None
        else tune(searcher, ground_truth, target=request.target)
    )
    return _choice(request, searcher, tuned, why, tried or [])


def _choice(request: BuildRequest, searcher: Searcher, tuned: Tuned, why: str, tried: list[Trial]) -> Choice:
    recipe = write_recipe(searcher.kind, len(request.vectors), request.vectors.dim)
    return finalize(request, Choice(searcher, recipe, tuned, why, [trial.to_json() for trial in tried]))


def finalize(request: BuildRequest, choice: Choice) -> Choice:
    """Tune the chosen index for 100 hits, add the rows that were left out to measure it, and time it."""
    if choice.searcher.faiss_index is None:
        speed = time_exact(request)
        return dataclasses.replace(
            choice, ms_per_query=speed.ms, tuned=dataclasses.replace(choice.tuned, rate=speed.rate)
        )
    ground_truth, tuned = request.ground_truth_for(choice.searcher.kind), choice.tuned
    tuned_at_100 = tune_at_100(
        choice.searcher, ground_truth_at_100(request.vectors, ground_truth), target=request.target
    )
    if len(ground_truth.left_out):
        choice.searcher.add(ground_truth.left_out, request.vectors.take(ground_truth.left_out))
        tuned = (
            dataclasses.replace(tuned, rate=measure_rate(choice.searcher, request.ground_truth))
            if tuned.meets_target
            else tuned
        )
    ms = measure_ms(choice.searcher, request.ground_truth)
    return dataclasses.replace(choice, ms_per_query=ms, tuned_at_100=tuned_at_100, tuned=tuned)


def _build_best(request: BuildRequest, trials: list[Trial]) -> Choice:
    """Build the kind that answers most queries; where it misses the target with all rows, the next one."""
    for number, trial in enumerate(trials):
        if not trial.meets_target:
            break
        why = _explain(trial, trials[number + 1 :], request)
        if trial.searcher is not None and trial.tuned is not None:
            return _choice(request, trial.searcher, trial.tuned, why, trials)
        choice = build_kind(request, trial.kind, why=why, tried=trials)
        if choice.tuned.meets_target:
            return choice
        del choice  # frees memory for the next one
    if request.fits("exact"):
        return build_kind(
            request, "exact", why=f"No other kind reaches a recall of {request.target:g} here.", tried=trials
        )
    raise _no_kind_error(request, trials)


def _explain(chosen: Trial, others: list[Trial], request: BuildRequest) -> str:
    """Explain why a kind won and the others lost."""
    others_by_fate = {
        "faster on a sample alone": [one for one in others if one.meets_target and one.rate > chosen.rate],
        "slow to build": [one for one in others if one.is_slow],
        "short of the recall": [one for one in others if one.tuned and not one.meets_target and not one.is_slow],
        "too large": [one for one in others if one.tuned is None],
    }
    limits = request.describe_limits()
    parts = [f"{chosen.kind} answers most queries a second at a recall of {request.target:g}{limits}"]
    runners_up = [one.kind for one in others if one.meets_target]
    parts += [f"the runner-up is {runners_up[0]}"] if runners_up else []
    parts += [f"then {', '.join(runners_up[1:])}"] if runners_up[1:] else []
    parts += [f"{fate}: {', '.join(one.kind for one in trials)}" for fate, trials in others_by_fate.items() if trials]
    return "; ".join(parts) + "."


def _no_kind_error(request: BuildRequest, trials: list[Trial]) -> InputError:
    """Return the error that names the best kind there is, and what to change."""
    best = trials[0].tuned if trials else None
    if best is None:
        smallest = min(KINDS, key=request.count_bytes)
        return request.too_large_error(smallest, f"No kind of index fits; the smallest, {smallest},")
    return InputError(
        f"No kind of index reaches a recall of {request.target:g}{request.describe_limits()}; the best is"
        f" {trials[0].kind}, with {best.recall:.3f}.",
        hint=f"Give `recall={int(best.recall * 100) / 100:g}`, or {request.sufficient_options('exact')}.",
    )
