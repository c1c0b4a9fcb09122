"""`frieze map`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze map photos.features --out map.html")
@click.argument("features")
@options.out("The HTML file; with --projector a folder.")
@click.option(
    "--method", type=click.Choice(("pca", "umap")), default="pca", show_default=True, help="What lays out the points."
)
@click.option("--projector", is_flag=True, help="Write TensorBoard Projector's files instead.")
@options.force
@options.as_json
def map(*, as_json: bool, **asked: Any) -> None:  # noqa: A001  the command's own name
    """Lay the images of FEATURES out on a plane, as one page that opens without a server."""
    from frieze import terminal as output
    from frieze.api import mapping

    document = mapping.map(asked.pop("features"), **asked)
    if as_json:
        output.show_json(document)
    else:
        output.show_facts(document)
