"""split.parquet: which image was fitted on, which was held out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.splits import Split
from frieze.classifiers.storage.head_json import NAME, broken_head, check_head_file
from frieze.core import Rows, read_consistent

SPLIT_NAME = "split.parquet"


def write_split(folder: Path, examples: Examples, split: Split, unused: Rows) -> None:
    """Write split.parquet: `id`, `sha256`, `part` (`train`, `validation`, `test` or `unused`) of each row that has one.

    Args:
        folder: The folder of the head.
        examples: The labelled rows.
        split: Places in `examples`.
        unused: int64, places that could have been fitted on and were not drawn.
    """
    parts = np.full(len(examples), None, dtype=object)
    parts[unused], parts[split.train], parts[split.validation], parts[split.test] = (
        "unused",
        "train",
        "validation",
        "test",
    )
    columns = {name: examples.column(name) for name in ("id", "sha256")}
    table = pa.table(columns | {"part": pa.array(parts, pa.string())})
    pq.write_table(table.filter(table["part"].is_valid()), folder / SPLIT_NAME)


def read_split(path: Path) -> list[dict[str, str | None]]:
    """Read how a head's labelled rows were divided.

    Returns:
        `id`, `sha256` (None where unknown) and `part` (`train`, `validation`, `test` or `unused`) of each row.

    Raises:
        FeatureFileError: split.parquet is missing, altered or broken.
    """
    return read_consistent(path / NAME, lambda: _read_split(path))


def _read_split(path: Path) -> list[dict[str, str | None]]:
    check_head_file(path, SPLIT_NAME)
    try:
        split = pq.read_table(path / SPLIT_NAME).select(["id", "sha256", "part"])
        rows: list[dict[str, str | None]] = split.to_pylist()
    except (pa.ArrowException, KeyError, MemoryError, OSError, ValueError) as error:
        raise broken_head(path / SPLIT_NAME, error) from error
    return rows


def read_fitted(path: Path) -> dict[str, str | None]:
    """Read which images a head was fitted on, or could have been.

    Returns:
        id -> sha256 of all rows but the test rows, None where the hash is unknown.

    Raises:
        FeatureFileError: split.parquet is missing or broken.
    """
    return {str(row["id"]): row["sha256"] for row in read_split(path) if row["part"] != "test"}


def may_be_same(one: str | None, other: str | None) -> bool:
    """Tell whether two images of one id may be the same: their sha256 are equal, or one is unknown."""
    return one is None or other is None or one == other
