"""The graph in int8 that made a table's rows, a file beside them named by its sha256: it makes the later rows, too."""

import hashlib
from pathlib import Path
from typing import Any

from frieze.core import FeatureFileError, TablePath, translate_io_errors, write_file
from frieze.features.manifest import Manifest
from frieze.features.paths import graph_files

INT8 = "int8"
"""Field of a manifest's tuning; its `sha256` is the graph's."""
_HINT = "Put it back, or make the table again with `force=True`."


def write_graph(folder: TablePath, data: bytes) -> None:
    """Store a graph in a table's folder, unless it is there.

    Raises:
        FeatureFileError: The disk is full or refuses.
    """

    def write(path: Path) -> None:
        path.write_bytes(data)

    path = folder / _name(hashlib.sha256(data).hexdigest())
    if not path.is_file():
        write_file(path, write)


def read_graph(folder: TablePath, manifest: Manifest) -> bytes | None:
    """Read the graph that made a table's rows; None where it has none.

    Raises:
        FeatureFileError: It is missing, or is not the one that was stored.
    """
    record = manifest.tuning.get(INT8)
    if record is None:
        return None
    sha256 = str(record.get("sha256")) if isinstance(record, dict) else ""
    path = folder / _name(sha256)
    data = b""
    if path.is_file():
        with translate_io_errors(path):
            data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise FeatureFileError(f"{path}, the graph that made the rows, is missing or altered.", hint=_HINT)
    return data


def sweep_graphs(folder: TablePath, manifest: Manifest) -> None:
    """Delete the graphs that made no row: those of runs that were interrupted."""
    record: Any = manifest.tuning.get(INT8)
    kept = _name(str(record.get("sha256"))) if isinstance(record, dict) else None
    for path in graph_files(folder):
        if path.name != kept:
            path.unlink(missing_ok=True)


def _name(sha256: str) -> str:
    return f"int8-{sha256[:16]}.zip"
