"""Find groups of near-duplicates in an index: equal files first, then images whose score is high enough."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import InputError, Rows
from frieze.features import METRICS
from frieze.indexing.duplicates.components import Components
from frieze.indexing.duplicates.pairs import (
    PairThreshold,
    join_near_pairs,
    measure_group_recall,
    measure_scale,
    widen_search,
)
from frieze.indexing.duplicates.threshold import choose_min_score, draw_sample
from frieze.indexing.faiss_layer.metrics import check_lengths, square_lengths
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import draw_rows
from frieze.indexing.stored_index import Index

_BLOCK_FLOATS = 1 << 22
_N_COMPARED = 20_000  # images of a larger group that are compared with each other
_COLUMNS = ("uri", "sha256", "size_bytes", "width", "height")
_HIGHEST = {"cosine": 1.0, "dot": math.inf, "l2": 0.0}
_LOWEST = {"cosine": -1.0, "dot": -math.inf, "l2": -math.inf}


def find_duplicates(
    index: Index, *, min_score: float | None = None, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> dict[str, Any]:
    """Find the groups of images that are duplicates of each other.

    Two images are duplicates when their bytes are equal or their score is high enough; a chain of such pairs is one
    group. Images without a sha256 (imported vectors) are compared by vector only, those with a zero vector by bytes
    only.

    Args:
        index: An opened index.
        min_score: The lowest score of a pair; None for one computed from the collection (`choose_min_score`).
        progress: Called with the number of images compared so far and in all.

    Returns:
        `groups`, `rows`, `min_score`, `recall`, `n_exact`, `n_near` and `n_duplicates`; docs/json.md describes them.

    Raises:
        InputError: `min_score` is no score of the index's metric, or a vector is too large or too small for it.
        FeatureFileError: A file of the index is broken.
    """
    check_min_score(min_score, index.metric)
    searcher, metadata = index.searcher, index.row_metadata.columns(_COLUMNS)
    files = _number_texts(metadata["sha256"])
    components = Components(len(index))
    _join_equal(files, np.flatnonzero(files >= 0), components)
    hashes, lengths = _hash_vectors(searcher)
    check_lengths(lengths, lambda row: f"The embedding of {index.ids[row]} in {index.path}", metric=index.metric)
    is_zero = lengths == 0
    rows = _first_rows(hashes, np.flatnonzero(~is_zero))
    recall = None
    if len(rows):
        sample = draw_sample(searcher, rows)
        if min_score is None:
            min_score = choose_min_score(sample, metric=index.metric, longest=float(lengths.max()))
        threshold = PairThreshold(min_score, is_zero, measure_scale(lengths[rows], index.metric))
        can_pair = _self_scores(lengths, index.metric) >= threshold.floor
        _join_equal(hashes, np.flatnonzero(~is_zero & can_pair), components)
        widened = widen_search(searcher, sample, threshold)
        join_near_pairs(widened, rows, components, threshold=threshold, progress=progress)
        recall = measure_group_recall(sample, components.labels(), threshold)
    groups = _describe(index, components.groups(), metadata, files)
    n_exact = sum(group["exact"] for group in groups)
    return {
        "groups": groups,
        "rows": len(index),
        "min_score": min_score,
        "recall": recall,
        "n_exact": n_exact,
        "n_near": len(groups) - n_exact,
        "n_duplicates": sum(len(group["ids"]) - 1 for group in groups),
    }


def check_min_score(min_score: float | None, metric: str = "cosine") -> None:
    """Refuse a lowest score that no pair can have with a metric; None is accepted.

    Raises:
        InputError: `min_score` is no score of the metric.
    """
    if min_score is None:
        return
    low, high = _LOWEST[metric], _HIGHEST[metric]
    if not (math.isfinite(min_score) and low <= min_score <= high):
        ranges = {"cosine": "from -1 to 1", "dot": "any finite number", "l2": "0 or below: the negative distance"}
        raise InputError(
            f"The minimum score is {min_score}, but scores with {metric} are {ranges[metric]}.",
            hint="Use another `min_score`, or leave it out: then it is computed from the collection.",
        )


def _number_texts(texts: pa.ChunkedArray) -> Rows:
    """Number texts, int64 [N]: equal texts have equal numbers; -1 where there is none, or a blank one."""
    if pa.types.is_null(texts.type):
        return np.full(len(texts), -1, np.int64)
    texts = pc.if_else(pc.equal(pc.utf8_trim_whitespace(texts), ""), pa.scalar(None, texts.type), texts)
    codes = texts.dictionary_encode().combine_chunks().indices
    numbers: Rows = codes.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _first_rows(keys: npt.NDArray[Any], rows: Rows) -> Rows:
    """Return the first row of each key, ascending."""
    _, at = np.unique(keys[rows], return_index=True)
    return np.sort(rows[at])


def _join_equal(keys: npt.NDArray[Any], rows: Rows, components: Components) -> None:
    """Join rows with equal keys."""
    _, at, number = np.unique(keys[rows], return_index=True, return_inverse=True)
    components.join(rows, rows[at[number]])


def _hash_vectors(searcher: Searcher) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float64]]:
    """Compute a hash [N] of each vector, equal only for equal vectors, and its squared length [N]."""
    n_rows, dim = searcher.flat.ntotal, searcher.flat.d
    factors = np.random.default_rng(0).integers(1, 1 << 63, dim, dtype=np.uint64) | np.uint64(1)
    hashes, lengths = np.empty(n_rows, np.uint64), np.empty(n_rows, np.float64)
    step = max(1, _BLOCK_FLOATS // dim)
    for start in range(0, n_rows, step):
        vectors = searcher.reconstruct(np.arange(start, min(start + step, n_rows)))
        block = slice(start, start + len(vectors))
        # 64 bits, summed modulo 2**64: a collision among a million vectors happens once in 10 million collections.
        hashes[block] = _spread_bits(vectors.view(np.uint32)) @ factors
        lengths[block] = square_lengths(vectors)
    return hashes, lengths


def _spread_bits(bits: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Spread 32 bits over 64, so that sums of products depend on each."""
    wide = bits.astype(np.uint64)
    return (wide ^ (wide << np.uint64(29))) * np.uint64(0x9E3779B97F4A7C15)


