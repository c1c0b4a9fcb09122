"""What a folder is: features, an index, a head or an exported model."""

from typing import Any

from frieze.api import export_folder as exported
from frieze.core import InputError, TablePath
from frieze.features import count_reasons, open_features, read_failures

FILES = {"features": "features.json", "index": "index.json", "head": "head.json", "export": exported.NAME}
"""Kind -> the JSON file that says so."""
_MAKERS = {
    "features": "frieze embed SOURCE --out FEATURES",
    "index": "frieze index FEATURES --out INDEX",
    "head": "frieze train FEATURES --out HEAD",
    "export": "frieze export HEAD --out MODEL",
}
_ARTICLES = {"features": "a table of features", "index": "an index", "head": "a head", "export": "an exported model"}


def kind_of(path: TablePath) -> str | None:
    """Tell what a folder is: `features`, `index`, `head` or `export`; None for anything else."""
    return next((kind for kind, name in FILES.items() if (path / name).is_file()), None)


def check_kind(path: TablePath, wanted: str) -> None:
    """Refuse a path that is not what a command wants there, and say what it is.

    Raises:
        InputError: It is missing, or something else.
    """
    if not path.exists():
        raise InputError(f"There is no {path}.", hint=f"Make {_ARTICLES[wanted]} with: {_MAKERS[wanted]}")
    kind = kind_of(path)
    if kind != wanted:
        is_now = "holds nothing of ours" if kind is None else f"is {_ARTICLES[kind]}"
        raise InputError(
            f"{path} {is_now}; wanted is {_ARTICLES[wanted]}.",
            hint=f"Look at the order of the arguments, or make one with: {_MAKERS[wanted]}",
        )


def check_is_ours(path: TablePath) -> None:
    """Refuse a path that is no folder of ours.

    Raises:
        InputError: It is none.
    """
    if kind_of(path) is None:
        is_there = (
            "is no folder of features, no index, no head and no exported model" if path.exists() else "is not there"
        )
        raise InputError(f"{path} {is_there}.", hint=f"Make one with: {_MAKERS['features']}")


def describe(path: TablePath) -> dict[str, Any]:
    """Describe a folder of ours.

    Returns:
        `kind` and what the folder's own JSON says; for features also counts by label and by reason of failure.

    Raises:
        InputError: It is none of ours, or the JSON of a head or an exported model is not as it was written.
    """
    check_is_ours(path)
    kind = str(kind_of(path))
    if kind == "features":
        return _describe_features(path)
    return {"path": str(path)} | _READERS[kind](path) | {"kind": kind}


def _read_index(path: TablePath) -> dict[str, Any]:
    import frieze.indexing

    return frieze.indexing.read_document(path)


def _read_head(path: TablePath) -> dict[str, Any]:
    from frieze.classifiers import read_document

    return read_document(path)


_READERS = {"index": _read_index, "head": _read_head, "export": exported.read_document}


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
    }


def list_failures(path: TablePath) -> list[dict[str, str]]:
    """List a table's failures: id, stage and reason of each."""
    return list(read_failures(path).select(["id", "stage", "reason"]).to_pylist())
