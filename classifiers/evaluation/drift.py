"""Drift: are the images of a table still like those that a head was trained and measured on?"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.source_groups import number_wholes
from frieze.classifiers.data.splits import SplitConfig, image_numbers
from frieze.classifiers.familiarity import UNFAMILIAR, Familiarity, measure_similarity
from frieze.classifiers.storage.head_folder import Head, check_backbone, open_head
from frieze.classifiers.storage.head_json import RETRAIN, ZERO_SHOT
from frieze.classifiers.storage.split_file import StoredSplit, match_parts, read_split
from frieze.core import Floats, InputError, Rows, Strings
from frieze.features import Features

_N_BINS = 10
_MAX_LISTED = 20
_MAX_P_VALUE = 0.001
_LEAST_STATISTIC = 0.1  # of very many images every difference is significant
_FEWEST_IMAGES = 20
_N_PERMUTATIONS = 2_000


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
    familiarity = _known_familiarity(head)
    held_out = head.held_out
    split = read_split(head.path)
    images = Examples(np.arange(len(features)), features.labels, features.rows)
    rows = _new_rows(images, split)
    if min(len(rows), len(held_out.labels)) < _FEWEST_IMAGES:
        raise InputError(
            f"{len(rows):,} images of {features.path} are new to the head, which has"
            f" {len(held_out.labels):,} held-out images; drift takes {_FEWEST_IMAGES} of each.",
            hint="Embed more images, or train on more.",
        )
    new = _measure(head, familiarity, features, rows)
    ranks = familiarity.rank(new.similarities)
    old_codes = np.searchsorted(head.classes, held_out.predictions)
    samples = _one_of_each_group(head, features, images.take(rows), split)
    tests = {
        "familiarity_test": _compare_similarities(*_take((new.similarities, familiarity.similarities), samples)),
        "class_test": _compare_classes(*_take((new.codes, old_codes), samples), n_classes=len(head.classes)),
    }
    return tests | {
        "has_drifted": any(test["is_different"] for test in tests.values()),
        "rows": len(rows),
        "n_known": len(features) - len(rows),
        "n_held_out": len(held_out.labels),
        "n_tested": len(samples[0]),
        "n_held_out_tested": len(samples[1]),
        "n_unfamiliar": int((ranks < UNFAMILIAR).sum()),
        "unfamiliar_share": float((ranks < UNFAMILIAR).mean()),
        "familiarity": np.histogram(ranks, bins=_N_BINS, range=(0, 1))[0].tolist(),
        "mean_probability": float(new.probabilities.mean()),
        "held_out_mean_probability": float(held_out.probabilities.mean()),
        "classes": _shares(new.codes, old_codes, head.classes),
        "least_familiar": _least_similar(
            new.similarities, features.ids[rows], ranks, head.classes[new.codes], new.probabilities
        ),
        "stale": head.staleness(),
    }


def _known_familiarity(head: Head) -> Familiarity:
    if head.familiarity is not None:
        return head.familiarity
    if ZERO_SHOT in head.document:
        raise InputError(
            f"{head.path} is made of class names, and has no training images to compare with.",
            hint="Use a head that was trained on labelled images: frieze train FEATURES --out OTHER",
        )
    raise InputError(f"{head.path} was stored without its training images, by an earlier version.", hint=RETRAIN)


def _least_similar(similarities: Floats, *columns: Strings | Floats) -> list[dict[str, Any]]:
    """Return `similarity` and the other columns of the least similar images, 20 at most."""
    least = np.argsort(similarities, kind="stable")[:_MAX_LISTED]
    names = ("similarity", "id", "familiarity", "prediction", "probability")
    values = (column[least].tolist() for column in (similarities, *columns))
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _new_rows(images: Examples, split: StoredSplit) -> Rows:
    """Return the row numbers of images that the head was neither fitted nor measured on, by their ids and bytes."""
    used = [row for row in split if row["part"] != "unused"]
    hashes = {row["sha256"] for row in used} - {None}
    is_known = [
        part is not None or sha256 in hashes
        for part, sha256 in zip(match_parts(used, images), images.sha256, strict=True)
    ]
    return np.flatnonzero(~np.array(is_known, dtype=bool))


class _Measured(NamedTuple):
    """Of n images the similarity float32 to the training images, the predicted class int64, and its probability."""

    similarities: Floats
    codes: Rows
    probabilities: Floats


def _measure(head: Head, familiarity: Familiarity, features: Features, rows: Rows) -> _Measured:
    """Predict some rows of a table, block by block."""
    is_new = np.zeros(len(features), bool)
    is_new[rows] = True
    blocks, start = [], 0
    for block in features.vectors():
        chosen = block[is_new[start : start + len(block)]]
        start += len(block)
        if len(chosen):
            probabilities = head.probabilities(chosen)
            similarities = measure_similarity(chosen, familiarity.references)
            blocks.append((similarities, probabilities.argmax(axis=1), probabilities.max(axis=1)))
    return _Measured(*map(np.concatenate, zip(*blocks, strict=True)))


def _one_of_each_group(head: Head, features: Features, new: Examples, split: StoredSplit) -> tuple[Rows, Rows]:
    """Choose one new and one held-out image of each group, at random: images of one group are no independent sample.

    Groups are of the column that the head was trained by, where the table has it, else files and images that frames and
    parts are of. Of single images all are chosen.
    """
    stored = [row.get("group") for row in split if row["part"] == "test"]
    column = head.document["split"].get("group")
    groups = None
    if column in features.rows.column_names:
        groups = SplitConfig(group=column).find_groups(features, new)
    if groups is None:
        groups = number_wholes(features.rows)[new.rows]
    return _draw_one(groups), _draw_one(np.array([-1 if one is None else one for one in stored], np.int64))


def _draw_one(groups: Rows) -> Rows:
    """Return the position of one member of each group, drawn at random, int64, ascending; of -1 of each row."""
    order = np.random.default_rng(0).permutation(len(groups))
    return np.sort(order[np.unique(image_numbers(groups)[order], return_index=True)[1]])


def _take(values: tuple[Any, Any], samples: tuple[Rows, Rows]) -> tuple[Any, Any]:
    return values[0][samples[0]], values[1][samples[1]]


def _compare_similarities(new: Floats, held_out: Floats) -> dict[str, Any]:
    """Test whether two samples of similarities differ, by Kolmogorov and Smirnov."""
    from scipy.stats import ks_2samp

    test = ks_2samp(new, held_out)
    direction = "lower" if np.median(new) < np.median(held_out) else "higher"
    is_different = test.pvalue < _MAX_P_VALUE and test.statistic >= _LEAST_STATISTIC
    return {
        "statistic": float(test.statistic),
        "p_value": float(test.pvalue),
        "direction": direction,
        "is_different": bool(is_different),
    }


def _compare_classes(new: Rows, held_out: Rows, *, n_classes: int) -> dict[str, Any]:
    """Test whether two samples of predicted classes differ: total variation distance, by permutation of both."""
    counts = [np.bincount(codes, minlength=n_classes) for codes in (new, held_out)]
    both = counts[0] + counts[1]
    drawn = np.random.default_rng(0).multivariate_hypergeometric(both, len(new), size=_N_PERMUTATIONS)
    distances = _distance(drawn, both - drawn)
    distance, expected = float(_distance(*counts)), float(distances.mean())
    p_value = (1 + int((distances >= distance).sum())) / (1 + _N_PERMUTATIONS)
    is_different = p_value < _MAX_P_VALUE and distance - expected >= _LEAST_STATISTIC
    return {"statistic": distance, "expected": expected, "p_value": p_value, "is_different": is_different}


def _distance(new: Rows, held_out: Rows) -> Any:
    """Return the total variation distance in [0, 1] of counts int64 [..., C]."""
    shares = [counts / counts.sum(axis=-1, keepdims=True) for counts in (new, held_out)]
    return np.abs(shares[0] - shares[1]).sum(axis=-1) / 2


def _shares(new: Rows, held_out: Rows, classes: Strings) -> list[dict[str, Any]]:
    """Return the share of each class among new and held-out predictions, the largest difference first."""
    shares = [np.bincount(codes, minlength=len(classes)) / len(codes) for codes in (new, held_out)]
    order = np.argsort(-np.abs(shares[0] - shares[1]), kind="stable")
    names = ("class", "share", "held_out_share")
    return [
        dict(zip(names, (str(classes[code]), *(float(one[code]) for one in shares)), strict=True)) for code in order
    ]
