"""Label audit: likely wrong labels, conflicting near-duplicates, outliers and classes that are too small."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.calibration import calibrate_logits
from frieze.classifiers.data.embedding_rows import EmbeddingRows
from frieze.classifiers.data.folds import FEWEST_CLASSES, fold_rows
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.source_groups import join_groups, number_wholes
from frieze.classifiers.data.splits import check_seed, image_numbers
from frieze.classifiers.label_audit.duplicate_conflicts import conflicting_groups, majority_label, nearest_conflict
from frieze.classifiers.label_audit.findings import SCHEMA, Finding, check_findings, summarise, to_table
from frieze.classifiers.label_audit.knn_votes import Neighbourhood, knn_probabilities
from frieze.classifiers.label_audit.list_issues import find_list_issues
from frieze.classifiers.label_audit.loo_ridge import loo_ridge_probabilities
from frieze.classifiers.label_audit.out_of_fold import find_label_issues, predict_out_of_fold
from frieze.classifiers.label_audit.outliers import find_outliers
from frieze.classifiers.label_audit.picture_outliers import find_unusual_pictures
from frieze.classifiers.multilabel.examples import MultilabelExamples, multilabel_rows
from frieze.classifiers.solver.row_space import reduce_width
from frieze.classifiers.storage.split_file import match_parts, read_split
from frieze.core import Floats, MismatchError, Rows, Strings, write_table_file
from frieze.features import STATISTICS, Features

_N_FOLDS = 10
"""Heads fitted on nine tenths of the rows find more wrong labels than on four fifths; more folds add little."""
_FEWEST = 5
"""Distinct images that a class needs to be audited for wrong labels."""
_MIN_PROBABILITY = 1e-30  # keeps the logarithm finite where an estimate considers a label impossible


def check_audit(features: Features, out: Path, *, head: Path | None, seed: int, force: bool) -> None:
    """Check the arguments of an audit before the work.

    Args:
        features: The table.
        out: The file to write; its suffix selects Parquet, CSV or JSON lines.
        head: The folder of a head, or None.
        seed: Between 0 and 4294967295.
        force: Whether existing findings at `out` are overwritten; any other file never is.

    Raises:
        FeatureFileError: `out` can't be written or is another file, or the head's split is broken.
        InputError: No row has a label, or the seed is out of range.
        MismatchError: The head's split has no row of the table.
    """
    check_seed(seed)
    check_findings(out, force=force)
    examples = _to_examples(features, multilabel_rows(features.rows) if features.has_label_lists else None)
    if head is not None:
        _parts(examples, head)


def _to_examples(features: Features, labelled: MultilabelExamples | None) -> Examples:
    """Return the labelled rows; of lists with the whole list as the label of each."""
    if labelled is None:
        return labelled_rows(features.rows, maker=features.manifest.maker)
    return dataclasses.replace(labelled.examples, labels=labelled.name_lists())


def audit_labels(
    features: Features,
    out: Path,
    *,
    near: Neighbourhood,
    head: Path | None = None,
    seed: int = 0,
    show: Callable[[list[dict[str, Any]]], None] = lambda _rows: None,
) -> dict[str, Any]:
    """Find labels that are likely wrong and images that leak across a split, and write the findings.

    The embeddings of the labelled rows are held in memory as float32.

    Args:
        features: The table, N rows; those without a label, or a list of labels, are left out.
        out: The file to write, checked by `check_audit`; its columns are `findings.SCHEMA`.
        near: Near-duplicates and nearest rows of all N rows. Frames of one file and parts of one image are judged
            without each other, as near-duplicates are.
        head: The folder of a head whose split is checked for leakage, or None.
        seed: Random seed of the folds.
        show: Called with the rows of the file.

    Returns:
        `rows`, `n_unlabelled`, `n_judged`, `accuracy`, `cost`, `small_classes`, `counts`, `first` and `out`;
        docs/json.md documents them.

    Raises:
        FeatureFileError: `out` can't be written, or the table or the head's split is broken.
        InputError: No row has a label.
        MismatchError: The head's split has no row of the table.
    """
    labelled = multilabel_rows(features.rows) if features.has_label_lists else None
    examples = _to_examples(features, labelled)
    parts = np.full(len(examples), None) if head is None else _parts(examples, head)
    embeddings = EmbeddingRows(features, examples.rows).read()
    groups = near.groups[examples.rows]
    apart = dataclasses.replace(near, groups=join_groups(near.groups, number_wholes(features.rows)))
    images = image_numbers(apart.groups[examples.rows])
    if labelled is None:
        small = _small_classes(examples.labels, images)
        audited = np.flatnonzero([label not in small for label in examples.labels])
        issues, figures = _label_issues(embeddings, examples, apart, audited=audited, seed=seed)
        issues += _small_rows(examples.labels, small)
    else:
        issues, figures, small = find_list_issues(embeddings, labelled, images, fewest=_FEWEST, seed=seed)
    findings = [
        *issues,
        *_label_conflicts(embeddings, groups, examples.labels),
        *_split_conflicts(embeddings, groups, parts),
        *_outliers(near.scores[examples.rows], _sizes(near.groups)[examples.rows]),
        *_unusual_pictures(features, examples.rows),
    ]
    table = to_table(findings, examples, groups=groups, parts=parts)
    write_table_file(out.absolute(), SCHEMA, [table])
    show(table.to_pylist())
    counted = {"rows": len(features), "n_unlabelled": len(features) - len(examples), "small_classes": small}
    return figures | counted | summarise(table) | {"out": str(out.absolute())}


def _parts(examples: Examples, head: Path) -> Strings:
    """Return the part of each row in a head's split, None for rows that it does not have."""
    parts = match_parts(read_split(head), examples)
    if not parts.any():
        raise MismatchError(
            f"None of the {len(examples)} labelled rows is in the split of {head}.",
            hint=f"Audit the table that the head was trained on; its path is shown by: frieze info {head}",
        )
    return parts


