"""Fit a head: choose its hyperparameter on folds, fit all training rows, calibrate, within a memory limit."""

import dataclasses
from typing import Any, Self

import numpy as np

from frieze.classifiers.config import DEFAULT_NETWORK, FitOptions, Network, StartWeights
from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings
from frieze.classifiers.data.folds import Folds, make_folds
from frieze.classifiers.data.splits import Split
from frieze.classifiers.registry import HEADS, Classifier, kind_of_head
from frieze.classifiers.training.hyperparameters import Tuned, tune_head
from frieze.core import Floats, InputError, Rows, Strings, format_size, resident_memory

_RESERVE_BYTES = 150_000_000  # blocks of parts that are read, and modules that scikit-learn imports in a fit
_PREDICTION_COPIES = 4  # logits, those of all classes, probabilities, and a sum
N_FOLDS = 3  # at most one fold, a third of the rows, is predicted at once


@dataclasses.dataclass(frozen=True)
class MemoryBudget:
    """The memory limit of a training process.

    Attributes:
        memory_bytes: The limit; None without one.
        kind: The head that is fitted.
        taken_bytes: Memory of everything but the embeddings: libraries, ids, labels, predictions.
    """

    memory_bytes: int | None
    kind: type[Classifier]
    taken_bytes: int

    @classmethod
    def of(cls, memory_bytes: int | None, kind: type[Classifier], *, n_rows: int, n_classes: int) -> Self:
        """Measure the memory of the process and add that of the predictions."""
        predictions = _PREDICTION_COPIES * 4 * n_classes * -(-n_rows // N_FOLDS)
        return cls(memory_bytes, kind, resident_memory() + _RESERVE_BYTES + predictions)

    def most_rows(self, dim: int) -> int | None:
        """Return how many rows float32 [n, dim] fit in memory; None without a limit."""
        if self.memory_bytes is None:
            return None
        left = self.memory_bytes - self.taken_bytes - self.kind.memory.fixed_bytes
        return max(0, left // (self.kind.memory.count(1, dim) - self.kind.memory.fixed_bytes))

    def count(self, n_rows: int, dim: int) -> int:
        """Return the memory of a process that holds float32 [n_rows, dim]."""
        return self.taken_bytes + self.kind.memory.count(n_rows, dim)

    @property
    def notes(self) -> list[str]:
        """Describe a limit that is too low to keep."""
        minimum = self.taken_bytes + self.kind.memory.fixed_bytes
        if self.memory_bytes is None or minimum <= self.memory_bytes:
            return []
        limit, needed = format_size(self.memory_bytes), format_size(minimum)
        note = f"--max-memory {limit} is less than the process takes without embeddings, about {needed}"
        return [f"{note}: libraries, ids, labels and predictions."]


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """How a head is fitted.

    Attributes:
        head: A key of `HEADS`.
        seed: Random seed of folds and fit.
        is_balanced: Whether all classes have the same weight, whatever their number of rows.
        precision: Share of the predictions that must be right, in (0, 1): the head abstains below the threshold that
            reaches it. None to predict always.
        network: Layers and epochs of a `keras` head.
        memory_bytes: Memory limit of the process: embeddings that do not fit are streamed from the table in passes.
            None for half of the free memory, for the embeddings alone.
        start: Weights that a `linear` head is pulled to, where the folds are not better without; None for none.
        has_curve: Whether heads are fitted on parts of the training rows, too, for a learning curve.
    """

    head: str
    seed: int = 0
    is_balanced: bool = False
    precision: float | None = None
    network: Network = DEFAULT_NETWORK
    memory_bytes: int | None = None
    start: StartWeights | None = None
    has_curve: bool = False

    def __post_init__(self) -> None:
        kind_of_head(self.head)
        if self.start is not None and self.head != "linear":
            raise InputError(
                f"A {self.head} head does not start from other weights.",
                hint="Leave `start_from` out, or use `head='linear'`",
            )
        if self.network != DEFAULT_NETWORK and self.head != "keras":
            raise InputError(
                f"A {self.head} head has no layers, dropout, epochs or patience.",
                hint="Leave these options out, or use `head='keras'`",
            )
        if self.precision is not None and not 0 < self.precision < 1:
            raise InputError(
                f"The precision is {self.precision}; it must be a share of the predictions, between 0 and 1.",
                hint="Use for example `abstain=0.95`",
            )

    def to_json(self) -> dict[str, Any]:
        """Return the field `recipe` of head.json: options of `train` beside kind, seed and precision."""
        network = dataclasses.asdict(self.network) | {"layers": ",".join(map(str, self.network.layers))}
        start = {} if self.start is None else {"start_from": str(self.start.path)}
        return {"balanced": self.is_balanced} | start | (network if self.head == "keras" else {})


def fit_head(
    config: HeadConfig,
    embeddings: Embeddings,
    labels: Strings,
    *,
    groups: Rows | None = None,
    validation: Rows | None = None,
) -> tuple[Classifier, Tuned]:
    """Choose the hyperparameter, fit on all rows, and calibrate the logits.

    Args:
        config: Kind of head and options.
        embeddings: float32 [N, D] of unit length.
        labels: Class names [N], two or more.
        groups: int64 [N]; rows of one group stay in one fold, and on one side of what early stopping looks at.
        validation: int64, rows to choose the hyperparameter on in place of folds.
    """
    kind = kind_of_head(config.head)
    _check_streams(kind, config, embeddings, len(set(labels)))
    weights = balanced_weights(labels) if config.is_balanced else None
    options = FitOptions(weights, config.seed, config.network, n_rows=len(labels), groups=groups)
    needs_folds = len(kind.grid) > 1 or not kind.is_calibrated or config.precision is not None
    folds = choose_folds(labels, groups, validation, config.seed) if needs_folds else []
    tuned = tune_head(kind, embeddings, labels, folds, options)
    if config.start is not None:
        pulled = dataclasses.replace(options, start=config.start)
        other = dataclasses.replace(tune_head(kind, embeddings, labels, folds, pulled), uses_start=True)
        is_better = other.loss <= tuned.loss  # infinite both without folds
        tuned = other if is_better else dataclasses.replace(tuned, is_better_without_start=True)
        options = pulled if is_better else options
    options = dataclasses.replace(options, near=tuned.near)
    head = next(kind.fit_each(embeddings, labels, [tuned.value], options))
    head.scale_logits(tuned.factor)
    return head, tuned


def fit_again(
    config: HeadConfig, embeddings: Embeddings, labels: Strings, tuned: Tuned, groups: Rows | None
) -> Classifier:
    """Fit as another head was fitted: with its hyperparameter and start, and without calibration.

    Args:
        config: Kind of head and options.
        embeddings: float32 [N, D] of unit length.
        labels: Class names [N], two or more.
        tuned: What was chosen for the other head.
        groups: int64 [N] or None.
    """
    weights = balanced_weights(labels) if config.is_balanced else None
    start = config.start if tuned.uses_start else None
    options = FitOptions(weights, config.seed, config.network, n_rows=len(labels), groups=groups, start=start)
    return next(kind_of_head(config.head).fit_each(embeddings, labels, [tuned.value], options))


def fit_split(
    config: HeadConfig, train: Embeddings, labels: Strings, split: Split, groups: Rows | None
) -> tuple[Classifier, Tuned]:
    """Fit on the training rows of a split.

    Args:
        config: Kind of head and options.
        train: float32 [n, D] of unit length, the rows of `split.fit_and_validation`.
        labels: Class names [N] of all rows of the split.
        split: Positions in `labels`.
        groups: int64 [N] or None.
    """
    rows = split.fit_and_validation
    validation = np.searchsorted(rows, split.validation)
    return fit_head(config, train, labels[rows], groups=None if groups is None else groups[rows], validation=validation)


def name_hyperparameter(head: Classifier, tuned: Tuned) -> dict[str, float]:
    """Return the chosen hyperparameter, such as `{"C": 30.0}`; empty for a head without one."""
    return {type(head).hyperparameter: tuned.value} if type(head).hyperparameter else {}


def _check_streams(kind: type[Classifier], config: HeadConfig, embeddings: Embeddings, n_classes: int) -> None:
    if isinstance(embeddings, EmbeddingRows) and not kind.streams:
        able = ", ".join(name for name, other in HEADS.items() if other.streams)
        budget = MemoryBudget.of(config.memory_bytes, kind, n_rows=len(embeddings), n_classes=n_classes)
        raise InputError(
            f"To fit a {config.head} head {len(embeddings):,} embeddings must fit in memory;"
            f" with what the fit needs they take {format_size(kind.memory.count(*embeddings.shape))}.",
            hint=f"Use `head` {able}, which stream them in passes; or raise the limit:"
            f" `max_memory={format_size(budget.count(*embeddings.shape))!r}`",
        )


def choose_folds(labels: Strings, groups: Rows | None, validation: Rows | None, seed: int) -> Folds:
    """Return the folds of training rows [N]: one of the rows to validate on where there are any, else `make_folds`."""
    if validation is None or not len(validation):
        return make_folds(labels, groups, seed=seed)
    fitted = np.setdiff1d(np.arange(len(labels)), validation)
    return [(fitted, validation)]


def balanced_weights(labels: Strings) -> Floats:
    """Compute row weights of mean 1 that give each class the same weight (class_weight="balanced")."""
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (len(labels) / (len(classes) * counts))[codes].astype(np.float32)


def find_threshold(tuned: Tuned, precision: float) -> float:
    """Find the lowest probability at which predictions of held-out rows reach a precision.

    Returns:
        In [0, 1]; 1 if no probability does, or without held-out rows.
    """
    order = np.argsort(-tuned.confidences, kind="stable")
    confidences = tuned.confidences[order]
    precisions = np.cumsum(tuned.is_right[order]) / np.arange(1, len(order) + 1)
    is_end = np.append(np.diff(confidences) < 0, True)[: len(order)]  # rows of one probability have one threshold
    sufficient = np.flatnonzero((precisions >= precision) & is_end)
    return float(confidences[sufficient[-1]]) if len(sufficient) else 1.0
