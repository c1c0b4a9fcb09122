"""`frieze train`."""

from typing import Any

import click

from frieze.cli import options

_HEADS = ("linear", "svm", "ridge", "knn", "prototype", "keras")
_KERNELS = ("linear", "rbf")


@click.command(epilog="Example: frieze train photos.features --head svm --out photos.head")
@click.argument("features")
@options.out("Folder of the head; report.html is written there, too.")
@click.option("--head", cls=options.OrDefault, type=click.Choice(_HEADS), help="Kind of head.  [default: linear]")
@click.option("--kernel", cls=options.OrDefault, type=click.Choice(_KERNELS), help="Of --head svm.  [default: linear]")
@options.labels
@click.option(
    "--test-size", cls=options.OrDefault, type=float, help="Share of the labelled images held out.  [default: 0.2]"
)
@options.split
@options.group
@click.option(
    "--shots", cls=options.OrDefault, type=int, metavar="N", help="Train on N images per class, drawn ten times."
)
@click.option("--balanced/--no-balanced", default=None, help="Weight classes equally, however many images each has.")
@click.option(
    "--start-from",
    metavar="HEAD",
    help="For linear: head whose weights it starts from, such as one of frieze label, for few images per class.",
)
@click.option(
    "--abstain",
    cls=options.OrDefault,
    type=float,
    metavar="P",
    help="Target precision; unsure images get no prediction.",
)
@click.option("--layers", metavar="N,N", help="For keras: units of hidden layers.  [default: 128]")
@click.option(
    "--dropout",
    cls=options.OrDefault,
    type=float,
    help="For keras: dropout rate of hidden units.  [default: 0]",
)
@click.option("--epochs", cls=options.OrDefault, type=int, help="For keras: maximum number of epochs.  [default: 100]")
@click.option(
    "--patience",
    cls=options.OrDefault,
    type=int,
    help="For keras: early stopping: epochs without a gain.  [default: 5]",
)
@click.option("--learning-curve", is_flag=True, help="Fit on parts, too: what would more labelled images bring?")
@click.option(
    "--max-memory", metavar="SIZE", help="Memory limit of the process, such as 4GB; larger tables are streamed."
)
@click.option(
    "--seed",
    cls=options.OrDefault,
    type=click.IntRange(0, 2**32 - 1),
    help="Seed of every random choice.  [default: 0]",
)
@options.force
@options.verbose
@options.as_json
def train(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Train a head on labelled images of the table FEATURES and measure it on held-out ones.

    Lists of labels, as in a column of tags, train a head of several labels an image.

    With --force, omitted options keep the values of the head at OUT ('' restores the default).
    """
    from frieze import terminal
    from frieze.api import heads

    document = heads.train(parameters.pop("features"), **parameters)
    options.show_changes(document)
    options.warn_of_labels(document)
    options.warn_of_baseline(document)
    for note in document["notes"]:
        terminal.show_note(f"{note}")
    options.show("train", document, as_json=as_json, verbose=verbose)
