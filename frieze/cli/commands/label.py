"""`frieze label`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze label photos.features --classes 'cat,dog' --out photos.head")
@click.argument("features")
@click.option("--classes", required=True, metavar="NAME,NAME", help="The classes, in words.")
@options.out("Folder of the head; report.html is written there, too, where there are labels.")
@click.option(
    "--template",
    multiple=True,
    metavar="TEXT",
    help="Prompt with {} for the class; repeat for several.  [default: a photo of a {}.]",
)
@options.labels
@options.force
@options.verbose
@options.as_json
def label(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Make a head of class names, without training, for the table FEATURES of a backbone with a text tower.

    Then: frieze predict HEAD FEATURES --out FILE. Labelled images of these classes calibrate and measure the head.
    """
    from frieze import terminal
    from frieze.api import labelling

    document = labelling.label(parameters.pop("features"), **parameters)
    options.warn_of_labels(document)
    for note in document["notes"]:
        terminal.show_note(f"{note}")
    if document["accuracy"] is not None:
        options.warn_of_baseline(document)
    options.show("label", document, as_json=as_json, verbose=verbose)
