"""A head in a folder: write it atomically, load it without running code from it."""

import dataclasses
import functools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from frieze.classifiers.conformal import HeldOutPredictions
from frieze.classifiers.familiarity import Familiarity
from frieze.classifiers.kinds.linear import LinearWeights, PipelineHead
from frieze.classifiers.registry import HEADS, Classifier
from frieze.classifiers.storage.head_json import (
    MULTILABEL,
    NAME,
    RETRAIN,
    ZERO_SHOT,
    broken_head_error,
    check_head_file,
    hash_names,
    read_head_json,
    retrain_command,
)
from frieze.classifiers.storage.split_file import SPLIT_NAME, read_held_out
from frieze.core import (
    FeatureFileError,
    Floats,
    InputError,
    MismatchError,
    Strings,
    TablePath,
    check_files,
    check_holds_only,
    check_writable,
    hash_file,
    read_consistent,
    read_json,
    to_command_line,
    to_table_path,
    write_json,
    write_with_checksums,
)
from frieze.features import BackboneSpec, Features, check_same_backbone, read_manifest

REPORT_NAME, WEIGHTS_NAME, FAMILIARITY_NAME = "report.json", "weights.npz", "familiarity.npz"

BACKBONE_NAME = "saved_model"
"""Folder of the backbone that was fine-tuned with a head."""

_FILES = {
    NAME,
    SPLIT_NAME,
    REPORT_NAME,
    WEIGHTS_NAME,
    FAMILIARITY_NAME,
    "report.html",
    *(kind.file_name for kind in HEADS.values()),
}

_FOLDERS = {BACKBONE_NAME}
"""Files and folders of a head; frieze.api writes the HTML report."""


