"""The commands as Python functions: each returns the document that the command prints with `--json`."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import classifiers
import embedder
import features as stored
from features import Floats, InputError, is_features
from frieze import output
from frieze.information import describe
from frieze.report import write_report
from index import Index, build_index, open_index

_ID = "id:"


def embed(
    source: str | Path,
    *,
    out: str | Path,
    backbone: str = "builtin",
    weights: str | None = None,
    layer: str | None = None,
    image_size: int | None = None,
    fit: str = "squash",
    pixels: str | None = None,
    engine: str = "auto",
    batch_size: int | None = None,
    workers: int | None = None,
    labels: str = "folder",
    shard_size: int = 4096,
    limit: int | None = None,
    retry_failures: bool = False,
    force: bool = False,
) -> dict[str, Any]:
    """Turn every image of a source into an embedding, once; run it again to bring the table up to date.

    Args:
        source: A folder of images, walked recursively, or one image.
        out: Folder of the table; gone on with when it is there.
        backbone: `builtin`, `keras:NAME`, a SavedModel's folder, a `.keras` file or a hub URL.
        weights: For `keras:NAME`: `imagenet` (default), `random` or a file.
        layer: Layer or output to read; the last one by default.
        image_size: Side in pixels of what the network sees; its own by default.
        fit: How an image meets that square: `squash`, `crop` or `pad`.
        pixels: Range the network was trained on: `0..1`, `-1..1`, `0..255`, `caffe` or `torch`.
        engine: `auto` or `tensorflow`.
        batch_size: Images a batch; None leaves it to the engine.
        workers: Threads that decode; None for one a core.
        labels: `folder` (the parent folder's name) or `none`.
        shard_size: Images in a new part.
        limit: Embed at most so many images in this run.
        retry_failures: Embed the images that failed before, and nothing else.
        force: Make the table anew.

    Returns:
        Counts, seconds, images per second, and what was used.

    Raises:
        InputError: Something you can mend; the message says how. What is stored stays.
    """
    request = embedder.BackboneRequest(
        handle=backbone, weights=weights, layer=layer, image_size=image_size, fit=fit, pixels=pixels
    )
    options = embedder.JobOptions(
        engine=engine,
        batch_size=batch_size,
        workers=workers,
        labels=labels,
        shard_size=shard_size,
        limit=limit,
        retry_failures=retry_failures,
        force=force,
    )
    with output.progress("Embedding", "images") as step:
        return embedder.embed_source(str(source), Path(out).absolute(), request=request, options=options, progress=step)


def info(path: str | Path) -> dict[str, Any]:
    """Say what a folder is: features, an index or a head, and what is in it.

    Raises:
        InputError: It is none of ours, or broken.
    """
    return describe(Path(path))


def index(
    features: str | Path,
    *,
    out: str | Path,
    metric: str = "cosine",
    recall: float = 0.95,
    kind: str = "auto",
    force: bool = False,
) -> dict[str, Any]:
    """Build a FAISS index over a table of features, or bring one up to date.

    Args:
        features: The table's folder.
        out: Folder of the index.
        metric: `cosine`, `l2` or `dot`.
        recall: Wanted recall@10, in (0, 1].
        kind: `auto`, `exact` or `ivf`.
        force: Replace an index of another backbone.

    Returns:
        What was chosen and measured.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    table = stored.open_features(features)
    with output.waiting("Indexing"):
        return build_index(table, Path(out), metric=metric, recall=recall, kind=kind, force=force)


def search(
    index: str | Path,
    query: str | Path | Sequence[str | Path],
    *,
    k: int = 10,
    min_score: float | None = None,
    html: str | Path | None = None,
) -> dict[str, Any]:
    """Find the most similar images.

    Args:
        index: The index's folder.
        query: One or more of: an image file, `id:NAME` of a stored image, a `.npy` file of vectors [n, D].
        k: Hits a query at most.
        min_score: Leave out hits below this score.
        html: Write the hits as pictures to this file.

    Returns:
        For each query its hits, best first: id, score (higher is nearer), label, uri and the table's other columns.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    opened = open_index(index)
    names, vectors = _queries(opened, [query] if isinstance(query, str | Path) else query, where=str(index))
    hits = opened.search(vectors, k=k, min_score=min_score)
    found = [{"query": name, "hits": one} for name, one in zip(names, hits, strict=True)]
    document = {"index": str(index), "k": k, "queries": found}
    if html is not None:
        write_report(html, title="Search results", found=document)
    return document


def _queries(index: Index, queries: Sequence[str | Path], *, where: str) -> tuple[list[str], Floats]:
    """Name and embed each query; the backbone is loaded only when one is an image."""
    images = [str(query) for query in queries if not _is_stored(str(query))]
    of_images: dict[str, Floats] = {}
    if images:
        backbone = embedder.reopen_backbone(index.spec, where=where)
        of_images = dict(zip(images, embedder.embed_images(images, backbone)[:, None], strict=True))
    names: list[str] = []
    vectors: list[Floats] = []
    for query in map(str, queries):
        found = of_images[query] if query in of_images else _stored_vectors(index, query)
        names += [query] if len(found) == 1 else [f"{query}[{row}]" for row in range(len(found))]
        vectors.append(found)
    return names, np.concatenate(vectors)


def _is_stored(query: str) -> bool:
    return query.startswith(_ID) or query.endswith(".npy")


def _stored_vectors(index: Index, query: str) -> Floats:
    if query.startswith(_ID):
        return index.embedding(query.removeprefix(_ID))[None]
    try:
        return np.atleast_2d(np.load(query, allow_pickle=False)).astype(np.float32)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{query} can't be read as vectors: {error}.", mend="Save them with numpy.save('FILE.npy', vectors)."
        ) from error


def train(
    features: str | Path,
    *,
    out: str | Path,
    head: str = "linear",
    test_size: float = 0.2,
    seed: int = 0,
    force: bool = False,
) -> dict[str, Any]:
    """Train a head on stored features and measure it on held-out images.

    Args:
        features: The table's folder; its labels are learned.
        out: Folder of the head; `report.html` is written there too.
        head: `linear`, `svm` or `keras`.
        test_size: Share of the labelled images held out, in (0, 1).
        seed: Decides the split and every other random choice.
        force: Replace a head that is there.

    Returns:
        Accuracy with its 95 % interval, macro F1, calibration error, counts and seconds.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    table = stored.open_features(features)
    with output.waiting("Training"):
        document = classifiers.train_head(table, Path(out), head=head, test_size=test_size, seed=seed, force=force)
    write_report(Path(out) / "report.html", title=f"Head: {head}", head=out)
    return document


def evaluate(head: str | Path, features: str | Path) -> dict[str, Any]:
    """Measure a head on a table of features; images it was fitted on are left out.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    return classifiers.evaluate_head(head, stored.open_features(features))


def predict(
    head: str | Path, source: str | Path, *, out: str | Path, scores: bool = False, force: bool = False
) -> dict[str, Any]:
    """Predict the labels of stored features, or of new images.

    Args:
        head: The head's folder.
        source: A table of features, a folder of images, or one image; images go through the head's own backbone.
        out: Parquet file: id, prediction, probability.
        scores: Add a column `score_CLASS` for each class.
        force: Replace a file that is there.

    Returns:
        `rows` predicted, and images that `failed`.

    Raises:
        InputError: Something you can mend; the message says how.
    """
    if is_features(Path(source)):
        table = stored.open_features(source)
        return classifiers.predict_features(head, table, Path(out), scores=scores, force=force) | {"failed": 0}
    stored.check_free(Path(out), replace=force)  # before the hours of embedding, not after
    request = embedder.BackboneRequest.of(classifiers.open_head(head).spec)
    Path(out).absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".frieze-", dir=Path(out).absolute().parent) as folder:
        options = embedder.JobOptions(labels="none")
        with output.progress("Embedding", "images") as step:
            embedded = embedder.embed_source(str(source), Path(folder), request=request, options=options, progress=step)
        table = stored.open_features(folder)
        document = classifiers.predict_features(head, table, Path(out), scores=scores, force=force)
    return document | {"failed": embedded["failed"]}


def backbones() -> list[dict[str, Any]]:
    """List the backbones that can be asked for by name."""
    return embedder.list_backbones()
