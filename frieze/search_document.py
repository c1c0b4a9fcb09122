"""The document that a search answers with, on the command line as on the page."""

from typing import TYPE_CHECKING, Any, NamedTuple

from frieze.core import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frieze.indexing import Index


class SearchOptions(NamedTuple):
    """What is wanted of the hits.

    Attributes:
        k: At most so many a query, >= 1.
        where: Only images that pass this filter.
        min_score: None below this score.
    """

    k: int = 10
    where: str | None = None
    min_score: float | None = None


def answer(index: "Index", names: "Sequence[str]", vectors: Floats, wanted: SearchOptions) -> dict[str, Any]:
    """Find the nearest images of each query.

    Args:
        index: An opened index.
        names: What to call each query.
        vectors: float32 [Q, D].
        wanted: Which hits.

    Returns:
        `index`, `k`, `where`, `queries` with their hits, best first, `renamed`, `zero_queries`, `n_zero` and `stale`.

    Raises:
        InputError: k or the filter can't be used.
    """
    named = list(zip(names, vectors, strict=True))
    hits = index.search(vectors, k=wanted.k, where=wanted.where, min_score=wanted.min_score)
    found = [{"query": name, "hits": one} for name, one in zip(names, hits, strict=True)]
    return {
        "index": str(index.path),
        "k": wanted.k,
        "where": wanted.where,
        "queries": found,
        "renamed": index.renamed,
        "zero_queries": [] if index.metric == "l2" else [name for name, one in named if not one.any()],
        "n_zero": None if index.metric == "l2" else index.n_zero,
        "stale": index.staleness(),
    }
