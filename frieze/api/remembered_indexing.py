"""The options of `index`: a repeated command keeps the options of the existing index."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frieze.api.paths import to_local_or_bucket_path
from frieze.core import FeatureFileError, RecalledOptions, TablePath, recall_options
from frieze.features import read_manifest

DEFAULTS: dict[str, Any] = {"metric": "cosine", "recall": 0.95, "kind": "auto", "max_memory": None}
"""Options that index.json stores -> default."""


def resolve_index_options(options: Mapping[str, Any], features: str | Path, out: Path) -> RecalledOptions:
    """Fill in omitted options of `index` from the index at `out`, then from the defaults.

    An index of another table is ignored.

    Args:
        options: Every option of `DEFAULTS`; None was omitted, and an empty text restores the default.
        features: The table, as the user typed it.
        out: The index's folder, existing or not.
    """
    given = {name: value for name, value in options.items() if value is not None}
    given = {name: DEFAULTS[name] if value == "" else value for name, value in given.items()}
    return recall_options(given, _before(features, out), DEFAULTS)


def _before(features: str | Path, out: Path) -> dict[str, Any]:
    """Return the stored options of the index at `out`; empty where there is none to keep."""
    import frieze.indexing

    try:
        document = frieze.indexing.read_document(out)
    except FeatureFileError:  # there is none; or it is to be replaced, and may be unreadable
        return {}
    if not _is_index_of(document["features"], to_local_or_bucket_path(features)):
        return {}
    return {name: document["request"].get(name, default) for name, default in DEFAULTS.items()}


def _is_index_of(made_of: Mapping[str, Any], table: TablePath) -> bool:
    """Return whether an index was made of a table, which may have moved or changed since."""
    if to_local_or_bucket_path(made_of["path"]).resolve() == table.resolve():
        return True
    try:
        return bool(read_manifest(table).generation == made_of["generation"])
    except FeatureFileError:  # reported by whoever opens it
        return False
