"""Count the values of each column under a filter, and make the filters that a click on one makes."""

import functools
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze import indexing
from frieze.core import Rows
from frieze.indexing import Conjunct, join_filters, quote_column
from frieze.web.facets.columns import Facet, bin_conditions, make_facets

N_VALUES = 30
"""Values of a column in an answer, those that most images have."""
_MOST_CHOSEN = 100  # values of a column in a filter: a click on another one of more replaces them
_Mask = npt.NDArray[np.bool_]


class Facets:
    """The facets of an index; its columns are read at the first count.

    Args:
        index: The index.
    """

    def __init__(self, index: indexing.Index) -> None:
        self._index = index
        self._lock = threading.Lock()

    @functools.cached_property
    def _made(self) -> tuple[list[Facet], list[str]]:
        return make_facets(self._index)

    @property
    def columns(self) -> list[Facet]:
        """The facets."""
        with self._lock:
            return self._made[0]

    def count(self, where: str | None, inside: Rows | None = None) -> dict[str, Any]:
        """Return the document of `GET /facets`: what each value of each column would find.

        The counts of a column are those under the conditions on all other columns, so that several of its values can
        be chosen one after the other.

        Args:
            where: The filter; None for all images.
            inside: int64 [n], rows to which all counts but the totals are confined; None for all.

        Raises:
            InputError: The filter can't be used.
        """
        with self._lock:
            facets, left_out = self._made
        conjuncts = indexing.split_filter(self._index, where)
        masks = [self._passing(indexing.filter_rows(self._index, conjunct.sql)) for conjunct in conjuncts]
        area = self._passing(np.arange(len(self._index)) if inside is None else inside)
        return {
            "where": where,
            "rows": len(self._index),
            "total": int(_all([area, *masks], len(self._index)).sum()),
            "facets": [_count(facet, conjuncts, masks, area) for facet in facets],
            "left_out": left_out,
        }

    def _passing(self, rows: Rows) -> _Mask:
        mask = np.zeros(len(self._index), bool)
        mask[rows] = True
        return mask


def _all(masks: Sequence[_Mask], n: int) -> _Mask:
    return functools.reduce(np.logical_and, masks, np.ones(n, bool))


def _count(facet: Facet, conjuncts: list[Conjunct], masks: list[_Mask], area: _Mask) -> dict[str, Any]:
    """Return a column's counts; a value is chosen where the conditions on its column alone let it pass."""
    of_column = [conjunct.columns == {facet.column} for conjunct in conjuncts]
    n = len(facet.codes)
    by_others = _all([area, *(mask for mask, is_of in zip(masks, of_column, strict=True) if not is_of)], n)
    by_column = _all([mask for mask, is_of in zip(masks, of_column, strict=True) if is_of], n)
    counts, totals, passing = (_tally(facet, mask) for mask in (by_others, np.ones(n, bool), by_column))
    is_chosen = (passing > 0) & any(of_column)
    rest = join_filters(conjunct.sql for conjunct, is_of in zip(conjuncts, of_column, strict=True) if not is_of)
    fill = _values if facet.kind == "values" else _bins
    head = {"column": facet.column, "kind": facet.kind, "rest": rest, "n_none": int(counts[0])}
    return head | fill(facet, rest, counts, totals, is_chosen)


def _tally(facet: Facet, mask: _Mask) -> npt.NDArray[np.int64]:
    """Return the number of rows of each value or bin, after those without one, int64 [1 + V]."""
    return np.bincount(facet.codes[mask] + 1, minlength=facet.n_codes + 1)


def _values(facet: Facet, rest: str, counts: Any, totals: Any, is_chosen: _Mask) -> dict[str, Any]:
    """Return the values with the most images; 0 is the place of "no value" in all arrays."""
    column, chosen = quote_column(facet.column), np.flatnonzero(is_chosen)
    order = np.lexsort((np.arange(len(counts)), -totals, -counts, ~is_chosen))
    shown = [place for place in order.tolist() if totals[place]][:N_VALUES]
    values = [
        {
            "text": facet.texts[place - 1] if place else None,
            "count": int(counts[place]),
            "total": int(totals[place]),
            "is_chosen": bool(is_chosen[place]),
            "where": join_filters([rest, _among(facet, column, _toggle(chosen.tolist(), place))]),
        }
        for place in shown
    ]
    return {"n_values": int((totals > 0).sum()), "values": values, "bins": []}


def _toggle(chosen: list[int], place: int) -> list[int]:
    if place in chosen:
        return [one for one in chosen if one != place]
    return [*chosen, place] if len(chosen) < _MOST_CHOSEN else [place]


def _among(facet: Facet, column: str, places: list[int]) -> str:
    """Return the condition that a column has one of some values; empty for no values."""
    literals = [facet.literals[place - 1] for place in sorted(places) if place]
    conditions = {0: [], 1: [f"{column} = {''.join(literals)}"]}.get(
        len(literals), [f"{column} in ({', '.join(literals)})"]
    ) + ([f"{column} is null"] if 0 in places else [])
    return conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})" if conditions else ""


def _bins(facet: Facet, rest: str, counts: Any, totals: Any, is_chosen: _Mask) -> dict[str, Any]:
    column = quote_column(facet.column)
    chosen = np.flatnonzero(is_chosen[1:])
    edges = [None, *facet.texts, None]
    bins = [
        {
            "low": edges[place],
            "high": edges[place + 1],
            "count": int(counts[place + 1]),
            "total": int(totals[place + 1]),
            "is_chosen": bool(len(chosen) and chosen[0] <= place <= chosen[-1]),
            "at_least": at_least,
            "below": below,
            "where": rest if chosen.tolist() == [place] else join_filters([rest, at_least, below]),
        }
        for place, (at_least, below) in enumerate(bin_conditions(facet, column))
    ]
    return {"n_values": len(bins), "values": [], "bins": bins}
