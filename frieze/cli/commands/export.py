"""`frieze export`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze export photos.head --out photos.model")
@click.argument("head")
@options.out("Folder of the SavedModel.")
@options.force
@options.verbose
@options.as_json
def export(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Write HEAD with its backbone and preprocessing as one SavedModel, checked against the head itself.

    `builtin` in place of HEAD writes the built-in backbone alone.
    """
    from frieze.api import exporting

    document = exporting.export(parameters.pop("head"), **parameters)
    options.warn_if_stale(document)
    options.show("export", document, as_json=as_json, verbose=verbose)
