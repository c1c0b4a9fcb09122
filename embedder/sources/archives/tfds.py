"""Folders of TensorFlow Datasets: class names and splits of their TFRecords, from the files beside them."""

import dataclasses
import json
import posixpath
from collections.abc import Mapping
from typing import Any

import numpy as np

from frieze.embedder.sources.files import is_missing, open_uri

_MAX_BYTES = 16 << 20


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What the files beside a TFRecord say of its features.

    Attributes:
        classes: Feature -> the names of its classes.
        split: The split that the file belongs to.
        note: A sentence about the data set and its splits.
    """

    classes: Mapping[str, tuple[str, ...]]
    split: str | None
    note: str

    def translate(self, features: Mapping[str, Any]) -> dict[str, Any]:
        """Return the features of a record with names for numbers of classes, and its split.

            >>> DatasetInfo({"label": ("cat", "dog")}, "train", "").translate({"label": np.array([1, -1])})
            {'label': [b'dog'], 'split': [b'train']}
        >>> DatasetInfo({"label": ("cat", "dog")}, "test", "").translate({"label": np.array([-1])})
        {'split': [b'test']}
        """
        named = {
            name: self._names(name, values) if name in self.classes else values for name, values in features.items()
        }
        named = {name: values for name, values in named.items() if len(values) or len(features[name]) != 1}  # no class
        return named if self.split is None or "split" in named else named | {"split": [self.split.encode()]}

    def translate_columns(self, features: Mapping[str, Any], n_records: int) -> dict[str, Any] | None:
        """Return the features of many records as `translate` does; None where a number has no name.

        Args:
            features: Name -> a value of each record, texts or numbers.
            n_records: How many there are.

        >>> DatasetInfo({"label": ("cat", "dog")}, "train", "").translate_columns({"label": np.array([1, 0])}, 2)
        {'label': ['dog', 'cat'], 'split': ['train', 'train']}
        """
        named = dict(features)
        for name in features.keys() & self.classes:
            values, names = features[name], self.classes[name]
            if isinstance(values, np.ndarray) and values.dtype.kind == "i":
                if values.min() < 0 or values.max() >= len(names):
                    return None
                named[name] = [names[value] for value in values.tolist()]
        if self.split is not None and "split" not in named:
            named["split"] = [self.split] * n_records
        return named

    def _names(self, feature: str, values: Any) -> Any:
        """Return the names of some numbers; -1 is no class, and numbers without a name stay as they are."""
        names = self.classes[feature]
        if not isinstance(values, np.ndarray) or values.dtype.kind != "i" or values.max(initial=0) >= len(names):
            return values
        return [names[value].encode() for value in values if value >= 0]


def read_dataset_info(uri: str) -> DatasetInfo | None:
    """Read what the files of TensorFlow Datasets say of a TFRecord file; None where there are none.

    Source: tensorflow_datasets/core/proto/dataset_info.proto and feature.proto, in JSON.

    Args:
        uri: URI of the TFRecord file.

    Raises:
        OSError: A file can't be read.
    """
    folder, name = posixpath.split(uri)
    info, features = _read_json(f"{folder}/dataset_info.json"), _read_json(f"{folder}/features.json")
    if info is None or features is None:
        return None
    try:
        return _to_info(folder, name, info, features)
    except (AttributeError, KeyError, TypeError, ValueError):  # files of these names that are another program's
        return None


def _to_info(folder: str, name: str, info: Mapping[str, Any], features: Mapping[str, Any]) -> DatasetInfo:
    entries = features.get("featuresDict", {}).get("features", {})
    labels = {one: _class_names(f"{folder}/{one}.labels.txt") for one, entry in entries.items() if _is_class(entry)}
    splits = {one["name"]: sum(map(int, one.get("shardLengths", ()))) for one in info.get("splits", ())}
    split = next((one for one in sorted(splits, key=len, reverse=True) if f"-{one}." in name), None)
    counts = ", ".join(f"{one} ({n:,})" for one, n in sorted(splits.items()))
    note = (
        f"{folder} is the data set {info.get('name')} {info.get('version', '')}; the column split says which: {counts}."
    )
    return DatasetInfo({one: names for one, names in labels.items() if names}, split, note)


def _is_class(entry: Mapping[str, Any]) -> bool:
    """Return whether a feature holds the number of a class, or a sequence of such."""
    return "classLabel" in entry or "classLabel" in entry.get("sequence", {}).get("feature", {})


def _read(uri: str) -> bytes:
    """Return the content of a file; nothing where there is none."""
    try:
        with open_uri(uri) as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        if is_missing(error):
            return b""
        raise


def _read_json(uri: str) -> dict[str, Any] | None:
    """Return a JSON object; None for anything else, which describes something else."""
    try:
        document = json.loads(_read(uri))
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _class_names(uri: str) -> tuple[str, ...]:
    """Return the names of classes, one a line in the order of their numbers."""
    text = _read(uri).decode(errors="backslashreplace").rstrip("\n")
    return tuple(text.split("\n")) if text else ()
