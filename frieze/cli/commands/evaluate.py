"""`frieze evaluate`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze evaluate photos.head photos.features")
@click.argument("head")
@click.argument("features", required=False)
@options.labels
@options.verbose
@options.as_json
def evaluate(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Measure HEAD on the table FEATURES; images that it was fitted on are left out.

    With FEATURES alone: how well images find those of their own label: mean average precision, R-precision and
    precision at 1, 5 and 10, of all and of each class, by cosine and without an index.

    The labels come from the head's column or file, unless --labels or --label name another.
    """
    from frieze.api import heads
    from frieze.api.folder_kinds import is_head

    if parameters["features"] is None and is_head(parameters["head"]):
        raise click.UsageError("Missing argument 'FEATURES'.")
    document = heads.evaluate(parameters.pop("head"), parameters.pop("features"), **parameters)
    options.warn_if_stale(document)
    options.warn_of_labels(document)
    if "accuracy" in document:
        options.warn_of_baseline(document)
    options.show("evaluate", document, as_json=as_json, verbose=verbose)
