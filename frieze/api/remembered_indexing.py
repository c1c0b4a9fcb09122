"""What an index was asked for: `frieze index` asks for the same again where it is not told otherwise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frieze.api.paths import to_table_place
from frieze.core import FeatureFileError, RecalledOptions, TablePath, recall_options
from frieze.features import read_manifest

DEFAULTS: dict[str, Any] = {"metric": "cosine", "recall": 0.95, "kind": "auto", "max_memory": None}
"""What holds where nothing was asked for, now or before."""


def recall_index(asked: Mapping[str, Any], features: str | Path, out: Path) -> RecalledOptions:
    """Fill in the options of `index` that were left out with those of the index at `out`, then with the defaults.

    An index of another table is not asked.

    Args:
        asked: The options; None was left out, and an empty text asks for the default again.
        features: The table as it was asked for.
        out: The index's folder, there or not.
    """
    given = {name: asked[name] for name in DEFAULTS if asked[name] is not None}
    given = {name: DEFAULTS[name] if value == "" else value for name, value in given.items()}
    return recall_options(given, _before(features, out), DEFAULTS)


def _before(features: str | Path, out: Path) -> dict[str, Any]:
    """Return what the index at `out` was asked for; empty where nothing is to be remembered."""
    import frieze.indexing

    try:
        document = frieze.indexing.read_document(out)
    except FeatureFileError:  # there is none; or it is to be replaced, and need not be readable
        return {}
    if not _is_of(document["features"], to_table_place(features)):
        return {}
    return {name: document["request"].get(name, default) for name, default in DEFAULTS.items()}


def _is_of(made_of: Mapping[str, Any], table: TablePath) -> bool:
    """Tell whether an index was made of a table, which may have been moved since, or have changed."""
    if to_table_place(made_of["path"]).resolve() == table.resolve():
        return True
    try:
        return bool(read_manifest(table).generation == made_of["generation"])
    except FeatureFileError:  # told by whoever opens it
        return False
