"""Train a head: split, fit, score the held-out rows, store."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from frieze.classifiers.conformal import HeldOutPredictions
from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings, count_constant, load_or_stream, map_rows
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.splits import Split, SplitConfig, few_shot_figures, interval_groups, split_stratified
from frieze.classifiers.familiarity import Familiarity, choose_references
from frieze.classifiers.metrics import abstention, report, score
from frieze.classifiers.registry import Classifier, kind_of_head
from frieze.classifiers.storage.head_folder import check_head, finish_head, write_model
from frieze.classifiers.storage.head_json import describe_head
from frieze.classifiers.storage.split_file import write_split
from frieze.classifiers.training.fit import (
    HeadConfig,
    MemoryBudget,
    find_threshold,
    fit_again,
    fit_split,
    name_hyperparameter,
)
from frieze.classifiers.training.hyperparameters import Tuned
from frieze.classifiers.training.learning_curve import Mask, measure_curve
from frieze.classifiers.training.notes import notes_on_folds, notes_on_interval, notes_on_split, split_gaps
from frieze.classifiers.training.start_weights import check_start, describe_start
from frieze.core import Floats, Rows, Strings, new_folder, peak_memory
from frieze.features import Features


def train_head(
    features: Features,
    out: Path,
    *,
    config: HeadConfig | None = None,
    split_config: SplitConfig | None = None,
    force: bool = False,
    write_page: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Train a head on the labelled rows of a table, score it on held-out rows, and store it.

    Args:
        features: The table; rows without a label are left out.
        out: The folder to write.
        config: How the head is fitted; `linear` by default.
        split_config: How rows are held out; a fifth of each class by default.
        force: Replace a head at `out`; a folder with anything else in it is kept.
        write_page: Called with the folder after report.json is written, to write the HTML report.

    Returns:
        The document of `frieze train --json`; docs/json.md documents its fields.

    Raises:
        FeatureFileError: `out` can't be written or is no head, or the table is broken.
        InputError: There are no labels, too few classes or rows, or an argument is out of range.
    """
    started = time.perf_counter()
    config, split_config = config or HeadConfig("linear"), split_config or SplitConfig()
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_head(out, force=force)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    whole, groups = split_config.split(features, examples)
    split, *draws = split_config.few_shot_draws(whole, examples.labels)
    train = _load_train(config, features, examples, split, groups)
    classifier, tuned = fit_split(config, train.rows, examples.labels, split, groups)
    test = _test(classifier, features, examples, split, groups)
    held_out, probabilities = test.examples, test.probabilities
    figures = _figures(config, classifier, tuned, split) | {"n_unlabelled": len(features) - len(examples)}
    figures |= _training_gaps(classifier, tuned, train, examples, whole, test.groups)
    figures |= score(probabilities, held_out.labels, classes=classifier.classes, groups=test.groups)
    if draws and split_config.shots:
        others = [_accuracy(config, features, examples, draw, groups) for draw in draws]
        figures["shots"] = few_shot_figures(split_config.shots, [figures["accuracy"], *others])
    figures |= _abstention(config, tuned, probabilities, held_out.labels, classifier.classes)
    figures |= _learning_curve(config, tuned, train, test) if config.has_curve else {}
    if groups is not None:
        figures["naive_accuracy"] = _ungrouped_accuracy(config, split_config, features, examples)
    with new_folder(out, replace=force) as folder:
        model = write_model(folder, classifier, familiarity=_familiarity(train, test))
        unused = np.setdiff1d(whole.fit_and_validation, split.fit_and_validation)
        predicted = HeldOutPredictions.of(probabilities, held_out.labels, classifier.classes)
        write_split(folder, examples, split, unused, groups=groups, held_out=predicted)
        figures |= {"peak_memory_bytes": peak_memory(), "seconds": time.perf_counter() - started}
        head_json = describe_head(features, figures, config.to_json(), split=split_config.to_json(split), model=model)
        full_report = figures | report(probabilities, held_out, classes=classifier.classes)
        finish_head(folder, head_json, full_report, write_page)
    return figures | {"out": str(out)}


def _abstention(
    config: HeadConfig, tuned: Tuned, probabilities: Floats, labels: Strings, classes: Strings
) -> dict[str, Any]:
    """Return the field `abstain` of a head that abstains."""
    if config.precision is None:
        return {}
    threshold = find_threshold(tuned, config.precision)
    return {"abstain": abstention(probabilities, labels, classes, config.precision, threshold)}


def _ungrouped_accuracy(config: HeadConfig, split_config: SplitConfig, features: Features, examples: Examples) -> float:
    """Compute the accuracy on a split that ignores groups, where copies leak."""
    whole = split_stratified(examples.labels, test_size=split_config.test_size, seed=split_config.seed)
    return _accuracy(config, features, examples, split_config.few_shot_draws(whole, examples.labels)[0], None)


