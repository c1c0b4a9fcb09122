"""`frieze index`."""

from typing import Any

import click

from frieze.cli import options

_KINDS = ("auto", "exact", "ivf", "fp16", "sq8", "rabitq", "pq", "pca-pq", "hnsw")
_TRIED = ("kind", "recall_at_10", "queries_per_second", "memory_bytes", "recipe")


@click.command(epilog="Example: frieze index photos.features --out photos.index")
@click.argument("features")
@options.out("Folder of the index; updated where it exists.")
@click.option(
    "--metric",
    cls=options.OrDefault,
    type=click.Choice(["cosine", "l2", "dot"]),
    help="How scores are computed.  [default: cosine]",
)
@click.option(
    "--recall",
    cls=options.OrDefault,
    type=float,
    help="Target recall@10, and recall@100 for searches with a larger k.  [default: 0.95]",
)
@click.option("--kind", cls=options.OrDefault, type=click.Choice(_KINDS), help="Kind of index.  [default: auto]")
@click.option("--max-memory", metavar="SIZE", help="Memory limit of the index, such as 500MB or 2GB.")
@click.option("--max-build-memory", metavar="SIZE", help="Memory limit of the build, beyond the program itself.")
@click.option("--ray", metavar="auto|ADDRESS", help="Add vectors on the machines of a Ray cluster, except for hnsw.")
@options.force
@options.verbose
@options.as_json
def index(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Build a FAISS index over the table FEATURES, and measure its recall on the table itself.

    Omitted options keep the values of the index at OUT ('' restores the default).
    """
    from frieze import terminal
    from frieze.api import searching

    document = searching.index(parameters.pop("features"), **parameters)
    options.show_changes(document)
    _warn(document)
    if verbose and not as_json:
        tried = document.pop("tried")
        terminal.show_fields(document)
        if tried:
            terminal.show_table(tried, _TRIED)
    else:
        options.show("index", document, as_json=as_json, verbose=verbose)


def _warn(document: dict[str, Any]) -> None:
    """Print where the index misses its target recall, and how many vectors are all zeros."""
    from frieze import terminal

    if document["n_zero"] and document["metric"] != "l2":  # None: made before this was stored
        terminal.show_note(
            f"vectors that are all zeros: {document['n_zero']:,} of {document['rows']:,}; by {document['metric']}"
            " their score is 0 with everything."
        )
    if document["meets_target"] is False:  # None: made before this was stored
        low, high = document["recall_interval"]
        terminal.show_message(
            f"Warning: {document['kind']} misses --recall {document['recall_target']:g}: it finds"
            f" {document['recall_at_10']:.3f} of the 10 nearest ({low:.3f} to {high:.3f} for other queries)."
            " Leave --kind out, or use --kind exact."
        )
    elif document["many_meets_target"] is False:
        terminal.show_message(
            f"Warning: of the 100 nearest it finds {document['recall_at_100']:.3f}, less than --recall"
            f" {document['recall_target']:g}. For searches with -k above 10 use --kind exact."
        )
