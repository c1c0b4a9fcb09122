"""Fit a one-vs-rest head: choose C on folds, fit all training rows, calibrate each label, choose its threshold."""

import dataclasses
import time
from collections.abc import Iterator, Sequence

import numpy as np

from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings, as_row_blocks, map_rows
from frieze.classifiers.data.folds import Folds
from frieze.classifiers.kinds.linear import LinearHead, SvmHead
from frieze.classifiers.multilabel.calibration import choose_thresholds, fit_sigmoid
from frieze.classifiers.multilabel.examples import Mask
from frieze.classifiers.multilabel.metrics import average_precisions
from frieze.classifiers.multilabel.one_vs_rest import OneVsRest, sigmoid
from frieze.classifiers.solver.linear import Solution, fit_path
from frieze.core import Floats, Rows, evenly_spaced

LOSSES = {"linear": "logistic", "svm": "squared_hinge"}
"""Kind of head -> loss of each label against the rest."""
_KINDS: dict[str, type[LinearHead | SvmHead]] = {"linear": LinearHead, "svm": SvmHead}
_SAMPLED = 10_000  # of more rows, as many are enough to choose C on
_EVEN = 0.5


@dataclasses.dataclass(frozen=True)
class FittedHead:
    """A head and how it was fitted.

    Attributes:
        head: The head.
        cost: The C that was chosen.
        tried: Mean average precision of held-out rows by C; empty without folds.
        is_calibrated: bool [C], of which labels folds calibrated the probabilities.
        fit_seconds: Duration of the last fit.
        converged: Whether it converged before the limit on its steps.
    """

    head: OneVsRest
    cost: float
    tried: dict[float, float]
    is_calibrated: Mask
    fit_seconds: float
    converged: bool


def fit_one_vs_rest(kind: str, embeddings: Embeddings, has_label: Mask, folds: Folds) -> FittedHead:
    """Fit a head of several labels an image.

    Args:
        kind: A key of `LOSSES`.
        embeddings: float32 [N, D] of unit length.
        has_label: bool [N, C], each label on one row or more, and not on all.
        folds: Pairs of rows to fit on and to hold out; without any, C is the default and nothing is calibrated.
    """
    folds = [fold for fold in folds if has_label[fold[1]][:, are_learnable(has_label[fold[0]])].any()]
    held_out = _hold_out(kind, embeddings, has_label, folds) if folds else None
    cost = _KINDS[kind].default if held_out is None else held_out.cost
    started = time.perf_counter()
    solution = next(_fit(kind, embeddings, has_label, [cost]))
    fit_seconds = time.perf_counter() - started
    head = OneVsRest(solution.coef, solution.intercept, np.full(len(solution.coef), _EVEN, np.float32))
    is_calibrated: Mask = np.zeros(len(solution.coef), bool)
    if held_out is not None:
        lines, probabilities = _calibrate(held_out.decisions, has_label[held_out.rows])
        is_known = np.isfinite(probabilities)
        is_calibrated = np.count_nonzero(is_known, axis=0) > 0
        thresholds = choose_thresholds(np.nan_to_num(probabilities), has_label[held_out.rows] & is_known)
        slopes, intercepts = lines.T
        head = OneVsRest(slopes[:, None] * head.coef, slopes * head.intercept + intercepts, thresholds)
    tried = {} if held_out is None else held_out.tried
    return FittedHead(head, cost, tried, is_calibrated, fit_seconds, solution.converged)


def predict_held_out(embeddings: Embeddings, has_label: Mask, folds: Folds) -> Floats:
    """Predict each row by a linear head that was not fitted on it, calibrated for each label.

    Args:
        embeddings: float32 [N, D] of unit length.
        has_label: bool [N, C].
        folds: Pairs of rows to fit on and to hold out, which together hold out every row once.

    Returns:
        float32 [N, C]; NaN for a label that a row's fold can't be fitted on.
    """
    held_out = _hold_out("linear", embeddings, has_label, folds)
    probabilities = np.empty(has_label.shape, np.float32)
    probabilities[held_out.rows] = _calibrate(held_out.decisions, has_label[held_out.rows])[1]
    return probabilities


@dataclasses.dataclass(frozen=True)
class _HeldOut:
    """What heads decide of rows that they were not fitted on.

    Attributes:
        rows: int64 [n].
        decisions: float32 [n, C]; NaN for a label that a row's fold can't be fitted on.
        tried: Mean average precision by C.
        cost: The C of the highest, the simplest among equals.
    """

    rows: Rows
    decisions: Floats
    tried: dict[float, float]
    cost: float


