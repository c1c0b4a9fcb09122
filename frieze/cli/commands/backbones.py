"""`frieze backbones`."""

import click

from frieze.cli import options

_COLUMNS = ("handle", "dim", "image_size", "parameters", "pixels")
_OTHERS = "Also accepted: a SavedModel's folder, a .keras file, and handles of tfhub.dev and kaggle.com/models."


@click.command(epilog="Example: frieze backbones --json")
@options.as_json
def backbones(*, as_json: bool) -> None:
    """List the named backbones with width, input size and parameters."""
    from frieze import terminal
    from frieze.api import tables

    rows = tables.backbones()
    if as_json:
        terminal.show_json(rows)
        return
    terminal.show_table(rows, _COLUMNS)
    terminal.show_message(_OTHERS)
