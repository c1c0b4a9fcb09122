"""`frieze train`."""

from typing import Any

import click

from frieze.commands import options

_HEADS = ("linear", "svm", "ridge", "knn", "prototype", "keras")
_KERNELS = ("linear", "rbf")


@click.command(epilog="Example: frieze train photos.features --head svm --out photos.head")
@click.argument("features")
@options.out("Folder of the head; report.html is written there too.")
@click.option("--head", type=click.Choice(_HEADS), default="linear", show_default=True)
@click.option("--kernel", type=click.Choice(_KERNELS), default="linear", show_default=True, help="Of --head svm.")
@options.labels
@options.test_size
@options.split
@options.group
@click.option("--shots", type=int, metavar="N", help="Train on N images a class, drawn ten times.")
@click.option("--balanced", is_flag=True, help="Let each class count alike, however many images it has.")
@click.option("--abstain", type=float, metavar="P", help="Wanted share of right answers; unsure images get none.")
@click.option("--layers", default="128", show_default=True, metavar="N,N", help="For keras: units of hidden layers.")
@click.option("--dropout", default=0.0, show_default=True, help="For keras: share of hidden units left out at a step.")
@click.option("--epochs", default=100, show_default=True, help="For keras: how often it sees the images at most.")
@click.option("--patience", default=5, show_default=True, help="For keras: epochs without a gain before it stops.")
@click.option("--max-memory", metavar="SIZE", help="What embeddings may take, such as 4GB; else read in passes.")
@options.seed
@options.force
@options.as_json
def train(*, as_json: bool, **asked: Any) -> None:
    """Train a head on labelled images of the table FEATURES and measure it on held-out ones."""
    from frieze import heads, output

    document = heads.train(asked.pop("features"), **asked)
    options.warn_of_labels(document)
    for note in document["notes"]:
        output.say(f"Note: {note}")
    if as_json:
        output.show_json(document)
    else:
        output.show_facts(document)
