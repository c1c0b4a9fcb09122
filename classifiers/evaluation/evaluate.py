"""Evaluate a stored head on a table, without the rows it was fitted on."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.data.embedding_rows import EmbeddingRows, map_rows
from frieze.classifiers.data.labelled_examples import fold_label, labelled_rows
from frieze.classifiers.data.splits import interval_groups
from frieze.classifiers.evaluation.unseen_rows import are_fitted, describe_rows, find_groups, notes_on_groups
from frieze.classifiers.metrics import score
from frieze.classifiers.storage.head_folder import Head, check_backbone, open_head
from frieze.classifiers.storage.head_json import NAME
from frieze.classifiers.storage.split_file import read_split
from frieze.core import InputError, Strings, counted, read_consistent, shorten
from frieze.features import Features

_MAX_LABELS = 20


def evaluate_head(path: str | Path, features: Features) -> dict[str, Any]:
    """Score a head on the labelled rows of a table that it was not fitted on.

    A row is left out if the head's split has its id, with the same sha256 where both are known, or its sha256 under
    another id, or if it is not in the split and is a frame or box of a file or image that a training image is of. On
    the unchanged training table the figures are those of `train_head`, except for held-out copies of training images
    (`test_copies` there).

    Returns:
        The figures of `train_head` (`n_train` and `fit_seconds` are the head's), `n_copies` (rows left out because
        they have the bytes of a training image under another id), `n_relatives` (rows left out because they are of the
        same file or image as a training image), `n_unknown_label` (rows left out because the head does not know their
        label), `unknown_labels` (those labels with their number of rows, 20 at most), `rows` (`held-out` if training
        rows were left out, else `all`), `note`, a sentence about that, and `stale` (None, or the command to type if the
        table has changed since the training).

    Raises:
        FeatureFileError: The head or the table is missing or broken.
        InputError: No row is left to score.
        MismatchError: The table is of another backbone.
    """
    started = time.perf_counter()
    path = Path(path)
    head, split = read_consistent(path / NAME, lambda: (open_head(path), read_split(path)))
    check_backbone(head, features)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    is_named, is_copy, is_relative = are_fitted(features, examples, split)
    is_fitted = is_named | is_copy | is_relative
    is_known = np.isin(examples.labels.astype(str), head.classes.astype(str))
    scored = np.flatnonzero(~is_fitted & is_known)
    chosen = examples.take(scored)
    unknown = Counter(examples.labels[~is_fitted & ~is_known].tolist())
    n_copies, n_relatives = int(is_copy.sum()), int(is_relative.sum())
    note = describe_rows(len(chosen), n_named=int(is_named.sum()), n_copies=n_copies, n_relatives=n_relatives)
    note += _note_on_unknown(unknown, head.classes)
    if not len(chosen):
        raise InputError(f"No row of {features.path} can be scored. {note}", hint=_hint(unknown, head.classes))
    probabilities = map_rows(head.probabilities, EmbeddingRows(features, chosen.rows))
    groups = interval_groups(features, examples, find_groups(head.document["split"], features, examples, split), scored)
    scores = score(probabilities, chosen.labels, classes=head.classes, groups=groups)
    return {
        **_of_training(head),
        **scores,
        "n_test": len(chosen),
        "n_unlabelled": len(features) - len(examples),
        "n_copies": n_copies,
        "n_relatives": n_relatives,
        "n_unknown_label": unknown.total(),
        "unknown_labels": dict(unknown.most_common(_MAX_LABELS)),
        "rows": "held-out" if is_fitted.any() else "all",
        "note": " ".join([note, *notes_on_groups(head.document["split"], groups)]),
        "stale": head.staleness(),
        "seconds": time.perf_counter() - started,
    }


def _of_training(head: Head) -> dict[str, Any]:
    scores = head.document["scores"]
    fields = {"head": head.document["head"], "classes": head.classes.tolist()}
    return fields | {name: scores[name] for name in ("n_train", "fit_seconds")}


def _note_on_unknown(unknown: Counter[str], classes: Strings) -> str:
    if not unknown:
        return ""
    hints = {label: f" (not {name!r})" for label, name in _nearly_known(unknown, classes).items()}
    labels = shorten([f"{label!r}{hints.get(label, '')}" for label, _ in unknown.most_common()])
    return (
        f" {counted(unknown.total(), 'row')} with a label that the head does not know"
        f" {'is' if unknown.total() == 1 else 'are'} left out: {labels};"
        f" the head's classes are {shorten([repr(name) for name in classes])}."
    )


def _nearly_known(unknown: Counter[str], classes: Strings) -> dict[str, str]:
    """Match unknown labels with the class that people would read them as."""
    known = {fold_label(name): name for name in classes}
    return {label: known[fold_label(label)] for label in unknown if fold_label(label) in known}


def _hint(unknown: Counter[str], classes: Strings) -> str:
    if _nearly_known(unknown, classes):
        return "Spell the labels like the head's classes, in a file for `labels='FILE'`."
    return "Use other images: frieze embed OTHER --out FEATURES, with class folders named like the head's classes."
