"""`frieze serve`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze serve photos.index --head photos.head")
@click.argument("index")
@click.option("--head", metavar="HEAD", help="A head, to predict new images and list its mistakes.")
@click.option(
    "--labels",
    metavar="FILE",
    help="A Parquet file for labels and tags given on the page, made if missing; a CSV is read into one.",
)
@click.option("--read-only", is_flag=True, help="Write nothing: neither labels nor decisions on duplicates.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="Port; 0 for any free one."
)
@options.quiet
def serve(*, index: str, **parameters: Any) -> None:
    """Open a page on this machine: search, classes, duplicates and a map of INDEX's images."""
    from frieze.api import serving

    serving.serve(index, **parameters)
