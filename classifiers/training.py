"""Training a head: split, choose, fit, score the held-out rows, store."""

import dataclasses
import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.fitting import Recipe, find_threshold, fit_split, name_setting
from classifiers.heads import HEADS, Classifier
from classifiers.labels import Examples, column_of, labelled_rows, read_unit
from classifiers.outputs import check_head
from classifiers.scores import abstention, report, score
from classifiers.splits import Split, split_given, split_groups, split_stratified
from classifiers.storage import CONTRACT, MAX_SEED, NAME, REPORT_NAME, write_model, write_split
from classifiers.tuning import Tuned
from features import Features, InputError, Rows, new_folder, write_json


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy or scikit-learn does not take.

    Raises:
        InputError: It is out of range.
    """
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"The seed is {seed}; it lies between 0 and {MAX_SEED}.", mend="Use for example --seed 0")


@dataclasses.dataclass(frozen=True)
class Parting:
    """How rows are parted into those to fit on and those held out.

    Attributes:
        test_size: Share to hold out, between 0 and 1, both excluded.
        seed: For the split.
        column: Of the table, which says `train`, `val` or `test` for each row; None to draw.
        group: Of the table: rows of one value come on one side; None for rows on their own.
        groups: Gives the same for each row of the table, int64 [N], in place of a column; asked when it is needed.
    """

    test_size: float = 0.2
    seed: int = 0
    column: str | None = None
    group: str | None = None
    groups: Callable[[], Rows] | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.column and (self.group or self.groups is not None):
            raise InputError("The column of parts says where each row goes.", mend="Leave --group or --split out.")

    def part(self, features: Features, examples: Examples) -> tuple[Split, Rows | None]:
        """Part some labelled rows; give the groups int64 [n] too where there are some."""
        if self.column:
            parts = column_of(features.rows, self.column, examples)
            return split_given(parts, examples.labels, column=self.column), None
        groups = self._groups(features, examples)
        if groups is None:
            return split_stratified(examples.labels, test_size=self.test_size, seed=self.seed), None
        return split_groups(examples.labels, groups, test_size=self.test_size, seed=self.seed), groups

    def _groups(self, features: Features, examples: Examples) -> Rows | None:
        if self.groups is not None:
            return self.groups()[examples.rows]
        if self.group is None:
            return None
        values = column_of(features.rows, self.group, examples)
        own = np.array([f"\0{row}" if value is None else value for row, value in enumerate(values)])
        return np.unique(own, return_inverse=True)[1]  # a row without a value is on its own

    def to_json(self, split: Split) -> dict[str, Any]:
        """Give what head.json says of it."""
        n_train, n_test = len(split.train), len(split.test)
        known = {"method": split.method, "test_size": self.test_size, "seed": self.seed}
        by = {"column": self.column} if self.column else {"group": self.group or "duplicates"}
        return known | (by if split.method != "stratified" else {}) | {"n_train": n_train, "n_test": n_test}


def train_head(
    features: Features, out: Path, *, recipe: Recipe | None = None, parting: Parting | None = None, force: bool = False
) -> dict[str, Any]:
    """Train a head on the labelled rows of a table, score it on rows it has not seen, and store it.

    Args:
        features: The table; rows without a label are left out.
        out: The folder to write.
        recipe: How it is fitted; `linear` by default.
        parting: How rows are held out; a fifth of each class by default.
        force: Replace a head that stands at `out`; a folder with anything else in it stays.

    Returns:
        The document of `frieze train --json`; docs/json.md tells its fields.

    Raises:
        FeatureFileError: `out` can't be written or holds what must not go, or the table is broken.
        InputError: There are no labels, too few classes or rows, or an argument is out of range.
    """
    started = time.perf_counter()
    recipe, parting = recipe or Recipe("linear"), parting or Parting()
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_head(out, force=force)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    split, groups = parting.part(features, examples)
    train, test = read_unit(features, examples.rows[split.train], examples.rows[split.test])
    classifier, tuned = fit_split(recipe, train, examples.labels, split, groups)
    held_out, probabilities = examples.take(split.test), classifier.probabilities(test)
    figures = _figures(recipe, classifier, tuned, split) | {
        "n_unlabelled": len(features) - len(examples),
        **score(probabilities, held_out.labels, classes=classifier.classes),
    }
    if recipe.precision is not None:
        threshold = find_threshold(tuned, recipe.precision)
        figures["abstain"] = abstention(probabilities, held_out.labels, classifier.classes, recipe.precision, threshold)
    if groups is not None:
        figures["naive_accuracy"] = _naive(recipe, parting, features, examples)
    with new_folder(out, replace=force) as folder:
        model = write_model(folder, classifier)
        write_split(folder, examples, split)
        figures["seconds"] = time.perf_counter() - started
        write_json(folder / REPORT_NAME, figures | report(probabilities, held_out, classes=classifier.classes))
        write_json(folder / NAME, _document(features, figures, recipe, split=parting.to_json(split), model=model))
    return figures | {"out": str(out)}


def _naive(recipe: Recipe, parting: Parting, features: Features, examples: Examples) -> float:
    """Give the accuracy that a split of single rows would have told: rows of one group help each other there."""
    split = split_stratified(examples.labels, test_size=parting.test_size, seed=parting.seed)
    train, test = read_unit(features, examples.rows[split.train], examples.rows[split.test])
    classifier, _ = fit_split(recipe, train, examples.labels, split, None)
    labels = examples.labels[split.test]
    return float(score(classifier.probabilities(test), labels, classes=classifier.classes)["accuracy"])


def _figures(recipe: Recipe, classifier: Classifier, tuned: Tuned, split: Split) -> dict[str, Any]:
    return {
        "head": recipe.head,
        "classes": classifier.classes.tolist(),
        "n_train": len(split.train),
        "n_test": len(split.test),
        "setting": name_setting(classifier, tuned),
        "tried": [{"value": value, "accuracy": accuracy} for value, accuracy in tuned.accuracies.items()],
        "fit_seconds": classifier.fit_seconds,
        "converged": classifier.converged,
    }


def _document(
    features: Features, figures: dict[str, Any], recipe: Recipe, *, split: dict[str, Any], model: dict[str, Any]
) -> dict[str, Any]:
    """Give head.json."""
    labels = {} if features.labels_from is None else {"labels": features.labels_from}
    return labels | {
        "contract": CONTRACT,
        "kind": "head",
        "head": figures["head"],
        "backbone": features.spec.to_json(),
        "features": {"path": str(features.path.resolve()), "generation": features.manifest.generation},
        "classes": figures["classes"],
        "split": split,
        "recipe": {"balanced": recipe.is_balanced},
        "scores": figures,
        "model": model,
        "versions": {name: importlib.metadata.version(name) for name in ("frieze", *HEADS[figures["head"]].libraries)},
    }
