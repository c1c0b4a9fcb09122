"""`frieze duplicates`."""

import shlex
from typing import Any

import click

from frieze.cli import options

_LISTS = ("groups", "look_alikes", "left", "emptied")
_COLUMNS = ("images", "kinds", "keep", "copies")
_MOST_GROUPS, _MOST_OTHERS = 20, 3


@click.command(epilog="Example: frieze duplicates photos.index --html duplicates.html")
@click.argument("index", required=False)
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
@click.option("--script", metavar="FILE", help="Write a shell script that moves the copies to FILE, to review it.")
@click.option(
    "--move-to", metavar="FOLDER", help="Move the copies, but not the images to keep, into FOLDER; asks first."
)
@click.option("--yes", is_flag=True, help="With --move-to: do not ask.")
@click.option("--undo", metavar="FOLDER", help="Move back what was moved into FOLDER; without INDEX.")
@options.verbose
@options.as_json
def duplicates(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Find copies of images in INDEX: equal files, and the same picture in another form, confirmed on the pixels.

    Each group names the image to keep, and how each other one differs from it: re-encoded, cropped, mirrored, turned,
    framed, recoloured, grey, overlaid. Images that only look alike are counted apart, and never moved. Deletes nothing.
    """
    from frieze import terminal
    from frieze.api import searching

    if (parameters["index"] is None) == (parameters["undo"] is None):
        raise click.UsageError("Give either INDEX or --undo FOLDER.")
    document = searching.duplicates(parameters.pop("index"), **parameters)
    if "groups" in document:
        _warn(document)
    if as_json:
        terminal.show_json(document)
    elif "groups" in document:
        _show_groups(document, verbose=verbose)
        _show_next(document, parameters)
    if document.get("left") is not None:
        _show_moves(document)


def _warn(document: dict[str, Any]) -> None:
    from frieze import terminal

    options.warn_if_stale(document)
    for note in document["notes"]:
        terminal.show_note(note)


def _show_groups(document: dict[str, Any], *, verbose: bool) -> None:
    from frieze import terminal
    from frieze.api.result_tables import GROUPS, group_rows
    from frieze.core import counted

    groups = document["groups"]
    counts = {name: value for name, value in document.items() if name not in _LISTS}
    options.show_summary("duplicates", counts if verbose else document, verbose=verbose)
    if not terminal.is_terminal():
        terminal.show_table(list(group_rows(document)), GROUPS.names)
        return
    if groups:
        terminal.show_table([_row(group) for group in groups[:_MOST_GROUPS]], _COLUMNS)
    if len(groups) > _MOST_GROUPS:
        more = counted(len(groups) - _MOST_GROUPS, "more group")
        terminal.show_message(f"{more}: --json and --out list all, --html shows them.")


def _show_next(document: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Print on a terminal where the pictures are, or how to look at the groups and what then moves the copies."""
    from frieze import terminal

    if not (document["groups"] and terminal.is_terminal()):
        return
    if parameters["html"] is not None:
        terminal.show_message(f"The pictures of the groups are in {parameters['html']}.")
    elif not any(parameters[name] for name in ("out", "script", "move_to")):
        terminal.show_message(
            "Nothing was moved. To look at the groups, use --html FILE; then to move the copies, --move-to FOLDER."
        )


def _show_moves(document: dict[str, Any]) -> None:
    """Print how many images were moved or moved back, and why others were not; exit with 3 where some can't be."""
    from frieze import terminal
    from frieze.api.moving import DENIED
    from frieze.core import counted, format_size, shorten

    if "moved_back" in document:
        terminal.show_message(f"Moved back {counted(document['moved_back'], 'image')}.")
    else:
        size = format_size(document["moved_bytes"])
        terminal.show_message(f"Moved {counted(document['moved'], 'image')} ({size}) to {document['moved_to']}.")
    for reason, n in document["left"].items():
        terminal.show_message(f"Left where they are: {counted(n, 'image')} ({reason}).")
    if document.get("emptied"):
        folders = counted(len(document["emptied"]), "folder is empty now", "folders are empty now")
        terminal.show_message(
            f"{folders}: {shorten(document['emptied'], most=_MOST_OTHERS)}. Before frieze embed, delete what is empty:"
            " it keeps the rows of an empty folder, whose disk may only be missing. --undo makes the folders again."
        )
    if document.get("moved"):
        undo = f"frieze duplicates --undo {shlex.quote(document['moved_to'])}"
        terminal.show_message(f"To move them back: {undo}. The index lists them until its table and it are updated.")
    if DENIED in document["left"]:
        click.get_current_context().exit(options.SOME_SKIPPED)


def _row(group: dict[str, Any]) -> dict[str, Any]:
    from frieze.core import shorten

    kinds = sorted({member["kind"] for member in group["members"]})
    copies = shorten(group["ids"][1:], most=_MOST_OTHERS)
    return {"images": len(group["ids"]), "kinds": ", ".join(kinds), "keep": group["keep"], "copies": copies}
