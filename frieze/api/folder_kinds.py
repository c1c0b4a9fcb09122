"""The kind of a folder: features, an index, a head or an exported model."""

from pathlib import Path
from typing import Any

from frieze.api import export_folder
from frieze.core import InputError, TablePath
from frieze.features import count_reasons, is_features, open_features, read_failures

FILES = {"features": "features.json", "index": "index.json", "head": "head.json", "export": export_folder.NAME}
"""Kind -> the JSON file that identifies it."""
_COMMANDS = {
    "features": "frieze embed SOURCE --out FEATURES",
    "index": "frieze index FEATURES --out INDEX",
    "head": "frieze train FEATURES --out HEAD",
    "export": "frieze export HEAD --out MODEL",
}
_MOST_FAILURES = 100
ARTICLES = {"features": "a table of features", "index": "an index", "head": "a head", "export": "an exported model"}
"""Kind -> its name in a message."""


def folder_kind(path: TablePath) -> str | None:
    """Return the kind of a folder: `features`, `index`, `head` or `export`; None for anything else."""
    kind = next((kind for kind, name in FILES.items() if (path / name).is_file()), None)
    return None if kind == "features" and not is_features(path) else kind


def is_head(path: str | Path) -> bool:
    """Return whether there is a head at a path as it was typed."""
    return (Path(path) / FILES["head"]).is_file()


def check_kind(path: TablePath, expected: str) -> None:
    """Check that a path is a folder of the expected kind.

    Raises:
        InputError: It is missing, or of another kind; the message names that kind.
    """
    if not path.exists():
        raise InputError(f"There is no {path}.", hint=f"Make {ARTICLES[expected]} with: {_COMMANDS[expected]}")
    kind = folder_kind(path)
    if kind != expected:
        actual = "holds nothing of ours" if kind is None else f"is {ARTICLES[kind]}"
        beside = _find_beside(path, expected)
        order = "Check the order of the arguments, or make one with: "
        raise InputError(
            f"{path} {actual}; expected {ARTICLES[expected]}.",
            hint=f"{order}{_COMMANDS[expected]}" if beside is None else f"Did you mean {beside}?",
        )


def _find_beside(path: TablePath, kind: str) -> TablePath | None:
    """Return the folder of a kind that is named like a path: `photos.index` for `photos` and `photos.features`."""
    stem = path.name.removesuffix(".features").removesuffix(".index").removesuffix(".head")
    place = path.with_name(f"{stem}.{kind}") if stem else path
    return place if folder_kind(place) == kind else None


def check_has_kind(path: TablePath) -> None:
    """Check that a path is a folder of features, an index, a head or an exported model.

    Raises:
        InputError: It is none of these.
    """
    if folder_kind(path) is None:
        problem = (
            "is no folder of features, no index, no head and no exported model" if path.exists() else "is not there"
        )
        raise InputError(f"{path} {problem}.", hint=f"Make one with: {_COMMANDS['features']}")


def describe(path: TablePath) -> dict[str, Any]:
    """Describe a folder of features, an index, a head or an exported model.

    Returns:
        `kind` and the fields of the folder's JSON file; for features also counts by label and by reason of failure, and
        the first failures; for
        an index or a head whether it is `stale`.

    Raises:
        InputError: It is none of these, or the JSON of a head or an exported model was altered.
    """
    check_has_kind(path)
    kind = str(folder_kind(path))
    if kind == "features":
        return _describe_features(path)
    return {"path": str(path)} | _READERS[kind](path) | {"kind": kind}


def _read_index(path: TablePath) -> dict[str, Any]:
    import frieze.indexing

    document = frieze.indexing.read_document(path)
    return document | {"stale": frieze.indexing.describe_staleness(path, document)}


def _read_head(path: TablePath) -> dict[str, Any]:
    from frieze.classifiers import describe_staleness, read_head_json

    document = read_head_json(path)
    return document | {
        "stale": describe_staleness(document, path),
        "multilabel": document["scores"].get("multilabel", False),
    }


_READERS = {"index": _read_index, "head": _read_head, "export": export_folder.read_document}


def _describe_features(path: TablePath) -> dict[str, Any]:
    table = open_features(path)
    labels = table.rows["label"].value_counts().to_pylist() if len(table) else []
    counts = sorted(((one["values"], one["counts"]) for one in labels), key=lambda one: (-one[1], str(one[0])))
    return {
        "path": str(path),
        **{name: value for name, value in table.manifest.to_json().items() if name != "parts"},
        "n_parts": len(table.manifest.parts),
        "bytes": sum(part.size_bytes for part in table.manifest.parts),
        "labels": {name: n for name, n in counts if name is not None},
        "unlabelled": sum(n for name, n in counts if name is None),
        "failures": count_reasons(read_failures(path)),
        "first_failures": list_failures(path, most=_MOST_FAILURES),
    }


def list_failures(path: TablePath, *, most: int | None = None) -> list[dict[str, str]]:
    """Return a table's failures, or the first ones: id, stage and reason of each."""
    return list(read_failures(path).select(["id", "stage", "reason"]).slice(0, most).to_pylist())
