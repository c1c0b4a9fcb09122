"""The points of the page's map, laid out in the background once for each method, and their colours."""

import functools
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from frieze import indexing
from frieze.core import Rows
from frieze.reports.projection import METHODS, Points, choose_rows, project_stored, to_document
from frieze.web.background import BackgroundResult
from frieze.web.facets.columns import Facet
from frieze.web.facets.count import N_VALUES, Facets
from frieze.web.map.lasso import find_inside, read_lasso
from frieze.web.map.predictions import predicted_columns

if TYPE_CHECKING:
    from frieze.classifiers import Head

MOST_POINTS = 1_000_000
OTHER, NONE = 254, 255
"""Colours of values that have none of their own, and of rows without a value."""


class Maps:
    """The maps of an index.

    Args:
        index: The index.
        facets: The values of its columns.
        head: The head, or None.
    """

    def __init__(self, index: indexing.Index, facets: Facets, head: "Head | None") -> None:
        self._index, self._facets, self._head = index, facets, head
        self._lock = threading.Lock()
        self._results = {method: BackgroundResult(functools.partial(self._project, method)) for method in METHODS}
        self.rows_inside = functools.lru_cache(maxsize=8)(self._find_rows_inside)

    def points(self, method: str) -> BackgroundResult[Points]:
        """Return the points of a map of at most 1,000,000 images, computed in the background."""
        return self._results[method]

    def columns(self) -> list[Facet]:
        """Return the columns by which a map can be coloured: those of the table, and what the head predicts."""
        with self._lock:
            return self._facets.columns + self._predicted

    @functools.cached_property
    def _predicted(self) -> list[Facet]:
        if self._head is None:
            return []
        return predicted_columns(self._head, indexing.read_vectors(self._index, np.arange(len(self._index))))

    def document(self, method: str) -> dict[str, Any]:
        """Return at most 100,000 points of a map that is there, with ids and labels."""
        points = self.points(method).get()
        shown = choose_rows(len(points.rows))
        points = points._replace(rows=points.rows[shown], positions=points.positions[shown])
        labels, codes = indexing.label_codes(self._index)
        return to_document(points, self._index.ids[points.rows].tolist(), labels, codes[points.rows])

    def _find_rows_inside(self, lasso: str) -> Rows:
        """Return the rows inside a lasso, ascending; it waits for a map that is not there yet.

        Raises:
            InputError: It is no lasso, or its map can't be made.
        """
        method, corners = read_lasso(lasso)
        points = self.points(method).get()
        return points.rows[find_inside(points.positions, corners)]

    def _project(self, method: str) -> Points:
        rows = choose_rows(len(self._index), most=MOST_POINTS)
        return project_stored(functools.partial(indexing.read_vectors, self._index), rows, method=method)


def coloured_values(facet: Facet) -> list[int]:
    """Return the numbers of the values that have a colour of their own: the 30 that most rows have, or all bins."""
    if facet.kind != "values":
        return list(range(facet.n_codes))
    counts = np.bincount(facet.codes[facet.codes >= 0], minlength=facet.n_codes)
    values: list[int] = np.argsort(-counts, kind="stable")[:N_VALUES].tolist()
    return values


def colour_codes(facet: Facet) -> npt.NDArray[np.uint8]:
    """Return the colour of each row, uint8 [N]: the place of its value among the coloured ones, `OTHER` or `NONE`."""
    values = coloured_values(facet)
    colours = np.full(facet.n_codes + 1, OTHER, np.uint8)
    colours[values], colours[-1] = np.arange(len(values)), NONE
    return colours[facet.codes]
