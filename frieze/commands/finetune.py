"""`frieze finetune`."""

from typing import Any

import click
from click.core import ParameterSource

from frieze.commands import options


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
@click.option("--epochs", default=10, show_default=True, help="How often the images are seen at most.")
@click.option("--learning-rate", default=3e-4, show_default=True, help="The highest rate of Adam.")
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "constant"]),
    default="cosine",
    show_default=True,
    help="How the rate goes: up and down as a cosine, or not at all.",
)
@click.option("--batch-size", default=32, show_default=True, help="Images a step.")
@click.option("--patience", default=5, show_default=True, help="Epochs without a gain before it stops.")
@click.option("--augment/--no-augment", default=True, show_default=True, help="Flip, crop and colour at random.")
@click.option(
    "--cache/--no-cache", default=False, help="Keep what the frozen part makes of each image; with --no-augment."
)
@options.labels
@options.test_size
@options.split
@options.group
@options.seed
@options.force
@options.as_json
@click.pass_context
def finetune(context: click.Context, /, *, as_json: bool, **asked: Any) -> None:
    """Train the top of a backbone on images SOURCE (or a table's), from a head on its features; run again to go on.

    Options that are not given are those that OUT was made with, if it is there.
    """
    from frieze import finetuning, output

    said = {name for name in asked if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    document = finetuning.finetune(asked.pop("source"), **{name: asked[name] for name in asked if name in said})
    for note in document["notes"]:
        output.say(f"Note: {note}")
    if as_json:
        output.show_json(document)
    else:
        history = document.pop("history")
        output.show_table(history, ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"))
        output.show_facts(document)
