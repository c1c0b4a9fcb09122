"""head.json: what it says, how it is checked, and the command that trains the head again."""

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
    features: Features, figures: dict[str, Any], recipe: dict[str, Any], *, split: dict[str, Any], model: dict[str, Any]
) -> dict[str, Any]:
    """Give head.json of a head that was made from a table.

    Args:
        features: The table.
        figures: The document of the command.
        recipe: What training again takes.
        split: How the rows were parted.
        model: What `write_model` gave.
    """
    labels = {} if features.labels_from is None else {"labels": features.labels_from}
    return labels | {
        "contract": CONTRACT,
        "kind": "head",
        "head": figures["head"],
        "backbone": features.spec.to_json(),
        "features": {"path": str(features.path.resolve()), "generation": features.manifest.generation},
        "classes": figures["classes"],
        "split": split,
        "recipe": recipe,
        "scores": figures,
        "model": model,
        "versions": {name: importlib.metadata.version(name) for name in ("frieze", *HEADS[figures["head"]].libraries)},
    }


_OF_RECIPE = ("layers", "dropout", "epochs", "patience")


def train_again(document: dict[str, Any], path: Path) -> str:
    """Give what to type to make the same kind of head of what its table is now.

    Args:
        document: Its head.json.
        path: Its folder.
    """
    table = document["features"]["path"]
    return shlex.join(["frieze", "train", table, "--out", str(path), *_words(read_request(document)), "--force"])


def read_request(document: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `train` that a head was made with, by their names; None where an older head.json lacks one.

    Args:
        document: Its head.json.
    """
    split, labels, recipe = document["split"], document.get("labels", {}), document.get("recipe", {})
    return {
        **head_options(document["head"]),
        "labels": labels.get("file"),
        "label": labels.get("column"),
        "test_size": split["test_size"],
        "split": split.get("column"),
        "group": split.get("group"),
        "shots": split.get("shots"),
        "abstain": document["scores"].get("abstain", {}).get("precision"),
        **{name: recipe.get(name) for name in _OF_RECIPE},
        "seed": split["seed"],
        "balanced": recipe.get("balanced") is True,
    }


def _words(asked: dict[str, Any]) -> list[str]:
    said = {f"--{name.replace('_', '-')}": value for name, value in asked.items() if value is not None}
    is_balanced = said.pop("--balanced")
    return [word for pair in said.items() for word in map(str, pair)] + ["--balanced"] * is_balanced


CONTRACT = 1
"""Version of the stored form of a head."""


NAME = "head.json"


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


RETRAIN = "Train the head again: frieze train ... --force"


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


def hash_names(names: list[str]) -> str:
    """Give the sha256 (hex) of a list of names, so that renamed or reordered classes are found out."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def check_head_file(path: Path, name: str) -> None:
    """Check a file of a head against the list of its files.

    Raises:
        FeatureFileError: It is not the file that was stored.
    """
    """Refuse a file that is not the one head.json lists; a folder that is being written has no head.json yet."""
    if (path / NAME).exists():
        check_files(path, read_document(path), [name], hint=RETRAIN)


def read_document(path: TablePath) -> dict[str, Any]:
    """Read head.json of a head's folder.

    Raises:
        FeatureFileError: It is missing, broken, altered, or of a later version.
    """
    document = read_json(path / NAME, hint=_TRAIN)
    if document.get("kind") != "head":
        raise FeatureFileError(f"{path / NAME} is of kind {document.get('kind')}, not head.", hint=_TRAIN)
    try:
        _check_form(document, {"contract": int}, of="")
        if document["contract"] > CONTRACT:
            raise _later(path, document)
        check_own_checksum(path / NAME, document, hint=RETRAIN)
        _check_form(document, _FORM, of="")
        if document["head"] not in HEADS:
            raise _later(path, document)
        _check_values(document)
    except ValueError as error:
        raise broken_head(path / NAME, error) from error
    return document


def _later(path: TablePath, document: dict[str, Any]) -> FeatureFileError:
    return FeatureFileError(
        f"{path / NAME} is a head {document.get('head')} of contract {document['contract']}; this version reads"
        f" {', '.join(HEADS)} of contract {CONTRACT}.",
        hint="Upgrade with: pip install --upgrade frieze",
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


def broken_head(path: TablePath, error: Exception) -> FeatureFileError:
    """Return the error of a head whose file can't be read."""
    return FeatureFileError(f"{path} can't be used: {error}.", hint=RETRAIN)