def _accuracy(config: HeadConfig, features: Features, examples: Examples, split: Split, groups: Rows | None) -> float:
    """Fit another head and compute its accuracy on the test rows."""
    train = _load_train(config, features, examples, split, groups)
    classifier, _ = fit_split(config, train.rows, examples.labels, split, groups)
    probabilities = map_rows(classifier.probabilities, EmbeddingRows(features, examples.rows[split.test]))
    return float(score(probabilities, examples.labels[split.test], classes=classifier.classes)["accuracy"])


class _TrainRows(NamedTuple):
    """The training rows, their labels and groups, the memory limit, and how many columns are the same in all rows."""

    rows: Embeddings
    labels: Strings
    groups: Rows | None
    budget: MemoryBudget
    n_constant: int


class _TestRows(NamedTuple):
    """The held-out rows, their probabilities, and their groups, None for single rows."""

    examples: Examples
    rows: EmbeddingRows
    probabilities: Floats
    groups: Rows | None


def _load_train(
    config: HeadConfig, features: Features, examples: Examples, split: Split, groups: Rows | None
) -> _TrainRows:
    """Load the training rows, or stream them where they exceed the memory limit; check what the head starts from."""
    if config.start is not None:
        check_start(config.start, examples, split)
    kind, n_classes = kind_of_head(config.head), len(set(examples.labels))
    budget = MemoryBudget.of(config.memory_bytes, kind, n_rows=len(examples), n_classes=n_classes)
    rows = load_or_stream(
        features, examples.rows[split.fit_and_validation], most_rows=budget.most_rows(features.spec.dim)
    )
    fitted = split.fit_and_validation
    of_rows = None if groups is None else groups[fitted]
    return _TrainRows(rows, examples.labels[fitted], of_rows, budget, count_constant(rows))


def _test(
    classifier: Classifier, features: Features, examples: Examples, split: Split, groups: Rows | None
) -> _TestRows:
    """Predict the test rows, streamed from the table."""
    rows = EmbeddingRows(features, examples.rows[split.test])
    probabilities = map_rows(classifier.probabilities, rows)
    return _TestRows(
        examples.take(split.test), rows, probabilities, interval_groups(features, examples, groups, split.test)
    )


def _familiarity(train: _TrainRows, test: _TestRows) -> Familiarity:
    return Familiarity.fit(train.rows[choose_references(train.labels, train.rows.shape[1])], test.rows)


def _learning_curve(config: HeadConfig, tuned: Tuned, train: _TrainRows, test: _TestRows) -> dict[str, Any]:
    """Return the field `learning_curve`, by heads on parts of the training rows, fitted alike."""

    def judge(chosen: Rows) -> Mask:
        of_chosen = None if train.groups is None else train.groups[chosen]
        head = fit_again(config, train.rows[chosen], train.labels[chosen], tuned, of_chosen)
        return are_right(head.classes, map_rows(head.logits, test.rows))

    def are_right(classes: Strings, scores: Floats) -> Mask:
        is_right: Mask = classes[scores.argmax(axis=1)] == test.examples.labels
        return is_right

    whole = are_right(np.unique(train.labels), test.probabilities)
    curve = measure_curve(
        judge, whole, train.labels, groups=train.groups, held_out_groups=test.groups, seed=config.seed
    )
    return {"learning_curve": curve}


def _training_gaps(
    classifier: Classifier,
    tuned: Tuned,
    train: _TrainRows,
    examples: Examples,
    whole: Split,
    held_out_groups: Rows | None,
) -> dict[str, Any]:
    """Return the gaps of the figures and notes about the fit."""
    n, dim = train.rows.shape
    notes = [classifier.note] if classifier.note else []
    if isinstance(train.rows, EmbeddingRows):
        notes.append(f"The {n:,} embeddings do not fit in memory: they are streamed from the table in passes.")
    if 2 * train.n_constant >= dim:
        notes.append(f"Columns with the same value in every training embedding: {train.n_constant:,} of {dim:,}.")
    gaps = split_gaps(examples, whole)
    notes += [*train.budget.notes, *notes_on_folds(classifier, tuned), *notes_on_split(gaps, whole.method)]
    notes += notes_on_interval(held_out_groups)
    return gaps | {"constant": train.n_constant, "unjudged": tuned.unjudged, "notes": notes}


def _figures(config: HeadConfig, classifier: Classifier, tuned: Tuned, split: Split) -> dict[str, Any]:
    return {
        "head": config.head,
        "classes": classifier.classes.tolist(),
        "n_train": len(split.fit_and_validation),
        "n_test": len(split.test),
        "setting": name_hyperparameter(classifier, tuned),
        "tried": [{"value": value, "accuracy": accuracy} for value, accuracy in tuned.accuracies.items()],
        "fit_seconds": classifier.fit_seconds,
        "converged": classifier.converged,
        **describe_start(config.start, is_used=tuned.uses_start),
    }