def _hold_out(kind: str, embeddings: Embeddings, has_label: Mask, folds: Folds) -> _HeldOut:
    """Choose C on one or more folds, and decide their held-out rows."""
    trials = [_try_costs(kind, embeddings, has_label, fold) for fold in folds]
    tried = {cost: float(np.mean([trial.scores[cost] for trial in trials])) for cost in trials[0].scores}
    cost = max(tried, key=lambda value: tried[value])
    decisions = [_decide_held(kind, embeddings, has_label, *both, cost) for both in zip(folds, trials, strict=True)]
    return _HeldOut(np.concatenate([held for _, held in folds]), np.concatenate(decisions), tried, cost)


def _fit(kind: str, embeddings: Embeddings, has_label: Mask, costs: Sequence[float]) -> Iterator[Solution]:
    row_blocks, _ = as_row_blocks(embeddings, has_label, None)
    return fit_path(row_blocks, LOSSES[kind], costs=costs, n_classes=has_label.shape[1])


@dataclasses.dataclass(frozen=True)
class _Trials:
    """One fold's heads.

    Attributes:
        is_known: bool [C], which labels some of its rows have and others have not.
        scores: Mean average precision of its held-out rows by C.
        solutions: Heads of those labels by C; empty where they were fitted on a sample.
    """

    is_known: Mask
    scores: dict[float, float]
    solutions: dict[float, Solution]


def _try_costs(kind: str, embeddings: Embeddings, has_label: Mask, fold: tuple[Rows, Rows]) -> _Trials:
    """Fit a head for each C, the simplest first, on a sample where the rows are many."""
    (fitted, judged), grid = (evenly_spaced(rows, _SAMPLED) for rows in fold), _KINDS[kind].grid
    is_known = are_learnable(has_label[fitted])
    held_out, given = _read(embeddings[judged]), has_label[np.ix_(judged, is_known)]
    scores, solutions = {}, {}
    fits = _fit(kind, _read(embeddings[fitted]), has_label[np.ix_(fitted, is_known)], grid)
    for cost, solution in zip(grid, fits, strict=True):
        precisions = average_precisions(_decide(solution, held_out), given)
        scores[cost], solutions[cost] = float(np.nanmean(precisions)), solution
    return _Trials(is_known, scores, solutions if len(fitted) == len(fold[0]) else {})


def _read(embeddings: Embeddings) -> Floats:
    return embeddings.read() if isinstance(embeddings, EmbeddingRows) else embeddings


def are_learnable(has_label: Mask) -> Mask:
    """Return which labels some rows have, and others have not, bool [C]."""
    counts = np.count_nonzero(has_label, axis=0)
    learnable: Mask = (counts > 0) & (counts < len(has_label))
    return learnable


def _decide(solution: Solution, embeddings: Embeddings) -> Floats:
    return map_rows(lambda rows: rows @ solution.coef.T + solution.intercept, embeddings)


def _decide_held(
    kind: str, embeddings: Embeddings, has_label: Mask, fold: tuple[Rows, Rows], trials: _Trials, cost: float
) -> Floats:
    """Return the decisions [n, C] of a fold's held-out rows; NaN for labels that it can't be fitted on."""
    train, held = fold
    is_known, solution = trials.is_known, trials.solutions.get(cost)
    if solution is None:
        is_known = are_learnable(has_label[train])
        solution = next(_fit(kind, embeddings[train], has_label[np.ix_(train, is_known)], [cost]))
    decisions = np.full((len(held), has_label.shape[1]), np.nan, np.float32)
    decisions[:, is_known] = _decide(solution, embeddings[held])
    return decisions


def _calibrate(decisions: Floats, has_label: Mask) -> tuple[Floats, Floats]:
    """Calibrate held-out decisions [n, C], label by label.

    Returns:
        lines: float32 [C, 2], slope and intercept of each; 1 and 0 for a label that no fold could be fitted on.
        probabilities: float32 [n, C], NaN where the decision is.
    """
    lines = np.tile(np.array([1, 0], np.float32), (decisions.shape[1], 1))
    probabilities = np.full_like(decisions, np.nan)
    for code in range(len(lines)):
        rows = np.flatnonzero(np.isfinite(decisions[:, code]))
        if len(rows):
            lines[code] = slope, intercept = fit_sigmoid(decisions[rows, code], has_label[rows, code])
            probabilities[rows, code] = sigmoid(slope * decisions[rows, code] + intercept)
    return lines, probabilities