def _self_scores(lengths: npt.NDArray[np.float64], metric: str) -> npt.NDArray[np.float64]:
    return lengths if metric == "dot" else np.full_like(lengths, _HIGHEST[metric])


def _describe(index: Index, groups: list[Rows], metadata: pa.Table, files: Rows) -> list[dict[str, Any]]:
    """Return the groups as plain JSON values, the largest first, then the tightest."""
    pixels = _to_integers(metadata["width"]) * _to_integers(metadata["height"])
    sizes, uris, ids = _to_integers(metadata["size_bytes"]), metadata["uri"], index.ids
    described = []
    for rows in groups:
        best = sorted(rows.tolist(), key=lambda row: (-pixels[row], -sizes[row], ids[row]))
        described.append(
            {
                "ids": [ids[row] for row in best],
                "uris": [uris[row].as_py() for row in best],
                "keep": ids[best[0]],
                "exact": bool(files[rows[0]] >= 0 and (files[rows] == files[rows[0]]).all()),
                "min_score": _lowest_score(index.searcher, rows),
            }
        )
    return sorted(described, key=lambda group: (-len(group["ids"]), -group["min_score"], group["keep"]))


def _to_integers(numbers: pa.ChunkedArray) -> Rows:
    if pa.types.is_null(numbers.type):
        return np.zeros(len(numbers), np.int64)
    counts: Rows = numbers.fill_null(0).to_numpy().astype(np.int64)
    return counts


def _lowest_score(searcher: Searcher, rows: Rows) -> float:
    """Compute the lowest score between two images of a group; of a large group, between 20,000 of them."""
    vectors = searcher.reconstruct(rows[draw_rows(len(rows), _N_COMPARED)])
    step = max(1, _BLOCK_FLOATS // len(vectors))
    lowest = math.inf
    for start in range(0, len(vectors), step):
        scores = METRICS[searcher.metric](vectors[start : start + step], vectors[start:])
        np.fill_diagonal(scores, np.inf)  # an image with itself
        lowest = min(lowest, float(scores.min()))
    return lowest + 0.0  # never -0.0
