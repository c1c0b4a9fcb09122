"""A head in a folder: written whole, read back without running anything from it."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.again import train_again
from classifiers.heads import HEADS, Classifier
from classifiers.labels import Examples
from classifiers.splits import Split
from features import (
    BackboneSpec,
    FeatureFileError,
    Features,
    Floats,
    MismatchError,
    Rows,
    Strings,
    check_files,
    check_listed,
    check_same_backbone,
    hash_file,
    read_json,
    read_manifest,
    read_unchanged,
    to_table_path,
    write_json,
    write_listed,
)

CONTRACT = 1
"""Version of the stored form of a head."""

NAME = "head.json"
SPLIT_NAME = "split.parquet"
REPORT_NAME = "report.json"
TRUNK_NAME = "saved_model"
"""Folder of the backbone that was fine-tuned together with a head."""

MAX_SEED = 2**32 - 1
"""What both NumPy and scikit-learn take."""

_FORM = {
    "head": str,
    "backbone": {
        **dict.fromkeys(("name", "handle", "fingerprint", "fit", "pixels", "precision", "decoding"), str),
        "dim": int,
        "image_size": [int],
        "layer": str | None,
        "weights": str | None,
    },
    "features": {"path": str, "generation": str},
    "classes": [str],
    "split": {"test_size": int | float, "seed": int},
    "scores": {"n_train": int, "fit_seconds": int | float},
    "model": {"sha256": str, "classes_sha256": str},
}
"""The fields of head.json that are read, and what they are."""

_OPTIONAL = {"labels": {"file": str | None, "column": str}, "recipe": {}}
"""Fields that a head may lack: where its labels came from, if not from the table, and how it was fitted."""

_TRAIN = "Train it with: frieze train FEATURES --out HEAD"
_RETRAIN = "Train the head again: frieze train ... --force"


class Head:
    """A fitted head read from its folder; use `open_head`.

    Attributes:
        path: The folder, absolute.
        document: What head.json says.
        spec: The backbone whose embeddings it takes.
        classes: The names of the C classes, sorted.
        classifier: The fitted head itself.
    """

    def __init__(self, path: Path, document: dict[str, Any], classifier: Classifier) -> None:
        self.path = path
        self.document = document
        self.spec = BackboneSpec.from_json(document["backbone"])
        if (path / TRUNK_NAME).is_dir():  # wherever the model lies now, its backbone lies in it
            self.spec = dataclasses.replace(self.spec, handle=str(path))
        self.classes: Strings = classifier.classes
        self.classifier = classifier

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give the probability of each class.

        Args:
            embeddings: float32 [N, D], raw; the head scales them itself.

        Returns:
            float32 [N, C], columns as in `classes`; each row sums to 1.

        Raises:
            MismatchError: The embeddings are of another width.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.spec.dim:  # noqa: PLR2004 - [N, D]
            raise MismatchError(
                f"The embeddings have shape {list(embeddings.shape)}, the head takes [N, {self.spec.dim}].",
                mend=_embed_with(self.spec),
            )
        if not len(embeddings):
            return np.empty((0, len(self.classes)), np.float32)
        return self.classifier.probabilities(np.asarray(embeddings, np.float32))

    def predict(self, embeddings: Floats) -> tuple[Strings, Floats]:
        """Give the most likely class of each embedding.

        Args:
            embeddings: float32 [N, D].

        Returns:
            labels: Class names [N].
            probabilities: float32 [N], how likely each is.

        Raises:
            MismatchError: The embeddings are of another width.
        """
        found = self.probabilities(embeddings)
        return self.classes[found.argmax(axis=1)], found.max(axis=1)

    @property
    def threshold(self) -> float | None:
        """The least probability that is an answer, in [0, 1]; None for a head that always answers."""
        abstain = self.document["scores"].get("abstain")
        return None if abstain is None else float(abstain["threshold"])

    def as_function(self) -> Callable[[Any], Any]:
        """Give `probabilities` in TensorFlow's operations: float32 [B, D] -> float32 [B, C]; to be frozen."""
        return self.classifier.as_function()

    def staleness(self) -> str | None:
        """Say that the table has changed since the head was trained on it.

        Returns:
            A sentence with the command to train again; None where the table is the same, gone or unreadable.
        """
        if "finetuned" in self.document:  # its backbone is its own: what becomes of the first one's table is no matter
            return None
        table, generation = (self.document["features"][name] for name in ("path", "generation"))
        try:
            if read_manifest(to_table_path(table)).generation == generation:
                return None
        except FeatureFileError:
            return None
        again = train_again(self.document, self.path)
        return f"{table} has changed since {self.path} was trained on it. Train again with: {again}"


