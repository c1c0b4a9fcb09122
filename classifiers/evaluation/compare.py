"""Heads over several tables of the same images, on one split: which backbone and which head are best."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from frieze.classifiers.data.embedding_rows import StoredRows, count_constant, hold, mapped
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.split_config import SplitConfig
from frieze.classifiers.data.splits import Split
from frieze.classifiers.metrics import score
from frieze.classifiers.training.fit import HeadConfig, fit_split, name_setting
from frieze.classifiers.training.notes import describe_split, notes_on_split
from frieze.core import InputError, Rows
from frieze.features import Features


@dataclasses.dataclass(frozen=True)
class _Common:
    """Labelled images that all tables have, and how they are parted; places are the same in every table."""

    examples: list[Examples]
    split: Split
    groups: Rows | None
    n_left_out: int


def compare_heads(tables: Sequence[Features], recipes: Sequence[HeadConfig], parting: SplitConfig) -> dict[str, Any]:
    """Fit every head on every table and score them on the same held-out images.

    Args:
        tables: One or more, of the same images by id.
        recipes: The heads.
        parting: How rows are held out; the first table's columns count.

    Returns:
        `rows`, the highest accuracy first: `features`, `backbone`, `dim`, `head`, `setting`, `accuracy`,
        `baseline_accuracy`, `confidence_interval`, `macro_f1`, `expected_calibration_error`, `fit_seconds`; and for
        all `classes`, `n_train`, `n_test` and `n_left_out` (labelled images that one of the tables has not, or
        under another label).

    Raises:
        InputError: The tables have no labelled images in common, or these can't be parted.
        FeatureFileError: A table is broken.
    """
    common = _find_common(tables, parting)
    rows = [
        row
        for table, examples in zip(tables, common.examples, strict=True)
        for row in _judge(table, examples, recipes, common)
    ]
    gaps = describe_split(common.examples[0], common.split)
    return gaps | {
        "notes": notes_on_split(gaps, common.split.method),
        "rows": sorted(rows, key=lambda row: row["accuracy"], reverse=True),
        "classes": np.unique(common.examples[0].labels).tolist(),
        "n_train": len(common.split.train),
        "n_test": len(common.split.test),
        "n_left_out": common.n_left_out,
    }


def _find_common(tables: Sequence[Features], parting: SplitConfig) -> _Common:
    found = [labelled_rows(table.rows, maker=table.manifest.maker) for table in tables]
    known = [dict(zip(one.ids, one.labels, strict=True)) for one in found]
    names = {name for name, label in known[0].items() if all(other.get(name) == label for other in known[1:])}
    if not names:
        raise InputError(
            "The tables have no labelled image in common.",
            hint="Compare tables of the same images: their ids and labels must be the same.",
        )
    common = [one.take(np.flatnonzero([name in names for name in one.ids])) for one in found]
    split, groups = parting.part(tables[0], common[0])
    return _Common(common, split, groups, len(set().union(*known)) - len(names))


def _judge(table: Features, examples: Examples, recipes: Sequence[HeadConfig], common: _Common) -> list[dict[str, Any]]:
    split = common.split
    known = {"features": str(table.path), "backbone": table.spec.name, "dim": table.spec.dim}
    train = hold(table, examples.rows[split.train])
    count_constant(train)  # refused where all are the same
    test = StoredRows(table, examples.rows[split.test])
    rows = []
    for recipe in recipes:
        head, tuned = fit_split(recipe, train, examples.labels, split, common.groups)
        figures = score(mapped(head.probabilities, test), examples.labels[split.test], classes=head.classes)
        told = {"head": recipe.head, "setting": name_setting(head, tuned), "fit_seconds": head.fit_seconds}
        rows.append(known | told | figures)
    return rows
