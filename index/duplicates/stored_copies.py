"""Find the stored copies of images that are not in the index: equal files, and those confirmed on the pixels."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import Floats, Rows, SqliteCache
from frieze.features import METRICS, Hashes
from frieze.indexing.duplicates.candidates import Candidates
from frieze.indexing.duplicates.compare import Match
from frieze.indexing.duplicates.confirm import Confirmer
from frieze.indexing.duplicates.decide import ReadPicture
from frieze.indexing.duplicates.image_facts import ImageFacts, read_image_facts
from frieze.indexing.duplicates.nearness import measure_nearness
from frieze.indexing.duplicates.pair_processes import PairProcesses
from frieze.indexing.duplicates.pairs import NEAREST, widen_search
from frieze.indexing.stored_index import Index
from frieze.indexing.stored_rows import filter_rows, row_filter


class NewImages(NamedTuple):
    """Images that are compared with the stored ones.

    Attributes:
        uris: Where each is read, length Q.
        sha256: Of the bytes of each.
        embeddings: float32 [Q, D].
        hashes: uint64 [Q, 2]: perceptual hashes of the whole and of what lies inside its borders; 0 for none.
        n_pixels: int64 [Q].
    """

    uris: Sequence[str]
    sha256: Sequence[str]
    embeddings: Floats
    hashes: Hashes
    n_pixels: Rows


class StoredCopies(NamedTuple):
    """The copies of new images.

    Attributes:
        matches: Of each image the rows of its copies, and how each differs from it (the first of the match).
        unreadable: Rows that could not be compared; row N + q is image q.
        has_hashes: Whether the table has perceptual hashes.
    """

    matches: list[dict[int, Match]]
    unreadable: set[int]
    has_hashes: bool


def find_equal_files(index: Index, sha256: Sequence[str], where: str | None) -> list[Rows]:
    """Return the rows with the bytes of each file, int64 [n], ascending; only those that pass a filter.

    Raises:
        InputError: The filter can't be used.
    """
    stored = index.row_metadata.columns(["sha256"])["sha256"]
    if pa.types.is_null(stored.type):
        return [np.empty(0, np.int64) for _ in sha256]
    equal = np.asarray(pc.indices_nonzero(pc.is_in(stored, value_set=pa.array(sorted(set(sha256)), stored.type))))
    equal = np.intersect1d(equal, filter_rows(index, where)).astype(np.int64)
    digests = np.array(stored.take(pa.array(equal)).to_pylist(), object)
    return [equal[digests == one] for one in sha256]


def find_stored_copies(
    index: Index,
    images: NewImages,
    *,
    read: ReadPicture,
    where: str | None = None,
    decisions: SqliteCache | None = None,
    processes: PairProcesses | None = None,
) -> StoredCopies:
    """Find the stored images that are copies of new ones, by the rules of `find_duplicates`.

    Args:
        index: An opened index.
        images: The new images.
        read: Reads an image in small, called in threads.
        where: Only images that pass this filter.
        decisions: Where it is kept which pairs are copies; None to decide them anew.
        processes: Where most pairs are compared if there are many; None to compare all in threads.

    Raises:
        InputError: The filter can't be used, or a vector is too large or too small for the metric.
        FeatureFileError: A file of the index is broken.
    """
    stored = read_image_facts(index, "best")
    facts, new_rows = _append(stored, images), np.arange(len(index), len(index) + len(images.uris))
    rows = filter_rows(index, where)
    confirmer = Confirmer(read, facts, decisions, processes)
    pairs, by_features = _find_candidates(index, facts, images, new_rows, rows).pairs()
    copies: list[dict[int, Match]] = [{} for _ in new_rows]
    for (row, new_row), match in zip(pairs.tolist(), confirmer.compare(pairs, by_features), strict=True):
        if match is not None:  # with all files that equal the one that was compared
            equal = rows[stored.representatives[rows] == row]
            copies[new_row - len(index)].update(dict.fromkeys(equal.tolist(), match.swapped()))
    return StoredCopies(copies, confirmer.unreadable, facts.has_hashes)


def self_scores(index: Index, rows: Rows) -> Floats:
    """Return the scores of stored images with themselves, float32 [n]."""
    vectors = index.searcher.reconstruct(rows)
    score = METRICS[index.metric]
    return np.array([score(one[None], one[None])[0, 0] for one in vectors], np.float32)


def scores_of(index: Index, embedding: Floats, rows: Rows) -> Floats:
    """Return the scores of an embedding [D] with stored images, float32 [n]."""
    scores: Floats = METRICS[index.metric](embedding[None], index.searcher.reconstruct(rows))[0]
    return scores


def _append(facts: ImageFacts, images: NewImages) -> ImageFacts:
    """Return the facts of the stored images and, behind them, of the new ones; each of these stands for itself."""
    n_stored, n_new = len(facts.ranks), len(images.uris)
    new_rows = np.arange(n_stored, n_stored + n_new)
    return dataclasses.replace(
        facts,
        uris=pa.chunked_array([*facts.uris.cast(pa.string()).chunks, pa.array(images.uris, pa.string())]),
        versions=np.append(facts.versions, np.array(images.sha256, object)),
        representatives=np.append(facts.representatives, new_rows),
        n_pixels=np.append(facts.n_pixels, images.n_pixels),
        hashes=np.concatenate([facts.hashes, images.hashes]),
    )


def _find_candidates(index: Index, facts: ImageFacts, images: NewImages, new_rows: Rows, rows: Rows) -> Candidates:
    """Find the stored rows that may be copies of new ones: near by vector, or by hash in any orientation."""
    near = measure_nearness(index)
    candidates = Candidates(facts.hashes, facts.representatives, near.near_score)
    if near.sample is not None and len(rows):
        widened = widen_search(index.searcher, near.sample, near.threshold(near.min_score))
        hits = widened.search(images.embeddings, k=min(NEAREST[0], len(rows)), row_filter=row_filter(index, rows))
        candidates.add_neighbours(new_rows, *hits)
    candidates.add_hashes_of(new_rows, np.unique(facts.representatives[rows]))
    return candidates
