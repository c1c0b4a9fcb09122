"""Fine-tuning: the top of a backbone learns together with a head that begins where the linear probe ended.

Source: Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT).
"""

import dataclasses
import functools
import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.config import FinetuneConfig
from frieze.classifiers.data.embedding_rows import StoredRows, mapped
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.split_config import SplitConfig
from frieze.classifiers.data.splits import Split
from frieze.classifiers.finetuning.head_layers import to_head, to_layers
from frieze.classifiers.finetuning.inputs import CHUNK, CachedActivations, Images, Material, Read, augmentation, batches
from frieze.classifiers.finetuning.pooled_features import as_wide_as
from frieze.classifiers.finetuning.trainer import Learning, Progress
from frieze.classifiers.finetuning.warm_start import begin, check_start, mean_length, part_like
from frieze.classifiers.metrics import report, score
from frieze.classifiers.registry import Classifier, name_of_kind
from frieze.classifiers.storage.head_folder import TRUNK_NAME, Head, finish_head, write_model
from frieze.classifiers.storage.head_json import describe_head
from frieze.classifiers.storage.output_checks import check_head
from frieze.classifiers.storage.split_file import write_split
from frieze.classifiers.training.notes import describe_split, notes_on_split
from frieze.core import Floats, Rows, format_size, import_keras, new_folder
from frieze.features import BackboneSpec, Features

CHECKPOINT = "checkpoint.npz"
"""File of the work folder that is there once an epoch is done."""


class Trunk(Protocol):
    """A backbone whose top learns; `embedder.open_trunk` gives one.

    Attributes:
        spec: Of the backbone as it was.
        free: What learns, in words.
        n_free: Numbers that learn.
        maps: Height, width and channels of the maps that its embeddings are laid end to end; None where they are not.
    """

    spec: BackboneSpec
    free: str
    n_free: int
    maps: tuple[int, int, int] | None

    def embeddings(self, images: Any) -> Any:
        """Give [B, D] for float32 [B, H, W, 3] in [0, 1]."""

    def split(self) -> tuple[Any, Any]:
        """Give the frozen part and the rest as Keras models."""

    def count_bytes(self, batch_size: int) -> int:
        """Estimate what a training step takes in memory."""


@dataclasses.dataclass(frozen=True)
class FinetuneContext:
    """What fine-tuning is handed.

    Attributes:
        trunk: The backbone.
        read: Gives the images of some rows of the table.
        save: Writes the backbone as it is then to a folder, and gives its spec.
        work: Folder for what is half done.
        step: Told steps done and steps there are.
        say: Told what a person waits for, in words.
        write_page: Called with the folder when report.json is in it, to write what a person looks at beside it.
        parting: Its groups keep together in the validation part; None for rows on their own.
        asked: The options, as head.json keeps them.
    """

    trunk: Trunk
    read: Read
    save: Callable[[Path], BackboneSpec]
    work: Path
    step: Callable[[int, int], None]
    say: Callable[[str], None]
    write_page: Callable[[Path], None]
    parting: SplitConfig | None = None
    asked: dict[str, Any] = dataclasses.field(default_factory=dict)


