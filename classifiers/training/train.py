"""Training a head: split, choose, fit, score the held-out rows, store."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frieze.classifiers.data.embedding_rows import Embeddings, StoredRows, count_constant, hold, mapped
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.split_config import SplitConfig
from frieze.classifiers.data.splits import Split, split_stratified, tell_shots
from frieze.classifiers.metrics import abstention, report, score
from frieze.classifiers.registry import Classifier, kind_of_head
from frieze.classifiers.storage.head_folder import finish_head, write_model
from frieze.classifiers.storage.head_json import describe_head
from frieze.classifiers.storage.output_checks import check_head
from frieze.classifiers.storage.split_file import write_split
from frieze.classifiers.training.fit import HeadConfig, find_threshold, fit_split, name_setting
from frieze.classifiers.training.hyperparameters import Tuned
from frieze.classifiers.training.memory import Budget
from frieze.classifiers.training.notes import describe_split, notes_on_folds, notes_on_split
from frieze.core import Floats, Rows, new_folder, peak_memory
from frieze.features import Features


def train_head(
    features: Features,
    out: Path,
    *,
    recipe: HeadConfig | None = None,
    parting: SplitConfig | None = None,
    force: bool = False,
    write_page: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Train a head on the labelled rows of a table, score it on rows it has not seen, and store it.

    Args:
        features: The table; rows without a label are left out.
        out: The folder to write.
        recipe: How it is fitted; `linear` by default.
        parting: How rows are held out; a fifth of each class by default.
        force: Replace a head that stands at `out`; a folder with anything else in it stays.
        write_page: Called with the folder when report.json is in it, to write what a person looks at beside it.

    Returns:
        The document of `frieze train --json`; docs/json.md tells its fields.

    Raises:
        FeatureFileError: `out` can't be written or holds what must not go, or the table is broken.
        InputError: There are no labels, too few classes or rows, or an argument is out of range.
    """
    started = time.perf_counter()
    recipe, parting = recipe or HeadConfig("linear"), parting or SplitConfig()
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_head(out, force=force)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    whole, groups = parting.part(features, examples)
    split, *draws = parting.draw(whole, examples.labels)
    train = _hold(recipe, features, examples, split)
    classifier, tuned = fit_split(recipe, train.rows, examples.labels, split, groups)
    held_out, probabilities = examples.take(split.test), _ask(classifier, features, examples, split)
    figures = _figures(recipe, classifier, tuned, split) | {
        "n_unlabelled": len(features) - len(examples),
        **_gaps(classifier, tuned, train, examples, whole),
        **score(probabilities, held_out.labels, classes=classifier.classes),
    }
    if draws and parting.shots:
        others = [_accuracy(recipe, features, examples, draw, groups) for draw in draws]
        figures["shots"] = tell_shots(parting.shots, [figures["accuracy"], *others])
    if recipe.precision is not None:
        threshold = find_threshold(tuned, recipe.precision)
        figures["abstain"] = abstention(probabilities, held_out.labels, classifier.classes, recipe.precision, threshold)
    if groups is not None:
        figures["naive_accuracy"] = _naive(recipe, parting, features, examples)
    with new_folder(out, replace=force) as folder:
        model = write_model(folder, classifier)
        write_split(folder, examples, split, np.setdiff1d(whole.train, split.train))
        figures |= {"peak_memory_bytes": peak_memory(), "seconds": time.perf_counter() - started}
        described = describe_head(features, figures, recipe.to_json(), split=parting.to_json(split), model=model)
        told = figures | report(probabilities, held_out, classes=classifier.classes)
        finish_head(folder, described, told, write_page)
    return figures | {"out": str(out)}


def _naive(recipe: HeadConfig, parting: SplitConfig, features: Features, examples: Examples) -> float:
    """Give the accuracy that a split of single rows would have told: rows of one group help each other there."""
    whole = split_stratified(examples.labels, test_size=parting.test_size, seed=parting.seed)
    return _accuracy(recipe, features, examples, parting.draw(whole, examples.labels)[0], None)


def _accuracy(recipe: HeadConfig, features: Features, examples: Examples, split: Split, groups: Rows | None) -> float:
    """Fit once more, and give the accuracy on the test rows."""
    train = _hold(recipe, features, examples, split)
    classifier, _ = fit_split(recipe, train.rows, examples.labels, split, groups)
    probabilities = _ask(classifier, features, examples, split)
    return float(score(probabilities, examples.labels[split.test], classes=classifier.classes)["accuracy"])


class _Held(NamedTuple):
    """The training rows, what the process may take, and how many columns are the same in all rows."""

    rows: Embeddings
    budget: Budget
    n_constant: int


def _hold(recipe: HeadConfig, features: Features, examples: Examples, split: Split) -> _Held:
    """Give the training rows, in memory if what the process may take is enough."""
    kind, n_classes = kind_of_head(recipe.head), len(set(examples.labels))
    budget = Budget.of(recipe.memory_bytes, kind, n_rows=len(examples), n_classes=n_classes)
    rows = hold(features, examples.rows[split.train], most_rows=budget.most_rows(features.spec.dim))
    return _Held(rows, budget, count_constant(rows))


def _ask(classifier: Classifier, features: Features, examples: Examples, split: Split) -> Floats:
    """Give the probabilities float32 [n, C] of the test rows, which are read piece by piece."""
    return mapped(classifier.probabilities, StoredRows(features, examples.rows[split.test]))


def _gaps(classifier: Classifier, tuned: Tuned, train: _Held, examples: Examples, whole: Split) -> dict[str, Any]:
    """Return what the figures leave out, and in words what was chosen for the size of the rows and what is odd."""
    n, dim = train.rows.shape
    notes = [classifier.note] if classifier.note else []
    if isinstance(train.rows, StoredRows):
        notes.append(f"The {n:,} embeddings are not held in memory: they are read from the table in passes.")
    if 2 * train.n_constant >= dim:
        notes.append(f"Numbers that are the same in every embedding to train on: {train.n_constant:,} of {dim:,}.")
    gaps = describe_split(examples, whole)
    notes += [*train.budget.notes, *notes_on_folds(classifier, tuned), *notes_on_split(gaps, whole.method)]
    return gaps | {"constant": train.n_constant, "unjudged": tuned.unjudged, "notes": notes}


def _figures(recipe: HeadConfig, classifier: Classifier, tuned: Tuned, split: Split) -> dict[str, Any]:
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
