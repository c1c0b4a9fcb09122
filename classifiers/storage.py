"""A head in a folder: written whole, read back without running anything from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from classifiers.heads import HEADS, Classifier
from classifiers.labels import Examples
from features import (
    BackboneSpec,
    FeatureFileError,
    Features,
    Floats,
    MismatchError,
    Rows,
    Strings,
    check_same_backbone,
    hash_file,
    read_json,
)

CONTRACT = 1
"""Version of the stored form of a head."""

NAME = "head.json"
SPLIT_NAME = "split.parquet"
REPORT_NAME = "report.json"

_TRAIN = "Train it with: frieze train FEATURES --out HEAD"


class Head:
    """A fitted head read from its folder; use `open_head`.

    Attributes:
        path: The folder.
        document: What head.json says.
        spec: The backbone whose embeddings it takes.
        classes: The names of the C classes, sorted.
    """

    def __init__(self, path: Path, document: dict[str, Any], classifier: Classifier) -> None:
        self.path = path
        self.document = document
        self.spec = BackboneSpec.from_json(document["backbone"])
        self.classes: Strings = classifier.classes
        self._classifier = classifier

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
        return self._classifier.probabilities(np.asarray(embeddings, np.float32))

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


def open_head(path: str | Path) -> Head:
    """Open a stored head.

    Args:
        path: The folder that `frieze train --out` made.

    Returns:
        The head, with `.spec`, `.classes`, `.document`, `.probabilities(...)` and `.predict(...)`.

    Raises:
        FeatureFileError: There is none, or it is broken, altered, or of a later version.
    """
    path = Path(path)
    document = _read_document(path)
    try:
        kind = HEADS[document["head"]]
        file = path / kind.file_name
        classes = _classes(document["classes"])
        dim = BackboneSpec.from_json(document["backbone"]).dim
        is_whole = hash_file(file) == document["model"]["sha256"]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise _broken(path / NAME, error) from error
    if not is_whole:
        raise _broken(file, ValueError("it is not the file that was stored"))
    return Head(path, document, _guarded(file, lambda: kind.load(file, classes=classes, dim=dim)))


def check_backbone(head: Head, features: Features) -> None:
    """Refuse a table of another backbone.

    Raises:
        MismatchError: It is; the message names both sides and what to type.
    """
    check_same_backbone(features.spec, head.spec, where=str(head.path), mend=_embed_with(head.spec))


def write_model(folder: Path, classifier: Classifier) -> dict[str, str]:
    """Write the fitted model.

    Returns:
        `file`, its name, and `sha256` of its bytes (hex).
    """
    file = folder / classifier.file_name
    classifier.save(file)
    return {"file": file.name, "sha256": hash_file(file)}


def write_split(folder: Path, examples: Examples, test: Rows) -> None:
    """Write split.parquet: `id`, `sha256` and `part` (`train` or `test`) of each labelled row.

    Args:
        folder: The folder of the head.
        examples: The labelled rows.
        test: int64, the places in `examples` that were held out.
    """
    parts = np.full(len(examples), "train", dtype=object)
    parts[test] = "test"
    columns = {"id": examples.ids, "sha256": examples.sha256, "part": parts}
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    pq.write_table(table, folder / SPLIT_NAME)


def read_fitted(path: Path) -> dict[str, str | None]:
    """Read which images a head was fitted on.

    Returns:
        id -> sha256 of the training rows, None where the hash is unknown.

    Raises:
        FeatureFileError: split.parquet is missing or broken.
    """
    try:
        split = pq.read_table(path / SPLIT_NAME, columns=["id", "sha256", "part"])
    except (pa.ArrowException, OSError) as error:
        raise _broken(path / SPLIT_NAME, error) from error
    return {row["id"]: row["sha256"] for row in split.to_pylist() if row["part"] == "train"}


def check_out(out: Path, *, force: bool) -> None:
    """Refuse to write a head where something stands that must not go.

    Raises:
        FeatureFileError: It does.
    """
    if not out.exists():
        return
    if not force:
        raise FeatureFileError(f"{out} is there already.", mend="Give another --out, or --force to replace it.")
    if not _is_head(out):
        raise FeatureFileError(
            f"{out} is there already and holds no head.", mend="Give another --out: --force replaces heads only."
        )


def _embed_with(spec: BackboneSpec) -> str:
    return f"Embed the images with: frieze embed SOURCE --backbone {spec.handle} --out FEATURES"


def _is_head(path: Path) -> bool:
    try:
        return read_json(path / NAME, mend=_TRAIN).get("kind") == "head"
    except FeatureFileError:
        return False


def _read_document(path: Path) -> dict[str, Any]:
    document = read_json(path / NAME, mend=_TRAIN)
    if document.get("kind") != "head":
        raise FeatureFileError(f"{path / NAME} is of kind {document.get('kind')}, not head.", mend=_TRAIN)
    if document.get("contract") != CONTRACT or str(document.get("head")) not in HEADS:
        raise FeatureFileError(
            f"{path / NAME} is a head {document.get('head')} of contract {document.get('contract')}; this version reads"
            f" {', '.join(HEADS)} of contract {CONTRACT}.",
            mend="Upgrade with: pip install --upgrade frieze",
        )
    return document


def _classes(stored: Any) -> Strings:
    if not (isinstance(stored, list) and all(isinstance(name, str) for name in stored) and stored == sorted(stored)):
        raise ValueError("its classes are no sorted list of names")
    return np.array(stored, dtype=object)


def _guarded(file: Path, load: Callable[[], Classifier]) -> Classifier:
    try:
        return load()
    except Exception as error:  # a foreign file can raise anything, and each means the same refusal
        raise _broken(file, error) from error


def _broken(path: Path, error: Exception) -> FeatureFileError:
    return FeatureFileError(f"{path} can't be used: {error}.", mend="Train the head again: frieze train ... --force")
