"""`frieze embed`."""

from typing import Any

import click

from frieze.cli import options

_ENGINES = ("auto", "tensorflow", "openvino")
_VIEWS = ("flip", "five-crop")
_PRECISIONS = ("float32", "bfloat16", "float16", "int8")


@click.command(epilog="Example: frieze embed photos --backbone keras:MobileNetV2 --out photos.features")
@click.argument("source")
@click.option(
    "--out", cls=options.PerTable, required=True, metavar="PATH", help="Folder of the table; updated where it exists."
)
@click.option("--backbone", cls=options.PerTable, metavar="SPEC", help="See: frieze backbones.  [default: builtin]")
@options.weights_of_each
@click.option("--layer", cls=options.PerTable, metavar="NAME", help="Layer or output to read.  [default: the last one]")
@options.pools
@options.image_sizes
@options.fits
@options.pixel_ranges
@click.option(
    "--stretch/--no-stretch", default=None, help="Stretch images of more than 8 bits per channel to their own range."
)
@click.option(
    "--scale",
    cls=options.OrDefault,
    metavar="LOW..HIGH",
    help="Values of black and white of images of more than 8 bits.  [default: what the file states]",
)
@click.option(
    "--bands",
    cls=options.OrDefault,
    metavar="R,G,B|N",
    help="Bands of a multispectral TIFF to show as red, green and blue, or as grey.",
)
@options.trust_backbone
@click.option(
    "--text-encoder",
    cls=options.PerTable,
    metavar="PATH",
    help="ONNX file, or folder with one or a SavedModel, of the text tower, to search by words.",
)
@click.option("--engine", cls=options.OrDefault, type=click.Choice(_ENGINES), help="What runs it.  [default: auto]")
@click.option(
    "--precision", cls=options.PerTable, type=click.Choice(_PRECISIONS), help="Lower is faster.  [default: float32]"
)
@click.option(
    "--views", cls=options.PerTable, type=click.Choice(_VIEWS), help="Average the vectors of several views of an image."
)
@click.option(
    "--accept-drift/--no-accept-drift",
    default=None,
    help="Accept an engine or precision that changes the neighbours.",
)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|gpu|NAME,...", help="Where it runs.")
@click.option("--batch-size", type=options.Size(), default="auto", show_default=True, help="Images per batch.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Images decoded at once.  [default: measured]")
@click.option("--labels", metavar="folder|none|FILE", help="Where labels come from.  [default: folder]")
@click.option("--image", metavar="COLUMN", help="Column of paths or bytes in a manifest.  [default: a usual name]")
@click.option(
    "--id", metavar="COLUMN", help="Column of ids, also in a --labels FILE.  [default: id, else the image's path]"
)
@click.option(
    "--label", metavar="COLUMN", help="Column of labels, in a --labels FILE or the manifest.  [default: a usual name]"
)
@click.option(
    "--label-from",
    metavar="REGEX",
    help="Label by the first match in an image's path below SOURCE: its group, or all of it.",
)
@click.option(
    "--query",
    metavar="SQL",
    help="Query that returns the images of a SQLite or DuckDB file: 'select path, label from photos'.",
)
@click.option(
    "--boxes",
    metavar="PATH",
    help="Boxes as rows, in place of images: COCO .json, YOLO data.yaml or labels, VOC .xml, labelme .json, a table.",
)
@click.option(
    "--box-columns",
    metavar="X,Y,WIDTH,HEIGHT",
    help="Boxes as rows: columns of a manifest, each row of which is a box; also XMIN,YMIN,XMAX,YMAX.",
)
@click.option(
    "--tiles", metavar="RxC[+N%]", help="Tiles of each image as rows: 2x3 are two rows of three; +10% overlaps them."
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Exclude files and folders by name, or by path below SOURCE; repeat for several.",
)
@click.option("--allow-private", is_flag=True, help="Fetch URLs also from addresses that are not public.")
@click.option("--keep", metavar="FOLDER", help="Keep fetched images in FOLDER; a later run reads them from there.")
@click.option("--shard-size", type=click.IntRange(min=1), default=4096, show_default=True, help="Images in a new part.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Embed at most N images in this run.")
@click.option("--retry-failures", is_flag=True, help="Embed the images that failed before, and nothing else.")
@click.option(
    "--max-pixels",
    cls=options.OrDefault,
    type=click.IntRange(min=1),
    metavar="N",
    help="Refuse larger images.  [default: 178956970]",
)
@click.option(
    "--frames",
    cls=options.OrDefault,
    metavar="first|all|N|SECONDSs",
    help="Frames of TIFF files, animations and videos: all, N a file, or one each 2s of a video.  [default: first]",
)
@click.option(
    "--max-bytes",
    cls=options.OrDefault,
    type=click.IntRange(min=1),
    metavar="N",
    help="Refuse larger files.  [default: 1073741824]",
)
@click.option(
    "--accept-truncated/--no-accept-truncated",
    default=None,
    help="Accept truncated images, as far as they can be decoded.",
)
@click.option(
    "--image-timeout",
    cls=options.OrDefault,
    type=float,
    metavar="SECONDS",
    help="Refuse images that take longer to decode.  [default: no limit]",
)
@click.option(
    "--stats/--no-stats",
    default=None,
    help="Store brightness, contrast, sharpness, entropy, colourfulness and aspect as columns, in a new table.",
)
@options.cluster
@click.option("--dry-run", is_flag=True, help="Write nothing: estimate images, bytes and time.")
@options.force
@options.verbose
@options.as_json
def embed(*, as_json: bool, verbose: bool, **parameters: Any) -> None:
    """Embed every image of SOURCE once.

    SOURCE is a folder of images or of shards, one image, a glob in quotes, a manifest (.csv, .jsonl, .parquet), a list
    of paths or http URLs (.txt, or - for stdin), .tar, .zip or .tfrecord archives, arrays (.h5, .npy, .npz), a database
    with --query, a saved Hugging Face data set, or the s3://, gs:// or hf:// URL of one of these. Run it again at any
    time: only new and changed images are embedded, and options that shape the rows keep their values where they are
    omitted ('' restores the default). Images that can't be used are listed in failures.parquet, and the exit code is 3.

    Several --out make several tables in one pass, which reads and decodes each image once: --backbone, --weights,
    --layer, --pool, --image-size, --fit, --pixels, --precision and --views are then given once for all, or once for
    each in that order.
    """
    from frieze import terminal
    from frieze.api import tables

    result = tables.embed(parameters.pop("source"), **parameters)
    documents = result if isinstance(result, list) else [result]
    if as_json:
        terminal.show_json({"tables": documents} if isinstance(result, list) else result)
    for document in documents:
        if not as_json:
            options.show("embed", document, as_json=False, verbose=verbose)
        _warn(document)
    done = [document for document in documents if not document.get("dry_run")]
    options.end_all({f"see {document['out']}/failures.parquet": document for document in done})


def _warn(document: dict[str, Any]) -> None:
    """Print what is to be known of a table beside its figures."""
    from frieze import terminal

    terminal.log_pixel_range(document)
    options.show_changes(document)
    options.warn_of_source(document)
    options.warn_of_removed(document)
    options.warn_of_images(
        document,
        hint="with --stretch each takes its own lowest value for black, highest for white;"
        " --scale LOW..HIGH states both for all",
    )
    reasons = document.get("failures")
    if isinstance(reasons, dict) and (n_private := reasons.get("private address")):
        mend = "where they are of your own network, add: --allow-private --retry-failures"
        terminal.show_note(f"URLs that lead to addresses that are not public: {n_private:,}; {mend}")
