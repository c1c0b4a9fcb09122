"""Evaluate a stored head of several labels an image, without the rows it was fitted on."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.data.embedding_rows import EmbeddingRows, map_rows
from frieze.classifiers.data.splits import interval_groups
from frieze.classifiers.evaluation.unseen_rows import are_fitted, describe_rows, find_groups, notes_on_groups
from frieze.classifiers.multilabel.examples import Mask, MultilabelExamples, multilabel_rows
from frieze.classifiers.multilabel.metrics import notes_on_map, report_labels, score_labels
from frieze.classifiers.multilabel.stored_head import open_multilabel_head
from frieze.classifiers.storage.head_folder import check_backbone
from frieze.classifiers.storage.head_json import NAME
from frieze.classifiers.storage.split_file import read_split
from frieze.core import InputError, Strings, counted, read_consistent, shorten
from frieze.features import Features


def evaluate_multilabel(path: str | Path, features: Features) -> dict[str, Any]:
    """Score a head of several labels an image on rows of a table that it was not fitted on.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone, by `with_label_lists`; rows with null are left out.

    Returns:
        The figures of `train_multilabel` with `per_class`, `n_copies` and `n_relatives` (rows left out, as
        `evaluate_head` does), `unknown_labels` (labels of the table that the head does not know, with their number of
        images), `rows`, `note` and `stale`.

    Raises:
        FeatureFileError: The head or the table is missing or broken.
        InputError: No row is left to score, or none has a label that the head knows.
        MismatchError: The table is of another backbone.
    """
    started = time.perf_counter()
    path = Path(path)
    head, split = read_consistent(path / NAME, lambda: (open_multilabel_head(path), read_split(path)))
    check_backbone(head, features)
    labelled = multilabel_rows(features.rows)
    is_named, is_copy, is_relative = are_fitted(features, labelled.examples, split)
    is_fitted = is_named | is_copy | is_relative
    scored = np.flatnonzero(~is_fitted)
    chosen = labelled.take(scored)
    has_label, unknown = _align(chosen, head.classes)
    counts = {"n_named": int(is_named.sum()), "n_copies": int(is_copy.sum()), "n_relatives": int(is_relative.sum())}
    note = describe_rows(len(chosen), **counts) + _note_on_unknown(unknown)
    if not has_label.any():
        raise InputError(
            f"No row of {features.path} can be scored. {note}",
            hint=f"Use images with labels that the head knows: {shorten(head.classes.tolist())}.",
        )
    probabilities = map_rows(head.probabilities, EmbeddingRows(features, chosen.examples.rows))
    of_split = find_groups(head.document["split"], features, labelled.examples, split)
    groups = interval_groups(features, labelled.examples, of_split, scored)
    aligned = MultilabelExamples(chosen.examples, head.classes, has_label)
    stored, measured = head.document["scores"], score_labels(probabilities, head.thresholds, has_label, groups)
    notes = [note, *notes_on_groups(head.document["split"], groups), *notes_on_map(measured, aligned)]
    return {
        "head": head.document["head"],
        "multilabel": True,
        "classes": head.classes.tolist(),
        **{name: stored[name] for name in ("n_train", "fit_seconds")},
        **measured,
        **report_labels(probabilities, head.thresholds, aligned),
        "n_test": len(chosen),
        "n_copies": counts["n_copies"],
        "n_relatives": counts["n_relatives"],
        "unknown_labels": unknown,
        "rows": "held-out" if is_fitted.any() else "all",
        "note": " ".join(notes),
        "stale": head.staleness(),
        "seconds": time.perf_counter() - started,
    }


def _align(labelled: MultilabelExamples, classes: Strings) -> tuple[Mask, dict[str, int]]:
    """Return which labels of a head the rows have, bool [n, C], and how many have each label it does not know."""
    column_of = {name: column for column, name in enumerate(classes)}
    has_label, unknown = np.zeros((len(labelled), len(classes)), bool), {}
    for name, of_label in zip(labelled.classes, labelled.has_label.T, strict=True):
        if name in column_of:
            has_label[:, column_of[name]] = of_label
        elif of_label.any():
            unknown[str(name)] = int(of_label.sum())
    return has_label, dict(sorted(unknown.items(), key=lambda one: (-one[1], one[0])))


def _note_on_unknown(unknown: dict[str, int]) -> str:
    if not unknown:
        return ""
    named = shorten([f"{name!r} ({counted(n, 'image')})" for name, n in unknown.items()])
    return f" Labels that the head does not know count for nothing: {named}."
