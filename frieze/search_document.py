"""The JSON document of a search, the same on the command line and on the page."""

from typing import TYPE_CHECKING, Any, NamedTuple

from frieze.core import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frieze.indexing import Index


class SearchOptions(NamedTuple):
    """Which hits a search returns.

    Attributes:
        k: Maximum number of hits per query, >= 1.
        where: Only images that pass this filter.
        min_score: Leave out hits below this score.
    """

    k: int = 10
    where: str | None = None
    min_score: float | None = None


def search_document(index: "Index", names: "Sequence[str]", vectors: Floats, options: SearchOptions) -> dict[str, Any]:
    """Find the nearest images of each query.

    Args:
        index: An opened index.
        names: The name of each query.
        vectors: float32 [Q, D].
        options: Which hits.

    Returns:
        `index`, `k`, `where`, `queries` with their hits, best first, `renamed`, `zero_queries`, `n_zero` and `stale`.

    Raises:
        InputError: k or the filter is invalid.
    """
    hits = index.search(vectors, k=options.k, where=options.where, min_score=options.min_score)
    is_l2 = index.metric == "l2"
    return {
        "index": str(index.path),
        "k": options.k,
        "where": options.where,
        "queries": [{"query": name, "hits": of_query} for name, of_query in zip(names, hits, strict=True)],
        "renamed": index.renamed,
        "zero_queries": [] if is_l2 else [name for name, one in zip(names, vectors, strict=True) if not one.any()],
        "n_zero": None if is_l2 else index.n_zero,
        "stale": index.staleness(),
    }
