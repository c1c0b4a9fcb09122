"""`frieze.embed`, `import_vectors`, `info`, `verify`, `backbones` and `cache`.

Each returns the document that its command prints with `--json`. The embedder is imported by the functions that need it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from frieze import features as stored
from frieze import terminal
from frieze.api.folder_kinds import describe
from frieze.api.label_source import absolute_labels
from frieze.api.paths import to_local_or_bucket_path, to_local_path
from frieze.core import InputError, counted

if TYPE_CHECKING:
    from frieze.embedder import BackboneRequest, JobOptions

_T = TypeVar("_T")
PerTable: TypeAlias = _T | list[_T]
"""One value, or a list with one for each table."""
_OF_TABLE = (
    *("out", "backbone", "weights", "layer", "pool", "image_size", "fit", "pixels", "precision", "views"),
    "text_encoder",
)
"""The options of `embed` that may differ from table to table."""


def embed(
    source: Any,
    *,
    out: PerTable[str | Path],
    backbone: PerTable[Any] = None,
    weights: PerTable[str] | None = None,
    layer: PerTable[str] | None = None,
    pool: PerTable[str] | None = None,
    image_size: PerTable[int | str | tuple[int, int]] | None = None,
    fit: PerTable[str] | None = None,
    pixels: PerTable[str] | None = None,
    stretch: bool | None = None,
    scale: str | None = None,
    bands: str | None = None,
    trust_backbone: bool = False,
    text_encoder: PerTable[str | Path] | None = None,
    engine: str | None = None,
    precision: PerTable[str] | None = None,
    views: PerTable[str] | None = None,
    accept_drift: bool | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    labels: str | Path | None = None,
    image: str | None = None,
    id: str | None = None,  # noqa: A002  the option's name
    label: str | None = None,
    label_from: str | None = None,
    query: str | None = None,
    boxes: str | Path | None = None,
    box_columns: str | None = None,
    tiles: str | None = None,
    frames: str | int | None = None,
    exclude: str | Sequence[str] = (),
    allow_private: bool = False,
    keep: str | Path | None = None,
    max_pixels: int | str | None = None,
    max_bytes: int | str | None = None,
    accept_truncated: bool | None = None,
    image_timeout: float | str | None = None,
    stats: bool | None = None,
    shard_size: int = 4096,
    limit: int | None = None,
    retry_failures: bool = False,
    force: bool = False,
    dry_run: bool = False,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
) -> Any:
    """Embed every image of a source once; run it again to update the table, or to resume an interrupted run.

    The table stores the options that shape its rows: backbone, layer, engine and precision, the source of labels,
    names of columns, limits, exclusions. Such an option keeps its value where it is omitted; an empty text restores its
    default.

    A list of folders makes several tables in one pass, which reads and decodes each image once. `backbone`, `weights`,
    `layer`, `image_size`, `fit`, `pixels`, `precision` and `views` are then one value for all tables, or a list with
    one for each. All backbones are in memory at once.

    Args:
        source: A path, glob or URL as in README's table of sources, or `-` for a list of paths on stdin; or a uint8
            array [N, H, W, 3]; or a list or generator of arrays, PIL images, bytes or paths, each alone, as
            `(id, image)`, or as a dict with `image` and optionally `id`, `label` and other columns. In memory an
            omitted id is the element's number, also of a path, and an omitted label is unknown; a list of paths in a
            file or on stdin takes both from the path.
        out: Folder of the table, or a list of several; updated where it exists.
        backbone: `builtin` (default), `keras:NAME`, `kerashub:PRESET`, a SavedModel's folder, a `.keras` or `.onnx`
            file or a hub URL; or a Keras model of this program, or a function by `frieze.as_backbone`.
        weights: For `keras:NAME`: `imagenet` (default), `random` or a file.
        layer: Layer or output to read; the last one by default.
        pool: How maps [h, w, D] or tokens [T, D] become one vector: `avg`, `max`, `gem` (generalized mean), `cls` (the
            first token) or `none` (all numbers as they are); by default `avg` of maps, while tokens need one.
        image_size: Side of the network's input in pixels, or `HxW`, or both numbers; its own by default.
        fit: How an image is resized to that size: `squash` (default), `crop` or `pad`.
        pixels: Range the network was trained on: `0..1`, `-1..1`, `0..255`, `caffe`, `torch` or `clip`.
        stretch: Stretch images of more than 8 bits per channel: the lowest value becomes black, the highest white.
        scale: Values of black and white of images of more than 8 bits per channel, such as `0..1` or `0..10000`; by
            default what each file states, which floating-point pixels do not.
        bands: Bands of TIFF files with others than red, green, blue and alpha: for red, green and blue, as `4,3,2`, or
            the one for grey, counted from 1.
        trust_backbone: Run a SavedModel that reads or writes files, calls Python or the like.
        text_encoder: The text tower of the backbone, with which `search` takes words: an ONNX file beside its
            `tokenizer.json`, or their folder; or a folder with a SavedModel and that file. Two-tower presets of
            KerasHub bring their own.
        engine: `tensorflow`, `openvino` (CPU), or `auto` (default) for the one that is faster on some of the images.
        precision: `float32` (default); `bfloat16` and `int8` (CPU) and `float16` (GPU) are refused where they change
            neighbours; `int8` is calibrated on some of the images.
        views: Average the unit vectors of several views of an image: `flip`, itself and its mirror image, or
            `five-crop`, corners and middle; the network runs as many times.
        accept_drift: Accept an engine or precision that changes the embeddings too much.
        device: `auto` (every GPU, else the CPU), `cpu`, `gpu`, or names such as `gpu:1`, comma-separated.
        batch_size: Images per batch; None for the fastest, measured in a short trial.
        workers: Images decoded at once; None to choose by their measured share of the work.
        labels: `folder` (default: the parent folder's name, or the labels of a manifest), `none`, or a file with ids
            and labels.
        image: Column that holds an image's path or bytes; a usual name by default.
        id: Column of the ids; `id` by default, then the image's path.
        label: Column of the labels; a usual name by default.
        label_from: A regular expression in place of `labels`: its first match in the path below the source gives the
            label, by its group (`batch_([0-9]+)/`) or as a whole.
        query: The query that returns the images of a SQLite or DuckDB file: a column of paths or bytes, and any others.
        boxes: A file or folder of boxes (COCO, YOLO, Pascal VOC, labelme, or a table with a path and x, y, width,
            height in pixels or shares): each is a row in place of its image, with the id `IMAGE#x,y,w,h` and its label.
        box_columns: Four columns of a manifest or table whose rows are boxes, by names that end like
            `x,y,width,height`, `xmin,ymin,xmax,ymax` or `x_center,y_center,width,height`: rows as with `boxes`.
        tiles: Cut each image into tiles, each of which is a row as a box is: rows x columns, as `2x3`, or with the
            share of a tile that neighbours have in common, as `2x3+10%`.
        frames: Frames of a TIFF file or animation, and of videos: `first` (default; no videos), `all`, at most so many
            a file, or `2s` for a frame of a video each two seconds.
        exclude: Patterns to exclude, each of a file's or folder's name (`*_thumb.jpg`) or, with a slash, of a path
            below the source (`2019/**/small`).
        allow_private: Fetch http and https URLs also from addresses that are not public.
        keep: Folder where fetched images are kept by their sha256; a later run reads them from there.
        max_pixels: Refuse images of more pixels; 178,956,970 by default.
        max_bytes: Refuse files of more bytes; 1 GiB by default.
        accept_truncated: Accept truncated images, as far as they can be decoded.
        image_timeout: Refuse images that take more seconds to decode; processes of their own then decode.
        stats: Store picture statistics of a new table as columns: brightness, contrast, sharpness, entropy,
            colourfulness and aspect.
        shard_size: Images in a new part.
        limit: Embed at most this many images in this run.
        retry_failures: Embed the images that failed before, and nothing else.
        force: Replace the table.
        dry_run: Write nothing; estimate images, bytes and seconds from a few images.
        ray: `auto` for the Ray cluster that this machine belongs to, or a cluster's address; its machines embed.
        cpus_per_worker: Cores of each of its workers; by default one worker per GPU, or one per machine.

    Returns:
        Counts, seconds, images per second, and the options used; for a list of folders a list of these.

    Raises:
        InputError: The request can't be met; the hint says what to change. What is stored stays.
    """
    return _embed(**locals())


def _embed(source: Any, *, dry_run: bool, **given: Any) -> Any:
    import frieze.embedder

    makes_several = isinstance(given["out"], list)
    given["labels"] = absolute_labels(given["labels"])
    given["boxes"] = given["boxes"] and str(Path(given["boxes"]).absolute())
    one_or_several = given["backbone"]
    given["backbone"] = (
        [_to_handle(one) for one in one_or_several] if isinstance(one_or_several, list) else _to_handle(one_or_several)
    )
    requests, recalled = [], []
    for options_of_table in _split_by_table(given):
        out = to_local_or_bucket_path(options_of_table.pop("out"))
        resolved = frieze.embedder.recall_embed_options(options_of_table, source, out)
        requests.append(frieze.embedder.TableRequest(out, *_to_options(resolved.options)))
        recalled.append(resolved.to_json())
    run = frieze.embedder.estimate_tables if dry_run else frieze.embedder.embed_tables
    with terminal.progress("Estimating" if dry_run else "Embedding", "images") as step:
        documents = run(source, requests, progress=step)
    documents = [document | options for document, options in zip(documents, recalled, strict=True)]
    return documents if makes_several else documents[0]


def _to_handle(backbone: Any) -> str | None:
    """Return the handle of a backbone; a network of this program is registered."""
    from frieze.embedder import as_backbone

    return None if backbone is None else str(backbone) if isinstance(backbone, str | Path) else as_backbone(backbone)


def _split_by_table(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the options of each table.

    Raises:
        InputError: An option has another number of values than there are tables.
    """
    lists = {name: given[name] for name in _OF_TABLE if isinstance(given[name], list)}
    n_tables = len(lists.get("out", [given["out"]]))
    for name, values in lists.items():
        if len(values) not in (1, n_tables) or not n_tables:
            raise InputError(
                f"`{name}` has {counted(len(values), 'value')}, for {counted(n_tables, 'table')}.",
                hint="Give `out` once for each table, and each other option once, or once for each table.",
            )
    return [given | {name: values[table % len(values)] for name, values in lists.items()} for table in range(n_tables)]


def _to_options(options: dict[str, Any]) -> tuple["BackboneRequest", "JobOptions"]:
    """Split the options of `embed` into those of the backbone and those of the job.

    Raises:
        TypeError: An option belongs to none of them.
        InputError: Two options exclude each other.
    """
    from frieze.embedder import BackboneRequest, JobOptions, Limits, SourceOptions

    left = dict(options)

    def take(*names: str) -> dict[str, Any]:
        return {name: left.pop(name) for name in names}

    request = BackboneRequest(
        handle=left.pop("backbone"),
        trust=left.pop("trust_backbone"),
        **take(
            *("weights", "layer", "pool", "image_size", "fit", "pixels", "stretch", "scale", "bands", "precision"),
            *("views", "text_encoder"),
        ),
    )
    limits = Limits(**take("max_pixels", "max_bytes", "accept_truncated", "image_timeout"))
    exclude = tuple(left.pop("exclude"))
    keep = left.pop("keep")
    source = SourceOptions(
        exclude=exclude,
        max_bytes=limits.max_bytes,
        limits=limits,
        keep=None if keep is None else str(keep),
        allow_private=left.pop("allow_private"),
        **take("labels", "image", "id", "label", "label_from", "query", "boxes", "box_columns", "tiles", "frames"),
    )
    return request, JobOptions(source=source, limits=limits, **left)


def import_vectors(
    vectors: str | Path,
    *,
    out: str | Path,
    id: str | None = None,  # noqa: A002  the option's name
    embedding: str | None = None,
    label: str | None = None,
    ids: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Import vectors made elsewhere into a table of features; run it again to resume an interrupted import.

    Args:
        vectors: A `.npy` file [N, D], a Parquet file, a folder of Parquet files, or clip-retrieval's folder.
        out: Folder of the table; resumed where it was started from the same files.
        id: Column of the ids; by default `id` (clip-retrieval: `image_path`, where no value repeats), then the row's
            number, after the file's name in a folder: `FILE/ROW`.
        embedding: Column of the vectors; by default `embedding`, or the only one with lists of numbers.
        label: Column of the labels; `label` by default, where there is one.
        ids: For a `.npy` file: text with one id per line, or a `.npy` of strings; the row's number by default.
        force: Replace the table.

    Returns:
        Counts, width and seconds; the files' fingerprint in place of a backbone's.

    Raises:
        InputError: The request can't be met; the hint says what to change. What is stored stays.
    """
    options = stored.VectorOptions(
        id=id, embedding=embedding, label=label, ids=None if ids is None else to_local_path(ids)
    )
    table_path = to_local_or_bucket_path(out)
    with terminal.progress("Importing", "rows") as step:
        return stored.import_vectors(to_local_path(vectors), table_path, options=options, force=force, progress=step)


def info(path: str | Path) -> dict[str, Any]:
    """Describe a folder: features, an index, a head or an exported model.

    Raises:
        InputError: It is none of these, or broken.
    """
    return describe(to_local_or_bucket_path(path))


def verify(path: str | Path, *, sample: int = 0) -> dict[str, Any]:
    """Verify files, hashes and contents of a folder: features, an index, a head or an exported model.

    Args:
        path: The folder.
        sample: For features: embed this many images again and compare the vectors.

    Returns:
        `ok`, `problems` (each with check, where, message and mend), and counts.

    Raises:
        InputError: It is none of these, or too broken to be checked.
    """
    from frieze.api import verification

    with terminal.spinner("Checking"):
        return verification.verify(to_local_or_bucket_path(path), sample=sample)


def backbones(
    source: Any = None,
    *,
    backbone: str | Sequence[str] = (),
    layer: str | None = None,
    pool: str | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    pixels: str | None = None,
) -> list[dict[str, Any]]:
    """List the named backbones, or try backbones in every engine and precision on some of your images.

    Args:
        source: Images to try on, as `embed` takes them; None to list the named backbones.
        backbone: Which to try, as `embed` takes it; several in a list. `builtin` by default.
        layer: As for `embed`, of each of them; likewise the others.
        pool: As for `embed`.
        image_size: As for `embed`.
        pixels: As for `embed`.

    Returns:
        The rows of `frieze backbones --json`.

    Raises:
        InputError: There is no such source or backbone, or no usable image; or `backbone` without `source`.
    """
    import frieze.embedder

    handles = [backbone] if isinstance(backbone, str) else list(backbone)
    if source is None:
        if handles:
            raise InputError("`backbone` says what to try, and there are no images.", hint="Give `source`, too.")
        return frieze.embedder.list_backbones()
    requests = [
        frieze.embedder.BackboneRequest(handle=handle, layer=layer, pool=pool, image_size=image_size, pixels=pixels)
        for handle in handles or ["builtin"]
    ]
    opened = frieze.embedder.open_source(source, frieze.embedder.SourceOptions())
    with terminal.spinner("Trying engines and precisions"):
        return frieze.embedder.try_precisions(opened, requests)


def cache(*, clear: bool = False) -> dict[str, Any]:
    """List the compiled backbones that are kept in the user's cache.

    Args:
        clear: Delete them.

    Returns:
        The document of `frieze cache --json`: `graphs`, the one that was used last first, `bytes` and `folder`.
    """
    import frieze.embedder

    graphs = frieze.embedder.list_graphs()
    if clear:
        frieze.embedder.clear_graphs()
    folder = str(frieze.embedder.graph_cache_dir())
    return {"graphs": graphs, "bytes": sum(graph["bytes"] for graph in graphs), "folder": folder}
