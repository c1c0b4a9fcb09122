"""A linear head without training: its weights are the vectors of class names in words; labels only calibrate it."""

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.conformal import HeldOutPredictions
from frieze.classifiers.data.embedding_rows import EmbeddingRows, map_rows
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.splits import Split, SplitConfig, interval_groups
from frieze.classifiers.kinds.linear import LinearHead
from frieze.classifiers.metrics import report, score
from frieze.classifiers.storage.head_folder import check_head, finish_head, write_model
from frieze.classifiers.storage.head_json import ZERO_SHOT, describe_head
from frieze.classifiers.storage.split_file import write_split
from frieze.classifiers.training.notes import notes_on_interval
from frieze.core import Floats, InputError, Strings, counted, new_folder, shorten
from frieze.features import Features

_HEAD = "linear"
_FEWEST = 2
_FIGURES = (
    "accuracy",
    "baseline_accuracy",
    "macro_f1",
    "macro_f1_interval",
    "confidence_interval",
    "expected_calibration_error",
    "interval_over",
    "n_test_groups",
)


@dataclasses.dataclass(frozen=True)
class ClassVectors:
    """Classes as a text tower sees them.

    Attributes:
        classes: Their names, sorted.
        vectors: float32 [C, D], unit length.
        templates: The prompts that they were embedded in.
        logit_scale: Factor on the cosine of image and class, > 0.
    """

    classes: list[str]
    vectors: Floats
    templates: list[str]
    logit_scale: float


def check_classes(classes: Sequence[str]) -> list[str]:
    """Sort the names of classes.

    Raises:
        InputError: They are fewer than two, or one is empty or repeated.
    """
    names = sorted({name.strip() for name in classes} - {""})
    if len(names) != len(classes) or len(names) < _FEWEST:
        raise InputError(
            f"The classes are {', '.join(classes)}: expected are two different names or more.",
            hint="Use for example `classes='cat,dog'`",
        )
    return names


def make_zero_shot_head(
    features: Features,
    out: Path,
    named: ClassVectors,
    *,
    force: bool = False,
    write_page: Callable[[Path], None] | None = None,
) -> dict[str, Any]:
    """Store a linear head made of the vectors of its classes; calibrate and measure it where rows have labels of them.

    Labelled rows are split as `train_head` splits them by default: the training rows fit the temperature of the
    probabilities, and the same held-out rows are scored.

    Args:
        features: The table, whose backbone the classes' vectors belong to.
        out: The folder to write.
        named: The classes.
        force: Replace a head at `out`; a folder with anything else in it is kept.
        write_page: Called with the folder after report.json is written, where there are figures.

    Returns:
        The document of `frieze label --json`; docs/json.md documents its fields.

    Raises:
        FeatureFileError: `out` can't be written or is no head, or the table is broken.
    """
    started = time.perf_counter()
    out = out.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_head(out, force=force)
    classes = np.array(named.classes, dtype=object)
    model = LinearHead.fitted_model(named.vectors * np.float32(named.logit_scale), np.zeros(len(classes), np.float32))
    head = LinearHead.from_model(model, classes, started=started)
    figures: dict[str, Any] = {"head": _HEAD, "classes": named.classes, "templates": named.templates}
    figures |= {"logit_scale": named.logit_scale, "fit_seconds": head.fit_seconds}
    examples, fields, unknown = _known_examples(features, classes)
    split, notes = _split(features, examples, unknown)
    figures |= fields | {"n_train": len(split.fit), "n_test": len(split.test), "notes": notes}
    figures |= {"is_calibrated": bool(len(split.fit)), **dict.fromkeys(_FIGURES)}
    full_report: dict[str, Any] = {}
    predicted = None
    if len(split.test):
        _calibrate(head, features, examples.take(split.fit))
        held_out = examples.take(split.test)
        probabilities = map_rows(head.probabilities, EmbeddingRows(features, held_out.rows))
        groups = interval_groups(features, examples, None, split.test)
        figures |= score(probabilities, held_out.labels, classes=classes, groups=groups)
        figures["notes"] += notes_on_interval(groups)
        full_report = report(probabilities, held_out, classes=classes)
        predicted = HeldOutPredictions.of(probabilities, held_out.labels, classes)
    with new_folder(out, replace=force) as folder:
        stored = write_model(folder, head)
        write_split(folder, examples, split, np.empty(0, np.int64), held_out=predicted)
        figures["seconds"] = time.perf_counter() - started
        split_json = SplitConfig().to_json(split)
        head_json = describe_head(features, figures, {}, split=split_json, model=stored)
        head_json[ZERO_SHOT] = {"templates": named.templates, "text_encoder": features.spec.text_encoder}
        finish_head(folder, head_json, figures | full_report, write_page if full_report else None)
    return figures | {"out": str(out)}


def _known_examples(features: Features, classes: Strings) -> tuple[Examples, dict[str, int], Counter[str]]:
    """Return the rows with a label of the classes, how many rows have another one or none, and the other labels."""
    if features.rows["label"].null_count == len(features):
        text = features.rows.select(["id", "sha256", "uri"])
        return Examples(np.empty(0, np.int64), np.empty(0, object), text), _counts(len(features), 0), Counter()
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    is_known = np.isin(examples.labels.astype(str), classes.astype(str))
    unknown = Counter(examples.labels[~is_known].tolist())
    counts = _counts(len(features) - len(examples), unknown.total())
    return examples.take(np.flatnonzero(is_known)), counts, unknown


def _counts(n_unlabelled: int, n_unknown: int) -> dict[str, int]:
    return {"n_unlabelled": n_unlabelled, "n_unknown_label": n_unknown}


def _note_on_unknown(unknown: Counter[str]) -> str:
    """Say which labels are no classes.

    >>> _note_on_unknown(Counter(rose=2))
    "2 images with labels that are none of these classes do not count: 'rose'."
    """
    labels = shorten([repr(label) for label, _ in unknown.most_common()])
    do = "does" if unknown.total() == 1 else "do"
    return f"{counted(unknown.total(), 'image')} with labels that are none of these classes {do} not count: {labels}."


def _split(features: Features, examples: Examples, unknown: Counter[str]) -> tuple[Split, list[str]]:
    """Split labelled rows; into nothing, with the reason, where they are too few to measure anything."""
    nothing = np.empty(0, np.int64)
    if not len(examples):
        return Split(nothing, nothing, nothing, "stratified"), ["No image has a label of these classes: not measured."]
    try:
        return SplitConfig().split(features, examples)[0], [_note_on_unknown(unknown)] * bool(unknown)
    except InputError as error:
        return Split(nothing, nothing, nothing, "stratified"), [f"Not measured: {error.message}"]


def _calibrate(head: LinearHead, features: Features, examples: Examples) -> None:
    logits = map_rows(head.logits, EmbeddingRows(features, examples.rows))
    head.scale_logits(fit_temperature(logits, np.searchsorted(head.classes, examples.labels)))
