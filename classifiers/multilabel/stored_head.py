"""A one-vs-rest head in a folder: head.json of kind `multilabel_head`, weights.npz, split.parquet, report.json."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from frieze.classifiers.evaluation.predict import to_lists
from frieze.classifiers.multilabel.one_vs_rest import OneVsRest
from frieze.classifiers.storage.head_folder import (
    WEIGHTS_NAME,
    Head,
    check_width,
    describe_staleness,
    open_head,
    read_familiarity,
)
from frieze.classifiers.storage.head_json import MULTILABEL, NAME, broken_head_error, check_head_file, read_head_json
from frieze.core import Floats, InputError, Strings, TablePath, read_consistent
from frieze.features import BackboneSpec


class MultilabelHead:
    """A stored head of several labels an image; use `open_multilabel_head`.

    Attributes:
        path: The folder, absolute.
        document: The fields of head.json.
        spec: The backbone of its embeddings.
        classes: The names of the C labels, sorted.
        thresholds: float32 [C], the probability from which on an image has the label.
        familiarity: How similar its held-out images are to its training images.
    """

    def __init__(self, path: Path, document: dict[str, Any], head: OneVsRest) -> None:
        self.path = path
        self.document = document
        self._head = head
        self.familiarity = read_familiarity(path, document)
        self.spec = BackboneSpec.from_json(document["backbone"])
        self.classes: Strings = np.array(document["classes"], dtype=object)
        self.thresholds = head.thresholds

    def __repr__(self) -> str:
        return f"MultilabelHead({self.document['head']}, {len(self.classes):,} labels, {str(self.path)!r})"

    def probabilities(self, embeddings: Floats) -> Floats:
        """Compute the probability of each label.

        Args:
            embeddings: float32 [N, D], of any length; the head normalises them.

        Returns:
            float32 [N, C], columns as in `classes`; a row need not sum to 1.

        Raises:
            MismatchError: The embeddings are of another width.
        """
        check_width(embeddings, self.spec)
        return self._head.probabilities(np.asarray(embeddings, np.float32))

    def predict(self, embeddings: Floats) -> list[list[str]]:
        """Predict the labels of each image: those whose probability reaches their threshold, the likeliest first.

        Args:
            embeddings: float32 [N, D].

        Raises:
            MismatchError: The embeddings are of another width.
        """
        probabilities = self.probabilities(embeddings)
        names, _ = to_lists(probabilities >= self.thresholds, probabilities, self.classes)
        return [list(of_row) for of_row in names.to_pylist()]

    def staleness(self) -> str | None:
        """Return a note with the command to train again if the table has changed since; None if it is the same."""
        return describe_staleness(self.document, self.path)


def open_multilabel_head(path: str | Path) -> MultilabelHead:
    """Open a stored head of several labels an image.

    Args:
        path: The folder that `frieze train --out` wrote.

    Raises:
        FeatureFileError: There is no head, or it is broken, altered, or of a later version.
        InputError: It predicts one label an image.
    """
    path = Path(path).absolute()
    return read_consistent(path / NAME, lambda: _open(path))


def is_multilabel(path: TablePath) -> bool:
    """Return whether a stored head is of several labels an image.

    Raises:
        FeatureFileError: There is no head, or head.json is broken or of a later version.
    """
    return bool(read_head_json(path)["kind"] == MULTILABEL)


def open_any_head(path: str | Path) -> Head | MultilabelHead:
    """Open a stored head of one label an image, or of several.

    Raises:
        FeatureFileError: There is no head, or it is broken, altered, or of a later version.
    """
    return open_multilabel_head(path) if is_multilabel(Path(path)) else open_head(path)


def _open(path: Path) -> MultilabelHead:
    document = read_head_json(path)
    if document["kind"] != MULTILABEL:
        raise InputError(f"{path} predicts one label an image.", hint="Open it with frieze.open_head.")
    check_head_file(path, WEIGHTS_NAME)
    shape = len(document["classes"]), document["backbone"]["dim"]
    try:
        head = OneVsRest.read(path / WEIGHTS_NAME, shape=shape)
    except (ValueError, LookupError, OSError, zipfile.BadZipFile) as error:
        raise broken_head_error(path / WEIGHTS_NAME, error) from error
    return MultilabelHead(path, document, head)
