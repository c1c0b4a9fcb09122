"""`frieze info`."""

import click

from frieze.cli import options


@click.command(epilog="Example: frieze info photos.features")
@click.argument("path")
@options.verbose
@options.as_json
def info(*, path: str, as_json: bool, verbose: bool) -> None:
    """Describe the folder PATH: features, an index, a head or an exported model."""
    from frieze.api import tables

    document = tables.info(path)
    options.warn_if_stale(document)
    options.show("info", document, as_json=as_json, verbose=verbose)
