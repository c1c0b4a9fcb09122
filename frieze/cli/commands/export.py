"""`frieze export`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze export photos.head --out photos.model")
@click.argument("head")
@options.out("Folder of the SavedModel; or the ONNX file, or the file or folder of the table.")
@click.option(
    "--format",
    type=click.Choice(("savedmodel", "onnx", "csv", "datasets", "embedding-atlas", "fiftyone", "lance")),
    default="savedmodel",
    show_default=True,
    help="What is written.",
)
@click.option("--predictions", metavar="HEAD", help="Add the predictions of a head to an exported table.")
@click.option("--vectors", is_flag=True, help="Add the vectors to a CSV file.")
@options.force
@options.verbose
@options.as_json
def export(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Write HEAD with its backbone as one SavedModel or ONNX file, checked against the head itself.

    `builtin` in place of HEAD writes the built-in backbone alone. For the format of a table, such as csv, give a table
    of features in place of HEAD.
    """
    from frieze import terminal
    from frieze.api import exporting

    document = exporting.export(parameters.pop("head"), **parameters)
    options.warn_if_stale(document)
    for note in document.get("notes", ()):
        terminal.show_note(note)
    options.show("export", document, as_json=as_json, verbose=verbose)
