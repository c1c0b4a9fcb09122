"""Find duplicates in an index: equal files, copies that are confirmed on the pixels, and images that look alike."""

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import InputError, Rows, SqliteCache
from frieze.indexing.duplicates.candidates import Candidates
from frieze.indexing.duplicates.components import Components
from frieze.indexing.duplicates.confirm import Confirmer
from frieze.indexing.duplicates.decide import ReadPicture
from frieze.indexing.duplicates.describe import describe_groups, describe_look_alikes
from frieze.indexing.duplicates.groups import Progress, group_copies
from frieze.indexing.duplicates.image_facts import ImageFacts, read_image_facts
from frieze.indexing.duplicates.nearness import measure_nearness
from frieze.indexing.duplicates.pair_processes import PairProcesses
from frieze.indexing.duplicates.pairs import join_near_pairs, measure_group_recall, widen_search
from frieze.indexing.stored_index import Index

_HIGHEST = {"cosine": 1.0, "dot": math.inf, "l2": 0.0}
_LOWEST = {"cosine": -1.0, "dot": -math.inf, "l2": -math.inf}


def _no_progress(_done: int, _all: int) -> None:
    pass


def find_duplicates(  # noqa: PLR0913  what one comparison needs
    index: Index,
    *,
    min_score: float | None = None,
    keep: str = "best",
    read: ReadPicture | None = None,
    decisions: SqliteCache | None = None,
    processes: PairProcesses | None = None,
    progress: tuple[Progress, Progress] = (_no_progress, _no_progress),
) -> dict[str, Any]:
    """Find the groups of images that are copies of each other, and those that only look alike.

    Files of equal bytes are copies. Others are where the pixels say so: candidates are the nearest by vector and those
    whose perceptual hashes are nearly equal in any orientation. Images whose vectors are near, by a chain of pairs of
    `min_score` or more, but which are not confirmed as copies, look alike.

    Args:
        index: An opened index.
        min_score: The lowest score of a pair that looks alike; None for one computed from the collection.
        keep: Which image of a group to keep: `best`, `oldest`, `largest`, or a pattern of paths.
        read: Reads an image in small, called in threads; None where images can't be read: then only equal files are
            copies.
        decisions: Where it is kept which pairs are copies; None to decide them anew.
        processes: Where most pairs are compared if there are many; None to compare all in threads.
        progress: Two functions, called with what is done and all of it: images whose nearest were searched, and pairs
            that were compared on their pixels.

    Returns:
        The document of `frieze duplicates` but for `index`, `stale` and `notes`; docs/json.md describes it.

    Raises:
        InputError: `min_score` is no score of the index's metric, or a vector is too large or too small for it.
        FeatureFileError: A file of the index is broken.
    """
    check_min_score(min_score, index.metric)
    facts = read_image_facts(index, keep)
    near = _find_near(index, facts, min_score, progress[0], with_candidates=read is not None)
    confirmer = None if read is None else Confirmer(read, facts, decisions, processes)
    groups = []
    if confirmer is not None:
        groups = group_copies(*near.candidates.pairs(), facts.ranks, confirmer.compare, progress[1])
    described = describe_groups(index, facts, groups)
    look_alikes = describe_look_alikes(index, near.components, facts, groups)
    n_exact = sum(group["exact"] for group in described)
    return {
        "groups": described,
        "look_alikes": look_alikes,
        "rows": len(index),
        "min_score": near.min_score,
        "recall": near.recall,
        "n_exact": n_exact,
        "n_near": len(described) - n_exact,
        "n_duplicates": sum(len(group["ids"]) - 1 for group in described),
        "n_look_alikes": sum(len(group["ids"]) for group in look_alikes),
        "n_confirmed": sum(len(group.copies) for group in groups),
        "has_hashes": facts.has_hashes,
        "n_compared": 0 if confirmer is None else confirmer.n_compared,
        "n_unreadable": 0 if confirmer is None else len(confirmer.unreadable),
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


@dataclasses.dataclass(frozen=True)
class _Near:
    """Rows that are near by vector: their chains, the score and the recall of their pairs; candidates for copies."""

    components: Components
    min_score: float | None
    recall: float | None
    candidates: Candidates


def _find_near(
    index: Index, facts: ImageFacts, min_score: float | None, progress: Progress, *, with_candidates: bool
) -> _Near:
    """Find the rows that are near by vector or by hash; candidates only where they are wanted."""
    searcher, components, near = index.searcher, Components(len(index)), measure_nearness(index)
    components.join(np.arange(len(index)), facts.representatives)
    is_zero = near.lengths == 0
    candidates, recall = Candidates(facts.hashes, facts.representatives, near.near_score), None
    if near.sample is not None:
        min_score = near.min_score if min_score is None else min_score
        threshold = near.threshold(min_score)
        can_pair = _self_scores(near.lengths, index.metric) >= threshold.floor
        _join_equal(near.hashes, np.flatnonzero(~is_zero & can_pair), components)
        widened = widen_search(searcher, near.sample, threshold)
        collect = candidates.add_neighbours if with_candidates else None
        join_near_pairs(widened, near.rows, components, threshold=threshold, progress=progress, collect=collect)
        recall = measure_group_recall(near.sample, components.labels(), threshold)
    if with_candidates:
        candidates.add_hashes()
    return _Near(components, min_score, recall, candidates)


def _join_equal(keys: npt.NDArray[Any], rows: Rows, components: Components) -> None:
    """Join rows with equal keys."""
    _, at, number = np.unique(keys[rows], return_index=True, return_inverse=True)
    components.join(rows, rows[at[number]])


def _self_scores(lengths: npt.NDArray[np.float64], metric: str) -> npt.NDArray[np.float64]:
    return lengths if metric == "dot" else np.full_like(lengths, _HIGHEST[metric])
