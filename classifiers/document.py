"""What head.json says."""

import importlib.metadata
from typing import Any

from classifiers.heads import HEADS
from classifiers.storage import CONTRACT
from features import Features


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
