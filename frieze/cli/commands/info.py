"""`frieze info`."""

import click

from frieze.cli import options


@click.command(epilog="Example: frieze info photos.features")
@click.argument("path")
@options.as_json
def info(*, path: str, as_json: bool) -> None:
    """Describe the folder PATH: features, an index, a head or an exported model."""
    from frieze import terminal
    from frieze.api import tables

    document = tables.info(path)
    if as_json:
        terminal.show_json(document)
    else:
        files = document.get("files")  # hashes: for programs
        terminal.show_fields(document | ({"files": len(files)} if isinstance(files, dict) else {}))
