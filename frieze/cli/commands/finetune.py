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
@options.pool
@options.image_size
@options.fit
@options.pixels
@options.trust_backbone
@click.option(
    "--unfreeze", metavar="N|NAME|all", help="Number of last layers, name of the first layer, or variables to train."
)
@click.option("--head", metavar="HEAD", help="Head to start from, with its split.  [default: a linear probe]")
@click.option("--layers", metavar="N,N", help="Start from a new head with these hidden layers, not from the probe.")
@click.option("--epochs", cls=options.OrDefault, type=int, help="Maximum number of epochs.  [default: 10]")
@click.option("--learning-rate", cls=options.OrDefault, type=float, help="Peak rate of Adam.  [default: 0.0003]")
@click.option(
    "--schedule",
    cls=options.OrDefault,
    type=click.Choice(["cosine", "constant"]),
    help="Learning-rate schedule: warm-up and cosine decay, or constant.  [default: cosine]",
)
@click.option("--batch-size", cls=options.OrDefault, type=int, help="Images per step.  [default: 32]")
@click.option(
    "--patience", cls=options.OrDefault, type=int, help="Early stopping: epochs without a gain.  [default: 5]"
)
@click.option("--augment/--no-augment", default=None, help="Random flips, crops and colours.  [default: augment]")
@click.option(
    "--cache/--no-cache", default=None, help="Cache the activations of the frozen part; requires --no-augment."
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
    help="Seed of every random choice.  [default: 0]",
)
@options.force
@options.verbose
@options.as_json
def finetune(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Train the top of a backbone on images SOURCE (or a table's), starting from a head on its features.

    Run it again to resume. Omitted options keep the values that OUT was made with ('' restores the default).
    """
    from frieze import terminal
    from frieze.api import finetuning

    document = finetuning.finetune(parameters.pop("source"), **parameters)
    options.warn_of_settings(document)
    for note in document["notes"]:
        terminal.show_note(f"{note}")
    if verbose and not as_json:
        history = document.pop("history")
        names = ("loss", "accuracy", "val_loss", "val_calibrated_loss", "val_accuracy", "seconds")
        terminal.show_table(history, names)
        terminal.show_fields(document)
    else:
        options.show("finetune", document, as_json=as_json, verbose=verbose)
