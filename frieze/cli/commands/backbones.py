"""`frieze backbones`."""

import click

from frieze.cli import options

_COLUMNS = ("handle", "dim", "image_size", "parameters", "pixels")
_OTHERS = "Besides these: a SavedModel's folder, a .keras file, and handles of tfhub.dev and kaggle.com/models."


@click.command(epilog="Example: frieze backbones --json")
@options.as_json
def backbones(*, as_json: bool) -> None:
    """List the backbones that can be asked for by name, with width, input size and parameters."""
    from frieze import terminal as output
    from frieze.api import tables as api

    rows = api.backbones()
    if as_json:
        output.show_json(rows)
        return
    output.show_table(rows, _COLUMNS)
    output.say(_OTHERS)
