"""`frieze backbones`."""

from typing import Any

import click

from frieze.cli import options

_COLUMNS = ("handle", "dim", "image_size", "parameters", "pixels")
_TRIED = (
    "backbone", "engine", "precision", "images_per_second", "times_float32", "recall_at_10", "least_cosine", "reason",
)  # fmt: skip
_OTHERS = (
    "Also accepted: a SavedModel's folder, a .keras or .onnx file, and handles of tfhub.dev and kaggle.com/models."
)


@click.command(epilog="Example: frieze backbones --try photos --backbone keras:MobileNetV2")
@click.option("--try", "source", metavar="SOURCE", help="Try engines and precisions on some of these images.")
@click.option(
    "--backbone", multiple=True, metavar="SPEC", help="With --try: which; repeat for several.  [default: builtin]"
)
@click.option("--layer", metavar="NAME", help="With --try: layer or output to read.  [default: the last one]")
@options.pool
@options.image_size
@options.pixels
@options.as_json
def backbones(*, source: str | None, backbone: tuple[str, ...], as_json: bool, **parameters: Any) -> None:
    """List the named backbones with width, input size and parameters.

    With --try the table is of engines and precisions instead, on this machine and a sample of these images: images a
    second of the network alone, how many times float32's that is, recall@10 and least cosine to TensorFlow in float32
    (to OpenVINO for .onnx files), and the reason where embed refuses one here. It takes minutes.
    """
    from frieze import terminal
    from frieze.api import tables

    rows = tables.backbones(source, backbone=backbone, **parameters)
    if as_json:
        terminal.show_json(rows)
    elif source is not None:
        terminal.show_table([_shown(row) for row in rows], _TRIED)
    else:
        terminal.show_table(rows, _COLUMNS)
        terminal.show_message(_OTHERS)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table of engines and precisions."""
    layers, drift = row["float32_layers"], row["drift"] or {}
    left = f"{len(layers)} layers" if isinstance(layers, list) else "first layers"
    precision = f"{row['precision']}, {left} in float32" if layers else row["precision"]
    return row | {name: drift.get(name) for name in ("recall_at_10", "least_cosine")} | {"precision": precision}
