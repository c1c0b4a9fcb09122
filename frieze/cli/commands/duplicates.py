"""`frieze duplicates`."""

from typing import Any

import click

from frieze.cli import options

_FACTS = ("n_exact", "n_near", "n_duplicates", "rows", "min_score", "recall")
_COLUMNS = ("images", "min_score", "exact", "keep", "others")
_MOST_GROUPS, _MOST_OTHERS = 20, 3


@click.command(epilog="Example: frieze duplicates photos.index --html duplicates.html")
@click.argument("index")
@options.min_score
@click.option("--html", metavar="FILE", help="Write the groups as pictures to FILE.")
@options.table_out("groups")
@options.as_json
def duplicates(*, as_json: bool, **parameters: Any) -> None:
    """Find groups of duplicate images in INDEX: equal files, then near-duplicates.

    Each group names the image to keep (most pixels, then most bytes) and the lowest score inside it: a group whose
    lowest score is far below the others' may be a chain of images that only look alike. Deletes nothing.
    """
    from frieze import terminal
    from frieze.api import searching
    from frieze.api.result_tables import GROUPS, group_rows
    from frieze.core import counted

    document = searching.duplicates(parameters.pop("index"), **parameters)
    options.warn_if_stale(document)
    if as_json:
        terminal.show_json(document)
        return
    groups = document["groups"]
    terminal.show_summary({"groups": len(groups)} | {name: document[name] for name in _FACTS})
    if not terminal.is_terminal():
        terminal.show_table(list(group_rows(document)), GROUPS.names)
        return
    if groups:
        terminal.show_table([_row(group) for group in groups[:_MOST_GROUPS]], _COLUMNS)
    if len(groups) > _MOST_GROUPS:
        more = counted(len(groups) - _MOST_GROUPS, "more group")
        terminal.show_message(f"{more}: --json and --out list all, --html shows them.")


def _row(group: dict[str, Any]) -> dict[str, Any]:
    from frieze.core import shorten

    others = shorten(group["ids"][1:], most=_MOST_OTHERS)
    exact = "yes" if group["exact"] else "no"
    return {"images": len(group["ids"]), **group, "exact": exact, "others": others}
