"""`frieze finetune`."""

from typing import Any

import click

from frieze.cli import options


@click.command(epilog="Example: frieze finetune photos --backbone keras:MobileNetV2 --unfreeze 20 --out photos.model")
@click.argument("source")
@options.out("Folder of the model: head, fine-tuned backbone and report.html.")
@click.option("--backbone", metavar="SPEC", help="See: frieze backbones  [default: the table's]")
@options.weights
@click.option("--layer", metavar="NAME", help="Layer or output to read; NAME:flatten for its maps as they are.")
@options.image_size
@options.fit
@options.pixels
@options.trust_backbone
@click.option("--unfreeze", metavar="N|NAME|all", help="Last layers, or first layer or variables, that learn.")
@click.option("--head", metavar="HEAD", help="Head to begin from, on its split.  [default: a linear probe]")
@click.option("--layers", metavar="N,N", help="Begin with a new head of these hidden layers, not from the probe.")
@click.option("--epochs", cls=options.OrDefault, type=int, help="How often the images are seen at most.  [default: 10]")
@click.option("--learning-rate", cls=options.OrDefault, type=float, help="The highest rate of Adam.  [default: 0.0003]")
@click.option(
    "--schedule",
    cls=options.OrDefault,
    type=click.Choice(["cosine", "constant"]),
    help="How the rate goes: up and down as a cosine, or not at all.  [default: cosine]",
)
@click.option("--batch-size", cls=options.OrDefault, type=int, help="Images a step.  [default: 32]")
@click.option(
    "--patience", cls=options.OrDefault, type=int, help="Epochs without a gain before it stops.  [default: 5]"
)
@click.option("--augment/--no-augment", default=None, help="Flip, crop and colour at random.  [default: augment]")
@click.option(
    "--cache/--no-cache", default=None, help="Keep what the frozen part makes of each image; with --no-augment."
)
@options.labels
@click.option(
    "--test-size", cls=options.OrDefault, type=float, help="Share of the labelled images held out.  [default: 0.2]"
)
@options.split
@options.group
@click.option(
    "--seed",
    cls=options.OrDefault,
    type=click.IntRange(0, 2**32 - 1),
    help="Decides every random choice.  [default: 0]",
)
@options.force
@options.as_json
def finetune(*, as_json: bool, **asked: Any) -> None:
    """Train the top of a backbone on images SOURCE (or a table's), from a head on its features; run again to go on.

    Options that are not given are those that OUT was made with, if it is there ('' asks for the default again).
    """
    from frieze import terminal as output
    from frieze.api import finetuning

    document = finetuning.finetune(asked.pop("source"), **asked)
    for note in document["notes"]:
        output.say(f"Note: {note}")
    if as_json:
        output.show_json(document)
    else:
        history = document.pop("history")
        output.show_table(history, ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"))
        output.show_facts(document)
