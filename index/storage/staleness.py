"""Whether the table of an index has changed since the index was built, and the command that builds it again."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from frieze.core import FeatureFileError, TablePath, to_command_line, to_table_path
from frieze.features import BackboneSpec, is_same_backbone, read_manifest


class TableState(NamedTuple):
    """The current state of the table that an index was built from."""

    generation: str
    is_same_backbone: bool


def build_command(path: TablePath, document: dict[str, Any]) -> str:
    """Return the command that builds an index again, with its options.

    Args:
        path: Its folder.
        document: The fields of index.json.
    """
    options = {name: value for name, value in document["request"].items() if value is not None}
    features, out = shlex.quote(document["features"]["path"]), shlex.quote(str(path))
    return f"frieze index {features} --out {out} {to_command_line(options)}"


def read_table_state(table: TablePath, document: dict[str, Any]) -> TableState:
    """Read the state of the table that an index names.

    Raises:
        FeatureFileError: It is missing or broken.
    """
    manifest = read_manifest(table)
    spec = BackboneSpec.from_json(document["features"]["backbone"])
    return TableState(manifest.generation, is_same_backbone(manifest.spec, spec))


def describe_staleness(
    path: Path | TablePath,
    document: dict[str, Any],
    read: Callable[[TablePath, dict[str, Any]], TableState] = read_table_state,
) -> str | None:
    """Return a note that the table has changed since, with the command; None where it has not, or can't be read.

    Args:
        path: The index's folder.
        document: The fields of index.json.
        read: Reads the state of the table.
    """
    built_from = document["features"]
    try:
        table = read(to_table_path(built_from["path"]), document)
    except (FeatureFileError, OSError):
        return None
    if table.generation == built_from["generation"]:
        return None
    command = build_command(path, document)
    if table.is_same_backbone:
        return f"{path} was made from an older state of its table. Update it with: {command}"
    return f"{path} was made from another table, of another backbone. Rebuild it with: {command} --force"
