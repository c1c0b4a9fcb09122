"""`frieze embed`."""

from typing import Any

import click

from frieze.commands import options

_ENGINES = ("auto", "tensorflow", "openvino")
_PRECISIONS = ("float32", "bfloat16", "float16")


@click.command(epilog="Example: frieze embed photos --backbone keras:MobileNetV2 --out photos.features")
@click.argument("source")
@options.out("Folder of the table; gone on with when it is there.")
@click.option("--backbone", default="builtin", show_default=True, metavar="SPEC", help="See: frieze backbones")
@options.weights
@click.option("--layer", metavar="NAME", help="Layer or output to read.  [default: the last one]")
@options.image_size
@options.fit
@options.pixels
@click.option(
    "--stretch/--no-stretch", default=None, help="Stretch images of more than 8 bits a channel to the range of each."
)
@options.trust_backbone
@click.option("--engine", type=click.Choice(_ENGINES), default="auto", show_default=True, help="What runs it.")
@click.option(
    "--precision", type=click.Choice(_PRECISIONS), default="float32", show_default=True, help="Lower is faster."
)
@click.option("--accept-drift", is_flag=True, help="Take an engine or precision that changes the neighbours, too.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|gpu|NAME,...", help="Where it runs.")
@click.option("--batch-size", type=options.Size(), default="auto", show_default=True, help="Images a batch.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Threads that decode.  [default: measured]")
@click.option(
    "--labels", default="folder", show_default=True, metavar="folder|none|FILE", help="Where labels come from."
)
@click.option("--image", metavar="COLUMN", help="Column of paths or bytes in a manifest.  [default: a usual name]")
@click.option(
    "--id", metavar="COLUMN", help="Column of ids, also in a --labels FILE.  [default: id, else where the image lies]"
)
@click.option(
    "--label", metavar="COLUMN", help="Column of labels, in a --labels FILE or the manifest.  [default: a usual name]"
)
@click.option("--shard-size", type=click.IntRange(min=1), default=4096, show_default=True, help="Images in a new part.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Embed at most N images in this run.")
@click.option("--retry-failures", is_flag=True, help="Embed the images that failed before, and nothing else.")
@click.option(
    "--max-pixels", type=click.IntRange(min=1), default=178_956_970, metavar="N", help="Refuse larger images."
)
@click.option("--max-bytes", type=click.IntRange(min=1), default=1 << 30, metavar="N", help="Refuse larger files.")
@click.option("--accept-truncated", is_flag=True, help="Take images that end too early, as far as they go.")
@options.cluster
@click.option("--dry-run", is_flag=True, help="Write nothing: estimate images, bytes and time.")
@options.force
@options.as_json
def embed(*, as_json: bool, **asked: Any) -> None:
    """Turn every image of SOURCE into an embedding, once.

    SOURCE is a folder of images or of shards, one image, a glob in quotes, a manifest (.csv, .jsonl, .parquet), a list
    of paths (.txt, or - for stdin), .tar, .zip or .tfrecord archives, or s3:// and gs:// places of these. Run it again
    at any time: only what is new or changed is embedded. Images that can't be used are listed in failures.parquet, and
    the exit code is 3.
    """
    from frieze import api, output

    document = api.embed(asked.pop("source"), **asked)
    if as_json:
        output.show_json(document)
    else:
        output.show_facts(document)
    output.say_pixels(document)
    options.warn_of_source(document)
    options.warn_of_range(document, mend="with --stretch each takes its own lowest value for black, highest for white")
    if not document.get("dry_run"):
        options.end(document, where=f"see {document['out']}/failures.parquet")
