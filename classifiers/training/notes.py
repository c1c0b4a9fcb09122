"""Notes on a training: what its figures leave out or overstate, as JSON fields and as sentences."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from frieze.classifiers.data.labelled_examples import Examples, similar_labels
from frieze.classifiers.data.splits import Split
from frieze.classifiers.registry import Classifier
from frieze.classifiers.training.hyperparameters import Tuned
from frieze.core import Rows, shorten

_FEW_GROUPS = 10


def split_gaps(examples: Examples, split: Split) -> dict[str, Any]:
    """Return what a split can't measure or overstates.

    Args:
        examples: The labelled rows.
        split: Positions in them.

    Returns:
        `n_without_part` (rows on neither side), `untested_classes` (without a held-out row),
        `test_copies` (held-out rows with the bytes of a training row) and `similar_labels` (lists of classes that
        differ in case, outer blanks or `.0` only).
    """
    train, test = examples.take(split.fit_and_validation), examples.take(split.test)
    known = set(train.sha256) - {None}
    return {
        "n_without_part": len(examples) - len(train) - len(test),
        "untested_classes": sorted(set(train.labels) - set(test.labels)),
        "test_copies": sum(sha256 in known for sha256 in test.sha256),
        "similar_labels": similar_labels(examples.labels),
    }


def notes_on_split(gaps: dict[str, Any], method: str) -> list[str]:
    """Describe the result of `split_gaps`.

    Args:
        gaps: Its result, or some of it.
        method: The method of the split.
    """
    sentences: dict[str, Callable[[Any], str]] = {
        "n_without_part": lambda n_rows: f"Images without a value in the split column, which are left out: {n_rows:,}.",
        "untested_classes": _UNTESTED[method],
        "test_copies": _copies,
        "similar_labels": _similar,
    }
    return [describe(gaps[name]) for name, describe in sentences.items() if gaps.get(name)]


def notes_on_interval(groups: Rows | None) -> list[str]:
    """Describe an interval over few groups.

    Args:
        groups: int64 [m], the group of each held-out row; None for single rows.

    >>> notes_on_interval(np.array([7, 7, 7, 8]))
    ['The held-out images are of 2 groups: an interval over so few is rough.']
    >>> notes_on_interval(np.array([7, 8]))
    []
    """
    n_groups = 0 if groups is None else len(np.unique(groups))
    if groups is None or n_groups >= min(_FEW_GROUPS, len(groups)):
        return []
    if n_groups == 1:
        return ["The held-out images are of 1 group: how well other groups are predicted is not known."]
    return [f"The held-out images are of {n_groups} groups: an interval over so few is rough."]


def notes_on_labels(labels: Iterable[str]) -> list[str]:
    """Describe labels that differ in case, outer blanks or `.0` only."""
    sets = similar_labels(labels)
    return [_similar(sets)] if sets else []


def notes_on_folds(classifier: Classifier, tuned: Tuned) -> list[str]:
    """Describe what the folds of the training rows can't measure."""
    notes = []
    if tuned.is_better_without_start:
        notes.append("The training images are predicted better without the weights to start from: they are left out.")
    if tuned.unjudged:
        n_rows, classes = sum(tuned.unjudged.values()), list(tuned.unjudged)
        notes.append(
            f"Training images left out of hyperparameter search and calibration: {n_rows:,}"
            f" ({shorten(classes)}). When they are held out, their class has no image to fit on."
        )
    if not classifier.is_calibrated and not len(tuned.confidences):
        notes.append(
            "The hyperparameter has its default value and the probabilities are not calibrated: both need two classes"
            " with three training images, or groups, each."
        )
    return notes


def _untested(why: str) -> Callable[[list[str]], str]:
    return lambda classes: (
        f"Classes without a held-out image: {shorten(classes)}. The figures do not cover them; {why}."
    )


_UNTESTED = {
    "stratified": _untested("it takes two images of a class to hold one out"),
    "grouped": _untested(
        "it takes two groups of a class to hold one out: give --group another column, or leave it out"
    ),
    "column": _untested("the column after --split has no test image of them"),
}
"""By the method of the split."""


def _copies(n_copies: int) -> str:
    return (
        f"Held-out images with the same bytes as a training image: {n_copies:,}. They inflate the accuracy;"
        " frieze train --group duplicates keeps copies on one side."
    )


def _similar(sets: list[list[str]]) -> str:
    named = shorten([" and ".join(map(repr, one)) for one in sets])
    return f"Labels that differ in case, outer blanks or .0 only are separate classes: {named}."
