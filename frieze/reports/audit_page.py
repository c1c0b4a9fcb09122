"""The findings of an audit as one page of pictures. Opens without a server."""

from pathlib import Path
from typing import Any

from frieze.reports.html import figure, write_page

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
_TOGETHER = {"duplicate_labels": "group", "duplicate_split": "group", "small_class": "label"}
"""Kind -> what the pictures of one row have in common."""

Finding = dict[str, Any]


def write_audit_page(path: Path, rows: list[Finding]) -> None:
    """Write the findings of an audit as pictures.

    Args:
        path: The HTML file; replaced whole.
        rows: The findings, as they stand in the file of `frieze audit --out`; the first 200 of each kind are shown.

    Raises:
        InputError: Something that is no page of ours stands at `path`.
    """
    found_of = {kind: [row for row in rows if row["kind"] == kind] for kind in _SECTIONS}
    by_kind = {kind: found for kind, found in found_of.items() if found}
    sections = [_section(kind, found) for kind, found in by_kind.items()]
    write_page(path, title="Audit", body="".join([_contents(by_kind), *sections]))


def _contents(by_kind: dict[str, list[Finding]]) -> str:
    """List all kinds, those too of which nothing was found, with the way to each section."""
    lines = [
        f'<li><a href="#{kind}">{heading}</a>: {len(by_kind[kind]):,}' if kind in by_kind else f"<li>{heading}: none"
        for kind, (heading, _) in _SECTIONS.items()
    ]
    return f"<ul>{''.join(lines)}</ul>"


def _section(kind: str, found: list[Finding]) -> str:
    heading, meaning = _SECTIONS[kind]
    shown = found[:_MOST_IMAGES]
    n_left = len(found) - len(shown)
    more = f"<p>{n_left:,} more are left out; the file of the findings has all.</p>" if n_left else ""
    rows: dict[object, list[str]] = {}
    for one in shown:
        rows.setdefault(one[_TOGETHER[kind]] if kind in _TOGETHER else None, []).append(_picture(one))
    pictures = "".join(map(_row, rows.values()))
    return f'<h2 id="{kind}">{heading}: {len(found):,}</h2><p>{meaning}</p>{pictures}{more}'


def _row(figures: list[str]) -> str:
    return f'<div class="row">{"".join(figures)}</div><br>'


def _picture(one: Finding) -> str:
    part = f", {one['part']}" if one["kind"] == "duplicate_split" else ""
    return figure(one["uri"] or "", f"{one['label']}{_suggestion(one)}{part}\n{one['id']}\nscore {one['score']:.3f}")


def _suggestion(one: Finding) -> str:
    """Say what suits better.

    >>> _suggestion({"suggested": "cat", "probability": 0.75}), _suggestion({"suggested": None})
    (', rather cat (75%)', '')
    """
    if one["suggested"] is None:
        return ""
    return f", rather {one['suggested']}" + ("" if one["probability"] is None else f" ({one['probability']:.0%})")
