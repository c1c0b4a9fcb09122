"""Export of embeddings to TensorBoard's Projector."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from frieze import core
from frieze.core import FeatureFileError, Rows
from frieze.reports.projection import read_rows

if TYPE_CHECKING:
    from frieze.features import Features

_CONFIG, _TENSORS, _METADATA = "projector_config.pbtxt", "tensors.tsv", "metadata.tsv"
_DIGITS = "%.6g"


def write_projector(table: "Features", rows: Rows, out: Path, *, force: bool) -> None:
    """Write embeddings with ids and labels for TensorBoard's Projector.

    Args:
        table: The table.
        rows: int64 [n], ascending, the rows to write.
        out: The folder, a log directory of TensorBoard.
        force: Replace such a folder.

    Raises:
        FeatureFileError: The folder holds something else.
    """
    core.check_free(out, replace=force)
    if out.exists() and {path.name for path in out.iterdir()} != {_CONFIG, _TENSORS, _METADATA}:
        raise FeatureFileError(
            f"{out} already exists and holds something else than the Projector's files.", hint="Use another `out`."
        )
    with core.new_folder(out, replace=force) as folder:
        _write_tensors(table, rows, folder / _TENSORS)
        _write_metadata(table, rows, folder / _METADATA)
        (folder / _CONFIG).write_text(
            f"embeddings {{\n  tensor_name: {json.dumps(table.spec.name)}\n"
            f'  tensor_path: "{_TENSORS}"\n  metadata_path: "{_METADATA}"\n}}\n',
            encoding="utf-8",
        )


def _write_tensors(table: "Features", rows: Rows, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        for block in read_rows(table, rows):
            np.savetxt(file, block, fmt=_DIGITS, delimiter="\t")


def _write_metadata(table: "Features", rows: Rows, path: Path) -> None:
    """Write ids and labels; tabs and line ends become spaces."""
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        lines.writerow(("id", "label"))
        lines.writerows(zip(map(_to_line, table.ids[rows]), map(_to_line, table.labels[rows]), strict=True))


def _to_line(text: str | None) -> str:
    return "" if text is None else " ".join(text.split())
