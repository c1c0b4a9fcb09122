"""Where fine-tuning begins: the probe's split, a head that has not seen the validation images, and what is refused."""

import itertools
from typing import Protocol

import numpy as np

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.config import USUAL, FitOptions, Network
from frieze.classifiers.data.embedding_rows import StoredRows
from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.splits import (
    VALIDATION_SHARE,
    Split,
    count_held_out,
    split_groups,
    split_rows,
    split_stratified,
)
from frieze.classifiers.kinds.mlp import KerasHead
from frieze.classifiers.registry import HEADS, Classifier
from frieze.classifiers.storage.head_folder import Head
from frieze.classifiers.storage.split_file import may_be_same, read_split
from frieze.core import InputError, Rows, Strings, format_size, free_memory
from frieze.features import Features

_TWO = 2

_FEWEST = 5
"""Images a class to learn from; below that a probe is all they can carry."""


class _Free(Protocol):
    """What is asked of a trunk here."""

    free: str
    n_free: int

    def count_bytes(self, batch_size: int) -> int:
        """Estimate what a training step takes in memory."""


def part_like(probe: Head, examples: Examples, *, seed: int, groups: Rows | None = None) -> tuple[Split, Rows]:
    """Part rows as a head's were, a tenth of its training rows for validation where it had no such part.

    Args:
        probe: The head; only rows of its split that are still the same images count.
        examples: The labelled rows.
        seed: For the validation part.
        groups: int64 [n]; rows of one group come on one side of the validation part, too. None for rows on their own.

    Returns:
        split: Places among the examples.
        unused: int64, places of rows that were not drawn for training.

    Raises:
        InputError: No row of the head's split is there, or they have other classes.
    """
    told = {row["id"]: row for row in read_split(probe.path)}
    parts = np.full(len(examples), "", dtype=object)
    for place, (name, sha256) in enumerate(zip(examples.ids, examples.sha256, strict=True)):
        row = told.get(name)
        if row is not None and may_be_same(row["sha256"], sha256):
            parts[place] = row["part"]
    train, validation, test, unused = (
        np.flatnonzero(parts == part) for part in ("train", "validation", "test", "unused")
    )
    if not len(train) or not len(test):
        raise InputError(
            f"The images are not those that {probe.path} was trained and tested on.",
            hint="Give its own table or source, or leave --head out to train a probe anew.",
        )
    if {*examples.labels[train], *examples.labels[validation], *examples.labels[test]} != {*probe.classes}:
        raise InputError(
            f"The images have other classes than {probe.path} knows.",
            hint="Give --labels and --label as it was trained with, or leave --head out to train a probe anew.",
        )
    if not len(validation):
        validation = _draw_validation(examples.labels, train, groups, test_size=None, seed=seed)
    method = probe.document["split"].get("method", "stratified")  # the first heads did not say
    return Split(np.union1d(train, validation), test, validation, method), unused


def _draw_validation(
    labels: Strings, train: Rows, groups: Rows | None = None, *, test_size: float | None, seed: int
) -> Rows:
    """Draw the places of a tenth of each class of the training part; of whole groups where there are some.

    Raises:
        InputError: No class has two images there.
    """
    n_classes = len(np.unique(labels[train]))
    if len(train) == n_classes:
        raise InputError(
            f"Without the images held out for testing, each of the {n_classes} classes has one image: none is left to"
            " validate on while the others are learnt from.",
            hint=_advise(test_size),
        )
    if groups is not None:
        return train[split_groups(labels[train], groups[train], test_size=VALIDATION_SHARE, seed=seed).test]
    return train[split_rows(labels[train], test_size=VALIDATION_SHARE, seed=seed)[1]]


def begin(
    probe: Head, features: Features, examples: Examples, split: Split, *, hidden: Network | None, seed: int
) -> Classifier:
    """Give the head to begin from: the probe's kind and setting, fitted without the validation rows; or a new network.

    The probe itself has seen the validation rows: that any epoch makes them worse would tell nothing.
    """
    if hidden is not None:
        return KerasHead.new(features.spec.dim, probe.classes, hidden, seed=seed)
    kind = HEADS[probe.document["head"]]
    fitted = np.setdiff1d(split.train, split.validation)
    value = next(iter(probe.document["scores"].get("setting", {}).values()), kind.usual)  # a fine-tuned head has none
    network = probe.classifier.form if isinstance(probe.classifier, KerasHead) else USUAL
    embeddings = StoredRows(features, examples.rows[fitted]).read()
    head = next(kind.fit_each(embeddings, examples.labels[fitted], [value], FitOptions(seed=seed, network=network)))
    watched = StoredRows(features, examples.rows[split.validation]).read()
    head.scale_logits(
        fit_temperature(head.margins(watched), np.searchsorted(head.classes, examples.labels[split.validation]))
    )
    return head


