"""The findings of an audit as one page of pictures. Opens without a server."""

import itertools
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from frieze.report import figure, write_page

_MOST_IMAGES = 200  # of each kind: each picture is read, and is in the page
_SECTIONS = {
    "label": (
        "Labels in doubt",
        "Heads that were not fitted on these images, and the images nearest to them, find another label likelier.",
    ),
    "duplicate_labels": ("Near-duplicates under different labels", "At most one label of a row is right."),
    "duplicate_split": (
        "Near-duplicates on both sides of the split",
        "Held-out images that were seen in training make a head look better than it is.",
    ),
    "outlier": ("Outliers", "These are far from their class and from everything else."),
    "small_class": ("Classes too small", "Their labels were not judged."),
}
"""Kind -> heading and what it means."""

Finding = dict[str, Any]


def write_audit_page(path: Path, findings: Path) -> None:
    """Write the findings of an audit as pictures.

    Args:
        path: The HTML file; replaced whole.
        findings: The Parquet file that `frieze audit --out` wrote; the first 200 of each kind are shown.

    Raises:
        InputError: Something that is no page of ours stands at `path`.
    """
    rows = pq.read_table(findings).to_pylist()
    by_kind = {kind: list(found) for kind, found in itertools.groupby(rows, key=lambda row: row["kind"])}
    write_page(path, title="Audit", body="".join(_section(kind, by_kind.get(kind, [])) for kind in _SECTIONS))


def _section(kind: str, found: list[Finding]) -> str:
    heading, meaning = _SECTIONS[kind]
    n_left = len(found) - len(found[:_MOST_IMAGES])
    more = f"<p>{n_left:,} more are left out.</p>" if n_left else ""
    is_grouped = kind.startswith("duplicate_")
    rows = itertools.groupby(found[:_MOST_IMAGES], key=lambda one: one["group"] if is_grouped else 0)
    pictures = "".join(_row([_picture(one) for one in row]) for _, row in rows)
    return f"<h2>{heading}: {len(found):,}</h2><p>{meaning}</p>{pictures}{more}" if found else ""


def _row(figures: list[str]) -> str:
    return f'<div class="row">{"".join(figures)}</div><br>'


def _picture(one: Finding) -> str:
    part = f", {one['part']}" if one["kind"] == "duplicate_split" else ""
    return figure(one["uri"] or "", f"{one['score']:.3f} {one['label']}{_suggestion(one)}{part}: {one['id']}")


def _suggestion(one: Finding) -> str:
    """Say what suits better.

    >>> _suggestion({"suggested": "cat", "probability": 0.75}), _suggestion({"suggested": None})
    (', rather cat (75%)', '')
    """
    if one["suggested"] is None:
        return ""
    return f", rather {one['suggested']}" + ("" if one["probability"] is None else f" ({one['probability']:.0%})")
