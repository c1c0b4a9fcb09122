"""`frieze neighbours`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze neighbours photos.features --k 10 --out graph.parquet")
@click.argument("features")
@options.out("The table of edges: .parquet, .csv or .jsonl.")
@click.option("-k", "--k", type=click.IntRange(min=1), default=10, show_default=True, help="Neighbours of each image.")
@options.force
@options.verbose
@options.as_json
def neighbours(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Write the k-NN graph of FEATURES, a table or an index: for each image its k nearest others, with their scores.

    The file has the columns id, neighbour, rank and score. All images of a table of up to 20,000 are compared with all,
    by cosine; a larger one gets an index for the time of the run. An index is used as it is, and the recall is told.
    """
    from frieze.api import neighbours as graphs

    document = graphs.neighbours(parameters.pop("features"), **parameters)
    options.warn_if_stale(document)
    options.show("neighbours", document, as_json=as_json, verbose=verbose)