def mean_length(features: Features) -> float:
    """Give the mean length of a table's embeddings; 1 where all are zero."""
    lengths = np.concatenate([np.linalg.norm(embeddings, axis=1) for embeddings in features.vectors()])
    return float(lengths.mean(dtype=np.float64)) or 1.0


def check_images(labels: Strings, trunk: _Free, *, test_size: float | None, seed: int) -> None:
    """Refuse too few images before any of them is embedded.

    Args:
        labels: Of the images [N], None where unknown.
        trunk: What would learn.
        test_size: Share held out of each class; None where a column, groups or a head part them: then it is only asked
            whether there could be enough.
        seed: Of the split.

    Raises:
        InputError: There are too few images, or too few classes.
    """
    known = labels[[label is not None for label in labels]]
    classes = np.unique(known)
    if test_size is None or len(classes) < _TWO:
        _check_number(len(known), len(classes), trunk)
        return
    split = split_stratified(known, test_size=test_size, seed=seed)
    validation = _draw_validation(known, split.train, test_size=test_size, seed=seed)
    _check_parts(known, Split(split.train, split.test, validation, split.method), trunk, test_size=test_size)


def check_memory(trunk: _Free, batch_size: int) -> None:
    """Refuse steps for which the memory is too small.

    Raises:
        InputError: It is.
    """
    wanted, free = trunk.count_bytes(batch_size), free_memory()
    if wanted > free:
        raise InputError(
            f"A step takes about {format_size(wanted)} of memory; {format_size(max(free, 1))} are free.",
            hint=f"Give --batch-size {max(1, batch_size * free // wanted // 2)}, or leave more layers frozen.",
        )


def check_start(examples: Examples, split: Split, trunk: _Free, batch_size: int) -> None:
    """Refuse what would cost hours and come to nothing.

    Raises:
        InputError: A class is missing from a part, there are too few images, or the memory is too small.
    """
    _check_parts(examples.labels, split, trunk, test_size=None)
    check_memory(trunk, batch_size)


_PARTS_MEND = {
    "stratified": "Add images of it, three or more, or remove those that there are, and embed again.",
    "grouped": "Its groups are too few: give --group another column, or leave --group out.",
    "column": "Name that part for some images of it in the column after --split, or leave --split out.",
}
"""What to do about a class that a part lacks, by the method of the split."""


def _check_parts(labels: Strings, split: Split, trunk: _Free, *, test_size: float | None) -> None:
    fitted = np.setdiff1d(split.train, split.validation)
    classes = set(labels[split.train]) | set(labels[split.test])
    for part, own in {"training": fitted, "validation": split.validation, "test": split.test}.items():
        missing = sorted(classes - set(labels[own]))
        if missing:
            raise InputError(
                f"The {part} part has no image of {', '.join(missing[:3])}.",
                hint=_PARTS_MEND[split.method],
            )
    rest = f", besides {len(split.validation)} for validation and {len(split.test)} for testing"
    _check_number(len(fitted), len(classes), trunk, rest=rest, test_size=test_size)


def _check_number(
    n_images: int, n_classes: int, trunk: _Free, *, rest: str = "", test_size: float | None = None
) -> None:
    if n_images < _FEWEST * n_classes:
        raise InputError(
            f"There are {n_images} images of {n_classes} classes to fine-tune {trunk.n_free:,} numbers"
            f" ({trunk.free}){rest}.",
            hint=_advise(test_size),
        )


def _advise(test_size: float | None) -> str:
    """Return how many images would be enough, where the share that is held out of each class tells it."""
    enough = f"{_FEWEST} a class or more to train on, besides those for validation and testing"
    if test_size is not None:
        enough = f"{_count_enough(test_size)} a class or more"
    return f"Add images: {enough}; or stay with the probe: frieze train"


def _count_enough(test_size: float) -> int:
    """Count the images of a class of which enough are left to learn from when those held out are gone.

    >>> _count_enough(0.2), _count_enough(0.5)
    (7, 12)
    """
    for n_images in itertools.count(int(_FEWEST / (1 - test_size))):
        n_train = n_images - count_held_out(n_images, test_size)
        if n_train - count_held_out(n_train, VALIDATION_SHARE) >= _FEWEST:
            break
    return n_images
