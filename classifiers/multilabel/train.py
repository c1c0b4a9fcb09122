"""Train a head of several labels an image: split, fit, score the held-out rows, store."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings, count_constant, load_or_stream, map_rows
from frieze.classifiers.data.labelled_examples import similar_labels
from frieze.classifiers.data.splits import Split, SplitConfig, interval_groups
from frieze.classifiers.familiarity import Familiarity, choose_references
from frieze.classifiers.multilabel.examples import MultilabelExamples, multilabel_rows
from frieze.classifiers.multilabel.fit import LOSSES, FittedHead, are_learnable, fit_one_vs_rest
from frieze.classifiers.multilabel.metrics import notes_on_map, report_labels, score_labels
from frieze.classifiers.registry import kind_of_head
from frieze.classifiers.storage.head_folder import (
    FAMILIARITY_NAME,
    WEIGHTS_NAME,
    check_head,
    finish_head,
)
from frieze.classifiers.storage.head_json import MULTILABEL, describe_head, hash_names
from frieze.classifiers.storage.split_file import write_split
from frieze.classifiers.training.fit import N_FOLDS, HeadConfig, MemoryBudget, choose_folds
from frieze.classifiers.training.notes import notes_on_interval, notes_on_split, split_gaps
from frieze.core import InputError, Rows, counted, hash_file, new_folder, peak_memory, shorten
from frieze.features import Features


def train_multilabel(
    features: Features,
    out: Path,
    *,
    config: HeadConfig,
    split_config: SplitConfig,
    force: bool = False,
    write_page: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Train a one-vs-rest head on the rows of a table that have a list of labels, score it, and store it.

    Args:
        features: The table, by `with_label_lists`: rows with null are left out, an empty list is an image without any
            of the labels.
        out: The folder to write.
        config: `linear` or `svm`, with its seed and memory limit.
        split_config: How rows are held out, stratified by the rarest label of each.
        force: Replace a head at `out`; a folder with anything else in it is kept.
        write_page: Called with the folder after report.json is written, to write the HTML report.

    Returns:
        The document of `frieze train --json`; docs/json.md documents its fields.

    Raises:
        FeatureFileError: `out` can't be written or is no head, or the table is broken.
        InputError: There are too few lists or labels, or an argument is out of range or for one label an image.
    """
    started = time.perf_counter()
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    _check_options(config, split_config)
    check_head(out, force=force)
    labelled = multilabel_rows(features.rows)
    _check_labels_differ(labelled)
    split, groups = split_config.split(features, labelled.examples)
    labelled, left_out = _drop_unlearnable(labelled, split)
    _check_tested(labelled, split)
    rows = split.fit_and_validation
    budget = _memory_budget(config, labelled)
    train = load_or_stream(features, labelled.examples.rows[rows], most_rows=budget.most_rows(features.spec.dim))
    count_constant(train)
    fitted = _fit(config, train, labelled, split, groups)
    held_out, test = labelled.take(split.test), EmbeddingRows(features, labelled.examples.rows[split.test])
    probabilities = map_rows(fitted.head.probabilities, test)
    test_groups = interval_groups(features, labelled.examples, groups, split.test)
    figures = _figures(config, fitted, labelled, split) | {"n_unlabelled": len(features) - len(labelled)}
    figures |= _gaps(fitted, labelled, split, left_out, test_groups)
    figures |= score_labels(probabilities, fitted.head.thresholds, held_out.has_label, test_groups)
    figures["notes"] += [*notes_on_map(figures, held_out), *budget.notes]
    with new_folder(out, replace=force) as folder:
        references = train[choose_references(labelled.examples.labels[rows], features.spec.dim)]
        model = _write_model(folder, fitted, labelled, Familiarity.fit(references, test))
        write_split(folder, labelled.examples, split, np.empty(0, np.int64), groups=groups)
        figures |= {"peak_memory_bytes": peak_memory(), "seconds": time.perf_counter() - started}
        split_json = split_config.to_json(split)
        head_json = describe_head(features, figures, config.to_json(), split=split_json, model=model, kind=MULTILABEL)
        report = figures | report_labels(probabilities, fitted.head.thresholds, held_out)
        finish_head(folder, head_json, report, write_page)
    return figures | {"out": str(out)}


def _check_options(config: HeadConfig, split_config: SplitConfig) -> None:
    """Check that options are for several labels an image.

    Raises:
        InputError: One is for one label an image only.
    """
    if config.head not in LOSSES:
        raise InputError(
            f"A {config.head} head takes one label an image; these are lists.",
            hint=f"Use one of: {', '.join(f'`head={name!r}`' for name in LOSSES)}",
        )
    others = {
        "balanced": config.is_balanced,
        "abstain": config.precision is not None,
        "start_from": config.start is not None,
        "learning_curve": config.has_curve,
        "shots": split_config.shots is not None,
    }
    for name in [name for name, is_used in others.items() if is_used]:
        raise InputError(f"`{name}` is for one label an image; these are lists.", hint=f"Leave `{name}` out.")


