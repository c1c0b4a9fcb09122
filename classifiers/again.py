"""What a head was asked for, and the command that trains it again as it was trained."""

import shlex
from pathlib import Path
from typing import Any

from classifiers.heads import head_options

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
