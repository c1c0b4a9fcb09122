"""head.json: its fields, how they are validated, and the command that retrains the head."""

import hashlib
import importlib.metadata
import json
import shlex
from pathlib import Path
from typing import Any

from frieze.classifiers.config import MAX_SEED
from frieze.classifiers.registry import HEADS, head_options
from frieze.core import FeatureFileError, TablePath, check_files, check_own_checksum, read_json
from frieze.features import Features


def describe_head(
    features: Features,
    figures: dict[str, Any],
    config: dict[str, Any],
    *,
    split: dict[str, Any],
    model: dict[str, Any],
    kind: str = "head",
) -> dict[str, Any]:
    """Build the fields of head.json for a head of a table.

    Args:
        features: The table.
        figures: The document of the command.
        config: Options for retraining, the field `recipe`.
        split: The field `split`.
        model: The result of `write_model`.
        kind: The field `kind`.
    """
    labels = {} if features.labels_from is None else {"labels": features.labels_from}
    return labels | {
        "contract": CONTRACT,
        "kind": kind,
        "head": figures["head"],
        "backbone": features.spec.to_json(),
        "features": {"path": str(features.path.resolve()), "generation": features.manifest.generation},
        "classes": figures["classes"],
        "split": split,
        "recipe": config,
        "scores": figures,
        "model": model,
        "versions": {name: importlib.metadata.version(name) for name in ("frieze", *HEADS[figures["head"]].libraries)},
    }


_NETWORK_OPTIONS = ("layers", "dropout", "epochs", "patience")


def retrain_command(head_json: dict[str, Any], path: TablePath) -> str:
    """Return the command that trains the same kind of head on the table as it is now.

    Args:
        head_json: Its head.json.
        path: Its folder.
    """
    table = head_json["features"]["path"]
    return shlex.join(
        ["frieze", "train", table, "--out", str(path), *_to_flags(read_train_options(head_json)), "--force"]
    )


def read_train_options(head_json: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `train` of a head by name; None where an older head.json lacks one.

    Args:
        head_json: Its head.json.
    """
    split, labels, config = head_json["split"], head_json.get("labels", {}), head_json.get("recipe", {})
    return {
        **head_options(head_json["head"]),
        "labels": labels.get("file"),
        "label": labels.get("column"),
        "test_size": split["test_size"],
        "split": split.get("column"),
        "group": split.get("group"),
        "shots": split.get("shots"),
        "abstain": head_json["scores"].get("abstain", {}).get("precision"),
        **{name: config.get(name) for name in _NETWORK_OPTIONS},
        "seed": split["seed"],
        "balanced": config.get("balanced") is True,
        "start_from": config.get("start_from"),
    }


def _to_flags(options: dict[str, Any]) -> list[str]:
    flags = {f"--{name.replace('_', '-')}": value for name, value in options.items() if value is not None}
    is_balanced = flags.pop("--balanced")
    return [word for pair in flags.items() for word in map(str, pair)] + ["--balanced"] * is_balanced


CONTRACT = 1
"""Version of the stored format of a head."""


NAME = "head.json"


MULTILABEL = "multilabel_head"
"""Field `kind` of a head of several labels an image; earlier versions refuse it."""


ZERO_SHOT = "zero_shot"
"""Field of a head that was made of class names in words, without training."""


_SCHEMA = {
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
"""The fields of head.json that are read, and their types."""


_OPTIONAL_FIELDS = {"labels": {"file": str | None, "column": str}, "recipe": {}}
"""Fields that a head may lack: the source of its labels, if not the table, and how it was fitted."""


_TRAIN = "Train it with: frieze train FEATURES --out HEAD"


RETRAIN = "Train the head again: frieze train ... --force"


def read_labels_from(path: Path) -> dict[str, str] | None:
    """Return the source of the labels that a head was trained on.

    Args:
        path: The folder of the head.

    Returns:
        The `column` of its table, or the `file` and its `column`; None for the labels stored in the table.

    Raises:
        FeatureFileError: There is no head, or head.json is broken or of a later version.
    """
    labels_from: dict[str, str] | None = read_head_json(path).get("labels")
    return labels_from


def hash_names(names: list[str]) -> str:
    """Hash a list of names (sha256, hex) to detect renamed or reordered classes."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def check_head_file(path: Path, name: str) -> None:
    """Check a file against its checksum in head.json; a head that is being written has no head.json yet.

    Raises:
        FeatureFileError: It is not the file that was stored.
    """
    if (path / NAME).exists():
        check_files(path, read_head_json(path), [name], hint=RETRAIN)


def read_head_json(path: TablePath) -> dict[str, Any]:
    """Read and validate head.json in a head's folder, of kind `head` or `MULTILABEL`.

    Raises:
        FeatureFileError: It is missing, broken, altered, or of a later version.
    """
    head_json = read_json(path / NAME, hint=_TRAIN)
    if head_json.get("kind") not in {"head", MULTILABEL}:
        raise FeatureFileError(f"{path / NAME} is of kind {head_json.get('kind')}, not head.", hint=_TRAIN)
    try:
        _check_schema(head_json, {"contract": int}, of="")
        if head_json["contract"] > CONTRACT:
            raise _later_version_error(path, head_json)
        check_own_checksum(path / NAME, head_json, hint=RETRAIN)
        _check_schema(head_json, _SCHEMA, of="")
        if head_json["head"] not in HEADS:
            raise _later_version_error(path, head_json)
        _check_values(head_json)
    except ValueError as error:
        raise broken_head_error(path / NAME, error) from error
    return head_json


def _later_version_error(path: TablePath, head_json: dict[str, Any]) -> FeatureFileError:
    return FeatureFileError(
        f"{path / NAME} is a head {head_json.get('head')} of contract {head_json['contract']}; this version reads"
        f" {', '.join(HEADS)} of contract {CONTRACT}.",
        hint="Upgrade with: pip install --upgrade frieze",
    )


def _check_schema(value: Any, schema: Any, *, of: str) -> None:
    """Check a value against its schema: types, a list with the schema of its entries, or fields with theirs."""
    types = type(schema) if isinstance(schema, dict | list) else schema
    if not isinstance(value, types) or isinstance(value, bool):
        raise ValueError(f"its {of} is missing or of another type")  # noqa: TRY004 - the user's file, not our call
    if isinstance(value, list):
        for entry in value:
            _check_schema(entry, schema[0], of=of)
    if isinstance(value, dict):
        for name, inner in schema.items():
            _check_schema(value.get(name), inner, of=f"{of}.{name}".lstrip("."))


def _check_values(head_json: dict[str, Any]) -> None:
    if head_json["contract"] < 1:
        raise ValueError(f"there is no contract {head_json['contract']}")
    if not 0 <= head_json["split"]["seed"] <= MAX_SEED:
        raise ValueError(f"its split.seed is not between 0 and {MAX_SEED}")
    for name, schema in _OPTIONAL_FIELDS.items():
        if name in head_json:
            _check_schema(head_json[name], schema, of=name)
    _check_schema(head_json["scores"].get("abstain", {"threshold": 0}), {"threshold": int | float}, of="scores.abstain")
    if hash_names(head_json["classes"]) != head_json["model"]["classes_sha256"]:
        raise ValueError("its classes are not those that were stored")


def broken_head_error(path: TablePath, error: Exception) -> FeatureFileError:
    """Return the error of a head whose file can't be read."""
    return FeatureFileError(f"{path} can't be used: {error}.", hint=RETRAIN)
