"""Fine-tuning: train the top layers of a backbone with a head that starts from the linear probe (LP-FT).

Source: Kumar et al. 2022, Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution (LP-FT).
"""

import dataclasses
import functools
import importlib.metadata
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.config import FinetuneConfig
from frieze.classifiers.conformal import HeldOutPredictions
from frieze.classifiers.data.embedding_rows import EmbeddingRows, map_rows, match_width
from frieze.classifiers.data.labelled_examples import Examples, labelled_rows
from frieze.classifiers.data.splits import Split, SplitConfig, interval_groups
from frieze.classifiers.familiarity import Familiarity, choose_references
from frieze.classifiers.finetuning.devices import FLOAT32, Devices
from frieze.classifiers.finetuning.head_layers import to_head, to_layers
from frieze.classifiers.finetuning.inputs import CHUNK, CachedActivations, Images, Inputs, Read, augmentation, batches
from frieze.classifiers.finetuning.trainer import Trainer, TrainingState
from frieze.classifiers.finetuning.validation import Validation
from frieze.classifiers.finetuning.warm_start import check_feasible, mean_norm, reuse_split, warm_start
from frieze.classifiers.metrics import report, score
from frieze.classifiers.registry import Classifier, name_of_kind
from frieze.classifiers.storage.head_folder import BACKBONE_NAME, Head, check_head, finish_head, write_model
from frieze.classifiers.storage.head_json import describe_head
from frieze.classifiers.storage.split_file import write_split
from frieze.classifiers.training.notes import notes_on_interval, notes_on_split, split_gaps
from frieze.core import Floats, ModelError, Rows, counted, format_size, import_keras, new_folder, shorten, unit_rows
from frieze.features import BackboneSpec, Features

_LOG = logging.getLogger("frieze")

CHECKPOINT = "checkpoint.npz"
"""File of the work folder, written after each epoch; an interrupted run resumes from it."""


class TrainableBackbone(Protocol):
    """A backbone whose top layers are trainable; `embedder.open_trainable` opens one.

    Attributes:
        spec: The backbone before fine-tuning.
        free: The trainable layers in words.
        n_free: Number of trainable parameters.
        maps: Height, width and channels of the maps that its embeddings flatten; None where they are no maps.
    """

    spec: BackboneSpec
    free: str
    n_free: int
    maps: tuple[int, int, int] | None

    def embeddings(self, images: Any) -> Any:
        """Compute [B, D] for float32 [B, H, W, 3] in [0, 1]."""

    def split(self) -> tuple[Any, Any]:
        """Return the frozen layers and the rest as Keras models."""

    def computing(self, policy: str) -> AbstractContextManager[str]:
        """Compute by a Keras dtype policy while the block runs; yields the policy that it can compute by."""

    def count_bytes(self, batch_size: int) -> int:
        """Estimate the memory of a training step."""


@dataclasses.dataclass(frozen=True)
class FinetuneContext:
    """Backbone, image reader and callbacks of a fine-tuning.

    Attributes:
        backbone: The backbone to train.
        read: Reads the images of some rows of the table.
        save: Writes the backbone in its present state to a folder and returns its spec.
        work_dir: Folder of checkpoint and cached activations.
        on_step: Called with the steps done and the number of steps.
        write_page: Called with the folder after report.json is written, to write the HTML report.
        split_config: Its groups stay together in the validation part; None for single rows.
        options: The options, as head.json stores them.
        devices: Where to train, and how precisely; None for the GPUs of this machine.
    """

    backbone: TrainableBackbone
    read: Read
    save: Callable[[Path], BackboneSpec]
    work_dir: Path
    on_step: Callable[[int, int], None]
    write_page: Callable[[Path], None]
    split_config: SplitConfig | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    devices: Devices | None = None