def _check_labels_differ(labelled: MultilabelExamples) -> None:
    """Check that some label is on one image, and not on another.

    Raises:
        InputError: All images have the same labels.
    """
    if not are_learnable(labelled.has_label).any():
        raise InputError(
            f"All {len(labelled):,} images have the same labels: {shorten(labelled.classes.tolist())}.",
            hint="Label images that differ in their labels; an empty list is an image without any.",
        )


def _drop_unlearnable(labelled: MultilabelExamples, split: Split) -> tuple[MultilabelExamples, list[str]]:
    """Leave out labels that no training row has, or all have; return their names, too.

    Raises:
        InputError: None is left.
    """
    is_learnable = are_learnable(labelled.has_label[split.fit_and_validation])
    left_out = [str(name) for name in labelled.classes[~is_learnable]]
    if not is_learnable.any():
        raise InputError(
            f"No label can be learned: all training images have {shorten(left_out)}, or none has.",
            hint="Label images that differ in their labels.",
        )
    return labelled.take_classes(is_learnable), left_out


def _check_tested(labelled: MultilabelExamples, split: Split) -> None:
    """Check that some held-out image has a label.

    Raises:
        InputError: None has one that can be learned, so that nothing can be measured.
    """
    if not labelled.has_label[split.test].any():
        raise InputError(
            f"None of the {counted(len(split.test), 'held-out image')} has a label that the training images have.",
            hint="Hold out others with another `seed`, more with `test_size=0.3`, or by another column with `split`.",
        )


def _memory_budget(config: HeadConfig, labelled: MultilabelExamples) -> MemoryBudget:
    """Measure the memory and add that of predictions of all rows, which the calibration takes."""
    n_rows, n_classes = N_FOLDS * len(labelled), len(labelled.classes)
    return MemoryBudget.of(config.memory_bytes, kind_of_head(config.head), n_rows=n_rows, n_classes=n_classes)


def _fit(
    config: HeadConfig, train: Embeddings, labelled: MultilabelExamples, split: Split, groups: Rows | None
) -> FittedHead:
    rows = split.fit_and_validation
    validation = np.searchsorted(rows, split.validation)
    of_rows = None if groups is None else groups[rows]
    folds = choose_folds(labelled.examples.labels[rows], of_rows, validation, config.seed)
    return fit_one_vs_rest(config.head, train, labelled.has_label[rows], folds)


def _figures(config: HeadConfig, fitted: FittedHead, labelled: MultilabelExamples, split: Split) -> dict[str, Any]:
    return {
        "head": config.head,
        "multilabel": True,
        "classes": labelled.classes.tolist(),
        "n_train": len(split.fit_and_validation),
        "n_test": len(split.test),
        "labels_per_image": float(labelled.has_label.sum(axis=1).mean()),
        "setting": {"C": fitted.cost},
        "tried": [{"value": cost, "map": score} for cost, score in fitted.tried.items()],
        "fit_seconds": fitted.fit_seconds,
        "converged": fitted.converged,
    }


def _gaps(
    fitted: FittedHead, labelled: MultilabelExamples, split: Split, left_out: list[str], test_groups: Rows | None
) -> dict[str, Any]:
    """Return what the figures do not cover or overstate, and notes about it."""
    of_test = labelled.has_label[split.test]
    gaps = split_gaps(labelled.examples, split) | {
        "left_out_classes": left_out,
        "untested_classes": labelled.classes[~of_test.any(axis=0)].tolist(),
        "similar_labels": similar_labels(labelled.classes),
    }
    notes = []
    if left_out:
        notes.append(f"Labels that no training image has, or all have, are left out: {shorten(left_out)}.")
    if not fitted.is_calibrated.any():
        notes.append(
            "C has its default value, the probabilities are not calibrated and all thresholds are .5: folds take three"
            " training images, or groups, with the same rarest label, of two labels."
        )
    elif not fitted.is_calibrated.all():
        names = shorten(labelled.classes[~fitted.is_calibrated].tolist())
        notes.append(f"Labels on too few training images to calibrate their probabilities: {names}.")
    notes += [*notes_on_split(gaps, split.method), *notes_on_interval(test_groups)]
    return gaps | {"notes": notes}


def _write_model(
    folder: Path, fitted: FittedHead, labelled: MultilabelExamples, familiarity: Familiarity
) -> dict[str, str]:
    fitted.head.write(folder / WEIGHTS_NAME)
    familiarity.write(folder / FAMILIARITY_NAME)
    digest = hash_file(folder / WEIGHTS_NAME)
    return {"file": WEIGHTS_NAME, "sha256": digest, "classes_sha256": hash_names(labelled.classes.tolist())}