def open_head(path: str | Path) -> Head:
    """Open a stored head.

    Args:
        path: The folder that `frieze train --out` made.

    Returns:
        The head, with `.spec`, `.classes`, `.document`, `.probabilities(...)` and `.predict(...)`.

    Raises:
        FeatureFileError: There is none, or head.json or the model is broken, altered, or of a later version.
    """
    path = Path(path).absolute()  # pyarrow takes a relative `a:b` for a URL
    return read_unchanged(path / NAME, lambda: _open(path))


def _open(path: Path) -> Head:
    document = read_document(path)
    kind = HEADS[document["head"]]
    file = path / kind.file_name
    try:
        is_whole = hash_file(file) == document["model"]["sha256"]
    except OSError as error:
        raise _broken(file, error) from error
    if not is_whole:
        raise _broken(file, ValueError("it is not the file that was stored"))
    classes, dim = np.array(document["classes"], dtype=object), document["backbone"]["dim"]
    return Head(path, document, _guarded(file, lambda: kind.load(file, classes=classes, dim=dim)))


def check_backbone(head: Head, features: Features) -> None:
    """Refuse a table of another backbone.

    Raises:
        MismatchError: It is; the message names both sides and what to type.
    """
    check_same_backbone(features.spec, head.spec, where=str(head.path), mend=_embed_with(head.spec))


def read_labels_from(path: Path) -> dict[str, str] | None:
    """Tell where the labels came from that a head was trained on.

    Args:
        path: The folder of the head.

    Returns:
        The `column` of its table, or the `file` and its `column`; None for the labels stored in the table.

    Raises:
        FeatureFileError: There is no head, or head.json is broken or of a later version.
    """
    found: dict[str, str] | None = read_document(path).get("labels")
    return found


def write_model(folder: Path, classifier: Classifier) -> dict[str, str]:
    """Write the fitted model.

    Returns:
        `file`, its name, `sha256` of its bytes (hex), and `classes_sha256` of the names of its classes.
    """
    file = folder / classifier.file_name
    classifier.save(file)
    return {"file": file.name, "sha256": hash_file(file), "classes_sha256": hash_names(classifier.classes.tolist())}


def finish_head(
    folder: Path, document: dict[str, Any], report: dict[str, Any], write_page: Callable[[Path], None] | None
) -> None:
    """Write what stands in a head's folder beside model and split: the report, its page, and head.json at last.

    Args:
        folder: The folder.
        document: What head.json says.
        report: What report.json says.
        write_page: Called with the folder, to write what a person looks at; None for no page.
    """
    write_json(folder / REPORT_NAME, report)
    if write_page is not None:
        write_page(folder)
    write_listed(folder, NAME, document)


