"""Auditing labels: near-duplicates and neighbours come from an index made for the purpose, the rest from the heads."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from frieze import terminal as output
from frieze.api.folder_kinds import check_kind
from frieze.api.label_source import open_labelled
from frieze.api.paths import to_place
from frieze.api.temporary_index import find_copies, indexed, number_rows
from frieze.core import Floats, Rows
from frieze.features import Features
from frieze.reports.audit_page import Finding, write_audit_page
from frieze.reports.html import check_page

if TYPE_CHECKING:
    from frieze.classifiers import Neighbourhood
    from frieze.indexing import Index


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
    """Look for wrong labels, near-duplicates under two labels or on both sides of a split, outliers and small classes.

    Args:
        features: The table's folder; rows without a label are left out.
        out: File of the findings, one row a finding: Parquet, CSV or JSON lines, by its suffix.
        html: Write the findings as pictures to this file.
        head: A head's folder: near-duplicates on both sides of its split are looked for, too.
        labels: A file with ids and the labels to look through; by default those of the table are.
        label: The column of the labels, of that file or else of the table.
        min_score: The lowest cosine of a pair of near-duplicates; drawn from the collection by default.
        seed: Decides which rows each judging head is not fitted on.
        force: Replace findings that are there.

    Returns:
        Counts of findings by kind, and the most serious of each.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    import frieze.classifiers
    from frieze.indexing import check_min_score

    started = time.perf_counter()
    (table, told), place = open_labelled(features, labels=labels, label=label), to_place(out)
    check_min_score(min_score)
    if html is not None:
        check_page(to_place(html))
    if head is not None:
        check_kind(to_place(head), "head")
    split = None if head is None else to_place(head)
    frieze.classifiers.check_audit(table, place, head=split, seed=seed, force=force)
    near, min_score = _neighbourhood(table, place, min_score)
    rows: list[Finding] = []
    with output.waiting("Auditing"):
        document = frieze.classifiers.audit_labels(table, place, near=near, head=split, seed=seed, show=rows.extend)
    if html is not None:
        write_audit_page(to_place(html), rows)
    seconds = time.perf_counter() - started
    return document | told | {"features": str(features), "min_score": min_score, "seconds": seconds}


def _neighbourhood(table: Features, out: Path, min_score: float | None) -> tuple["Neighbourhood", float | None]:
    """Find each row's near-duplicates and nearest rows; tell the lowest score of a pair."""
    import frieze.classifiers

    with indexed(table, out) as opened:
        copies = find_copies(opened, min_score=min_score)
        with output.waiting("Looking around"):
            nearest = _nearest(opened, table, k=frieze.classifiers.N_NEIGHBOURS)
    return frieze.classifiers.Neighbourhood(copies.groups, *nearest), copies.min_score


def _nearest(opened: "Index", table: Features, *, k: int) -> tuple[Rows, Floats]:
    rows = number_rows(opened)
    found = [opened.top_k(embeddings, min(k, len(table))) for _, embeddings in table.batches()]
    ids, scores = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return np.array([rows[name] for name in ids.flat]).reshape(ids.shape), scores
