"""Groups of copies and of look-alikes as plain JSON values."""

import math
from typing import Any

import numpy as np

from frieze.core import Rows
from frieze.features import METRICS
from frieze.indexing.duplicates.components import Components
from frieze.indexing.duplicates.groups import Group
from frieze.indexing.duplicates.image_facts import ImageFacts
from frieze.indexing.faiss_layer.searcher import Searcher
from frieze.indexing.faiss_layer.vectors import draw_rows
from frieze.indexing.stored_index import Index

_BLOCK_FLOATS = 1 << 22
_N_COMPARED = 20_000  # images of a larger group that are compared with each other
SAME_BYTES = "same bytes"
"""The kind of a copy whose file is equal to the keeper's."""


def describe_groups(index: Index, facts: ImageFacts, groups: list[Group]) -> list[dict[str, Any]]:
    """Describe the groups of copies, equal files among them: the largest first, then the tightest."""
    equal = _equal_files(facts)
    alone = set(equal) - {row for group in groups for row in (group.keeper, *group.copies)}
    all_groups = [*groups, *(Group(row, {}) for row in sorted(alone))]
    described = [_describe_group(index, facts, group, equal) for group in all_groups]
    return sorted(described, key=lambda group: (-len(group["ids"]), -group["min_score"], group["keep"]))


def describe_look_alikes(
    index: Index, components: Components, facts: ImageFacts, groups: list[Group]
) -> list[dict[str, Any]]:
    """Describe the images that are near by a chain of pairs and no copies: the smallest sets first.

    A group of copies is there by its keeper.
    """
    keepers = np.arange(len(index))
    for group in groups:
        keepers[list(group.copies)] = group.keeper
    stands_for = keepers[facts.representatives]
    described = []
    for rows in components.groups():
        distinct = np.unique(stands_for[rows])
        if len(distinct) > 1:
            distinct = distinct[np.argsort(facts.ranks[distinct])]
            described.append(_names(index, facts, distinct) | {"min_score": lowest_score(index.searcher, distinct)})
    return sorted(described, key=lambda group: (len(group["ids"]), -group["min_score"], group["ids"][0]))


def lowest_score(searcher: Searcher, rows: Rows) -> float:
    """Compute the lowest score between two images of a group; of a large group, between 20,000 of them."""
    vectors = searcher.reconstruct(rows[draw_rows(len(rows), _N_COMPARED)])
    step = max(1, _BLOCK_FLOATS // len(vectors))
    lowest = math.inf
    for start in range(0, len(vectors), step):
        scores = METRICS[searcher.metric](vectors[start : start + step], vectors[start:])
        np.fill_diagonal(scores, np.inf)  # an image with itself
        lowest = min(lowest, float(scores.min()))
    return lowest + 0.0  # never -0.0


def _equal_files(facts: ImageFacts) -> dict[int, Rows]:
    """Return the rows of equal bytes by their representative, those of two files and more."""
    order = np.argsort(facts.representatives, kind="stable")
    rows, starts = np.unique(facts.representatives[order], return_index=True)
    parts = np.split(order, starts[1:])
    return {int(row): part for row, part in zip(rows, parts, strict=True) if len(part) > 1}


def _names(index: Index, facts: ImageFacts, rows: Rows) -> dict[str, Any]:
    return {"ids": [index.ids[row] for row in rows], "uris": [facts.uris[int(row)].as_py() for row in rows]}


def _describe_group(index: Index, facts: ImageFacts, group: Group, equal: dict[int, Rows]) -> dict[str, Any]:
    """Describe one group; images of equal bytes are copies of one kind."""
    kinds: dict[int, tuple[str, float]] = {}
    for row in (group.keeper, *group.copies):
        match = group.copies.get(row)
        kind = (SAME_BYTES, 1.0) if match is None else (match.kind(), match.shares[0])
        kinds.update((int(copy), kind) for copy in equal.get(row, [row]))
    del kinds[group.keeper]
    rows = np.array([group.keeper, *sorted(kinds, key=lambda row: facts.ranks[row])], np.int64)
    names = _names(index, facts, rows)
    vectors = index.searcher.reconstruct(rows)
    scores = METRICS[index.metric](vectors[:1], vectors[1:])[0].tolist()
    members = [
        {"id": name, "uri": uri, "kind": kinds[row][0], "score": score, "overlap": kinds[row][1]}
        for name, uri, row, score in zip(names["ids"][1:], names["uris"][1:], rows[1:].tolist(), scores, strict=True)
    ]
    return names | {
        "keep": names["ids"][0],
        "exact": all(member["kind"] == SAME_BYTES for member in members),
        "min_score": lowest_score(index.searcher, rows),
        "members": members,
    }
