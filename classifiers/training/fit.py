"""Fitting a head to protocol: its setting chosen on folds, fitted on all training rows, its probabilities honest."""

import dataclasses
from typing import Any

import numpy as np

from frieze.classifiers.config import USUAL, FitOptions, Network
from frieze.classifiers.data.embedding_rows import Embeddings, StoredRows
from frieze.classifiers.data.splits import Folds, Split, make_folds
from frieze.classifiers.registry import HEADS, Classifier, kind_of_head
from frieze.classifiers.training.hyperparameters import Tuned, tune_head
from frieze.classifiers.training.memory import Budget
from frieze.core import Floats, InputError, Rows, Strings, format_size


@dataclasses.dataclass(frozen=True)
class HeadConfig:
    """How a head is fitted.

    Attributes:
        head: A key of `HEADS`.
        seed: For folds and fit.
        is_balanced: Whether each class counts alike, however many rows it has.
        precision: What share of the answers is to be right, in (0, 1): the head abstains where it may not be. None to
            answer all.
        network: For `keras`.
        memory_bytes: What the process may take in memory: embeddings that do not fit are read from the table in passes;
            None for half of what is free, for the embeddings alone.
    """

    head: str
    seed: int = 0
    is_balanced: bool = False
    precision: float | None = None
    network: Network = USUAL
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        kind_of_head(self.head)
        if self.network != USUAL and self.head != "keras":
            raise InputError(
                f"A {self.head} head has no layers, dropout, epochs or patience.",
                hint="Leave these options out, or use --head keras",
            )
        if self.precision is not None and not 0 < self.precision < 1:
            raise InputError(
                f"The precision is {self.precision}; it is a share of the answers, between 0 and 1.",
                hint="Use for example --abstain 0.95",
            )

    def to_json(self) -> dict[str, Any]:
        """Give what head.json says of it beside kind, seed and precision, by the names of the options of `train`."""
        network = dataclasses.asdict(self.network) | {"layers": ",".join(map(str, self.network.layers))}
        return {"balanced": self.is_balanced} | (network if self.head == "keras" else {})


def fit_head(
    recipe: HeadConfig,
    embeddings: Embeddings,
    labels: Strings,
    *,
    groups: Rows | None = None,
    validation: Rows | None = None,
) -> tuple[Classifier, Tuned]:
    """Choose the setting, fit on all rows, and soften the margins.

    Args:
        recipe: How.
        embeddings: float32 [N, D] of unit length.
        labels: Class names [N], two or more.
        groups: int64 [N]; rows of one group are in one fold.
        validation: int64, rows to choose the setting on, in place of folds.
    """
    kind = kind_of_head(recipe.head)
    _check_held(kind, recipe, embeddings, len(set(labels)))
    weights = _balance(labels) if recipe.is_balanced else None
    terms = FitOptions(weights, recipe.seed, recipe.network, n_rows=len(labels))
    wants_folds = len(kind.values) > 1 or not kind.is_calibrated or recipe.precision is not None
    folds = _folds(labels, groups, validation, recipe.seed) if wants_folds else []
    tuned = tune_head(kind, embeddings, labels, folds, terms)
    head = next(kind.fit_each(embeddings, labels, [tuned.value], terms))
    head.scale_logits(tuned.factor)
    return head, tuned


def fit_split(
    recipe: HeadConfig, train: Embeddings, labels: Strings, split: Split, groups: Rows | None
) -> tuple[Classifier, Tuned]:
    """Fit on the rows that a split gives to train.

    Args:
        recipe: How.
        train: float32 [n, D] of unit length, the rows of `split.train`.
        labels: Class names [N] of all rows that were parted.
        split: Places in `labels`.
        groups: int64 [N] or None.
    """
    own = None if groups is None else groups[split.train]
    validation = np.searchsorted(split.train, split.validation)
    return fit_head(recipe, train, labels[split.train], groups=own, validation=validation)


def name_setting(head: Classifier, tuned: Tuned) -> dict[str, float]:
    """Give what was chosen by its name, such as `{"C": 30.0}`; empty for a head of which nothing is chosen."""
    return {type(head).setting: tuned.value} if type(head).setting else {}


def _check_held(kind: type[Classifier], recipe: HeadConfig, embeddings: Embeddings, n_classes: int) -> None:
    if isinstance(embeddings, StoredRows) and not kind.streams:
        able = ", ".join(name for name, other in HEADS.items() if other.streams)
        budget = Budget.of(recipe.memory_bytes, kind, n_rows=len(embeddings), n_classes=n_classes)
        raise InputError(
            f"To fit a {recipe.head} head {len(embeddings):,} embeddings must lie in memory;"
            f" with what that needs they take {format_size(kind.memory.count(*embeddings.shape))}.",
            hint=f"Use --head {able}, which read them in passes; or allow for it and the rest of the process:"
            f" --max-memory {format_size(budget.count(*embeddings.shape))}",
        )


def _folds(labels: Strings, groups: Rows | None, validation: Rows | None, seed: int) -> Folds:
    if validation is None or not len(validation):
        return make_folds(labels, groups, seed=seed)
    fitted = np.setdiff1d(np.arange(len(labels)), validation)
    return [(fitted, validation)]


def _balance(labels: Strings) -> Floats:
    """Give weights of mean 1 under which each class counts alike."""
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (len(labels) / (len(classes) * counts))[codes].astype(np.float32)


def find_threshold(tuned: Tuned, precision: float) -> float:
    """Find the probability from which on the share of right answers was as high as wanted, on rows not fitted on.

    Returns:
        In [0, 1]; 1 where it was at none, or nothing is known: only certainty is answered then.
    """
    order = np.argsort(-tuned.confidences, kind="stable")
    confidences = tuned.confidences[order]
    precisions = np.cumsum(tuned.is_right[order]) / np.arange(1, len(order) + 1)
    is_end = np.append(np.diff(confidences) < 0, True)[: len(order)]  # rows of one probability are answered together
    enough = np.flatnonzero((precisions >= precision) & is_end)
    return float(confidences[enough[-1]]) if len(enough) else 1.0
