"""Weights of another head that a linear head starts from, such as those of class names in words."""

from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.config import StartWeights
from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.splits import Split
from frieze.classifiers.kinds.linear import PipelineHead
from frieze.classifiers.storage.head_folder import Head, check_backbone, open_head
from frieze.classifiers.storage.head_json import ZERO_SHOT
from frieze.classifiers.storage.split_file import match_parts, read_split
from frieze.core import InputError, counted, shorten
from frieze.features import Features

_FITTED = ("train", "validation")


def open_start(path: Path, features: Features) -> StartWeights:
    """Open the weights of a head, to start from on a table.

    Raises:
        FeatureFileError: There is no head, or it is broken.
        MismatchError: It is of another backbone than the table.
        InputError: It has no weights of classes.
    """
    head = open_head(path)
    check_backbone(head, features)
    return _weights_of(head)


def _weights_of(head: Head) -> StartWeights:
    if not isinstance(head.classifier, PipelineHead):
        raise InputError(
            f"{head.path} is a head {head.document['head']}, which has no weights to start from.",
            hint="Give one of frieze label, or a head linear, svm, ridge or prototype.",
        )
    return StartWeights(head.path, head.classes, *head.classifier.coef_and_intercept())


def check_start(start: StartWeights, examples: Examples, split: Split) -> None:
    """Check that a head can be started from on a split.

    Labels set only the scale of a head of class names in words: that one may have seen any image.

    Raises:
        InputError: It lacks a class, or was fitted on images that the split holds out.
    """
    missing = sorted({*examples.labels[split.fit_and_validation]} - {*start.classes})
    if missing:
        raise InputError(
            f"{start.path} does not know these classes: {shorten(missing)}.",
            hint="Give a head of all classes, or leave `start_from` out.",
        )
    if ZERO_SHOT in open_head(start.path).document:
        return
    parts = match_parts(read_split(start.path), examples.take(split.test))
    n_seen = int(np.isin(parts.astype(str), _FITTED).sum())
    if n_seen:
        raise InputError(
            f"{start.path} was trained on {counted(n_seen, 'image')} that this split holds out: the accuracy would be"
            " too high.",
            hint="Use the `seed`, `test_size`, `split` and `group` of its training, or a head of other images.",
        )


def describe_start(start: StartWeights | None, *, is_used: bool) -> dict[str, Any]:
    """Return the field `start` of a training; nothing without one."""
    return {} if start is None else {"start": {"head": str(start.path), "is_used": is_used}}


def start_of(head: Head) -> StartWeights | None:
    """Return what a head starts from when it is fitted again on some of its images; None for zero.

    Raises:
        FeatureFileError: The head that it started from is gone, or broken.
    """
    if ZERO_SHOT in head.document:
        return _weights_of(head)
    start = head.document["scores"].get("start", {})
    return _weights_of(open_head(start["head"])) if start.get("is_used") else None
