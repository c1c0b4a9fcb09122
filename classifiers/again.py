"""The command that trains a head again, as it was trained."""

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
    return shlex.join(["frieze", "train", table, "--out", str(path), *_options(document), "--force"])


def _options(document: dict[str, Any]) -> list[str]:
    """Give the options that the head was made with, word by word; those that an older head.json lacks are left out."""
    split, labels, recipe = document["split"], document.get("labels", {}), document.get("recipe", {})
    told = {
        **head_options(document["head"]),
        "--labels": labels.get("file"),
        "--label": labels.get("column"),
        "--test-size": split["test_size"],
        "--split": split.get("column"),
        "--group": split.get("group"),
        "--shots": split.get("shots"),
        "--abstain": document["scores"].get("abstain", {}).get("precision"),
        **{f"--{name}": recipe.get(name) for name in _OF_RECIPE},
        "--seed": split["seed"],
    }
    words = [word for name, value in told.items() if value is not None for word in (name, str(value))]
    return words + ["--balanced"] * (recipe.get("balanced") is True)