def hash_names(names: list[str]) -> str:
    """Give the sha256 (hex) of a list of names, so that renamed or reordered classes are found out."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def write_split(folder: Path, examples: Examples, split: Split, unused: Rows) -> None:
    """Write split.parquet: `id`, `sha256`, `part` (`train`, `validation`, `test` or `unused`) of each row that has one.

    Args:
        folder: The folder of the head.
        examples: The labelled rows.
        split: Places in `examples`.
        unused: int64, places that could have been fitted on and were not drawn.
    """
    parts = np.full(len(examples), None, dtype=object)
    parts[unused], parts[split.train], parts[split.validation], parts[split.test] = (
        "unused",
        "train",
        "validation",
        "test",
    )
    columns = {name: examples.column(name) for name in ("id", "sha256")}
    table = pa.table(columns | {"part": pa.array(parts, pa.string())})
    pq.write_table(table.filter(table["part"].is_valid()), folder / SPLIT_NAME)


def read_split(path: Path) -> list[dict[str, str | None]]:
    """Read how a head's labelled rows were divided.

    Returns:
        `id`, `sha256` (None where unknown) and `part` (`train`, `validation`, `test` or `unused`) of each row.

    Raises:
        FeatureFileError: split.parquet is missing, altered or broken.
    """
    return read_unchanged(path / NAME, lambda: _read_split(path))


def _read_split(path: Path) -> list[dict[str, str | None]]:
    _check_listed(path, SPLIT_NAME)
    try:
        split = pq.read_table(path / SPLIT_NAME).select(["id", "sha256", "part"])
        rows: list[dict[str, str | None]] = split.to_pylist()
    except (pa.ArrowException, KeyError, MemoryError, OSError, ValueError) as error:
        raise _broken(path / SPLIT_NAME, error) from error
    return rows


def read_report(path: Path) -> dict[str, Any]:
    """Read the figures of a head's training.

    Args:
        path: The folder of a head, or of one that is being written and has no head.json yet.

    Raises:
        FeatureFileError: report.json is missing or altered.
    """
    return read_unchanged(path / NAME, lambda: _read_report(path))


def _read_report(path: Path) -> dict[str, Any]:
    _check_listed(path, REPORT_NAME)
    return read_json(path / REPORT_NAME, mend=_RETRAIN)


def _check_listed(path: Path, name: str) -> None:
    """Refuse a file that is not the one head.json lists; a folder that is being written has no head.json yet."""
    if (path / NAME).exists():
        check_files(path, read_document(path), [name], mend=_RETRAIN)


def read_fitted(path: Path) -> dict[str, str | None]:
    """Read which images a head was fitted on, or could have been.

    Returns:
        id -> sha256 of all rows but the test rows, None where the hash is unknown.

    Raises:
        FeatureFileError: split.parquet is missing or broken.
    """
    return {str(row["id"]): row["sha256"] for row in read_split(path) if row["part"] != "test"}


def may_be_same(one: str | None, other: str | None) -> bool:
    """Tell whether two images of one id may be the same: their sha256 are equal, or one is unknown."""
    return one is None or other is None or one == other


def _embed_with(spec: BackboneSpec) -> str:
    if spec.is_made_elsewhere:
        return f"Import both together, {spec.handle} and the new vectors (frieze import), and train again."
    return f"Embed the images with: frieze embed SOURCE --backbone {spec.handle} --out FEATURES"


def read_document(path: Path) -> dict[str, Any]:
    """Read head.json of a head's folder.

    Raises:
        FeatureFileError: It is missing, broken, altered, or of a later version.
    """
    document = read_json(path / NAME, mend=_TRAIN)
    if document.get("kind") != "head":
        raise FeatureFileError(f"{path / NAME} is of kind {document.get('kind')}, not head.", mend=_TRAIN)
    try:
        _check_form(document, {"contract": int}, of="")
        if document["contract"] > CONTRACT:
            raise _later(path, document)
        check_listed(path / NAME, document, mend=_RETRAIN)
        _check_form(document, _FORM, of="")
        if document["head"] not in HEADS:
            raise _later(path, document)
        _check_values(document)
    except ValueError as error:
        raise _broken(path / NAME, error) from error
    return document


def _later(path: Path, document: dict[str, Any]) -> FeatureFileError:
    return FeatureFileError(
        f"{path / NAME} is a head {document.get('head')} of contract {document['contract']}; this version reads"
        f" {', '.join(HEADS)} of contract {CONTRACT}.",
        mend="Upgrade with: pip install --upgrade frieze",
    )


def _check_form(value: Any, form: Any, *, of: str) -> None:
    """Refuse a value that has not its form: types, a list with the form of its entries, or fields with theirs."""
    types = type(form) if isinstance(form, dict | list) else form
    if not isinstance(value, types) or isinstance(value, bool):
        raise ValueError(f"its {of} is missing or of another type")  # noqa: TRY004 - the user's file, not our call
    if isinstance(value, list):
        for entry in value:
            _check_form(entry, form[0], of=of)
    if isinstance(value, dict):
        for name, inner in form.items():
            _check_form(value.get(name), inner, of=f"{of}.{name}".lstrip("."))


def _check_values(document: dict[str, Any]) -> None:
    if document["contract"] < 1:
        raise ValueError(f"there is no contract {document['contract']}")
    if not 0 <= document["split"]["seed"] <= MAX_SEED:
        raise ValueError(f"its split.seed is not between 0 and {MAX_SEED}")
    for name, form in _OPTIONAL.items():
        if name in document:
            _check_form(document[name], form, of=name)
    _check_form(document["scores"].get("abstain", {"threshold": 0}), {"threshold": int | float}, of="scores.abstain")
    if hash_names(document["classes"]) != document["model"]["classes_sha256"]:
        raise ValueError("its classes are not those that were stored")


def _guarded(file: Path, load: Callable[[], Classifier]) -> Classifier:
    try:
        return load()
    except Exception as error:  # a foreign file can raise anything, and each means the same refusal
        raise _broken(file, error) from error


def _broken(path: Path, error: Exception) -> FeatureFileError:
    return FeatureFileError(f"{path} can't be used: {error}.", mend=_RETRAIN)
