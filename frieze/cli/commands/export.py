"""`frieze export`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze export photos.head --out photos.model")
@click.argument("head")
@options.out("Folder of the SavedModel.")
@options.force
@options.as_json
def export(*, as_json: bool, **parameters: Any) -> None:
    """Write HEAD with its backbone and preprocessing as one SavedModel, checked against the head itself.

    `builtin` in place of HEAD writes the built-in backbone alone.
    """
    from frieze import terminal
    from frieze.api import exporting

    document = exporting.export(parameters.pop("head"), **parameters)
    options.warn_if_stale(document)
    if as_json:
        terminal.show_json(document)
    else:
        terminal.show_fields({name: value for name, value in document.items() if name != "stale"})
