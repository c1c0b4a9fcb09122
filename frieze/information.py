"""What a folder is: features, an index or a head."""

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from features import InputError, is_features, open_features, read_failures, read_json

_NAMES = {"index": "index.json", "head": "head.json"}
_TOP = 20


def describe(path: Path) -> dict[str, Any]:
    """Describe a folder of ours.

    Returns:
        `kind` and what the folder's own JSON says; for features also counts by label and by reason of failure.

    Raises:
        InputError: It is none of ours.
    """
    if is_features(path):
        return _describe_features(path)
    for kind, name in _NAMES.items():
        if (path / name).is_file():
            return (
                {"path": str(path)}
                | read_json(path / name, mend="It was made by frieze: make it again.")
                | {"kind": kind}
            )
    raise InputError(
        f"{path} is no folder of features, no index and no head.",
        mend="Make one with: frieze embed SOURCE --out FEATURES",
    )


def _describe_features(path: Path) -> dict[str, Any]:
    table = open_features(path)
    labels = table.rows["label"].value_counts().to_pylist() if len(table) else []
    failures = Counter(read_failures(path)["reason"].to_pylist())
    counts = sorted(((one["values"], one["counts"]) for one in labels), key=lambda one: (-one[1], str(one[0])))
    return {
        "path": str(path),
        **{name: value for name, value in table.manifest.to_json().items() if name != "parts"},
        "n_parts": len(table.manifest.parts),
        "bytes": sum(part.size_bytes for part in table.manifest.parts),
        "labels": {name: n for name, n in counts if name is not None},
        "unlabelled": pc.sum(table.rows["label"].is_null()).as_py() or 0,
        "failures": dict(failures.most_common(_TOP)),
    }