def _sizes(groups: Rows) -> Rows:
    """Count the near-duplicates of each row, the row itself included."""
    images = image_numbers(groups)
    sizes: Rows = np.bincount(images)[images]
    return sizes


def _small_classes(labels: Strings, images: Rows) -> dict[str, int]:
    """Count the distinct images of each class that has too few of them."""
    counts = Counter(label for label, _ in set(zip(labels, images.tolist(), strict=True)))
    return {label: counts[label] for label in sorted(counts) if counts[label] < _FEWEST}


def _label_issues(
    embeddings: Floats, examples: Examples, near: Neighbourhood, *, audited: Rows, seed: int
) -> tuple[list[Finding], dict[str, Any]]:
    """Find labels that are likely wrong among the rows whose classes are large enough.

    Args:
        embeddings: float32 [n, D], of the labelled rows.
        examples: The labelled rows.
        near: Of all rows of the table; its groups are judged without each other.
        audited: int64, positions among the labelled rows.
        seed: For the folds.

    Returns:
        The findings, and the figures of the out-of-fold predictions.
    """
    rows = examples.rows[audited]
    classes, codes = np.unique(examples.labels[audited].astype(str), return_inverse=True)
    if len(classes) < FEWEST_CLASSES:
        return [], {"n_judged": 0, "accuracy": None, "cost": None}
    images = image_numbers(near.groups[rows])
    embeddings = reduce_width(embeddings if len(audited) == len(examples) else embeddings[audited])
    held_out = predict_out_of_fold(embeddings, codes, fold_rows(codes, images, n_folds=_N_FOLDS, seed=seed))
    # Linear heads use the whole collection, the neighbours what is local.
    estimates = [
        held_out.probabilities,
        loo_ridge_probabilities(embeddings, codes, images),
        knn_probabilities(near, rows, codes),
    ]
    probabilities = pool_probabilities(estimates, codes)
    findings = [
        Finding("label", int(audited[one.row]), one.score, str(classes[one.code]), one.probability, one.log_odds)
        for one in find_label_issues(probabilities, codes)
    ]
    accuracy = float((probabilities.argmax(axis=1) == codes).mean())
    return findings, {"n_judged": len(rows), "accuracy": accuracy, "cost": held_out.cost}


def _label_conflicts(embeddings: Floats, groups: Rows, labels: Strings) -> Iterator[Finding]:
    for rows in conflicting_groups(groups, labels):
        score, suggested = nearest_conflict(embeddings[rows], labels[rows]), majority_label(labels[rows])
        for row in rows.tolist():
            yield Finding("duplicate_labels", row, score, None if labels[row] == suggested else suggested)


def _split_conflicts(embeddings: Floats, groups: Rows, parts: Strings) -> Iterator[Finding]:
    for rows in conflicting_groups(groups, parts):
        score = nearest_conflict(embeddings[rows], parts[rows])
        yield from (Finding("duplicate_split", row, score) for row in rows.tolist())


def _outliers(nearest: Floats, sizes: Rows) -> Iterator[Finding]:
    rows, scores = find_outliers(nearest, sizes)
    yield from map(Finding, ["outlier"] * len(rows), rows.tolist(), scores.tolist())


def _unusual_pictures(features: Features, rows: Rows) -> Iterator[Finding]:
    """Find pictures with unusual statistics among the labelled rows, where the table has statistics."""
    if not features.manifest.has_statistics:
        return
    columns = {name: features.rows[name].to_numpy()[rows] for name in STATISTICS}
    for kind, unusual, scores in find_unusual_pictures(columns):
        yield from map(Finding, [kind] * len(unusual), unusual.tolist(), scores.tolist())


def _small_rows(labels: Strings, small: dict[str, int]) -> Iterator[Finding]:
    for row, label in enumerate(labels):
        if label in small:
            yield Finding("small_class", row, 1 - small[label] / _FEWEST)


def pool_probabilities(estimates: Sequence[Floats], codes: Rows) -> Floats:
    """Pool calibrated probabilities by the mean of their logarithms (the logarithmic opinion pool), and calibrate it.

    An estimate that knows nothing is even, and changes no order; of one that is sure a wrong label stays improbable,
    however unsure the others are. On four collections, three kinds of wrong labels and three shares of them this ranks
    wrong labels better than a weighted arithmetic mean does, and better than any two of the three estimates.

    Args:
        estimates: float32 [N, C] each, calibrated, out of fold.
        codes: int64 [N], the given labels.

    Returns:
        float32 [N, C]; each row sums to 1.

    Source: Genest and Zidek 1986, Combining Probability Distributions, section 3 (the logarithmic opinion pool).
    """
    logs = np.zeros_like(estimates[0])
    for probabilities in estimates:
        logs += np.log(np.maximum(probabilities, _MIN_PROBABILITY)) / len(estimates)
    return calibrate_logits(logs, codes)[0]
