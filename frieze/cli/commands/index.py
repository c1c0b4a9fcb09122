"""`frieze index`."""

from typing import Any

import click

from frieze.cli import options

_KINDS = ("auto", "exact", "ivf", "fp16", "sq8", "rabitq", "pq", "pca-pq", "hnsw")
_TRIED = ("kind", "recall_at_10", "queries_per_second", "memory_bytes", "recipe")


@click.command(epilog="Example: frieze index photos.features --out photos.index")
@click.argument("features")
@options.out("Folder of the index; brought up to date when it is there.")
@click.option(
    "--metric",
    cls=options.OrDefault,
    type=click.Choice(["cosine", "l2", "dot"]),
    help="How scores are made.  [default: cosine]",
)
@click.option(
    "--recall",
    cls=options.OrDefault,
    type=float,
    help="Share of the nearest to find: of 10, and of 100 for searches with a larger k.  [default: 0.95]",
)
@click.option("--kind", cls=options.OrDefault, type=click.Choice(_KINDS), help="Kind of index.  [default: auto]")
@click.option("--max-memory", metavar="SIZE", help="What the index may hold in memory, like 500MB or 2GB.")
@click.option("--max-build-memory", metavar="SIZE", help="What building may take in memory, beyond the program itself.")
@click.option("--ray", metavar="auto|ADDRESS", help="Have the machines of a Ray cluster fill it, but for hnsw.")
@options.force
@options.as_json
def index(*, as_json: bool, **asked: Any) -> None:
    """Build a FAISS index over the table FEATURES, with its recall measured on the table itself.

    Run again, an option that is left out is as the index at OUT was asked for ('' asks for its default again).
    """
    from frieze import terminal as output
    from frieze.api import searching

    document = searching.index(asked.pop("features"), **asked)
    output.say_changes(document)
    _warn(document)
    if as_json:
        output.show_json(document)
    else:
        tried = document.pop("tried")
        output.show_facts(document)
        if tried:
            output.show_table(tried, _TRIED)


def _warn(document: dict[str, Any]) -> None:
    """Say on stderr where the index finds less than was asked for, and which vectors it can't tell apart."""
    from frieze import terminal as output

    if document["n_zero"] and document["metric"] != "l2":  # None: made before this was stored
        output.say(
            f"Note: vectors that are all zeros: {document['n_zero']:,} of {document['rows']:,}; by {document['metric']}"
            " their score is 0 with everything."
        )
    if document["meets_target"] is False:  # None: made before this was stored
        low, high = document["recall_interval"]
        output.say(
            f"Warning: {document['kind']} misses --recall {document['recall_target']:g}: it finds"
            f" {document['recall_at_10']:.3f} of the 10 nearest ({low:.3f} to {high:.3f} for other queries)."
            " Leave --kind out, or use --kind exact."
        )
    elif document["many_meets_target"] is False:
        output.say(
            f"Warning: of the 100 nearest it finds {document['recall_at_100']:.3f}, less than --recall"
            f" {document['recall_target']:g}. For searches with -k above 10 use --kind exact."
        )
