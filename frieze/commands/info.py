"""`frieze info`."""

import click

from frieze.commands import options


@click.command(epilog="Example: frieze info photos.features")
@click.argument("path")
@options.as_json
def info(*, path: str, as_json: bool) -> None:
    """Say what the folder PATH is (features, an index or a head) and what is in it."""
    from frieze import api, output

    document = api.info(path)
    if as_json:
        output.show_json(document)
    else:
        output.show_facts(document)
