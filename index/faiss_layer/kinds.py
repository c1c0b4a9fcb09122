"""The table of index kinds: FAISS factory string, memory, training rows and the search parameter that is tuned."""

import dataclasses
import math
from collections.abc import Callable

POINTS_PER_LIST = 39
"""Training rows that k-means requires per list (FAISS's own minimum)."""
_QUANTIZER_ROWS = 16 * 256
"""Training rows for a quantizer: 256 for each of its 16 centroids."""
_ID_BYTES = 8
_MIN_BUILD_BYTES = 300 * 10**6
"""Libraries, and the blocks in which embeddings are read, whatever the kind."""
_PADDED_ROWS = 16
"""Rows by which fast scan pads a list to a multiple of 32, on average."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind of index is built and searched.

    Attributes:
        recipe: FAISS factory string; `{n_lists}`, `{n_subquantizers}`, `{n_components}` and
            `{n_component_subquantizers}` are filled in.
        floor: Recall@10 that a test requires at the default target, in [0, 1].
        row_bytes: Memory per row while the index serves, by width.
        search_param: FAISS's parameter that trades time for recall: `nprobe`, `efSearch`, or empty where there is none.
        quantizer_rows: Rows that training its quantizer requires; 0 where nothing is trained but lists.
        n_bits: Bits of each code of a product quantizer; 0 without one.
        is_graph: Whether rows are linked to rows: a stored row is found far more easily than a new query.
        is_refined: Whether it stores less than the embeddings, so that hits are rescored on the stored vectors.
        uses_pca: Whether it keeps only principal components, which say little about dot products.
    """

    recipe: str
    floor: float
    row_bytes: Callable[[int], float]
    search_param: str = ""
    quantizer_rows: int = 0
    n_bits: int = 0
    is_graph: bool = False
    is_refined: bool = False
    uses_pca: bool = False

    @property
    def has_lists(self) -> bool:
        """Whether rows are partitioned into lists (IVF)."""
        return "{n_lists}" in self.recipe

    def supports(self, metric: str) -> bool:
        """Return whether it can answer in a metric."""
        return not (self.uses_pca and metric == "dot")

    def min_rows(self, dim: int) -> int:
        """Count the training rows of a width that it requires at least."""
        n_rows = POINTS_PER_LIST * 2**self.n_bits if self.n_bits else 1
        return max(n_rows, dim) if self.uses_pca else n_rows


