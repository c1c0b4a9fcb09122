"""`frieze map`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze map photos.features --out map.html")
@click.argument("features")
@options.out("The HTML file; with --projector a folder.")
@click.option(
    "--method",
    type=click.Choice(("tsne", "umap", "pca")),
    default="tsne",
    show_default=True,
    help="Projection to the plane.",
)
@click.option("--projector", is_flag=True, help="Write TensorBoard Projector's files instead.")
@options.force
@options.verbose
@options.as_json
def map(*, as_json: bool, verbose: bool, **parameters: Any) -> None:  # noqa: A001  the command's own name
    """Draw the images of FEATURES as points on a plane, as one page that opens without a server."""
    from frieze.api import mapping

    document = mapping.map(parameters.pop("features"), **parameters)
    options.show("map", document, as_json=as_json, verbose=verbose)
