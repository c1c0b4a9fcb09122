"""The commands as Python functions: each returns the document that the command prints with `--json`.

A room is imported by the functions that need it: a search by id does not wait for the embedder and the heads.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frieze import features as stored
from frieze import terminal as output
from frieze.api.folder_kinds import describe
from frieze.api.paths import is_url, to_place, to_table_place
from frieze.core import TablePath

if TYPE_CHECKING:
    from frieze.embedder import BackboneRequest, JobOptions


def embed(
    source: Any,
    *,
    out: str | Path,
    backbone: str | None = None,
    weights: str | None = None,
    layer: str | None = None,
    image_size: int | str | tuple[int, int] | None = None,
    fit: str | None = None,
    pixels: str | None = None,
    stretch: bool | None = None,
    trust_backbone: bool = False,
    engine: str | None = None,
    precision: str | None = None,
    accept_drift: bool | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    labels: str | Path | None = None,
    image: str | None = None,
    id: str | None = None,  # noqa: A002  the option's name
    label: str | None = None,
    exclude: str | Sequence[str] = (),
    max_pixels: int | str | None = None,
    max_bytes: int | str | None = None,
    accept_truncated: bool | None = None,
    shard_size: int = 4096,
    limit: int | None = None,
    retry_failures: bool = False,
    force: bool = False,
    dry_run: bool = False,
    ray: str | None = None,
    cpus_per_worker: int | None = None,
) -> dict[str, Any]:
    """Turn every image of a source into an embedding, once; run it again to bring the table up to date.

    The table remembers what shapes its rows: the backbone and how it is read, engine and precision, where labels come
    from, names of columns, limits, what is excluded. Such an option that is left out is as it was the last time; an
    empty text asks for its default again.

    Args:
        source: A path, glob or URL as README's table of sources has them, or `-` for a list of paths on stdin; or a
            uint8 array [N, H, W, 3]; or a list or generator of arrays, PIL images, bytes or paths, each alone, as
            `(id, image)`, or as a dict with `image` and, where wanted, `id`, `label` and other columns. Here an id that
            is not given is the element's number, also of a path, and a label that is not given is unknown: a list of
            paths in a file or on stdin takes both from the path.
        out: Folder of the table; gone on with when it is there.
        backbone: `builtin` (default), `keras:NAME`, a SavedModel's folder, a `.keras` file or a hub URL.
        weights: For `keras:NAME`: `imagenet` (default), `random` or a file.
        layer: Layer or output to read; the last one by default.
        image_size: Side in pixels of what the network sees, or `HxW`, or both numbers; its own by default.
        fit: How an image meets that square: `squash` (default), `crop` or `pad`.
        pixels: Range the network was trained on: `0..1`, `-1..1`, `0..255`, `caffe` or `torch`.
        stretch: Of images of more than 8 bits a channel take the lowest value of each for black, its highest for white.
        trust_backbone: Run a SavedModel that reads or writes files, calls Python or the like.
        engine: `tensorflow`, `openvino` (CPU), or `auto` (default) for the one that is faster on some of the images.
        precision: `float32` (default); `bfloat16` (CPU) and `float16` (GPU) are refused where they change neighbours.
        accept_drift: Take an engine or precision that changes the vectors too much, too.
        device: `auto` (every GPU, else the CPU), `cpu`, `gpu`, or names such as `gpu:1`, with commas.
        batch_size: Images a batch; None for the fastest, found by a short trial.
        workers: Threads that decode; None for as many as their share of the work wants.
        labels: `folder` (default: the parent folder's name, or what a manifest says), `none`, or a file with ids and
            labels.
        image: Column that holds an image's path or bytes; a usual name by default.
        id: Column of the ids; `id` by default, then where the image lies.
        label: Column of the labels; a usual name by default.
        exclude: Patterns of what is left out, each of a file's or folder's name (`*_thumb.jpg`) or, with a slash, of a
            path below the source (`2019/**/small`).
        max_pixels: Refuse images of more pixels; 178,956,970 by default.
        max_bytes: Refuse files of more bytes; 1 GiB by default.
        accept_truncated: Take images that end too early, as far as they go.
        shard_size: Images in a new part.
        limit: Embed at most so many images in this run.
        retry_failures: Embed the images that failed before, and nothing else.
        force: Make the table anew.
        dry_run: Write nothing; estimate images, bytes and seconds from a few images.
        ray: `auto` for the Ray cluster that this machine belongs to, or a cluster's address; its machines embed.
        cpus_per_worker: Cores of each of its workers; by default one worker a GPU, or one a machine.

    Returns:
        Counts, seconds, images per second, and what was used.

    Raises:
        InputError: Something you can mend; the message says how. What is stored stays.
    """
    return _embed(source, to_table_place(out), locals())  # every option: each belongs where a field has its name


def _embed(source: Any, place: TablePath, asked: dict[str, Any]) -> dict[str, Any]:
    import frieze.embedder

    recalled = frieze.embedder.recall(_with_absolute_labels(asked), source, place)
    request, options = _to_options(recalled.options)
    title, run = (
        ("Estimating", frieze.embedder.estimate_source)
        if asked["dry_run"]
        else ("Embedding", frieze.embedder.embed_source)
    )
    with output.progress(title, "images") as step:
        document = run(source, place, request=request, options=options, progress=step)
    return document | recalled.to_json()


def _with_absolute_labels(asked: dict[str, Any]) -> dict[str, Any]:
    """Make the path of a file of labels absolute: it is remembered."""
    from frieze.embedder import LABELS

    labels = asked["labels"]
    is_path = labels not in (None, "", *LABELS) and not is_url(labels)
    return asked | {"labels": str(to_place(labels)) if is_path else labels}


def _to_options(asked: dict[str, Any]) -> tuple["BackboneRequest", "JobOptions"]:
    """Sort the options of `embed` into what is asked of the backbone, of the source, and of the run."""
    from frieze.embedder import BackboneRequest, JobOptions, Limits, SourceOptions

    def take(kind: Any, **others: Any) -> Any:
        return kind(
            **{field.name: asked[field.name] for field in dataclasses.fields(kind) if field.name in asked} | others
        )

    request = take(BackboneRequest, handle=asked["backbone"], trust=asked["trust_backbone"])
    source = take(SourceOptions, exclude=tuple(asked["exclude"]))
    return request, take(JobOptions, source=source, limits=take(Limits))


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
    """Bring vectors made elsewhere into a table of features; run it again to go on after a stop.

    Args:
        vectors: A `.npy` file [N, D], a Parquet file, a folder of Parquet files, or clip-retrieval's folder.
        out: Folder of the table; gone on with when it was begun from the same files.
        id: Column of the ids; by default `id` (clip-retrieval: `image_path`, where no value repeats), then the row's
            number, after the file's name in a folder: `FILE/ROW`.
        embedding: Column of the vectors; by default `embedding`, or the only one with lists of numbers.
        label: Column of the labels; `label` by default, where there is one.
        ids: For a `.npy` file: text with one id a line, or a `.npy` of strings; the row's number by default.
        force: Make the table anew.

    Returns:
        Counts, width and seconds; the files' fingerprint stands where a backbone's would.

    Raises:
        InputError: Something you can mend; the message says how. What is stored stays.
    """
    options = stored.VectorOptions(id=id, embedding=embedding, label=label, ids=None if ids is None else to_place(ids))
    place = to_table_place(out)
    with output.progress("Importing", "rows") as step:
        return stored.import_vectors(to_place(vectors), place, options=options, force=force, progress=step)


def info(path: str | Path) -> dict[str, Any]:
    """Say what a folder is: features, an index, a head or an exported model, and what is in it.

    Raises:
        InputError: It is none of ours, or broken.
    """
    return describe(to_table_place(path))


def verify(path: str | Path, *, sample: int = 0) -> dict[str, Any]:
    """Check again all that was promised about a folder: features, an index, a head or an exported model.

    Args:
        path: The folder.
        sample: For features: embed so many images again and compare the vectors.

    Returns:
        `ok`, `problems` (each with check, where, message and mend), and what was counted.

    Raises:
        InputError: It is none of ours, or broken beyond checking.
    """
    from frieze.api import verification

    with output.waiting("Checking"):
        return verification.verify(to_table_place(path), sample=sample)


def backbones() -> list[dict[str, Any]]:
    """List the backbones that can be asked for by name."""
    import frieze.embedder

    return frieze.embedder.list_backbones()
