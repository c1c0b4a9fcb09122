"""What an audit found: one table of findings, its columns, its order, its file."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.classifiers.data.labelled_examples import Examples
from frieze.core import Rows, Strings, check_table_file

KINDS = ("label", "duplicate_labels", "duplicate_split", "outlier", "small_class")
"""Kinds of finding, in the order of the file."""


SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("suggested", pa.string()),
        pa.field("probability", pa.float32()),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("group", pa.int64()),
        pa.field("part", pa.string()),
        pa.field("uri", pa.string()),
    ]
)
"""The columns of the file; docs/json.md tells what each means."""


_FIRST = 5


@dataclasses.dataclass(frozen=True)
class Finding:
    """One image and what is wrong with it.

    Attributes:
        kind: One of `KINDS`.
        row: Its place among the labelled rows.
        score: In [0, 1]; higher is more certain.
        suggested: A label that suits it better, or None.
        probability: How likely that label is, in [0, 1], where a head says so.
    """

    kind: str
    row: int
    score: float
    suggested: str | None = None
    probability: float | None = None


def to_table(findings: list[Finding], examples: Examples, *, groups: Rows, parts: Strings) -> pa.Table:
    """Put findings into the form and order of the file: kind by kind, the most serious first, groups together.

    Args:
        findings: In any order.
        examples: The n labelled rows.
        groups: int64 [n], equal for near-duplicates; -1 for a row that has none.
        parts: `train`, `test` or None [n].

    Returns:
        A table of `SCHEMA`, one row a finding.
    """
    ordered = sorted(findings, key=lambda one: (KINDS.index(one.kind), -one.score, groups[one.row], one.row))
    rows = [one.row for one in ordered]
    told = examples.take(np.array(rows, np.int64))
    columns = {
        "id": told.ids,
        "label": told.labels,
        "group": [int(group) if group >= 0 else None for group in groups[rows]],
        "part": parts[rows],
        "uri": told.uris,
        **{name: [getattr(one, name) for one in ordered] for name in ("kind", "suggested", "probability", "score")},
    }
    return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def summarise(table: pa.Table) -> dict[str, Any]:
    """Give `counts` of findings by kind, and `first`, the five most serious of each kind, as plain JSON values."""
    counts = Counter(table["kind"].to_pylist())
    starts = {kind: sum(counts[before] for before in KINDS[:place]) for place, kind in enumerate(KINDS)}
    first = {kind: table.slice(starts[kind], min(counts[kind], _FIRST)).to_pylist() for kind in KINDS}
    return {"counts": {kind: counts[kind] for kind in KINDS}, "first": first}


def check_findings(out: Path, *, force: bool) -> None:
    """Refuse a place where no findings of an audit can be written, or where something stands that must not go.

    Args:
        out: The file to write; its suffix says whether it is Parquet, CSV or JSON lines.
        force: Whether findings that stand there may go; any other file, or a folder, may not.

    Raises:
        FeatureFileError: It is such a place, or has another suffix.
    """
    check_table_file(out, lambda names: names == SCHEMA.names, "findings", force=force)