class Head:
    """A stored head; use `open_head`.

    Attributes:
        path: The folder, absolute.
        document: The fields of head.json.
        spec: The backbone of its embeddings.
        classes: The names of the C classes, sorted.
        familiarity: How similar its held-out images are to its training images; None for a head without these.
    """

    def __init__(
        self, path: Path, document: dict[str, Any], load: Callable[[], Classifier], weights: LinearWeights | None
    ) -> None:
        self.path = path
        self.document = document
        self._load, self._weights = load, weights
        self.familiarity = read_familiarity(path, document)
        self.spec = BackboneSpec.from_json(document["backbone"])
        if (path / BACKBONE_NAME).is_dir():  # the folder may have moved since it was written
            self.spec = dataclasses.replace(self.spec, handle=str(path))
        self.classes: Strings = np.array(document["classes"], dtype=object)
        if weights is None:
            _ = self.classifier  # broken files are found when the head is opened

    def __repr__(self) -> str:
        return f"Head({self.document['head']}, {len(self.classes):,} classes, {str(self.path)!r})"

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The fitted head.

        Raises:
            FeatureFileError: The file of the model is broken.
        """
        return self._load()

    def probabilities(self, embeddings: Floats) -> Floats:
        """Compute the probability of each class.

        Args:
            embeddings: float32 [N, D], of any length; the head normalises them.

        Returns:
            float32 [N, C], columns as in `classes`; each row sums to 1.

        Raises:
            MismatchError: The embeddings are of another width.
        """
        check_width(embeddings, self.spec)
        if not len(embeddings):
            return np.empty((0, len(self.classes)), np.float32)
        predicts = self.classifier if self._weights is None else self._weights
        return predicts.probabilities(np.asarray(embeddings, np.float32))

    def predict(self, embeddings: Floats) -> tuple[Strings, Floats]:
        """Predict the most likely class of each embedding.

        Args:
            embeddings: float32 [N, D].

        Returns:
            labels: Class names [N].
            probabilities: float32 [N], the probability of each label.

        Raises:
            MismatchError: The embeddings are of another width.
        """
        probabilities = self.probabilities(embeddings)
        return self.classes[probabilities.argmax(axis=1)], probabilities.max(axis=1)

    @property
    def threshold(self) -> float | None:
        """The probability below which the head abstains, in [0, 1]; None for a head that never does."""
        abstain = self.document["scores"].get("abstain")
        return None if abstain is None else float(abstain["threshold"])

    @functools.cached_property
    def held_out(self) -> HeldOutPredictions:
        """What it predicted of its held-out images.

        Raises:
            FeatureFileError: split.parquet is broken or altered.
            InputError: The head was stored without: by an earlier version, or without labelled images.
        """
        # Another head may have taken its place since this one was opened.
        check_files(self.path, self.document, [SPLIT_NAME], hint="Run the command again, or train the head again.")
        held_out = read_held_out(self.path)
        if held_out is not None:
            return held_out
        message = f"{self.path} was stored without what it predicted of held-out images"
        if ZERO_SHOT in self.document:
            raise InputError(
                f"{message}: its table has no labels of its classes.",
                hint="Make it of a table with labels, which measure it: frieze label FEATURES --classes ... --force",
            )
        raise InputError(f"{message}, by an earlier version.", hint=RETRAIN)

    def as_function(self) -> Callable[[Any], Any]:
        """Return `probabilities` as a TensorFlow function to be frozen: float32 [B, D] -> float32 [B, C]."""
        return self.classifier.as_function()

    def staleness(self) -> str | None:
        """Describe whether the table has changed since the head was trained on it.

        Returns:
            A sentence with the command to retrain; None if the table is the same, missing or unreadable.
        """
        return describe_staleness(self.document, self.path)


def describe_staleness(document: dict[str, Any], path: TablePath) -> str | None:
    """Return a note that the table of a head has changed since it was trained, with the command to train again.

    Args:
        document: Its head.json.
        path: Its folder.

    Returns:
        None if the table is the same, missing or unreadable.
    """
    if {"finetuned", ZERO_SHOT} & document.keys():  # neither depends on the table any longer
        return None
    table, generation = (document["features"][name] for name in ("path", "generation"))
    try:
        if read_manifest(to_table_path(table)).generation == generation:
            return None
    except FeatureFileError:
        return None
    command = retrain_command(document, path)
    return f"{table} has changed since {path} was trained on it. Train again with: {command}"


def open_head(path: str | Path) -> Head:
    """Open a stored head.

    Args:
        path: The folder that `frieze train --out` wrote.

    Returns:
        The head, with `.spec`, `.classes`, `.document`, `.probabilities(...)` and `.predict(...)`.

    Raises:
        FeatureFileError: There is no head, or head.json or the model is broken, altered, or of a later version.
        InputError: It predicts several labels an image.
    """
    path = Path(path).absolute()  # pyarrow takes a relative `a:b` for a URL
    return read_consistent(path / NAME, lambda: _open(path))


def _open(path: Path) -> Head:
    document = read_head_json(path)
    if document["kind"] == MULTILABEL:
        raise InputError(
            f"{path} predicts several labels an image; this takes a head of one label an image.",
            hint="Use it with frieze predict, evaluate and info, or with frieze.open_multilabel_head in Python.",
        )
    kind = HEADS[document["head"]]
    file = path / kind.file_name
    try:
        is_whole = hash_file(file) == document["model"]["sha256"]
    except OSError as error:
        raise broken_head_error(file, error) from error
    if not is_whole:
        raise broken_head_error(file, ValueError("it is not the file that was stored"))
    classes, dim = np.array(document["classes"], dtype=object), document["backbone"]["dim"]
    load = functools.partial(_load_model, file, lambda: kind.load(file, classes=classes, dim=dim))
    return Head(path, document, load, _read_weights(path, document))


def _read_weights(path: Path, document: dict[str, Any]) -> LinearWeights | None:
    """Read the weights of a linear head, with which it predicts without scikit-learn; None for any other head."""
    if WEIGHTS_NAME not in document.get("files", {}):
        return None
    check_head_file(path, WEIGHTS_NAME)
    shape = len(document["classes"]), document["backbone"]["dim"]
    try:
        return LinearWeights.read(path / WEIGHTS_NAME, shape=shape)
    except (ValueError, LookupError, OSError, zipfile.BadZipFile) as error:
        raise broken_head_error(path / WEIGHTS_NAME, error) from error


def read_familiarity(path: Path, document: dict[str, Any]) -> Familiarity | None:
    """Read how similar a head's held-out images are to its training images; None for a head without these.

    Raises:
        FeatureFileError: The file is altered or broken.
    """
    if FAMILIARITY_NAME not in document.get("files", {}):
        return None
    check_head_file(path, FAMILIARITY_NAME)
    try:
        return Familiarity.read(path / FAMILIARITY_NAME, dim=document["backbone"]["dim"])
    except (ValueError, LookupError, OSError, zipfile.BadZipFile) as error:
        raise broken_head_error(path / FAMILIARITY_NAME, error) from error


def check_width(embeddings: Floats, spec: BackboneSpec) -> None:
    """Check that embeddings are [N, D] of a head's backbone.

    Raises:
        MismatchError: They are not.
    """
    if embeddings.ndim != 2 or embeddings.shape[1] != spec.dim:  # noqa: PLR2004 - [N, D]
        raise MismatchError(
            f"The embeddings have shape {list(embeddings.shape)}, the head takes [N, {spec.dim}].",
            hint=_embed_with(spec),
        )


class _OfBackbone(Protocol):
    """A head of either kind."""

    path: Path
    spec: BackboneSpec


def check_backbone(head: _OfBackbone, features: Features) -> None:
    """Check that a table has the backbone of a head.

    Raises:
        MismatchError: It has another one; the message names both and what to type.
    """
    check_same_backbone(features.spec, head.spec, where=str(head.path), hint=_embed_with(head.spec))


def check_head(out: Path, *, force: bool) -> None:
    """Check that a head can be written to a folder.

    Args:
        out: The folder to write.
        force: Whether an existing head is replaced; a folder with anything else in it never is.

    Raises:
        FeatureFileError: It can't be written, or holds something else.
    """
    check_writable(out, force=force)
    check_holds_only(out, ("head", MULTILABEL), "a head", is_part=lambda path: _is_part(out, path))


def _is_part(out: Path, path: Path) -> bool:
    is_in_folder = path.parts[0] in _FOLDERS and (out / path.parts[0]).is_dir()
    return is_in_folder or (path.name in _FILES and len(path.parts) == 1 and not (out / path).is_dir())


def write_model(folder: Path, classifier: Classifier, *, familiarity: Familiarity | None = None) -> dict[str, str]:
    """Write the fitted model, and how similar held-out images are to training images where there are both.

    Returns:
        `file`, its name, `sha256` of its bytes (hex), and `classes_sha256` of the names of its classes.
    """
    file = folder / classifier.file_name
    classifier.save(file)
    if isinstance(classifier, PipelineHead):
        LinearWeights(*classifier.coef_and_intercept()).write(folder / WEIGHTS_NAME)
    if familiarity is not None:
        familiarity.write(folder / FAMILIARITY_NAME)
    return {"file": file.name, "sha256": hash_file(file), "classes_sha256": hash_names(classifier.classes.tolist())}


def finish_head(
    folder: Path, head_json: dict[str, Any], report: dict[str, Any], write_page: Callable[[Path], None] | None
) -> None:
    """Write the report, the HTML page, and head.json last.

    Args:
        folder: The folder.
        head_json: The fields of head.json.
        report: The fields of report.json.
        write_page: Called with the folder to write the HTML report; None for no page.
    """
    write_json(folder / REPORT_NAME, report)
    if write_page is not None:
        write_page(folder)
    write_with_checksums(folder, NAME, head_json)


def read_report(path: Path) -> dict[str, Any]:
    """Read the figures of a head's training.

    Args:
        path: The folder of a head, which may have no head.json yet while it is written.

    Raises:
        FeatureFileError: report.json is missing or altered.
    """
    return read_consistent(path / NAME, lambda: _read_report(path))


def _read_report(path: Path) -> dict[str, Any]:
    check_head_file(path, REPORT_NAME)
    return read_json(path / REPORT_NAME, hint=RETRAIN)


def _embed_with(spec: BackboneSpec) -> str:
    if spec.is_made_elsewhere:
        return f"Import {spec.handle} and the new vectors together (frieze import), and train again."
    options = {"backbone": spec.handle, "weights": spec.weights, "layer": spec.layer, "pool": spec.pool}
    options |= {"views": spec.views, "fit": None if spec.fit == "squash" else spec.fit}
    options |= {"precision": None if spec.precision == "float32" else spec.precision}
    height, width = spec.image_size
    if spec.handle != "builtin":
        options["image_size"] = str(height) if height == width else f"{height}x{width}"
    has_known_pixels = spec.handle == "builtin" or spec.handle.startswith(("keras:", "kerashub:"))
    options |= {} if has_known_pixels else {"pixels": spec.pixels}
    given = {name: value for name, value in options.items() if value is not None}
    return f"Embed the images with: frieze embed SOURCE {to_command_line(given)} --out FEATURES"


def _load_model(file: Path, load: Callable[[], Classifier]) -> Classifier:
    try:
        return load()
    except Exception as error:  # a foreign file can raise anything, and each error means the same
        raise broken_head_error(file, error) from error
