"""The findings of a label audit as one page of pictures, which opens without a server."""

from pathlib import Path
from typing import Any

from frieze.reports.html import Figure, draw_figure, write_page

_MOST_IMAGES = 200  # of each kind: each picture is read, and embedded in the page
_SECTIONS = {
    "label": (
        "Labels in doubt",
        "Heads that were not fitted on these images, and the images nearest to them, find another label likelier.",
    ),
    "missing_label": (
        "Labels that may be missing",
        "Heads that were not fitted on these images find that they have one label more.",
    ),
    "wrong_label": (
        "Labels that may be wrong",
        "Heads that were not fitted on these images find that they do not have this label.",
    ),
    "duplicate_labels": ("Near-duplicates under different labels", "At most one label of a row is right."),
    "duplicate_split": (
        "Near-duplicates on both sides of the split",
        "Held-out images that were seen in training make a head look better than it is.",
    ),
    "outlier": ("Outliers", "These are far from their class and from everything else."),
    "small_class": ("Classes too small", "Their labels were not judged."),
    "dark": ("Dark", "These are much darker than the other images."),
    "blurred": ("Blurred", "These have much less fine detail than the other images."),
    "odd_size": ("Odd shapes", "The ratio of their sides is unlike that of the other images."),
}
"""Kind -> heading and what it means."""
_GROUPED_BY = {"duplicate_labels": "group", "duplicate_split": "group", "small_class": "label"}
"""Kind -> the column whose equal values share a row of pictures."""

Finding = dict[str, Any]


def write_audit_page(path: Path, rows: list[Finding]) -> None:
    """Write the findings of an audit as pictures.

    Args:
        path: The HTML file; replaced atomically.
        rows: The findings, as in the file of `frieze audit --out`; the first 200 of each kind are shown.

    Raises:
        InputError: `path` is something else than a page of ours.
    """
    sections = [_section(kind, [row for row in rows if row["kind"] == kind]) for kind in _SECTIONS]
    write_page(path, "audit.html", title="Audit", sections=sections)


def _section(kind: str, findings: list[Finding]) -> dict[str, Any]:
    heading, meaning = _SECTIONS[kind]
    n_left = len(findings) - len(findings[:_MOST_IMAGES])
    rows: dict[object, list[Figure]] = {}
    for one in findings[:_MOST_IMAGES]:
        rows.setdefault(one[_GROUPED_BY[kind]] if kind in _GROUPED_BY else None, []).append(_figure(one))
    return {
        "kind": kind,
        "heading": heading,
        "meaning": meaning,
        "n": f"{len(findings):,}" if findings else "",
        "rows": list(rows.values()),
        "n_left": f"{n_left:,}" if n_left else "",
    }


def _figure(one: Finding) -> Figure:
    part = f", {one['part']}" if one["kind"] == "duplicate_split" else ""
    caption = f"{one['label']}{_suggestion(one)}{part}\n{one['id']}\nscore {one['score']:.3f}"
    return draw_figure(one["uri"] or "", caption)


def _suggestion(one: Finding) -> str:
    """Return the likelier label of a finding.

    >>> _suggestion({"kind": "label", "suggested": "cat", "probability": 0.75})
    ', rather cat (75%)'
    >>> _suggestion({"kind": "wrong_label", "suggested": None, "probability": 0.04})
    ', rather not (4%)'
    """
    if one["kind"] == "wrong_label":
        return f", rather not ({one['probability']:.0%})"
    if one["suggested"] is None:
        return ""
    also = "also" if one["kind"] == "missing_label" else "rather"
    return f", {also} {one['suggested']}" + ("" if one["probability"] is None else f" ({one['probability']:.0%})")
