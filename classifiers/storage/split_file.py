"""split.parquet: which images a head was fitted on, which were held out, and how to find them again in a table."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.classifiers.conformal import HeldOutPredictions
from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.data.splits import Split
from frieze.classifiers.storage.head_json import NAME, broken_head_error, check_head_file
from frieze.core import Rows, Strings, read_consistent

SPLIT_NAME = "split.parquet"
StoredSplit = list[dict[str, Any]]
"""`id`, `sha256` (None where unknown) and `part` (`train`, `validation`, `test` or `unused`) of each row; the number of
its `group` where groups were kept together."""


def write_split(
    folder: Path,
    examples: Examples,
    split: Split,
    unused: Rows,
    *,
    groups: Rows | None = None,
    held_out: HeldOutPredictions | None = None,
) -> None:
    """Write split.parquet: `id`, `sha256` and `part` (`train`, `validation`, `test` or `unused`) of each split row.

    With groups there is a column `group`, too; with predictions of held-out rows `label`, `prediction`, `probability`
    (of the prediction) and `label_probability`, null for other rows.

    Args:
        folder: The folder of the head.
        examples: The labelled rows.
        split: Positions in `examples`.
        unused: int64, positions of training rows that the few-shot draw left out.
        groups: int64 [n], the group of each labelled row; None for single rows.
        held_out: What the head predicted of `split.test`; None where there is nothing.
    """
    parts = np.full(len(examples), None, dtype=object)
    for part, rows in (
        ("unused", unused),
        ("train", split.fit),
        ("validation", split.validation),
        ("test", split.test),
    ):
        parts[rows] = part
    columns = {name: examples.column(name) for name in ("id", "sha256")}
    numbers = {} if groups is None else {"group": pa.array(groups, pa.int64())}
    predicted = {} if held_out is None else _predicted_columns(held_out, split.test, n_rows=len(examples))
    table = pa.table(columns | {"part": pa.array(parts, pa.string())} | numbers | predicted)
    pq.write_table(table.filter(table["part"].is_valid()), folder / SPLIT_NAME)


_PREDICTED = {
    "label": pa.string(),
    "prediction": pa.string(),
    "probability": pa.float32(),
    "label_probability": pa.float32(),
}
"""Columns of held-out rows, in the order of the attributes of `HeldOutPredictions`."""


def _predicted_columns(held_out: HeldOutPredictions, rows: Rows, *, n_rows: int) -> dict[str, pa.Array]:
    """Return the columns of all labelled rows, null where a row was not held out."""
    columns = {}
    for (name, kind), of_rows in zip(_PREDICTED.items(), vars(held_out).values(), strict=True):
        values = np.full(n_rows, None, dtype=object)
        values[rows] = of_rows
        columns[name] = pa.array(values, kind)
    return columns


def read_held_out(path: Path) -> HeldOutPredictions | None:
    """Read what a head predicted of its held-out images.

    Returns:
        None where it was stored without: by an earlier version, or without held-out images.

    Raises:
        FeatureFileError: split.parquet is missing, altered or broken.
    """
    held_out: HeldOutPredictions | None = read_consistent(
        path / NAME, lambda: _read_columns(path, ["part"], _to_held_out, may_have=list(_PREDICTED))
    )
    return held_out


def _to_held_out(split: pa.Table) -> HeldOutPredictions | None:
    if "label_probability" not in split.column_names:
        return None
    rows = split.filter(pc.equal(split["part"], "test"))
    return HeldOutPredictions(*(rows[name].to_numpy(zero_copy_only=False) for name in _PREDICTED))


def read_split(path: Path) -> StoredSplit:
    """Read the split of a head's labelled rows.

    Raises:
        FeatureFileError: split.parquet is missing, altered or broken.
    """
    return read_consistent(path / NAME, lambda: _read_split(path))


def read_split_ids(path: Path) -> pa.ChunkedArray:
    """Read the ids of a head's labelled rows, as an Arrow column.

    Raises:
        FeatureFileError: split.parquet is missing, altered or broken.
    """
    return read_consistent(path / NAME, lambda: _read_columns(path, ["id"], lambda split: split["id"]))


def _read_split(path: Path) -> StoredSplit:
    rows: StoredSplit = _read_columns(path, ["id", "sha256", "part"], pa.Table.to_pylist, may_have=["group"])
    return rows


def _read_columns(
    path: Path, names: list[str], to_result: Callable[[pa.Table], Any], *, may_have: Sequence[str] = ()
) -> Any:
    check_head_file(path, SPLIT_NAME)
    try:
        table = pq.read_table(path / SPLIT_NAME)
        return to_result(table.select([*names, *(name for name in may_have if name in table.column_names)]))
    except (pa.ArrowException, KeyError, MemoryError, OSError, ValueError) as error:
        raise broken_head_error(path / SPLIT_NAME, error) from error


def match_parts(split: StoredSplit, examples: Examples, *, column: str = "part") -> Strings:
    """Return the stored part of each labelled row [n]; None where the split does not have this image.

    An image is the same if its id is, and its sha256 where both are known.

    Args:
        split: As stored.
        examples: The labelled rows.
        column: What to return instead: `group`, None for a split without groups.
    """
    stored = {row["id"]: row for row in split}
    parts = np.full(len(examples), None, dtype=object)
    for position, (name, sha256) in enumerate(zip(examples.ids, examples.sha256, strict=True)):
        row = stored.get(name)
        if row is not None and (None in (sha256, row["sha256"]) or sha256 == row["sha256"]):
            parts[position] = row.get(column)
    return parts
