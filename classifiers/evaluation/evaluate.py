"""Evaluate a stored head on a table, without the rows it was fitted on."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.classifiers.data.embedding_rows import EmbeddingRows, map_rows
from frieze.classifiers.data.labelled_examples import Examples, fold_label, labelled_rows
from frieze.classifiers.data.source_groups import find_relatives, join_groups, number_wholes
from frieze.classifiers.data.splits import SplitConfig, image_numbers, interval_groups
from frieze.classifiers.metrics import score
from frieze.classifiers.storage.head_folder import Head, check_backbone, open_head
from frieze.classifiers.storage.head_json import NAME
from frieze.classifiers.storage.split_file import StoredSplit, match_parts, read_split
from frieze.classifiers.training.notes import notes_on_interval
from frieze.core import InputError, Rows, Strings, counted, read_consistent, shorten
from frieze.features import Features

_MAX_LABELS = 20

Mask = npt.NDArray[np.bool_]


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
    is_named, is_copy, is_relative = _are_fitted(features, examples, split)
    is_fitted = is_named | is_copy | is_relative
    is_known = np.isin(examples.labels.astype(str), head.classes.astype(str))
    scored = np.flatnonzero(~is_fitted & is_known)
    chosen = examples.take(scored)
    unknown = Counter(examples.labels[~is_fitted & ~is_known].tolist())
    n_copies, n_relatives = int(is_copy.sum()), int(is_relative.sum())
    note = _note(len(chosen), n_named=int(is_named.sum()), n_copies=n_copies, n_relatives=n_relatives)
    note += _note_on_unknown(unknown, head.classes)
    if not len(chosen):
        raise InputError(f"No row of {features.path} can be scored. {note}", hint=_hint(unknown, head.classes))
    probabilities = map_rows(head.probabilities, EmbeddingRows(features, chosen.rows))
    groups = interval_groups(features, examples, _find_groups(head, features, examples, split), scored)
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
        "note": " ".join([note, *_notes_on_groups(head, groups)]),
        "stale": head.staleness(),
        "seconds": time.perf_counter() - started,
    }


def _are_fitted(features: Features, examples: Examples, split: StoredSplit) -> tuple[Mask, Mask, Mask]:
    """Return which rows the head was fitted on (or could have been), copies of these, and others of their files."""
    parts = match_parts(split, examples)
    fitted = [row for row in split if row["part"] != "test"]
    is_named = np.array([part not in {None, "test"} for part in parts], dtype=bool)
    fitted_sha256 = {row["sha256"] for row in fitted} - {None}
    is_copy = ~is_named & np.array([sha256 in fitted_sha256 for sha256 in examples.sha256], dtype=bool)
    is_relative = find_relatives(features.rows, (str(row["id"]) for row in fitted))[examples.rows]
    is_new = np.array([part is None for part in parts], dtype=bool)  # rows of the split stay where it has them
    return is_named, is_copy, is_relative & is_new & ~is_copy


def _find_groups(head: Head, features: Features, examples: Examples, split: StoredSplit) -> Rows | None:
    """Return the groups of labelled rows by the column that the head was trained by, else as its split has them."""
    column = head.document["split"].get("group")
    if column in features.rows.column_names:
        return SplitConfig(group=column).find_groups(features, examples)
    stored = match_parts(split, examples, column="group")
    numbers = np.array([-1 if number is None else number for number in stored], np.int64)
    if (numbers < 0).all():
        return None
    return image_numbers(join_groups(numbers, number_wholes(features.rows)[examples.rows]))


def _notes_on_groups(head: Head, groups: Rows | None) -> list[str]:
    """Describe an interval over few groups, or over images where the head was trained by groups that are not known."""
    column = head.document["split"].get("group")
    if column is None or groups is not None:
        return notes_on_interval(groups)
    missing = "near-duplicates are not known here" if column == "duplicates" else f"the table has no column {column}"
    return [f"The interval counts images, not groups: {missing}."]


def _of_training(head: Head) -> dict[str, Any]:
    scores = head.document["scores"]
    fields = {"head": head.document["head"], "classes": head.classes.tolist()}
    return fields | {name: scores[name] for name in ("n_train", "fit_seconds")}


def _note(n_chosen: int, *, n_named: int, n_copies: int, n_relatives: int) -> str:
    """Describe which rows are scored.

    >>> _note(20, n_named=80, n_copies=0, n_relatives=0)
    'Scored on the 20 held-out rows; the 80 rows that the head was fitted on are left out.'
    """
    if not n_named + n_copies + n_relatives:
        return f"Scored on all {counted(n_chosen, 'row')}; the head was fitted on none of them."
    named = f"the {counted(n_named, 'row')} that the head was fitted on" if n_named else ""
    copied = "with the same bytes as an image that it was fitted on"
    copies = f"{counted(n_copies, 'row')} {copied}" if n_copies else ""
    relatives = f"{counted(n_relatives, 'row')} of a file or image that it was fitted on rows of" if n_relatives else ""
    left_out = " and ".join(filter(None, (named, copies, relatives)))
    are = "is" if n_named + n_copies + n_relatives == 1 else "are"
    return f"Scored on the {counted(n_chosen, 'held-out row')}; {left_out} {are} left out."


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
