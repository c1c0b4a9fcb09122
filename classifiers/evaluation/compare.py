"""Compare heads and backbones: several tables of the same images on one split."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from frieze.classifiers.data.embedding_rows import EmbeddingRows, count_constant, load_or_stream, map_rows
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.splits import Split, SplitConfig, interval_groups
from frieze.classifiers.intervals import difference_interval
from frieze.classifiers.metrics import score
from frieze.classifiers.training.fit import HeadConfig, fit_split, name_hyperparameter
from frieze.classifiers.training.notes import notes_on_interval, notes_on_split, split_gaps
from frieze.core import InputError, Rows
from frieze.features import Features


@dataclasses.dataclass(frozen=True)
class _CommonRows:
    """Labelled images that all tables have, and their split; positions are the same for every table.

    Attributes:
        groups: int64 [n], those of the split; None for single rows.
        test_groups: int64 [m], those of the held-out rows, which intervals count; None for single rows.
    """

    examples: list[Examples]
    split: Split
    groups: Rows | None
    test_groups: Rows | None
    n_left_out: int


def compare_heads(
    tables: Sequence[Features], configs: Sequence[HeadConfig], split_config: SplitConfig
) -> dict[str, Any]:
    """Fit every head on every table and score them on the same held-out images.

    Args:
        tables: One or more, of the same images by id.
        configs: The heads.
        split_config: How rows are held out, by the columns of the first table.

    Returns:
        `rows`, the highest accuracy first: `features`, `backbone`, `dim`, `head`, `setting`, `accuracy`,
        `baseline_accuracy`, `confidence_interval`, `macro_f1`, `expected_calibration_error`, `fit_seconds`,
        `difference` of its accuracy to that of the first row and `difference_interval`, by the same images (None for
        the first row); and for all `classes`, `n_train`, `n_test`, `interval_over` and `n_test_groups` as of `score`,
        and `n_left_out` (labelled images that one of the tables lacks, or has under another label).

    Raises:
        InputError: The tables have no labelled images in common, or these can't be split.
        FeatureFileError: A table is broken.
    """
    common = _find_common(tables, split_config)
    rows = [
        row
        for table, examples in zip(tables, common.examples, strict=True)
        for row in _score_heads(table, examples, configs, common)
    ]
    rows.sort(key=lambda row: row["accuracy"], reverse=True)
    _compare_with_best(rows, common.test_groups if rows[0]["interval_over"] == "groups" else None)
    gaps = split_gaps(common.examples[0], common.split)
    return gaps | {
        "notes": notes_on_split(gaps, common.split.method) + notes_on_interval(common.test_groups),
        "rows": rows,
        "classes": np.unique(common.examples[0].labels).tolist(),
        "n_train": len(common.split.fit_and_validation),
        "n_test": len(common.split.test),
        "n_left_out": common.n_left_out,
        **{name: rows[0][name] for name in ("interval_over", "n_test_groups")},
    }


_IS_RIGHT = "is_right"
"""Of a row, until it is compared: bool [m]."""


def _compare_with_best(rows: list[dict[str, Any]], groups: Rows | None) -> None:
    """Add to each row its difference to the first one, image by image, in place of which images are right."""
    best = rows[0][_IS_RIGHT].astype(int)
    for row in rows:
        gains = row.pop(_IS_RIGHT) - best
        row["difference"] = float(gains.mean())
        row["difference_interval"] = None if row is rows[0] else difference_interval(gains, groups)


def _find_common(tables: Sequence[Features], split_config: SplitConfig) -> _CommonRows:
    labelled = [labelled_rows(table.rows, maker=table.manifest.maker) for table in tables]
    known = [dict(zip(one.ids, one.labels, strict=True)) for one in labelled]
    names = {name for name, label in known[0].items() if all(other.get(name) == label for other in known[1:])}
    if not names:
        raise InputError(
            "The tables have no labelled image in common.",
            hint="Compare tables of the same images: their ids and labels must be the same.",
        )
    common = [one.take(np.flatnonzero([name in names for name in one.ids])) for one in labelled]
    split, groups = split_config.split(tables[0], common[0])
    test_groups = interval_groups(tables[0], common[0], groups, split.test)
    return _CommonRows(common, split, groups, test_groups, len(set().union(*known)) - len(names))


def _score_heads(
    table: Features, examples: Examples, configs: Sequence[HeadConfig], common: _CommonRows
) -> list[dict[str, Any]]:
    split = common.split
    of_table = {"features": str(table.path), "backbone": table.spec.name, "dim": table.spec.dim}
    train = load_or_stream(table, examples.rows[split.fit_and_validation])
    count_constant(train)  # raises where all columns are constant
    test = EmbeddingRows(table, examples.rows[split.test])
    rows = []
    for config in configs:
        head, tuned = fit_split(config, train, examples.labels, split, common.groups)
        probabilities, labels = map_rows(head.probabilities, test), examples.labels[split.test]
        figures = score(probabilities, labels, classes=head.classes, groups=common.test_groups)
        figures[_IS_RIGHT] = head.classes[probabilities.argmax(axis=1)] == labels
        fields = {"head": config.head, "setting": name_hyperparameter(head, tuned), "fit_seconds": head.fit_seconds}
        rows.append(of_table | fields | figures)
    return rows
