"""`frieze duplicates`."""

from typing import Any

import click

from frieze.cli import options

_FACTS = ("n_exact", "n_near", "n_duplicates", "n_look_alikes", "rows", "min_score", "recall")
_COLUMNS = ("images", "kinds", "keep", "copies")
_MOST_GROUPS, _MOST_OTHERS = 20, 3


@click.command(epilog="Example: frieze duplicates photos.index --html duplicates.html")
@click.argument("index")
@options.min_score
@click.option(
    "--keep",
    default="best",
    show_default=True,
    metavar="best|oldest|largest|PATTERN",
    help="Image of a group to keep; a PATTERN of whole paths such as '*/originals/*' comes first.",
)
@click.option("--html", metavar="FILE", help="Write the groups as pictures to FILE.")
@options.table_out("groups")
@options.as_json
def duplicates(*, as_json: bool, **parameters: Any) -> None:
    """Find copies of images in INDEX: equal files, and the same picture in another form, confirmed on the pixels.

    Each group names the image to keep, and how each other one differs from it: re-encoded, cropped, mirrored, turned,
    framed, recoloured, grey, overlaid. Images that only look alike are counted apart. Deletes nothing.
    """
    from frieze import terminal
    from frieze.api import searching
    from frieze.api.result_tables import GROUPS, group_rows
    from frieze.core import counted

    document = searching.duplicates(parameters.pop("index"), **parameters)
    options.warn_if_stale(document)
    for note in document["notes"]:
        terminal.show_note(note)
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

    kinds = sorted({member["kind"] for member in group["members"]})
    copies = shorten(group["ids"][1:], most=_MOST_OTHERS)
    return {"images": len(group["ids"]), "kinds": ", ".join(kinds), "keep": group["keep"], "copies": copies}
