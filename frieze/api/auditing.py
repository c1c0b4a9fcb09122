"""`frieze.audit`: near-duplicates and neighbours come from a temporary index, the rest from the heads."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from frieze import terminal
from frieze.api.duplicate_groups import cut_columns, cut_rows, find_duplicate_groups, nearest_rows, temporary_index
from frieze.api.folder_kinds import check_kind
from frieze.api.label_source import open_labelled
from frieze.api.paths import to_local_path
from frieze.features import Features
from frieze.reports.audit_page import Finding, write_audit_page
from frieze.reports.html import check_page, shown_as

if TYPE_CHECKING:
    from frieze.classifiers import Neighbourhood


def audit(
    features: str | Path,
    *,
    out: str | Path,
    html: str | Path | None = None,
    head: str | Path | None = None,
    labels: str | Path | None = None,
    label: str | None = None,
    min_score: float | None = None,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Find wrong labels, near-duplicates under two labels or on both sides of a split, outliers and small classes.

    Args:
        features: The table's folder; rows without a label are left out.
        out: File of the findings, one row per finding: Parquet, CSV or JSON lines, by its suffix.
        html: Write the findings as pictures to this file.
        head: A head's folder: also find near-duplicates on both sides of its split.
        labels: A file with ids and the labels to audit; by default those of the table.
        label: The column of the labels, of that file or else of the table.
        min_score: Minimum cosine of a pair of near-duplicates; estimated from the collection by default.
        seed: Seed of the folds on which the out-of-fold heads are fitted.
        force: Replace existing findings.

    Returns:
        Counts of findings by kind, and the most serious of each.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    import frieze.classifiers
    from frieze.indexing import check_min_score

    started = time.perf_counter()
    (table, label_info), findings_path = open_labelled(features, labels=labels, label=label), to_local_path(out)
    check_min_score(min_score)
    if html is not None:
        check_page(to_local_path(html))
    if head is not None:
        check_kind(to_local_path(head), "head")
    split = None if head is None else to_local_path(head)
    frieze.classifiers.check_audit(table, findings_path, head=split, seed=seed, force=force)
    label_info["label_notes"] += frieze.classifiers.notes_on_labels(_label_names(table))
    columns = cut_columns(table)
    if columns:
        terminal.NOTES.warning("%s are judged without each other, as near-duplicates are.", cut_rows(columns))
    near, min_score = _neighbourhood(table, findings_path, min_score)
    rows: list[Finding] = []
    with terminal.spinner("Auditing"):
        document = frieze.classifiers.audit_labels(
            table, findings_path, near=near, head=split, seed=seed, show=rows.extend
        )
    if html is not None:
        with shown_as(table.spec.decoding):
            write_audit_page(to_local_path(html), rows)
    seconds = time.perf_counter() - started
    return document | label_info | {"features": str(features), "min_score": min_score, "seconds": seconds}


def _label_names(table: Features) -> list[str]:
    """Return the labels of all rows, of lists every item."""
    labels = table.rows["label"]
    names = pc.list_flatten(labels) if table.has_label_lists else labels
    return [name for name in names.cast(pa.string()).unique().to_pylist() if name]


def _neighbourhood(table: Features, out: Path, min_score: float | None) -> tuple["Neighbourhood", float | None]:
    """Find each row's near-duplicates and nearest rows, and the lowest score of a pair of near-duplicates."""
    import frieze.classifiers

    with temporary_index(table, out) as index:
        duplicates = find_duplicate_groups(index, min_score=min_score)
        with terminal.spinner("Finding neighbours"):
            nearest = nearest_rows(index, table, k=frieze.classifiers.N_NEIGHBOURS)
    return frieze.classifiers.Neighbourhood(duplicates.groups, *nearest), duplicates.min_score
