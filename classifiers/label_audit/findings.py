"""Findings of a label audit: their table, columns, order and file."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.classifiers.data.labelled_examples import Examples
from frieze.core import Rows, Strings, check_table_file

KINDS = (
    "label",
    "missing_label",
    "wrong_label",
    "duplicate_labels",
    "duplicate_split",
    "outlier",
    "small_class",
    "dark",
    "blurred",
    "odd_size",
)
"""Kinds of finding, in the order of the file; `missing_label` and `wrong_label` are of lists of labels."""


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
        pa.field("log_odds", pa.float32()),
    ]
)
"""The columns of the file; docs/json.md documents them."""


_FORMER_NAMES = [name for name in SCHEMA.names if name != "log_odds"]  # of earlier versions
_OF_FINDING = ("kind", "suggested", "probability", "score", "log_odds")
_FIRST = 5


@dataclasses.dataclass(frozen=True)
class Finding:
    """One image and its problem.

    Attributes:
        kind: One of `KINDS`.
        row: Its position among the labelled rows.
        score: In [0, 1]; higher is more certain.
        suggested: A better label, of `missing_label` the label that is missing, or None.
        probability: Probability of that label, in [0, 1], or None.
        log_odds: Natural logarithm of how many times likelier that label is than the given one; None for findings
            that are ordered by their score.
        label: The label that it is about, where that is not all that was given to the image.
    """

    kind: str
    row: int
    score: float
    suggested: str | None = None
    probability: float | None = None
    log_odds: float | None = None
    label: str | None = None

    @property
    def seriousness(self) -> float:
        """What findings of its kind are ordered by."""
        return self.score if self.log_odds is None else self.log_odds


def to_table(findings: list[Finding], examples: Examples, *, groups: Rows, parts: Strings) -> pa.Table:
    """Build the table of findings: kind by kind, the most serious first, groups together.

    Args:
        findings: In any order.
        examples: The n labelled rows.
        groups: int64 [n], equal for near-duplicates; -1 for a row that has none.
        parts: `train`, `test` or None [n].

    Returns:
        A table of `SCHEMA`, one row a finding.
    """
    ordered = sorted(findings, key=lambda one: (KINDS.index(one.kind), -one.seriousness, groups[one.row], one.row))
    rows = [one.row for one in ordered]
    described = examples.take(np.array(rows, np.int64))
    columns = {
        "id": described.ids,
        "label": [one.label or given for one, given in zip(ordered, described.labels, strict=True)],
        "group": [int(group) if group >= 0 else None for group in groups[rows]],
        "part": parts[rows],
        "uri": described.uris,
        **{name: [getattr(one, name) for one in ordered] for name in _OF_FINDING},
    }
    return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def summarise(table: pa.Table) -> dict[str, Any]:
    """Return `counts` of findings by kind and `first`, the five most serious of each kind, as JSON values."""
    counts = Counter(table["kind"].to_pylist())
    starts = {kind: sum(counts[before] for before in KINDS[:position]) for position, kind in enumerate(KINDS)}
    first = {kind: table.slice(starts[kind], min(counts[kind], _FIRST)).to_pylist() for kind in KINDS}
    return {"counts": {kind: counts[kind] for kind in KINDS}, "first": first}


def check_findings(out: Path, *, force: bool) -> None:
    """Check that findings can be written to a file.

    Args:
        out: The file to write; its suffix selects Parquet, CSV or JSON lines.
        force: Whether existing findings are overwritten; any other file or folder never is.

    Raises:
        FeatureFileError: It can't be written, would overwrite something else, or has another suffix.
    """
    check_table_file(out, lambda names: names in (SCHEMA.names, _FORMER_NAMES), "findings", force=force)
