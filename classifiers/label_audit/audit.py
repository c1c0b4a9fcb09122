"""Auditing labels: likely wrong ones, near-duplicates that clash, outliers, classes too small."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.data.embedding_rows import StoredRows
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.split_config import check_seed
from frieze.classifiers.data.splits import fold_rows, image_numbers
from frieze.classifiers.label_audit.duplicate_conflicts import clashing_groups, majority, nearest_clash
from frieze.classifiers.label_audit.ensemble import pool
from frieze.classifiers.label_audit.findings import SCHEMA, Finding, check_findings, summarise, to_table
from frieze.classifiers.label_audit.knn_votes import Neighbourhood, ask_neighbours
from frieze.classifiers.label_audit.loo_ridge import ask_least_squares
from frieze.classifiers.label_audit.out_of_fold import find_doubts, hold_out
from frieze.classifiers.label_audit.outliers import find_outliers
from frieze.classifiers.solver.row_space import shortened
from frieze.classifiers.storage.split_file import may_be_same, read_split
from frieze.core import Floats, MismatchError, Rows, Strings, write_table_file
from frieze.features import Features

_N_FOLDS = 10
"""With nine tenths of the rows to learn from, heads find more wrong labels than with four fifths; with more, hardly."""
_FEWEST = 5
"""Distinct images of a class that is judged."""
_TWO = 2


def check_audit(features: Features, out: Path, *, head: Path | None, seed: int, force: bool) -> None:
    """Refuse an audit that can't end well, before the work.

    Args:
        features: The table.
        out: The file to write, Parquet, CSV or JSON lines by its suffix.
        head: The folder of a head, or None.
        seed: Between 0 and 4294967295.
        force: Whether findings that stand at `out` may go; any other file stays.

    Raises:
        FeatureFileError: `out` can't be written or holds what must not go, or the head's split is broken.
        InputError: No row has a label, or the seed is out of range.
        MismatchError: The head's split has no row of the table.
    """
    check_seed(seed)
    check_findings(out, force=force)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    if head is not None:
        _parts(examples, head)


def audit_labels(
    features: Features,
    out: Path,
    *,
    near: Neighbourhood,
    head: Path | None = None,
    seed: int = 0,
    show: Callable[[list[dict[str, Any]]], None] = lambda _rows: None,
) -> dict[str, Any]:
    """Look for labels that are likely wrong and for images that spoil a split, and write what is found.

    The embeddings of the labelled rows are held in memory as float32.

    Args:
        features: The table, N rows; those without a label are left out.
        out: The file to write, which `check_audit` has allowed; its columns are `findings.SCHEMA`.
        near: Near-duplicates and nearest rows of all N rows.
        head: The folder of a head whose split is looked through, or None.
        seed: For the folds.
        show: Takes the rows of the file.

    Returns:
        `rows`, `n_unlabelled`, `n_judged`, `accuracy`, `cost`, `small_classes`, `counts`, `first` and `out`;
        docs/json.md tells what each means.

    Raises:
        FeatureFileError: `out` can't be written, or the table or the head's split is broken.
        InputError: No row has a label.
        MismatchError: The head's split has no row of the table.
    """
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    parts = np.full(len(examples), None) if head is None else _parts(examples, head)
    embeddings = StoredRows(features, examples.rows).read()
    groups = near.groups[examples.rows]
    small = _small_classes(examples.labels, image_numbers(groups))
    judged = np.flatnonzero([label not in small for label in examples.labels])
    doubts, figures = _doubts(embeddings, examples, near, judged=judged, seed=seed)
    found = [
        *doubts,
        *_label_clashes(embeddings, groups, examples.labels),
        *_split_clashes(embeddings, groups, parts),
        *_outliers(near.scores[examples.rows], _sizes(near.groups)[examples.rows]),
        *_small_rows(examples.labels, small),
    ]
    table = to_table(found, examples, groups=groups, parts=parts)
    write_table_file(out.absolute(), SCHEMA, [table])
    show(table.to_pylist())
    counted = {"rows": len(features), "n_unlabelled": len(features) - len(examples), "small_classes": small}
    return figures | counted | summarise(table) | {"out": str(out.absolute())}


def _parts(examples: Examples, head: Path) -> Strings:
    """Give `train` or `test` for each row that a head's split has, None for the others."""
    split = {row["id"]: row for row in read_split(head)}
    nothing = {"sha256": None, "part": None}
    known = [split.get(name, nothing) for name in examples.ids]
    pairs = zip(known, examples.sha256, strict=True)
    parts = np.array([row["part"] if may_be_same(row["sha256"], sha256) else None for row, sha256 in pairs], object)
    if not parts.any():
        raise MismatchError(
            f"None of the {len(examples)} labelled rows stands in the split of {head}.",
            hint=f"Audit the table that the head was trained on; it is named by: frieze info {head}",
        )
    return parts


