"""Training a head: split, fit, score the held-out rows, store."""

import importlib.metadata
import time
from pathlib import Path
from typing import Any

from classifiers.heads import HEADS, new_head
from classifiers.labels import labelled_rows
from classifiers.outputs import check_head
from classifiers.scores import report, score
from classifiers.splits import split_rows
from classifiers.storage import CONTRACT, MAX_SEED, NAME, REPORT_NAME, write_model, write_split
from features import Features, InputError, new_folder, write_json


def train_head(
    features: Features, out: Path, *, head: str = "linear", test_size: float = 0.2, seed: int = 0, force: bool = False
) -> dict[str, Any]:
    """Train a head on the labelled rows of a table, score it on rows it has not seen, and store it.

    Args:
        features: The table; rows without a label are left out.
        out: The folder to write.
        head: A key of `HEADS`.
        test_size: Share of each class to hold out, between 0 and 1, both excluded.
        seed: For the split, the fit and the bootstrap, between 0 and 4294967295.
        force: Replace a head that stands at `out`; a folder with anything else in it stays.

    Returns:
        `head, accuracy, macro_f1, classes, n_train, n_test, n_unlabelled, seconds` (all), `fit_seconds` (the last fit
        alone), `converged` (whether that fit ended by itself), `confidence_interval` [low, high] of the accuracy,
        `expected_calibration_error` and `out` (absolute).

    Raises:
        FeatureFileError: `out` can't be written or holds what must not go, or the table is broken.
        InputError: There are no labels, too few classes or rows, or an argument is out of range.
    """
    started = time.perf_counter()
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    _check_seed(seed)
    check_head(out, force=force)
    classifier = new_head(head, seed=seed)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    train, test = split_rows(examples.labels, test_size=test_size, seed=seed)
    embeddings = features.embeddings()
    classifier.fit(embeddings[examples.rows[train]], examples.labels[train])
    held_out = examples.take(test)
    probabilities = classifier.probabilities(embeddings[held_out.rows])
    figures = {
        "head": head,
        "classes": classifier.classes.tolist(),
        "n_train": len(train),
        "n_test": len(test),
        "n_unlabelled": len(features) - len(examples),
        "fit_seconds": classifier.fit_seconds,
        "converged": classifier.converged,
        **score(probabilities, held_out.labels, classes=classifier.classes),
    }
    with new_folder(out, replace=force) as folder:
        model = write_model(folder, classifier)
        write_split(folder, examples, test)
        figures["seconds"] = time.perf_counter() - started
        write_json(folder / REPORT_NAME, figures | report(probabilities, held_out, classes=classifier.classes))
        split = {"method": "stratified", "test_size": test_size, "seed": seed}
        write_json(folder / NAME, _document(features, figures, split=split, model=model))
    return figures | {"out": str(out)}


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"The seed is {seed}; it lies between 0 and {MAX_SEED}.", mend="Use for example --seed 0")


def _document(
    features: Features, figures: dict[str, Any], *, split: dict[str, Any], model: dict[str, Any]
) -> dict[str, Any]:
    """Give head.json."""
    return {
        "contract": CONTRACT,
        "kind": "head",
        "head": figures["head"],
        "backbone": features.spec.to_json(),
        "features": {"path": str(features.path.resolve()), "generation": features.manifest.generation},
        "classes": figures["classes"],
        "split": split | {"n_train": figures["n_train"], "n_test": figures["n_test"]},
        "scores": figures,
        "model": model,
        "versions": {name: importlib.metadata.version(name) for name in ("frieze", *HEADS[figures["head"]].libraries)},
    }
