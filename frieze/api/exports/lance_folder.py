"""A Lance dataset, which LanceDB opens as a table."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from frieze import terminal
from frieze.api.exports.rows import ExportRows, add_embeddings
from frieze.core import FeatureFileError, InputError, check_writable, new_folder

_SUFFIX = ".lance"  # LanceDB lists folders of this name as tables
_MARK = {b"frieze": b"export"}
"""Metadata of the schema of a dataset that is ours."""


def _import_lance() -> Any:
    try:
        import lance
    except ImportError as error:
        raise InputError("lance can't be imported here.", hint="Type: pip install 'frieze[lance]'") from error
    return lance


def check_lance(out: Path, *, force: bool) -> None:
    """Check that a Lance dataset can be written to a folder.

    Raises:
        FeatureFileError: It can't, has another suffix, or something else is there.
        InputError: lance is not installed.
    """
    lance = _import_lance()
    check_writable(out, force=force)
    if out.suffix != _SUFFIX:
        raise FeatureFileError(
            f"{out} ends in {out.suffix or 'no suffix'}; expected {_SUFFIX}.",
            hint=f"Give a name that ends in {_SUFFIX}: LanceDB takes no other folder for a table.",
        )
    if out.exists() and not _is_ours(lance, out):
        raise FeatureFileError(
            f"{out} already exists and is not an exported table.",
            hint="Use another `out`: `force=True` replaces only exported tables.",
        )


def _is_ours(lance: Any, out: Path) -> bool:
    try:
        metadata = lance.dataset(str(out)).schema.metadata
    except (ValueError, OSError):
        return False
    return bool(metadata and metadata.items() >= _MARK.items())


def write_lance(rows: ExportRows, out: Path, *, force: bool, vectors: bool) -> list[str]:
    """Write a table as a Lance dataset: its columns, then `embedding`, lists of D float32.

    Returns:
        No notes.

    Raises:
        FeatureFileError: The disk refuses, or a part is broken.
    """
    del vectors
    lance = _import_lance()
    schema, batches = rows.batches()
    schema = add_embeddings(schema.empty_table(), np.empty((0, rows.dim), np.float32)).schema.with_metadata(_MARK)
    tables = (add_embeddings(*batch).replace_schema_metadata(_MARK).combine_chunks() for batch in batches)
    reader = pa.RecordBatchReader.from_batches(schema, (one for table in tables for one in table.to_batches()))
    with terminal.spinner("Exporting"), new_folder(out, replace=force) as folder:
        lance.write_dataset(reader, str(folder))
    return []