def finetune_head(
    features: Features,
    out: Path,
    *,
    probe: Head,
    means: FinetuneContext,
    course: FinetuneConfig | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Fine-tune the top of a backbone from a head on its frozen features, on the same split, and store both.

    Args:
        features: The table that the head was trained on; its images are read again.
        out: The folder to write: a head, with the fine-tuned backbone in `saved_model/`.
        probe: The head to begin from, and to be held against.
        means: Backbone, images and the rest.
        course: How it learns.
        force: Replace a head that stands at `out`.

    Returns:
        The document of `frieze finetune --json`; docs/json.md tells its fields.

    Raises:
        InputError: There are too few images or too little memory, a class is missing, or the probe does not fit.
        ModelError: The loss is no number any more.
    """
    started, course = time.perf_counter(), course or FinetuneConfig()
    check_head(out, force=force)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    groups = None if means.parting is None else means.parting.find_groups(features, examples)
    split, unused = part_like(probe, examples, seed=course.seed, groups=groups)
    check_start(examples, split, means.trunk, course.batch_size)
    start = begin(probe, features, examples, split, hidden=course.hidden, seed=course.seed)
    layers = to_layers(start, features.spec.dim, length=None if course.hidden is None else mean_length(features))
    seen = as_wide_as(features, means.trunk.maps, probe.spec.dim)
    told = _Told(features, examples, split, unused, probe, seen)
    progress = _learn(means, layers, told, course)
    is_better = progress.best_epoch > 0 or course.hidden is not None
    head = to_head(layers, start) if is_better else probe.classifier
    if is_better:
        _calibrate(head, means, told)
    test = _embed(means, examples.rows[split.test])
    probabilities, held_out = head.probabilities(test), examples.take(split.test)
    figures = _figures(head, means.trunk, told, progress) | score(probabilities, held_out.labels, classes=head.classes)
    figures["notes"] = [*_notes(figures, is_new=course.hidden is not None), *notes_on_split(figures, split.method)]
    with new_folder(out, replace=force) as folder:
        spec = means.save(folder / TRUNK_NAME)
        model = write_model(folder, head)
        write_split(folder, examples, split, unused)
        figures["seconds"] = time.perf_counter() - started
        described = _document(told, figures, spec, course, means.asked) | {"model": model}
        told_all = figures | report(probabilities, held_out, classes=head.classes)
        finish_head(folder, described, told_all, means.write_page)
    return figures | {"out": str(out)}


@dataclasses.dataclass(frozen=True)
class _Told:
    """The rows, and what was known of them before."""

    features: Features
    examples: Examples
    split: Split
    unused: Rows
    probe: Head
    seen: Features  # what the probe takes

    @functools.cached_property
    def codes(self) -> Rows:
        """The class of each row, int64 [n]; -1 where the probe does not know it."""
        known = {name: code for code, name in enumerate(self.probe.classes)}
        return np.array([known.get(label, -1) for label in self.examples.labels])

    @property
    def probe_scores(self) -> dict[str, Any]:
        """The probe's figures on the test rows; those it was stored with may be of rows that are gone since."""
        held_out = self.examples.take(self.split.test)
        probabilities = mapped(self.probe.probabilities, StoredRows(self.seen, held_out.rows))
        return score(probabilities, held_out.labels, classes=self.probe.classes)

    @property
    def fitted(self) -> Rows:
        """Places that are learnt from, int64."""
        return np.setdiff1d(self.split.train, self.split.validation)


def _learn(means: FinetuneContext, layers: Any, told: _Told, course: FinetuneConfig) -> Progress:
    """Train trunk and head in place."""
    images = Images(lambda places: means.read(told.examples.rows[places]), [(*means.trunk.spec.image_size, 3)])
    ready: Callable[..., tuple[Material, Any]] = _cached if course.caches else _whole
    material, network = ready(means, layers, told, images, course)
    learning = Learning(network, course, n_rows=len(told.fitted))
    size = course.batch_size
    with images.telling():
        return learning.run(
            lambda epoch: batches(material, told.codes, told.fitted, batch_size=size, seed=[course.seed, epoch]),
            lambda: batches(material, told.codes, told.split.validation, batch_size=size, seed=None),
            means.work / CHECKPOINT,
            means.step,
        )


def _whole(
    means: FinetuneContext, layers: Any, _told: _Told, images: Images, course: FinetuneConfig
) -> tuple[Images, Any]:
    """Give the images, and the network from them to probabilities."""
    keras = import_keras()

    pixels = keras.Input(images.shapes[0], dtype="uint8")
    seen = keras.layers.Rescaling(1 / 255)(pixels)
    for layer in augmentation(course.seed) if course.augments else []:
        seen = layer(seen)
    return images, keras.Model([pixels], layers(means.trunk.embeddings(seen)))


def _cached(
    means: FinetuneContext, layers: Any, told: _Told, images: Images, _course: FinetuneConfig
) -> tuple[CachedActivations, Any]:
    """Give what the frozen part makes of the images, and the network from there."""
    keras = import_keras()

    lower, upper = means.trunk.split()
    maps = CachedActivations(means.work / "maps", lower, images, len(told.examples))
    means.say(f"What the frozen part makes of the images takes up to {format_size(maps.n_bytes)} on disk.")
    maps.fill(told.split.train, means.step)
    inputs = [keras.Input(shape) for shape in maps.shapes]
    return maps, keras.Model(inputs, layers(upper(inputs)))


def _calibrate(head: Classifier, means: FinetuneContext, told: _Told) -> None:
    """Soften the head on the validation images."""
    watched = _embed(means, told.examples.rows[told.split.validation])
    head.scale_logits(fit_temperature(head.margins(watched), told.codes[told.split.validation]))


def _embed(means: FinetuneContext, rows: Rows) -> Floats:
    """Embed images as the trunk is now."""
    keras = import_keras()

    images = keras.Input((*means.trunk.spec.image_size, 3))
    network = keras.Model(images, means.trunk.embeddings(images))
    chunks = np.array_split(rows, -(-len(rows) // CHUNK))
    found = [network.predict_on_batch(means.read(chunk) / np.float32(255)) for chunk in chunks]
    return np.concatenate(found).astype(np.float32)


def _figures(head: Classifier, trunk: Trunk, told: _Told, progress: Progress) -> dict[str, Any]:
    probe = told.probe_scores
    names = ("accuracy", "confidence_interval", "macro_f1", "expected_calibration_error")
    gaps = describe_split(told.examples, told.split)
    return {name: gaps[name] for name in ("test_copies", "similar_labels")} | {
        "head": name_of_kind(head),
        "classes": head.classes.tolist(),
        "n_train": len(told.split.train),
        "n_test": len(told.split.test),
        "n_unlabelled": len(told.features) - len(told.examples),
        "probe": {"head": told.probe.document["head"]} | {name: probe[name] for name in names},
        "probe_accuracy": probe["accuracy"],
        "epochs": len(progress.history) - 1,
        "best_epoch": progress.best_epoch,
        "history": progress.history,
        "unfrozen": trunk.free,
        "n_unfrozen": trunk.n_free,
        "fit_seconds": sum(epoch.get("seconds", 0.0) for epoch in progress.history),
    }


def _notes(figures: dict[str, Any], *, is_new: bool) -> list[str]:
    """Say in a line where it was not worth it."""
    if not figures["best_epoch"]:
        left = "the new head has learnt nothing. Try a lower --learning-rate" if is_new else "the probe stays as it was"
        return [f"No epoch was better than the start: {left}."]
    accuracy, probe = figures["accuracy"], figures["probe_accuracy"]
    if accuracy > probe:
        return []
    return [f"Fine-tuning gained nothing: {accuracy:.3f} of the held-out images are right, of the probe's {probe:.3f}."]


def _document(
    told: _Told, figures: dict[str, Any], spec: BackboneSpec, course: FinetuneConfig, asked: dict[str, Any]
) -> dict[str, Any]:
    """Give head.json, less the model."""
    split = told.probe.document["split"] | {"n_train": figures["n_train"], "n_test": figures["n_test"]}
    was: dict[str, Any] = {"backbone": told.features.spec.to_json(), "course": dataclasses.asdict(course)}
    was |= {"unfreeze": asked.get("unfreeze"), "asked": asked}
    described = describe_head(told.features, figures, {}, split=split, model={})
    described["versions"] |= {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")}
    return described | {"backbone": spec.to_json(), "finetuned": was}
