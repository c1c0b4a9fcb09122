"""Warm start of fine-tuning: the probe's split, a head fitted without validation images, and checks before the work."""

import dataclasses
import itertools
from typing import Protocol

import numpy as np

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.config import DEFAULT_NETWORK, FinetuneConfig, FitOptions
from frieze.classifiers.data.embedding_rows import EmbeddingRows
from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.splits import (
    VALIDATION_SHARE,
    Split,
    count_held_out,
    draw_validation_groups,
    split_rows,
    split_stratified,
)
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.registry import HEADS, Classifier
from frieze.classifiers.storage.head_folder import Head
from frieze.classifiers.storage.split_file import match_parts, read_split
from frieze.classifiers.training.start_weights import start_of
from frieze.core import InputError, Rows, Strings, format_size, free_memory
from frieze.features import Features

_TWO = 2

_FEWEST = 5
"""Training images a class; with fewer, a probe is better than fine-tuning."""


class _Backbone(Protocol):
    """The part of a trainable backbone that is used here."""

    free: str
    n_free: int

    def count_bytes(self, batch_size: int) -> int:
        """Estimate the memory of a training step."""


def reuse_split(probe: Head, examples: Examples, *, seed: int, groups: Rows | None = None) -> tuple[Split, Rows]:
    """Split rows like those of a head; a tenth of its training rows validates where it had no validation part.

    Args:
        probe: The head; rows of its split whose images have changed are left out.
        examples: The labelled rows.
        seed: Random seed of the validation part.
        groups: int64 [n]; rows of one group stay on one side of the validation part, too. None for single rows.

    Returns:
        split: Positions among the examples.
        unused: int64, positions of training rows that the few-shot draw left out.

    Raises:
        InputError: No row of the head's split is in the table, or the classes differ.
    """
    parts = match_parts(read_split(probe.path), examples)
    train, validation, test, unused = (
        np.flatnonzero(parts == part) for part in ("train", "validation", "test", "unused")
    )
    if not len(train) or not len(test):
        raise InputError(
            f"The images are not those that {probe.path} was trained and tested on.",
            hint="Use the table or source of the head, or leave `head` out to train a new probe.",
        )
    if {*examples.labels[train], *examples.labels[validation], *examples.labels[test]} != {*probe.classes}:
        raise InputError(
            f"The images have other classes than {probe.path} knows.",
            hint="Use the `labels` and `label` of its training, or leave `head` out to train a new probe.",
        )
    if not len(validation):
        validation = _draw_validation(examples.labels, train, groups, test_size=None, seed=seed)
    method = probe.document["split"].get("method", "stratified")  # missing in the first heads
    return Split(np.setdiff1d(train, validation), validation, test, method), unused


def _draw_validation(
    labels: Strings, train: Rows, groups: Rows | None = None, *, test_size: float | None, seed: int
) -> Rows:
    """Draw a tenth of each class of the training rows for validation; whole groups where there are groups.

    Raises:
        InputError: No class has two images there.
    """
    n_classes = len(np.unique(labels[train]))
    if len(train) == n_classes:
        raise InputError(
            f"Without the images held out for testing, each of the {n_classes} classes has one image: none is left to"
            " validate on.",
            hint=_add_images_hint(test_size),
        )
    if groups is not None:
        return train[draw_validation_groups(labels[train], groups[train], share=VALIDATION_SHARE, seed=seed)]
    return train[split_rows(labels[train], test_size=VALIDATION_SHARE, seed=seed)[1]]


def warm_start(
    probe: Head,
    features: Features,
    examples: Examples,
    split: Split,
    *,
    config: FinetuneConfig,
    groups: Rows | None = None,
) -> Classifier:
    """Fit a head of the probe's kind and hyperparameter without the validation rows; or build a new network.

    The probe itself was fitted on the validation rows, so its loss there would stop fine-tuning too early.

    Args:
        probe: The head.
        features: The table.
        examples: The labelled rows.
        split: From `reuse_split`.
        config: Its hidden layers and seed.
        groups: As for `reuse_split`; a head with early stopping keeps them together as well.
    """
    if config.hidden is not None:
        return KerasHead.new(features.spec.dim, probe.classes, config.hidden, seed=config.seed)
    kind = HEADS[probe.document["head"]]
    value = next(iter(probe.document["scores"].get("setting", {}).values()), kind.default)  # a fine-tuned head has none
    network = probe.classifier.architecture if isinstance(probe.classifier, KerasHead) else DEFAULT_NETWORK
    embeddings = EmbeddingRows(features, examples.rows[split.fit]).read()
    options = FitOptions(
        seed=config.seed,
        network=network,
        groups=None if groups is None else groups[split.fit],
        start=start_of(probe),
    )
    head = next(kind.fit_each(embeddings, examples.labels[split.fit], [value], options))
    held_out = EmbeddingRows(features, examples.rows[split.validation]).read()
    head.scale_logits(
        fit_temperature(head.logits(held_out), np.searchsorted(head.classes, examples.labels[split.validation]))
    )
    return head


