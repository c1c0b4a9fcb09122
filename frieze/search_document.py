"""The JSON document of a search, the same on the command line and on the page."""

from typing import TYPE_CHECKING, Any, NamedTuple

from frieze.core import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frieze.indexing import Index


class SearchOptions(NamedTuple):
    """Which hits a search returns.

    Attributes:
        k: Maximum number of hits per query, >= 1; None for all of `min_score`.
        where: Only images that pass this filter.
        min_score: Leave out hits below this score.
        per: At most one hit of a value of this column, or N of `COLUMN:N`.
        diverse: The lambda of maximal marginal relevance, 0 to 1; None for the order of the scores.
    """

    k: int | None = 10
    where: str | None = None
    min_score: float | None = None
    per: str | None = None
    diverse: float | None = None


def notes_on_words(index: "Index", cut_texts: "Sequence[str]") -> list[str]:
    """Describe what may mislead in the hits of words.

    Args:
        index: The index.
        cut_texts: Texts whose end the text tower does not read.
    """
    from frieze.embedder import note_on_cut

    metric = (
        f"{index.path} has the metric l2, by which long vectors are far from every text; words are best searched by"
        " cosine."
    )
    return [metric] * (index.metric == "l2") + [note_on_cut(cut_texts)] * bool(cut_texts)


def search_document(
    index: "Index", names: "Sequence[str]", vectors: Floats, options: SearchOptions, *, notes: "Sequence[str]" = ()
) -> dict[str, Any]:
    """Find the nearest images of each query.

    Args:
        index: An opened index.
        names: The name of each query.
        vectors: float32 [Q, D].
        options: Which hits.
        notes: What to say of the queries.

    Returns:
        `index`, the options, `queries` with their hits, best first, `renamed`, `zero_queries`, `n_zero`, `notes` and
        `stale`.

    Raises:
        InputError: An option is invalid.
    """
    hits = index.search(vectors, **options._asdict())
    is_l2 = index.metric == "l2"
    return {
        "index": str(index.path),
        **options._asdict(),
        "queries": [{"query": name, "hits": of_query} for name, of_query in zip(names, hits, strict=True)],
        "renamed": index.renamed,
        "zero_queries": [] if is_l2 else [name for name, one in zip(names, vectors, strict=True) if not one.any()],
        "n_zero": None if is_l2 else index.n_zero,
        "notes": list(notes),
        "stale": index.staleness(),
    }
