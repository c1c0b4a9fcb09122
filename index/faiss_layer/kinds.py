"""The table of index kinds: what FAISS builds for each, what it takes, and what it is tuned by."""

import dataclasses
import math
from collections.abc import Callable

POINTS_PER_LIST = 39
"""Rows that k-means wants for each list it trains (FAISS's own lower bound)."""
_POINTS_PER_WORD = 256
"""Rows that training a quantiser of 16 words wants at the least, and then some."""
_ID_BYTES = 8
_LEAST_BUILD_BYTES = 300 * 10**6
"""Libraries, and the pieces in which embeddings are read, whatever the kind."""
_PADDED_ROWS = 16
"""By how many rows fast scan fills a list up to a multiple of 32, on average."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind of index is made and asked.

    Attributes:
        recipe: FAISS factory string; `{n_lists}`, `{n_codes}`, `{narrow}` and `{narrow_codes}` are filled in.
        floor: Recall@10 that a test holds it to at its default target, in [0, 1].
        row_bytes: What a row takes in memory while it serves, by its width.
        knob: The parameter that buys recall with time: `nprobe`, `efSearch`, or empty where nothing can be tuned.
        is_refined: Whether it stores less than the embeddings: what it finds is scored anew on the stored vectors.
        is_narrowed: Whether it keeps the principal components alone, which tells little of dot products.
    """

    recipe: str
    floor: float
    row_bytes: Callable[[int], float]
    knob: str = ""
    is_refined: bool = False
    is_narrowed: bool = False

    @property
    def is_graph(self) -> bool:
        """Whether rows are linked to rows: a query that is one of them is found far more easily than a new one."""
        return self.knob == "efSearch"

    def serves(self, metric: str) -> bool:
        """Tell whether it can answer in a metric."""
        return not (self.is_narrowed and metric == "dot")

    def least_rows(self, dim: int) -> int:
        """Give how many rows of a width it can learn from at the least."""
        words = POINTS_PER_LIST * 16 if "x4" in self.recipe else 1
        return max(words, dim) if self.is_narrowed else words


def count_codes(dim: int) -> int:
    """Give how many parts of a vector get a word of 4 bits each: at most one for two numbers, all parts equally long.

    >>> count_codes(256), count_codes(1001), count_codes(7)
    (128, 143, 1)
    """
    return next(n for n in range(max(1, dim // 2), 0, -1) if dim % n == 0)


def count_narrow(dim: int) -> int:
    """Give how many principal components are kept: a quarter, 32 at least.

    >>> count_narrow(1024), count_narrow(128), count_narrow(16)
    (256, 32, 16)
    """
    return min(dim, max(32, dim // 4 // 8 * 8))


def _pq_bytes(dim: int) -> float:
    return count_codes(dim) / 2 + _ID_BYTES


KINDS = {
    "exact": Kind(recipe="Flat", floor=1.0, row_bytes=lambda dim: 4 * dim),
    "ivf": Kind(recipe="IVF{n_lists},Flat", floor=0.95, row_bytes=lambda dim: 4 * dim + _ID_BYTES, knob="nprobe"),
    "fp16": Kind(
        recipe="IVF{n_lists},SQfp16",
        floor=0.95,
        row_bytes=lambda dim: 2 * dim + _ID_BYTES,
        knob="nprobe",
        is_refined=True,
    ),
    "sq8": Kind(
        recipe="IVF{n_lists},SQ8", floor=0.95, row_bytes=lambda dim: dim + _ID_BYTES, knob="nprobe", is_refined=True
    ),
    "rabitq": Kind(
        recipe="IVF{n_lists},RaBitQ",
        floor=0.95,
        row_bytes=lambda dim: math.ceil(dim / 8) + 8 + _ID_BYTES,  # a bit a number, and two numbers to correct by
        knob="nprobe",
        is_refined=True,
    ),
    "pq": Kind(recipe="IVF{n_lists},PQ{n_codes}x4fsr", floor=0.93, row_bytes=_pq_bytes, knob="nprobe", is_refined=True),
    "pca-pq": Kind(
        recipe="PCAR{narrow},IVF{n_lists},PQ{narrow_codes}x4fsr",
        floor=0.93,
        row_bytes=lambda dim: _pq_bytes(count_narrow(dim)),
        knob="nprobe",
        is_refined=True,
        is_narrowed=True,
    ),
    "hnsw": Kind(
        recipe="IDMap,HNSW32,SQ8",
        floor=0.95,
        row_bytes=lambda dim: dim + 4 * 32 * 2 * 1.1 + _ID_BYTES,  # both sides' links, and the upper levels'
        knob="efSearch",
        is_refined=True,
    ),
}


def count_lists(n_rows: int) -> int:
    """Give the number of lists for a collection: about 4 sqrt(N), and enough rows to train each.

    >>> count_lists(100_000), count_lists(1_000), count_lists(5)
    (1264, 25, 1)
    """
    return max(1, min(int(4 * math.sqrt(n_rows)), n_rows // POINTS_PER_LIST))


def count_trained(kind: str, n_rows: int) -> int:
    """Give how many rows a kind wants to be trained on; 0 where it learns nothing."""
    recipe = KINDS[kind].recipe
    lists = POINTS_PER_LIST * count_lists(n_rows) if "{n_lists}" in recipe else 0
    words = 16 * _POINTS_PER_WORD if "SQ" in recipe or "PQ" in recipe else 0
    return min(n_rows, max(lists, words))


def count_bytes(kind: str, n_rows: int, dim: int) -> int:
    """Estimate what an index takes in memory while it serves: rows and centroids."""
    row_bytes, n_lists = KINDS[kind].row_bytes(dim), count_lists(n_rows) if "{n_lists}" in KINDS[kind].recipe else 0
    narrow = count_narrow(dim) if KINDS[kind].is_narrowed else dim
    n_padded = n_lists * _PADDED_ROWS if "x4fs" in KINDS[kind].recipe else 0
    return math.ceil((n_rows + n_padded) * row_bytes) + 4 * narrow * n_lists


def count_build_bytes(kind: str, n_rows: int, dim: int) -> int:
    """Estimate what building an index takes in memory beyond the process's start.

    A list or an array that outgrows its room is copied to one of twice the size, while both are there.
    """
    codes = 0 if kind == "exact" else count_bytes(kind, n_rows, dim)
    return _LEAST_BUILD_BYTES + codes * (3 if KINDS[kind].is_graph else 2)


def write_recipe(kind: str, n_rows: int, dim: int) -> str:
    """Give the FAISS factory string of a kind for so many rows of a width.

    >>> write_recipe("ivf", 100_000, 256), write_recipe("pq", 100_000, 256)
    ('IVF1264,Flat', 'IVF1264,PQ128x4fsr')
    """
    narrow = count_narrow(dim)
    return KINDS[kind].recipe.format(
        n_lists=count_lists(n_rows),
        n_codes=count_codes(dim),
        narrow=narrow,
        narrow_codes=count_codes(narrow),
    )
