"""`frieze train`."""

from typing import Any

import click

from frieze.cli import options

_HEADS = ("linear", "svm", "ridge", "knn", "prototype", "keras")
_KERNELS = ("linear", "rbf")


@click.command(epilog="Example: frieze train photos.features --head svm --out photos.head")
@click.argument("features")
@options.out("Folder of the head; report.html is written there too.")
@click.option("--head", cls=options.OrDefault, type=click.Choice(_HEADS), help="Kind of head.  [default: linear]")
@click.option("--kernel", cls=options.OrDefault, type=click.Choice(_KERNELS), help="Of --head svm.  [default: linear]")
@options.labels
@click.option(
    "--test-size", cls=options.OrDefault, type=float, help="Share of the labelled images held out.  [default: 0.2]"
)
@options.split
@options.group
@click.option(
    "--shots", cls=options.OrDefault, type=int, metavar="N", help="Train on N images a class, drawn ten times."
)
@click.option("--balanced/--no-balanced", default=None, help="Let each class count alike, however many images it has.")
@click.option(
    "--abstain",
    cls=options.OrDefault,
    type=float,
    metavar="P",
    help="Wanted share of right answers; unsure images get none.",
)
@click.option("--layers", metavar="N,N", help="For keras: units of hidden layers.  [default: 128]")
@click.option(
    "--dropout",
    cls=options.OrDefault,
    type=float,
    help="For keras: share of hidden units left out at a step.  [default: 0]",
)
@click.option(
    "--epochs", cls=options.OrDefault, type=int, help="For keras: how often it sees the images at most.  [default: 100]"
)
@click.option(
    "--patience",
    cls=options.OrDefault,
    type=int,
    help="For keras: epochs without a gain before it stops.  [default: 5]",
)
@click.option("--max-memory", metavar="SIZE", help="What the process may take, such as 4GB; else in passes.")
@click.option(
    "--seed",
    cls=options.OrDefault,
    type=click.IntRange(0, 2**32 - 1),
    help="Decides every random choice.  [default: 0]",
)
@options.force
@options.as_json
def train(*, as_json: bool, **asked: Any) -> None:
    """Train a head on labelled images of the table FEATURES and measure it on held-out ones.

    With --force, an option that is left out is as the head at OUT was asked for ('' asks for its default again).
    """
    from frieze import terminal as output
    from frieze.api import heads

    document = heads.train(asked.pop("features"), **asked)
    output.say_changes(document)
    options.warn_of_labels(document)
    options.warn_of_baseline(document)
    for note in document["notes"]:
        output.say(f"Note: {note}")
    if as_json:
        output.show_json(document)
    else:
        output.show_facts(document)
