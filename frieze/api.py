"""The commands as Python functions: each returns the document that the command prints with `--json`.

A room is imported by the functions that need it: a search by id does not wait for the embedder and the heads.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import features as stored
from frieze import output
from frieze.information import check_kind, describe
from frieze.places import is_url, open_table, to_place, to_table_place
from frieze.queries import to_vectors
from frieze.reindexing import recall_index
from frieze.report import check_page, write_report
from frieze.result_tables import check_groups, check_hits, write_groups, write_hits
from frieze.searching import Wanted, answer

if TYPE_CHECKING:
    from embedder import BackboneRequest, JobOptions


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


def _embed(source: Any, place: Path, asked: dict[str, Any]) -> dict[str, Any]:
    import embedder

    recalled = embedder.recall(_with_absolute_labels(asked), source, place)
    request, options = _to_options(recalled.asked)
    title, run = ("Estimating", embedder.estimate_source) if asked["dry_run"] else ("Embedding", embedder.embed_source)
    with output.progress(title, "images") as step:
        document = run(source, place, request=request, options=options, progress=step)
    return document | recalled.to_json()


def _with_absolute_labels(asked: dict[str, Any]) -> dict[str, Any]:
    """Make the path of a file of labels absolute: it is remembered."""
    from embedder import LABELS

    labels = asked["labels"]
    is_path = labels not in (None, "", *LABELS) and not is_url(labels)
    return asked | {"labels": str(to_place(labels)) if is_path else labels}


def _to_options(asked: dict[str, Any]) -> tuple["BackboneRequest", "JobOptions"]:
    """Sort the options of `embed` into what is asked of the backbone, of the source, and of the run."""
    from embedder import BackboneRequest, JobOptions, Limits, SourceOptions

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
    from frieze import verification

    with output.waiting("Checking"):
        return verification.verify(to_table_place(path), sample=sample)


def index(
    features: str | Path,
    *,
    out: str | Path,
    metric: str | None = None,
    recall: float | str | None = None,
    kind: str | None = None,
    max_memory: str | int | None = None,
    max_build_memory: str | int | None = None,
    force: bool = False,
    ray: str | None = None,
) -> dict[str, Any]:
    """Build a FAISS index over a table of features, or bring one up to date.

    An option that is left out is as the index of that table at `out` was asked for; an empty text asks for its default
    again.

    Args:
        features: The table's folder.
        out: Folder of the index.
        metric: `cosine` (default), `l2` or `dot`.
        recall: Wanted recall@10, in (0, 1]; 0.95 by default.
        kind: `auto` (default), or the name of a kind.
        max_memory: What the index may hold in memory while it serves, such as `500MB`; any by default.
        max_build_memory: What building it may take in memory.
        force: Build anew, also over an index of another backbone.
        ray: `auto` or the address of a Ray cluster, whose machines fill the index.

    Returns:
        What was chosen and measured; options that the index before brought (`remembered`) or was asked for otherwise
        (`changed`).

    Raises:
        InputError: Something you can mend; the message says how.
    """
    from index import build_index

    recalled = recall_index(locals(), features, to_place(out))
    table = open_table(features)
    with output.waiting("Indexing"):
        document = build_index(
            table, to_place(out), **recalled.asked, max_build_memory=max_build_memory, force=force, ray=ray
        )
    return document | recalled.to_json()


def search(
    index: str | Path,
    query: Any,
    *,
    k: int = 10,
    where: str | None = None,
    min_score: float | None = None,
    html: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Find the most similar images.

    Args:
        index: The index's folder.
        query: One of these, or a list: an image file, `id:NAME` of a stored image, a `.npy` file of vectors [n, D], a
            PIL image, an image file's bytes, uint8 pixels [H, W, 3] or [n, H, W, 3], vectors [D] or [n, D] of floats.
        k: Hits a query at most.
        where: Find only images that pass this filter: a condition in SQL's words over the hits' columns, such as
            `label = 'cat' and year >= 2019`.
        min_score: Leave out hits below this score.
        html: Write the hits as pictures to this file.
        out: Write the hits as a table to this file: Parquet, CSV or JSON lines, by its suffix.
        force: Replace a table of hits that is there.

    Returns:
        For each query its hits, best first: id, score (higher is nearer), label, uri and the table's other columns. An
        image or vector in memory is named `image N` or `vector N`, by its place N among the queries from 0 on.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    from index import open_index

    if html is not None:
        check_page(to_place(html))
    if out is not None:
        check_hits(to_place(out), force=force)
    check_kind(to_place(index), "index")
    opened = open_index(to_place(index))
    names, vectors = to_vectors(opened, query, where=str(index))
    document = answer(opened, names, vectors, Wanted(k, where, min_score)) | {"index": str(index)}
    if html is not None:
        write_report(html, title="Search results", found=document)
    if out is None:
        return document
    write_hits(to_place(out), document, opened)
    return document | {"out": str(to_place(out)), "renamed": opened.renamed_in_tables}


def duplicates(
    index: str | Path,
    *,
    min_score: float | None = None,
    html: str | Path | None = None,
    out: str | Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Find the groups of images that are duplicates of each other: equal files first, then near-duplicates.

    Args:
        index: The index's folder.
        min_score: The lowest score of a pair of near-duplicates; drawn from the collection by default.
        html: Write the groups as pictures to this file.
        out: Write the groups as a table, a row an image, to this file: Parquet, CSV or JSON lines, by its suffix.
        force: Replace a table of duplicates that is there.

    Returns:
        The groups, largest first: of each the ids, the one to keep first, and the lowest score inside it.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    from index import find_duplicates, open_index

    if html is not None:
        check_page(to_place(html))
    if out is not None:
        check_groups(to_place(out), force=force)
    check_kind(to_place(index), "index")
    opened = open_index(to_place(index))
    with output.progress("Comparing", "images") as step:
        found = find_duplicates(opened, min_score=min_score, progress=step)
    document = {"index": str(index), "stale": opened.staleness(), **found}
    if html is not None:
        write_report(html, title="Duplicates", duplicates=document)
    if out is None:
        return document
    write_groups(to_place(out), document)
    return document | {"out": str(to_place(out))}


def backbones() -> list[dict[str, Any]]:
    """List the backbones that can be asked for by name."""
    import embedder

    return embedder.list_backbones()