def finetune_head(
    features: Features,
    out: Path,
    *,
    probe: Head,
    context: FinetuneContext,
    config: FinetuneConfig | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Fine-tune the top layers of a backbone from a head on its frozen features, on the same split, and store both.

    Args:
        features: The table that the head was trained on; its images are read again.
        out: The folder to write: a head, with the fine-tuned backbone in `saved_model/`.
        probe: The head to start from and to compare with.
        context: Backbone, image reader and callbacks.
        config: Epochs, learning rate and the like.
        force: Replace a head at `out`.

    Returns:
        The document of `frieze finetune --json`; docs/json.md documents its fields.

    Raises:
        InputError: There are too few images or too little memory, a class is missing, or the probe is of other images.
        ModelError: The loss is no longer finite.
    """
    started, config = time.perf_counter(), config or FinetuneConfig()
    check_head(out, force=force)
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    groups = None if context.split_config is None else context.split_config.find_groups(features, examples)
    split, unused = reuse_split(probe, examples, seed=config.seed, groups=groups)
    check_feasible(examples, split, context.backbone, config.batch_size)
    initial_head = warm_start(probe, features, examples, split, config=config, groups=groups)
    layers = to_layers(initial_head, features.spec.dim, norm=None if config.hidden is None else mean_norm(features))
    probe_table = match_width(features, context.backbone.maps, probe.spec.dim)
    data = _Data(features, examples, split, unused, probe, probe_table, groups)
    progress, devices = _learn(context, layers, data, config)
    is_better = progress.best_epoch > 0 or config.hidden is not None
    head = to_head(layers, initial_head) if is_better else probe.classifier
    if is_better:
        _calibrate(head, context, data)
    test, held_out = _embed(context, examples.rows[split.test]), examples.take(split.test)
    probabilities = head.probabilities(test)
    figures = _figures(head, context.backbone, data, progress, devices)
    figures |= score(probabilities, held_out.labels, classes=head.classes, groups=data.test_groups)
    notes = _notes_on_others(data) + _notes(figures, is_new=config.hidden is not None)
    figures["notes"] = notes + notes_on_split(figures, split.method) + notes_on_interval(data.test_groups)
    with new_folder(out, replace=force) as folder:
        spec = context.save(folder / BACKBONE_NAME)
        model = write_model(folder, head, familiarity=_familiarity(context, data, test))
        predicted = HeldOutPredictions.of(probabilities, held_out.labels, head.classes)
        write_split(folder, examples, split, unused, groups=groups, held_out=predicted)
        figures["seconds"] = time.perf_counter() - started
        head_json = _head_json(data, figures, spec, config, context.options) | {"model": model}
        of_test = report(probabilities, held_out, classes=head.classes)
        finish_head(folder, head_json, figures | of_test, context.write_page)
    return figures | {"out": str(out)}


@dataclasses.dataclass(frozen=True)
class _Data:
    """The labelled rows, their split and the probe."""

    features: Features
    examples: Examples
    split: Split
    unused: Rows
    probe: Head
    probe_table: Features  # with the width of the probe
    groups: Rows | None

    @functools.cached_property
    def codes(self) -> Rows:
        """The class of each row, int64 [n]; -1 where the probe does not know it."""
        known = {name: code for code, name in enumerate(self.probe.classes)}
        return np.array([known.get(label, -1) for label in self.examples.labels])

    @functools.cached_property
    def test_groups(self) -> Rows | None:
        """The group of each test row, int64 [m]; None for single rows."""
        return interval_groups(self.features, self.examples, self.groups, self.split.test)

    @property
    def probe_scores(self) -> dict[str, Any]:
        """The probe's figures on the test rows; its stored ones may include rows that are removed since."""
        held_out = self.examples.take(self.split.test)
        probabilities = map_rows(self.probe.probabilities, EmbeddingRows(self.probe_table, held_out.rows))
        return score(probabilities, held_out.labels, classes=self.probe.classes, groups=self.test_groups)


def _learn(context: FinetuneContext, layers: Any, data: _Data, config: FinetuneConfig) -> tuple[TrainingState, Devices]:
    """Train backbone and head in place; return the devices that did, with the precision in which they did."""
    images = Images(
        lambda positions: context.read(data.examples.rows[positions]), [(*context.backbone.spec.image_size, 3)]
    )
    prepare: Callable[..., tuple[Inputs, Any]] = _cached if config.caches else _whole
    inputs, network = prepare(context, layers, data, images, config)
    devices = context.devices or Devices.find()
    train = functools.partial(_train, context, network, inputs=inputs, data=data, config=config)
    with images.reraising():
        with context.backbone.computing(devices.policy) as policy:
            devices = dataclasses.replace(devices, policy=policy)
            try:
                return train(devices=devices), devices
            except ModelError:
                if policy == FLOAT32:
                    raise
        _LOG.warning("The loss is not finite in float16: training continues in float32.")
        devices = dataclasses.replace(devices, policy=FLOAT32)
        return train(devices=devices), devices


def _train(
    context: FinetuneContext, network: Any, *, inputs: Inputs, data: _Data, config: FinetuneConfig, devices: Devices
) -> TrainingState:
    """Run the missing epochs on these devices."""
    draw = functools.partial(batches, inputs, data.codes, batch_size=config.batch_size)
    validation = Validation(lambda: draw(data.split.validation, seed=None), data.codes[data.split.validation])
    return Trainer(network, config, n_rows=len(data.split.fit), devices=devices).run(
        lambda epoch: draw(data.split.fit, seed=[config.seed, epoch]),
        validation,
        context.work_dir / CHECKPOINT,
        context.on_step,
    )


def _whole(
    context: FinetuneContext, layers: Any, _data: _Data, images: Images, config: FinetuneConfig
) -> tuple[Images, Any]:
    """Return the images and the network from pixels to probabilities."""
    keras = import_keras()

    pixels = keras.Input(images.shapes[0], dtype="uint8")
    scaled = keras.layers.Rescaling(1 / 255)(pixels)
    for layer in augmentation(config.seed) if config.augments else []:
        scaled = layer(scaled)
    return images, keras.Model([pixels], layers(context.backbone.embeddings(scaled)))


def _cached(
    context: FinetuneContext, layers: Any, data: _Data, images: Images, _config: FinetuneConfig
) -> tuple[CachedActivations, Any]:
    """Cache the activations of the frozen layers; return them and the network from there to probabilities."""
    keras = import_keras()

    lower, upper = context.backbone.split()
    maps = CachedActivations(context.work_dir / "maps", lower, images, len(data.examples))
    _LOG.info("Cached activations take up to %s on disk.", format_size(maps.n_bytes))
    maps.fill(data.split.fit_and_validation, context.on_step)
    inputs = [keras.Input(shape) for shape in maps.shapes]
    return maps, keras.Model(inputs, layers(upper(inputs)))


def _calibrate(head: Classifier, context: FinetuneContext, data: _Data) -> None:
    """Calibrate the head on the validation images."""
    embeddings = _embed(context, data.examples.rows[data.split.validation])
    head.scale_logits(fit_temperature(head.logits(embeddings), data.codes[data.split.validation]))


def _embed(context: FinetuneContext, rows: Rows) -> Floats:
    """Embed images with the present state of the backbone."""
    keras = import_keras()

    images = keras.Input((*context.backbone.spec.image_size, 3))
    network = keras.Model(images, context.backbone.embeddings(images))
    chunks = np.array_split(rows, -(-len(rows) // CHUNK))
    embeddings = [network.predict_on_batch(context.read(chunk) / np.float32(255)) for chunk in chunks]
    return np.concatenate(embeddings).astype(np.float32)


def _familiarity(context: FinetuneContext, data: _Data, test: Floats) -> Familiarity:
    """Measure the held-out images, whose embeddings these are, against training images."""
    rows, labels = data.examples.rows, data.examples.labels
    fitted = data.split.fit_and_validation
    references = _embed(context, rows[fitted[choose_references(labels[fitted], test.shape[1])]])
    return Familiarity.fit(unit_rows(references), unit_rows(test))


def _figures(
    head: Classifier, backbone: TrainableBackbone, data: _Data, progress: TrainingState, devices: Devices
) -> dict[str, Any]:
    probe = data.probe_scores
    names = ("accuracy", "confidence_interval", "macro_f1", "expected_calibration_error")
    gaps = split_gaps(data.examples, data.split)
    return {name: gaps[name] for name in ("test_copies", "similar_labels")} | {
        "head": name_of_kind(head),
        "classes": head.classes.tolist(),
        "n_train": len(data.split.fit_and_validation),
        "n_test": len(data.split.test),
        "n_unlabelled": len(data.features) - len(data.examples),
        "probe": {"head": data.probe.document["head"]} | {name: probe[name] for name in names},
        "probe_accuracy": probe["accuracy"],
        "epochs": len(progress.history) - 1,
        "best_epoch": progress.best_epoch,
        "history": progress.history,
        "unfrozen": backbone.free,
        "n_unfrozen": backbone.n_free,
        "training_precision": devices.policy,
        "n_replicas": devices.n_replicas,
        "fit_seconds": sum(epoch.get("seconds", 0.0) for epoch in progress.history),
    }


def _notes(figures: dict[str, Any], *, is_new: bool) -> list[str]:
    """Describe a fine-tuning without a gain."""
    if not figures["best_epoch"]:
        left = "the new head has learnt nothing. Try a lower --learning-rate" if is_new else "the probe is unchanged"
        return [f"No epoch was better than the start: {left}."]
    accuracy, probe = figures["accuracy"], figures["probe_accuracy"]
    if accuracy > probe:
        return []
    return [f"Fine-tuning gained nothing: {accuracy:.3f} of the held-out images are right, of the probe's {probe:.3f}."]


def _notes_on_others(data: _Data) -> list[str]:
    """Describe labelled images that the split of the head does not have, such as those of other classes."""
    split = data.split
    n_others = len(data.examples) - len(split.fit_and_validation) - len(split.test) - len(data.unused)
    if not n_others:
        return []
    unknown = sorted({*data.examples.labels} - {*data.probe.classes})
    labels = f", such as those labelled {shorten([repr(label) for label in unknown])}," if unknown else ""
    are = "is" if n_others == 1 else "are"
    return [f"{counted(n_others, 'labelled image')} {are} not in the head's split{labels} and {are} left out."]


def _head_json(
    data: _Data, figures: dict[str, Any], spec: BackboneSpec, config: FinetuneConfig, options: dict[str, Any]
) -> dict[str, Any]:
    """Build the fields of head.json, except the model."""
    split = data.probe.document["split"] | {"n_train": figures["n_train"], "n_test": figures["n_test"]}
    finetuned: dict[str, Any] = {"backbone": data.features.spec.to_json(), "course": dataclasses.asdict(config)}
    finetuned |= {"unfreeze": options.get("unfreeze"), "asked": options}
    fields = describe_head(data.features, figures, {}, split=split, model={})
    fields["versions"] |= {name: importlib.metadata.version(name) for name in ("keras", "tensorflow")}
    return fields | {"backbone": spec.to_json(), "finetuned": finetuned}