def _sizes(groups: Rows) -> Rows:
    """Give how many near-duplicates each row has, itself included."""
    images = image_numbers(groups)
    sizes: Rows = np.bincount(images)[images]
    return sizes


def _small_classes(labels: Strings, images: Rows) -> dict[str, int]:
    """Count the distinct images of each class that has too few."""
    counts = Counter(label for label, _ in set(zip(labels, images.tolist(), strict=True)))
    return {label: counts[label] for label in sorted(counts) if counts[label] < _FEWEST}


def _doubts(
    embeddings: Floats, examples: Examples, near: Neighbourhood, *, judged: Rows, seed: int
) -> tuple[list[Finding], dict[str, Any]]:
    """Find labels that are likely wrong among the rows whose classes are large enough.

    Args:
        embeddings: float32 [n, D], of the labelled rows.
        examples: The labelled rows.
        near: Of all rows of the table.
        judged: int64, places among the labelled rows.
        seed: For the folds.

    Returns:
        The findings, and how the judges did.
    """
    rows = examples.rows[judged]
    classes, codes = np.unique(examples.labels[judged].astype(str), return_inverse=True)
    if len(classes) < _TWO:  # one class leaves nothing to tell apart
        return [], {"n_judged": 0, "accuracy": None, "cost": None}
    images = image_numbers(near.groups[rows])
    embeddings = shortened(embeddings if len(judged) == len(examples) else embeddings[judged])
    held_out = hold_out(embeddings, codes, fold_rows(codes, images, n_folds=_N_FOLDS, seed=seed))
    # Heads see what parts the classes over the whole collection, the neighbours what holds just there.
    opinions = [held_out.probabilities, ask_least_squares(embeddings, codes, images), ask_neighbours(near, rows, codes)]
    probabilities = pool(opinions, codes)
    found = [
        Finding("label", int(judged[one.row]), one.score, str(classes[one.code]), one.probability)
        for one in find_doubts(probabilities, codes)
    ]
    accuracy = float((probabilities.argmax(axis=1) == codes).mean())
    return found, {"n_judged": len(rows), "accuracy": accuracy, "cost": held_out.cost}


def _label_clashes(embeddings: Floats, groups: Rows, labels: Strings) -> Iterator[Finding]:
    for rows in clashing_groups(groups, labels):
        score, suggested = nearest_clash(embeddings[rows], labels[rows]), majority(labels[rows])
        for row in rows.tolist():
            yield Finding("duplicate_labels", row, score, None if labels[row] == suggested else suggested)


def _split_clashes(embeddings: Floats, groups: Rows, parts: Strings) -> Iterator[Finding]:
    for rows in clashing_groups(groups, parts):
        score = nearest_clash(embeddings[rows], parts[rows])
        yield from (Finding("duplicate_split", row, score) for row in rows.tolist())


def _outliers(nearest: Floats, sizes: Rows) -> Iterator[Finding]:
    rows, scores = find_outliers(nearest, sizes)
    yield from map(Finding, ["outlier"] * len(rows), rows.tolist(), scores.tolist())


def _small_rows(labels: Strings, small: dict[str, int]) -> Iterator[Finding]:
    for row, label in enumerate(labels):
        if label in small:
            yield Finding("small_class", row, 1 - small[label] / _FEWEST)
