"""`frieze export`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze export photos.head --out photos.model")
@click.argument("head")
@options.out("Folder of the SavedModel.")
@options.force
@options.as_json
def export(*, as_json: bool, **asked: Any) -> None:
    """Write HEAD with its backbone and preprocessing as one SavedModel, checked against the head itself.

    `builtin` in the place of HEAD writes the built-in backbone alone.
    """
    from frieze import terminal as output
    from frieze.api import exporting

    document = exporting.export(asked.pop("head"), **asked)
    options.warn(document)
    if as_json:
        output.show_json(document)
    else:
        output.show_facts({name: value for name, value in document.items() if name != "stale"})
