"""One query of several images, words and vectors: what hits are to be like, and what unlike, with weights."""

import math
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frieze.api.query_vectors import Queries, to_vectors
from frieze.core import Floats, InputError, unit_rows

if TYPE_CHECKING:
    from frieze.indexing import Index

_PAIR = 2
_HINT = "Give a weight above 0, such as FILE=0.5, or in Python a pair: (query, 0.5)."


class _Part(NamedTuple):
    """One query of a combined one, and its weight, > 0."""

    query: Any
    weight: float

    def to_json(self, name: str) -> dict[str, Any]:
        return {"query": name, "weight": self.weight}


class CombinedQuery(NamedTuple):
    """Several queries as one.

    Attributes:
        queries: One query: its name, its vector [1, D], and notes on words.
        like: `query` and `weight` of each part that hits are to be like.
        unlike: The same of what they are to be unlike.
    """

    queries: Queries
    like: list[dict[str, Any]]
    unlike: list[dict[str, Any]]


def combine_queries(index: "Index", like: Any, unlike: Any, *, where: str) -> CombinedQuery:
    """Embed several queries and combine them into one vector.

    It is the weighted mean of the unit vectors that hits are to be like, less the mean of the others times their
    weights; of unit length, but for l2, where it is as long as the vectors of the first kind are on average.

    Args:
        index: The index to search.
        like: A query or several, each as `search` takes one, with a weight as `QUERY=WEIGHT` or (query, weight).
        unlike: The same; None or () for nothing.
        where: The index's name, for messages.

    Raises:
        InputError: There is nothing to be like, a part or its weight can't be used, or a part is several vectors.
    """
    parts, others = _read_parts(index, like), _read_parts(index, unlike)
    if not parts:
        raise InputError("There is nothing that hits are to be like.", hint="Give `like` beside `unlike`.")
    queries = to_vectors(index, [one.query for one in (*parts, *others)], where=where)
    if len(queries.names) != len(parts) + len(others):
        raise InputError(
            f"Of several queries as one each is a single image or vector; here are {len(queries.names)} of"
            f" {len(parts) + len(others)}: {', '.join(queries.names[:5])}.",
            hint="Save single vectors with numpy.save('FILE.npy', vector).",
        )
    weights = np.array([one.weight for one in (*parts, *others)])
    vector = _combine(queries.vectors, weights, len(parts), is_l2=index.metric == "l2")
    described = [one.to_json(name) for one, name in zip((*parts, *others), queries.names, strict=True)]
    name = _name(described[: len(parts)], described[len(parts) :])
    return CombinedQuery(Queries([name], vector[None], queries.notes), described[: len(parts)], described[len(parts) :])


def _combine(vectors: Floats, weights: Any, n_like: int, *, is_l2: bool) -> Floats:
    """Return one vector, float32 [D]."""
    unit = unit_rows(vectors).astype(np.float64)
    total = np.average(unit[:n_like], axis=0, weights=weights[:n_like])
    if n_like < len(unit):
        total = total - (weights[n_like:, None] * unit[n_like:]).mean(axis=0)
    length = np.linalg.norm(vectors[:n_like].astype(np.float64), axis=1).mean() if is_l2 else 1.0
    combined: Floats = (unit_rows(total[None].astype(np.float32))[0] * length).astype(np.float32)
    return combined


def _read_parts(index: "Index", given: Any) -> list[_Part]:
    """Return the parts of one kind; those in a tuple or list, but for a pair with a weight, each by itself."""
    if is_nothing(given):
        return []
    is_several = isinstance(given, Sequence) and not isinstance(given, str | bytes) and not _is_pair(given)
    if is_several and not all(isinstance(one, numbers.Real) for one in given):
        return [_read_part(index, one) for one in given]
    return [_read_part(index, given)]


def is_nothing(given: Any) -> bool:
    """Return whether an option is None or an empty tuple, which is not given."""
    return given is None or (isinstance(given, tuple) and not given)


def _is_pair(given: Any) -> bool:
    """Return whether it is a query with its weight."""
    if not isinstance(given, tuple) or len(given) != _PAIR:
        return False
    return isinstance(given[1], numbers.Real) and not isinstance(given[0], numbers.Real)


def _read_part(index: "Index", given: Any) -> _Part:
    """Split a query from its weight; a file or stored image that is named so comes first.

    Raises:
        InputError: The weight is not above 0.
    """
    query, weight = given if _is_pair(given) else (given, 1.0)
    if isinstance(given, str):
        head, equals, tail = given.rpartition("=")
        if equals and _is_number(tail) and not _is_name(index, given):
            query, weight = head, float(tail)
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"The weight of {query} is {weight:g}.", hint=_HINT)
    return _Part(query, float(weight))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_name(index: "Index", query: str) -> bool:
    """Return whether a whole text names a file, or a stored image."""
    from frieze.indexing import known_rows

    return Path(query).is_file() or (
        query.startswith("id:") and len(known_rows(index, [query.removeprefix("id:")])) > 0
    )


def _name(like: Sequence[dict[str, Any]], unlike: Sequence[dict[str, Any]]) -> str:
    """Return what to call the query."""

    def show(part: dict[str, Any]) -> str:
        return str(part["query"]) if part["weight"] == 1 else f"{part['query']}={part['weight']:g}"

    return " - ".join([" + ".join(map(show, like)), *map(show, unlike)])
