"""`frieze cache`."""

import click

from frieze.cli import options

_COLUMNS = ("name", "layer", "image_size", "pixels", "bytes", "used", "handle")


@click.command(epilog="Example: frieze cache --clear")
@click.option("--clear", is_flag=True, help="Delete them; the next run makes them again.")
@options.as_json
def cache(*, clear: bool, as_json: bool) -> None:
    """List the compiled backbones that are kept, with which inference on a CPU starts without TensorFlow.

    They are kept by the first run of a backbone, up to 4 GB in all, and deleted 90 days after the last use.
    """
    from frieze import terminal
    from frieze.api import tables
    from frieze.core import format_size

    document = tables.cache(clear=clear)
    if as_json:
        terminal.show_json(document)
        return
    if document["graphs"] or not terminal.is_terminal():
        terminal.show_table(document["graphs"], _COLUMNS)
    size = format_size(document["bytes"])
    terminal.show_message(f"{'Deleted' if clear else 'Kept'} in {document['folder']}: {size}.")
