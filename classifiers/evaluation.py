"""Scoring a stored head on a table, without the rows it was fitted on."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifiers.labels import Examples, labelled_rows
from classifiers.scores import score
from classifiers.storage import NAME, Head, check_backbone, may_be_same, open_head, read_fitted
from classifiers.stored_rows import StoredRows, mapped
from features import Features, InputError, counted, read_unchanged

Mask = npt.NDArray[np.bool_]


def evaluate_head(path: str | Path, features: Features) -> dict[str, Any]:
    """Score a head on the labelled rows of a table that it was not fitted on.

    A row was fitted on when the head's split has its id, and its sha256 where both know one. On the unchanged table
    that the head was trained from, this gives the figures of `train_head`.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone.

    Returns:
        The figures of `train_head` (`n_train` and `fit_seconds` are the head's), `n_unknown_label` (rows left out since
        the head does not know their label), `rows` (`held-out` when fitted rows were left out, else `all`) `note`,
        which says so in words, and `stale` (None, or what to type where the table has changed since the training).

    Raises:
        FeatureFileError: The head or the table is missing or broken.
        InputError: No row is left to score.
        MismatchError: The table is of another backbone.
    """
    started = time.perf_counter()
    place = Path(path)
    head, fitted = read_unchanged(place / NAME, lambda: (open_head(place), read_fitted(place)))
    check_backbone(head, features)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    is_fitted = _is_fitted(examples, fitted)
    is_known = np.isin(examples.labels.astype(str), head.classes.astype(str))
    chosen = examples.take(np.flatnonzero(~is_fitted & is_known))
    n_fitted, n_unknown = int(is_fitted.sum()), int((~is_fitted & ~is_known).sum())
    note = _note(len(chosen), n_fitted=n_fitted, n_unknown=n_unknown)
    if not len(chosen):
        raise InputError(f"No row of {features.path} can be scored. {note}", mend=f"Give other images: {_MEND}")
    probabilities = mapped(head.probabilities, StoredRows(features, chosen.rows))
    return {
        **_of_training(head),
        **score(probabilities, chosen.labels, classes=head.classes),
        "n_test": len(chosen),
        "n_unlabelled": len(features) - len(examples),
        "n_unknown_label": n_unknown,
        "rows": "held-out" if n_fitted else "all",
        "note": note,
        "stale": head.staleness(),
        "seconds": time.perf_counter() - started,
    }


_MEND = "frieze embed OTHER --out FEATURES, with class folders named as the head's classes."


def _is_fitted(examples: Examples, fitted: dict[str, str | None]) -> Mask:
    pairs = zip(examples.ids, examples.sha256, strict=True)
    return np.array([name in fitted and may_be_same(sha256, fitted[name]) for name, sha256 in pairs], dtype=bool)


def _of_training(head: Head) -> dict[str, Any]:
    scores = head.document["scores"]
    known = {"head": head.document["head"], "classes": head.classes.tolist()}
    return known | {name: scores[name] for name in ("n_train", "fit_seconds")}


def _note(n_chosen: int, *, n_fitted: int, n_unknown: int) -> str:
    """Say in words which rows count.

    >>> _note(20, n_fitted=80, n_unknown=0)
    'Scored on the 20 held-out rows; the 80 rows that the head was fitted on are left out.'
    """
    if n_fitted:
        out = counted(n_fitted, "row that the head was fitted on is", "rows that the head was fitted on are")
        rows = f"the {counted(n_chosen, 'held-out row')}; the {out} left out"
    else:
        rows = f"all {counted(n_chosen, 'row')}; the head was fitted on none of them"
    known_not = f"with a label that the head does not know {'is' if n_unknown == 1 else 'are'} left out."
    return f"Scored on {rows}." + (f" {counted(n_unknown, 'row')} {known_not}" if n_unknown else "")
