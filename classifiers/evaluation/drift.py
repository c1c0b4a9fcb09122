"""Drift: are the images of a table still like those that a head was trained and measured on?"""

from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.conformal import HeldOutPredictions
from frieze.classifiers.familiarity import UNFAMILIAR, Familiarity, measure_similarity
from frieze.classifiers.storage.head_folder import Head, check_backbone, open_head
from frieze.classifiers.storage.split_file import read_split
from frieze.core import Floats, InputError, Rows, Strings, unit_rows
from frieze.features import Features

_N_BINS = 10
_MAX_LISTED = 20
_MAX_P_VALUE = 0.001
_LEAST_STATISTIC = 0.1  # of very many images every difference is significant
_FEWEST_IMAGES = 20


def measure_drift(path: str | Path, features: Features) -> dict[str, Any]:
    """Compare the images of a table with the held-out images of a head; labels are not needed.

    Images that the head was fitted on or measured on are left out, by their ids and bytes.

    Args:
        path: The folder of the head.
        features: The table, of the head's backbone.

    Returns:
        The document of `frieze drift --json`; docs/json.md documents its fields.

    Raises:
        FeatureFileError: The head or the table is missing or broken.
        InputError: The head has no training images or held-out images, or fewer than 20 images are left.
        MismatchError: The table is of another backbone.
    """
    head = open_head(path)
    check_backbone(head, features)
    if head.familiarity is None:
        raise InputError(
            f"{path} was stored without its training images.",
            hint="Train the head again, by this version of Frieze: frieze train FEATURES --out HEAD --force",
        )
    rows = _new_rows(Path(path), features)
    if min(len(rows), len(head.held_out.labels)) < _FEWEST_IMAGES:
        raise InputError(
            f"{len(rows):,} images of {features.path} are new to the head, which has"
            f" {len(head.held_out.labels):,} held-out images; drift takes {_FEWEST_IMAGES} of each.",
            hint="Embed more images, or train on more.",
        )
    similarities, probabilities = _measure(head, head.familiarity, features, rows)
    counts = {"rows": len(rows), "n_known": len(features) - len(rows), "n_held_out": len(head.held_out.labels)}
    familiarity = head.familiarity.rank(similarities)
    predictions = head.classes[probabilities.argmax(axis=1)]
    of_familiarity = _compare_similarities(similarities, head.familiarity.similarities)
    of_classes = _compare_classes(predictions, head.held_out.predictions, head.classes)
    return counts | {
        "n_unfamiliar": int((familiarity < UNFAMILIAR).sum()),
        "unfamiliar_share": float((familiarity < UNFAMILIAR).mean()),
        "familiarity": np.histogram(familiarity, bins=_N_BINS, range=(0, 1))[0].tolist(),
        "mean_probability": float(probabilities.max(axis=1).mean()),
        "held_out_mean_probability": float(head.held_out.probabilities.mean()),
        "familiarity_test": of_familiarity,
        "class_test": of_classes,
        "classes": _shares(predictions, head.held_out, head.classes),
        "least_familiar": _least_similar(
            similarities, features.ids[rows], familiarity, predictions, probabilities.max(axis=1)
        ),
        "has_drifted": of_familiarity["is_different"] or of_classes["is_different"],
        "stale": head.staleness(),
    }


def _least_similar(similarities: Floats, *columns: Strings | Floats) -> list[dict[str, Any]]:
    """Return `similarity` and the other columns of the least similar images, 20 at most."""
    least = np.argsort(similarities, kind="stable")[:_MAX_LISTED]
    names = ("similarity", "id", "familiarity", "prediction", "probability")
    values = (column[least].tolist() for column in (similarities, *columns))
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _new_rows(path: Path, features: Features) -> Rows:
    """Return the row numbers of images that are not in the head's split, by id and bytes."""
    split = read_split(path)
    ids, hashes = {row["id"] for row in split}, {row["sha256"] for row in split} - {None}
    sha256 = features.rows["sha256"].to_pylist()
    is_new = [name not in ids and of_bytes not in hashes for name, of_bytes in zip(features.ids, sha256, strict=True)]
    return np.flatnonzero(is_new)


def _measure(head: Head, familiarity: Familiarity, features: Features, rows: Rows) -> tuple[Floats, Floats]:
    """Return the similarity float32 [n] and the probabilities float32 [n, C] of some rows."""
    is_new = np.zeros(len(features), bool)
    is_new[rows] = True
    similarities, probabilities, start = [], [], 0
    for block in features.vectors():
        chosen = block[is_new[start : start + len(block)]]
        start += len(block)
        if len(chosen):
            similarities.append(measure_similarity(unit_rows(chosen), familiarity.references))
            probabilities.append(head.probabilities(chosen))
    return np.concatenate(similarities), np.concatenate(probabilities)


def _compare_similarities(similarities: Floats, held_out: Floats) -> dict[str, Any]:
    """Test whether two samples of similarities differ, by Kolmogorov and Smirnov."""
    from scipy.stats import ks_2samp

    test = ks_2samp(similarities, held_out)
    return _judge(float(test.statistic), float(test.pvalue))


def _compare_classes(predictions: Strings, held_out: Strings, classes: Strings) -> dict[str, Any]:
    """Test whether two samples of predicted classes differ: total variation distance, and the chi-squared test."""
    from scipy.stats import chi2_contingency

    counts = np.array([_count(one, classes) for one in (predictions, held_out)])
    distance = float(np.abs(counts[0] / counts[0].sum() - counts[1] / counts[1].sum()).sum() / 2)
    counts = counts[:, counts.any(axis=0)]
    return _judge(distance, float(chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0)


def _judge(statistic: float, p_value: float) -> dict[str, Any]:
    is_different = p_value < _MAX_P_VALUE and statistic >= _LEAST_STATISTIC
    return {"statistic": statistic, "p_value": p_value, "is_different": is_different}


def _count(predictions: Strings, classes: Strings) -> Rows:
    return np.bincount(np.searchsorted(classes, predictions), minlength=len(classes))


def _shares(predictions: Strings, held_out: HeldOutPredictions, classes: Strings) -> list[dict[str, Any]]:
    """Return the share of each class among new and held-out predictions, the largest difference first."""
    new, old = (_count(one, classes) / len(one) for one in (predictions, held_out.predictions))
    order = np.argsort(-np.abs(new - old), kind="stable")
    return [
        {"class": str(classes[code]), "share": float(new[code]), "held_out_share": float(old[code])} for code in order
    ]
