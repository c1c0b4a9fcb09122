"""What a head predicts for each row, as columns by which the map can be coloured."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from frieze.core import Floats
from frieze.web.facets.bins import number_bins
from frieze.web.facets.columns import Facet

if TYPE_CHECKING:
    from frieze.classifiers import Head

PREDICTION, PROBABILITY = "head: prediction", "head: probability"
"""Columns that no table has: they can't be filtered by."""


def predicted_columns(head: "Head", blocks: Iterable[Floats]) -> list[Facet]:
    """Return the predicted class of each row and its probability, as columns.

    Args:
        head: The head.
        blocks: The embeddings of all rows, float32 [b, D] each.
    """
    names, probabilities = zip(*(head.predict(block) for block in blocks), strict=True)
    classes, codes = np.unique(np.concatenate(names).astype(str), return_inverse=True)
    bins = number_bins(np.concatenate(probabilities).astype(np.float64), is_integer=False)
    edges = [f"{edge:g}" for edge in bins.edges]
    return [
        Facet(PREDICTION, "values", classes.tolist(), classes.tolist(), codes.astype(np.int64)),
        Facet(PROBABILITY, "numbers", edges, edges, bins.codes),
    ]
