"""`frieze finetune`."""

from typing import Any

import click

from frieze.commands import options

_FITS = ("squash", "crop", "pad")
_PIXELS = ("0..1", "-1..1", "0..255", "caffe", "torch")


@click.command(epilog="Example: frieze finetune photos --backbone keras:MobileNetV2 --unfreeze 20 --out photos.model")
@click.argument("source")
@options.out("Folder of the model: head, fine-tuned backbone and report.html.")
@click.option("--backbone", metavar="SPEC", help="See: frieze backbones  [default: the table's]")
@click.option("--weights", metavar="imagenet|random|FILE", help="For keras:NAME.  [default: imagenet]")
@click.option("--layer", metavar="NAME", help="Layer or output to read; NAME:flatten for its maps as they are.")
@click.option("--image-size", type=click.IntRange(min=1), metavar="N", help="Side in pixels that the network sees.")
@click.option("--fit", type=click.Choice(_FITS), default="squash", show_default=True, help="How an image meets it.")
@click.option("--pixels", type=click.Choice(_PIXELS), help="Range of pixels the network was trained on.")
@click.option("--trust-backbone", is_flag=True, help="Run a SavedModel that reads or writes files or calls Python.")
@click.option("--unfreeze", metavar="N|NAME|all", help="Last layers, or first layer or variables, that learn.")
@click.option("--head", metavar="HEAD", help="Head to begin from, on its split.  [default: a linear probe]")
@click.option("--layers", metavar="N,N", help="Begin with a new head of these hidden layers, not from the probe.")
@click.option("--epochs", default=10, show_default=True, help="How often the images are seen at most.")
@click.option("--learning-rate", default=1e-4, show_default=True, help="The highest rate of Adam.")
@click.option("--batch-size", default=32, show_default=True, help="Images a step.")
@click.option("--patience", default=5, show_default=True, help="Epochs without a gain before it stops.")
@click.option("--augment/--no-augment", default=True, show_default=True, help="Flip, crop and colour at random.")
@click.option("--cache", is_flag=True, help="Keep what the frozen part makes of each image; with --no-augment.")
@options.labels
@click.option("--test-size", default=0.2, show_default=True, help="Share of the labelled images held out.")
@click.option("--split", metavar="COLUMN", help="Column that says train, val or test for each image.")
@click.option("--group", metavar="COLUMN|duplicates", help="Images of one value, or near-duplicates, come on one side.")
@options.seed
@options.force
@options.as_json
def finetune(*, as_json: bool, **asked: Any) -> None:
    """Train the top of a backbone on images SOURCE (or a table's), from a head on its features; run again to go on."""
    from frieze import finetuning, output

    document = finetuning.finetune(asked.pop("source"), **asked)
    for note in document["notes"]:
        output.say(f"Note: {note}")
    if as_json:
        output.show_json(document)
    else:
        history = document.pop("history")
        output.show_table(history, ("loss", "accuracy", "val_loss", "val_accuracy", "seconds"))
        output.show_facts(document)
