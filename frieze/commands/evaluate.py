"""`frieze evaluate`."""

import click

from frieze.commands import options


@click.command(epilog="Example: frieze evaluate photos.head photos.features")
@click.argument("head")
@click.argument("features")
@options.as_json
def evaluate(*, head: str, features: str, as_json: bool) -> None:
    """Measure HEAD on the table FEATURES; images that it was fitted on are left out."""
    from frieze import heads, output

    document = heads.evaluate(head, features)
    options.warn(document)
    if as_json:
        output.show_json(document)
    else:
        output.show_facts(document)
