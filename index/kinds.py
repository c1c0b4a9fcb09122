"""The table of index kinds: what FAISS builds for each, and what it is tuned by."""

import dataclasses
import math

POINTS_PER_LIST = 39
"""Rows that k-means wants for each list it trains (FAISS's own lower bound)."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind of index is made and asked.

    Attributes:
        recipe: FAISS factory string; `{n_lists}` is filled in.
        floor: Recall@10 that a test holds it to at its default target, in [0, 1].
        parameters: FAISS class of its search parameters; empty where nothing can be tuned.
        knob: The parameter that buys recall with time, from 1 up to the number of lists.
    """

    recipe: str
    floor: float
    parameters: str = ""
    knob: str = ""


KINDS = {
    "exact": Kind(recipe="Flat", floor=1.0),
    "ivf": Kind(recipe="IVF{n_lists},Flat", floor=0.95, parameters="SearchParametersIVF", knob="nprobe"),
}


def count_lists(n_rows: int) -> int:
    """Give the number of lists for a collection: about 4 sqrt(N), and enough rows to train each.

    >>> count_lists(100_000), count_lists(1_000), count_lists(5)
    (1264, 25, 1)
    """
    return max(1, min(int(4 * math.sqrt(n_rows)), n_rows // POINTS_PER_LIST))


def write_recipe(kind: str, n_rows: int) -> str:
    """Give the FAISS factory string of a kind for so many rows.

    >>> write_recipe("ivf", 100_000)
    'IVF1264,Flat'
    """
    return KINDS[kind].recipe.format(n_lists=count_lists(n_rows))
