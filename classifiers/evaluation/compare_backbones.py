"""Compare backbones on the same images: accuracy with labels, agreement and stability without."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from frieze.classifiers.data.folds import make_folds
from frieze.classifiers.intervals import accuracy_interval
from frieze.classifiers.training.fit import HeadConfig, fit_head
from frieze.core import Floats, Rows, Strings, unit_rows
from frieze.features import top_k

N_NEIGHBOURS = 10
"""Nearest images of each that have to agree."""


def score_labelled(embeddings: Floats, labels: Strings, *, seed: int = 0) -> dict[str, Any]:
    """Measure how well embeddings tell labels apart.

    Args:
        embeddings: float32 [N, D].
        labels: Label of each [N], two different ones or more.
        seed: Of the folds.

    Returns:
        `nearest_neighbour` (is the nearest other image of the same label?) and `linear` (a linear head fitted on two
        thirds of the images, asked for the others, in turn): of each `accuracy` and `confidence_interval`; `linear` is
        None where no two labels have three images.
    """
    unit = unit_rows(embeddings)
    nearest = _neighbours(unit, k=1)[:, 0]
    return {"nearest_neighbour": _figures(labels[nearest] == labels), "linear": _linear(unit, labels, seed)}


def _linear(unit: Floats, labels: Strings, seed: int) -> dict[str, Any] | None:
    is_right = list[Any]()
    for fitted, held_out in make_folds(labels, None, seed=seed):
        head, _ = fit_head(HeadConfig("linear", seed=seed), unit[fitted], labels[fitted])
        predicted = head.classes[head.probabilities(unit[held_out]).argmax(axis=1)]
        is_right.append(predicted == labels[held_out])
    return _figures(np.concatenate(is_right)) if is_right else None


def score_unlabelled(tables: Sequence[Floats], crops: Sequence[Floats]) -> list[dict[str, Any]]:
    """Measure what embeddings show without labels.

    Args:
        tables: For each backbone float32 [N, D].
        crops: For each the embedding of a crop of each image.

    Returns:
        For each backbone `stability`, the share of crops (`accuracy`, with its `confidence_interval`) whose nearest
        image is the one that they were cut from, and `agreement`, the mean share of an image's ten nearest that
        another backbone finds, too; None for a single backbone.
    """
    near = [_neighbours(unit_rows(table), k=min(N_NEIGHBOURS, len(table) - 1)) for table in tables]
    rows = []
    for at, (table, crop) in enumerate(zip(tables, crops, strict=True)):
        nearest, _ = top_k(crop, table, k=1)
        others = [_overlap(near[at], other) for number, other in enumerate(near) if number != at]
        agreement = float(np.mean(others)) if others else None
        rows.append({"stability": _figures(nearest[:, 0] == np.arange(len(table))), "agreement": agreement})
    return rows


def _neighbours(unit: Floats, *, k: int) -> Rows:
    """Find the k nearest other rows of each row, int64 [N, k]."""
    near, _ = top_k(unit, unit, k=k + 1)
    is_other = near != np.arange(len(unit))[:, None]
    is_other[is_other.all(axis=1), -1] = False  # many equal vectors: the row itself is not among the first
    others: Rows = near[is_other].reshape(len(unit), k)
    return others


def _overlap(some: Rows, others: Rows) -> float:
    return float(np.mean([len(np.intersect1d(*pair)) / some.shape[1] for pair in zip(some, others, strict=True)]))


def _figures(is_right: Any) -> dict[str, Any]:
    interval = accuracy_interval(int(is_right.sum()), len(is_right))
    return {"accuracy": float(is_right.mean()), "confidence_interval": interval}