def count_subquantizers(dim: int) -> int:
    """Count the equal parts of a vector that get a 4-bit code each: at most one for two numbers.

    >>> count_subquantizers(256), count_subquantizers(1001), count_subquantizers(7)
    (128, 143, 1)
    """
    return next(n for n in range(max(1, dim // 2), 0, -1) if dim % n == 0)


def count_components(dim: int) -> int:
    """Count the principal components that are kept: a quarter of the width, 32 at least.

    >>> count_components(1024), count_components(128), count_components(16)
    (256, 32, 16)
    """
    return min(dim, max(32, dim // 4 // 8 * 8))


def _pq_bytes(dim: int) -> float:
    return count_subquantizers(dim) / 2 + _ID_BYTES


KINDS = {
    "exact": Kind(recipe="Flat", floor=1.0, row_bytes=lambda dim: 4 * dim),
    "ivf": Kind(
        recipe="IVF{n_lists},Flat", floor=0.95, row_bytes=lambda dim: 4 * dim + _ID_BYTES, search_param="nprobe"
    ),
    "fp16": Kind(
        recipe="IVF{n_lists},SQfp16",
        floor=0.95,
        row_bytes=lambda dim: 2 * dim + _ID_BYTES,
        search_param="nprobe",
        quantizer_rows=_QUANTIZER_ROWS,
        is_refined=True,
    ),
    "sq8": Kind(
        recipe="IVF{n_lists},SQ8",
        floor=0.95,
        row_bytes=lambda dim: dim + _ID_BYTES,
        search_param="nprobe",
        quantizer_rows=_QUANTIZER_ROWS,
        is_refined=True,
    ),
    "rabitq": Kind(
        recipe="IVF{n_lists},RaBitQ",
        floor=0.95,
        row_bytes=lambda dim: math.ceil(dim / 8) + 8 + _ID_BYTES,  # a bit per number, and two correction factors
        search_param="nprobe",
        is_refined=True,
    ),
    "pq": Kind(
        recipe="IVF{n_lists},PQ{n_subquantizers}x4fsr",
        floor=0.93,
        row_bytes=_pq_bytes,
        search_param="nprobe",
        quantizer_rows=_QUANTIZER_ROWS,
        n_bits=4,
        is_refined=True,
    ),
    "pca-pq": Kind(
        recipe="PCAR{n_components},IVF{n_lists},PQ{n_component_subquantizers}x4fsr",
        floor=0.93,
        row_bytes=lambda dim: _pq_bytes(count_components(dim)),
        search_param="nprobe",
        quantizer_rows=_QUANTIZER_ROWS,
        n_bits=4,
        is_refined=True,
        uses_pca=True,
    ),
    "hnsw": Kind(
        recipe="IDMap,HNSW32,SQ8",
        floor=0.95,
        row_bytes=lambda dim: dim + 4 * 32 * 2 * 1.1 + _ID_BYTES,  # links in both directions, and the upper levels
        search_param="efSearch",
        quantizer_rows=_QUANTIZER_ROWS,
        is_graph=True,
        is_refined=True,
    ),
}


def count_lists(n_rows: int) -> int:
    """Compute the number of lists: about 4 sqrt(N), with enough rows to train each.

    >>> count_lists(100_000), count_lists(1_000), count_lists(5)
    (1264, 25, 1)
    """
    return max(1, min(int(4 * math.sqrt(n_rows)), n_rows // POINTS_PER_LIST))


def count_training_rows(kind: str, n_rows: int) -> int:
    """Count the rows that a kind is trained on; 0 where nothing is trained."""
    list_rows = POINTS_PER_LIST * count_lists(n_rows) if KINDS[kind].has_lists else 0
    return min(n_rows, max(list_rows, KINDS[kind].quantizer_rows))


def count_bytes(kind: str, n_rows: int, dim: int) -> int:
    """Estimate the memory of an index while it serves: rows and centroids."""
    row_bytes, n_lists = KINDS[kind].row_bytes(dim), count_lists(n_rows) if KINDS[kind].has_lists else 0
    list_dim = count_components(dim) if KINDS[kind].uses_pca else dim
    n_padded = n_lists * _PADDED_ROWS if KINDS[kind].n_bits else 0  # fast scan, which pads, is how codes are read
    return math.ceil((n_rows + n_padded) * row_bytes) + 4 * list_dim * n_lists


def count_build_bytes(kind: str, n_rows: int, dim: int) -> int:
    """Estimate the memory that building an index takes beyond the process's start.

    A list or an array that outgrows its allocation is copied to one of twice the size while both exist.
    """
    index_bytes = 0 if kind == "exact" else count_bytes(kind, n_rows, dim)
    return _MIN_BUILD_BYTES + index_bytes * (3 if KINDS[kind].is_graph else 2)


def write_recipe(kind: str, n_rows: int, dim: int) -> str:
    """Format the FAISS factory string of a kind for N rows of a width.

    >>> write_recipe("ivf", 100_000, 256), write_recipe("pq", 100_000, 256)
    ('IVF1264,Flat', 'IVF1264,PQ128x4fsr')
    """
    n_components = count_components(dim)
    return KINDS[kind].recipe.format(
        n_lists=count_lists(n_rows),
        n_subquantizers=count_subquantizers(dim),
        n_components=n_components,
        n_component_subquantizers=count_subquantizers(n_components),
    )
