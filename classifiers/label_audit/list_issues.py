"""Lists of labels: labels that are likely missing from a list, or likely wrong in it."""

from typing import Any

import numpy as np

from frieze.classifiers.data.folds import fold_rows
from frieze.classifiers.label_audit.findings import Finding
from frieze.classifiers.multilabel.examples import Mask, MultilabelExamples
from frieze.classifiers.multilabel.fit import are_learnable, predict_held_out
from frieze.classifiers.multilabel.metrics import average_precisions
from frieze.classifiers.solver.row_space import reduce_width
from frieze.core import Floats, Rows

_N_FOLDS = 5
_EVEN = 0.5
_TINY = float(np.finfo(np.float32).tiny)


def find_list_issues(
    embeddings: Floats, labelled: MultilabelExamples, images: Rows, *, fewest: int, seed: int
) -> tuple[list[Finding], dict[str, Any], dict[str, int]]:
    """Find labels that are more likely missing than not, or more likely wrong than not, by heads on other images.

    Args:
        embeddings: float32 [n, D], of unit length.
        labelled: The n rows.
        images: int64 [n], equal for near-duplicates, which are judged without each other.
        fewest: Distinct images that a label needs to be judged, and that have to lack it.
        seed: For the folds.

    Returns:
        findings: `missing_label` and `wrong_label`, one a pair of image and label, and `small_class`, one a pair of
            image and label that too few images have.
        figures: `n_judged` images, `map`, and `accuracy` and `cost`, None.
        small: Labels that too few images have, and how many do.
    """
    counts = _count_images(labelled.has_label, images)
    small = {str(name): int(n) for name, n in zip(labelled.classes, counts, strict=True) if n < fewest}
    findings = _small(labelled, small, fewest=fewest)
    figures: dict[str, Any] = {"n_judged": 0, "map": None, "accuracy": None, "cost": None}
    is_judged = (counts >= fewest) & (_count_images(~labelled.has_label, images) >= fewest)
    judged = labelled.take_classes(is_judged)
    folds = fold_rows(np.unique(labelled.examples.labels, return_inverse=True)[1], images, n_folds=_N_FOLDS, seed=seed)
    splits = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(_N_FOLDS)]
    if not is_judged.any() or not all(_can_learn(judged.has_label, *split) for split in splits):
        return findings, figures, small
    probabilities = predict_held_out(reduce_width(embeddings), judged.has_label, splits)
    precisions = average_precisions(np.nan_to_num(probabilities), judged.has_label)
    figures |= {"n_judged": len(judged), "map": float(precisions.mean())}
    return [*_pairs(judged, probabilities), *findings], figures, small


def _count_images(has_label: Mask, images: Rows) -> Rows:
    """Count the distinct images of each label, int64 [C]."""
    return np.array([len(np.unique(images[of_label])) for of_label in has_label.T], np.int64)


def _can_learn(has_label: Mask, train: Rows, held: Rows) -> bool:
    return bool(has_label[held][:, are_learnable(has_label[train])].any())


def _pairs(labelled: MultilabelExamples, probabilities: Floats) -> list[Finding]:
    """Return the pairs of image and label whose label is likelier to be otherwise."""
    of_other = np.where(labelled.has_label, 1 - probabilities, probabilities)
    rows, codes = np.nonzero(np.nan_to_num(of_other) > _EVEN)
    log_odds = np.log(of_other[rows, codes] / np.maximum(1 - of_other[rows, codes], _TINY))
    findings = []
    for row, code, score, odds in zip(
        *(one.tolist() for one in (rows, codes, of_other[rows, codes], log_odds)), strict=True
    ):
        name, probability = str(labelled.classes[code]), float(probabilities[row, code])
        if labelled.has_label[row, code]:
            findings.append(Finding("wrong_label", row, score, None, probability, odds, label=name))
        else:
            findings.append(Finding("missing_label", row, score, name, probability, odds))
    return findings


def _small(labelled: MultilabelExamples, small: dict[str, int], *, fewest: int) -> list[Finding]:
    rows, codes = np.nonzero(labelled.has_label)
    names = labelled.classes[codes]
    return [
        Finding("small_class", row, 1 - small[name] / fewest, label=name)
        for row, name in zip(rows.tolist(), names.tolist(), strict=True)
        if name in small
    ]