def mean_norm(features: Features) -> float:
    """Compute the mean norm of a table's embeddings; 1 where all are zero."""
    norms = np.concatenate([np.linalg.norm(embeddings, axis=1) for embeddings in features.vectors()])
    return float(norms.mean(dtype=np.float64)) or 1.0


def check_images(labels: Strings, backbone: _Backbone, *, test_size: float | None, seed: int) -> None:
    """Check that there are enough images, before any of them is embedded.

    Args:
        labels: Labels of the images [N], None where unknown.
        backbone: The backbone to train.
        test_size: Share held out of each class; None where a column, groups or a head decide the split: then only the
            number of images is checked.
        seed: Random seed of the split.

    Raises:
        InputError: There are too few images, or too few classes.
    """
    known = labels[[label is not None for label in labels]]
    classes = np.unique(known)
    if test_size is None or len(classes) < _TWO:
        _check_number(len(known), len(classes), backbone)
        return
    split = split_stratified(known, test_size=test_size, seed=seed)
    validation = _draw_validation(known, split.fit, test_size=test_size, seed=seed)
    split = dataclasses.replace(split, fit=np.setdiff1d(split.fit, validation), validation=validation)
    _check_parts(known, split, backbone, test_size=test_size)


def check_memory(backbone: _Backbone, batch_size: int) -> None:
    """Check that a training step fits in memory.

    Raises:
        InputError: It does not.
    """
    needed, free = backbone.count_bytes(batch_size), free_memory()
    if needed > free:
        raise InputError(
            f"A step takes about {format_size(needed)} of memory; {format_size(max(free, 1))} are free.",
            hint=f"Use `batch_size={max(1, batch_size * free // needed // 2)}`, or freeze more layers.",
        )


def check_feasible(examples: Examples, split: Split, backbone: _Backbone, batch_size: int) -> None:
    """Check split and memory before hours of work.

    Raises:
        InputError: A class is missing from a part, there are too few images, or the memory is too small.
    """
    _check_parts(examples.labels, split, backbone, test_size=None)
    check_memory(backbone, batch_size)


_MISSING_CLASS_HINTS = {
    "stratified": "Add images of it, three or more, or remove those that there are, and embed again.",
    "grouped": "Its groups are too few: give `group` another column, or leave `group` out.",
    "column": "Name that part for some images of it in the column that `split` names, or leave `split` out.",
}
"""Hints for a class that is missing in a part, by the method of the split."""


def _check_parts(labels: Strings, split: Split, backbone: _Backbone, *, test_size: float | None) -> None:
    classes = {*labels[split.fit], *labels[split.validation], *labels[split.test]}
    for part, rows in {"training": split.fit, "validation": split.validation, "test": split.test}.items():
        missing = sorted(classes - set(labels[rows]))
        if missing:
            raise InputError(
                f"The {part} part has no image of {', '.join(missing[:3])}.",
                hint=_MISSING_CLASS_HINTS[split.method],
            )
    rest = f", besides {len(split.validation)} for validation and {len(split.test)} for testing"
    _check_number(len(split.fit), len(classes), backbone, rest=rest, test_size=test_size)


def _check_number(
    n_images: int, n_classes: int, backbone: _Backbone, *, rest: str = "", test_size: float | None = None
) -> None:
    if n_images < _FEWEST * n_classes:
        raise InputError(
            f"There are {n_images} images of {n_classes} classes to fine-tune {backbone.n_free:,} numbers"
            f" ({backbone.free}){rest}.",
            hint=_add_images_hint(test_size),
        )


def _add_images_hint(test_size: float | None) -> str:
    """Return a hint with the number of images that are enough, if the test size is known."""
    sufficient = f"{_FEWEST} a class or more to train on, besides those for validation and testing"
    if test_size is not None:
        sufficient = f"{_count_sufficient(test_size)} a class or more"
    return f"Add images: {sufficient}; or keep the probe: frieze train"


def _count_sufficient(test_size: float) -> int:
    """Count the images a class needs so that enough remain for training after the others are held out.

    >>> _count_sufficient(0.2), _count_sufficient(0.5)
    (7, 12)
    """
    for n_images in itertools.count(int(_FEWEST / (1 - test_size))):
        n_train = n_images - count_held_out(n_images, test_size)
        if n_train - count_held_out(n_train, VALIDATION_SHARE) >= _FEWEST:
            break
    return n_images
