"""`frieze evaluate`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze evaluate photos.head photos.features")
@click.argument("head")
@click.argument("features")
@options.labels
@options.as_json
def evaluate(*, as_json: bool, **asked: Any) -> None:
    """Measure HEAD on the table FEATURES; images that it was fitted on are left out.

    The labels come from the column or file that those of the head came from, unless --labels or --label name another.
    """
    from frieze import terminal as output
    from frieze.api import heads

    document = heads.evaluate(asked.pop("head"), asked.pop("features"), **asked)
    options.warn(document)
    options.warn_of_labels(document)
    options.warn_of_baseline(document)
    if as_json:
        output.show_json(document)
    else:
        output.show_facts(document)
