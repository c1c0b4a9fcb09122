"""`frieze drift`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze drift photos.head new-photos.features")
@click.argument("head")
@click.argument("features")
@options.verbose
@options.as_json
def drift(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Tell whether the images of the table FEATURES are still like those that HEAD was trained and measured on.

    Two tests against the head's held-out images: are the images as similar to its training images, and does it predict
    its classes as often? Labels are not needed. Images that the head knows are left out. The least familiar images are
    named: worth a look, and a label.
    """
    from frieze.api import predicting

    document = predicting.drift(parameters.pop("head"), parameters.pop("features"))
    options.warn_if_stale(document)
    options.show("drift", document, as_json=as_json, verbose=verbose)
