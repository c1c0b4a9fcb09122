"""`frieze info`."""

import click

from frieze.cli import options


@click.command(epilog="Example: frieze info photos.features")
@click.argument("path")
@options.as_json
def info(*, path: str, as_json: bool) -> None:
    """Say what the folder PATH is (features, an index, a head or an exported model) and what is in it."""
    from frieze import terminal as output
    from frieze.api import tables as api

    document = api.info(path)
    if as_json:
        output.show_json(document)
    else:
        files = document.get("files")  # hashes: for programs
        output.show_facts(document | ({"files": len(files)} if isinstance(files, dict) else {}))
