"""Codes: FAISS's index of a kind, trained on some embeddings and filled with all."""

from typing import Any, Protocol

import numpy as np

from frieze.core import Floats, Rows, trim_memory
from frieze.indexing.faiss_layer.kinds import KINDS, count_trained, write_recipe
from frieze.indexing.faiss_layer.metrics import MEASURES
from frieze.indexing.faiss_layer.searcher import all_cores
from frieze.indexing.faiss_layer.vectors import NO_ROWS, Vectors, draw_others, pieces_without


class Populator(Protocol):
    """Who fills codes."""

    def fill(self, codes: Any, vectors: Vectors, left_out: Rows = NO_ROWS) -> None:
        """Fill empty codes with all embeddings but for some rows, under the numbers of their rows."""


class LocalPopulator:
    """This process."""

    def fill(self, codes: Any, vectors: Vectors, left_out: Rows = NO_ROWS) -> None:
        """Fill codes piece by piece."""
        for rows, embeddings in pieces_without(vectors, left_out):
            codes.add_with_ids(embeddings, rows)


class Filler:
    """Makes codes of several kinds over the same embeddings; what the kinds have in common is learnt once.

    Args:
        vectors: The embeddings.
        unseen: int64 [m], rows that are not learnt from: the queries that will measure it.
        most_trained: How many rows may be held at once to learn from.
        adder: Who fills them; None for this process.
    """

    def __init__(
        self,
        vectors: Vectors,
        *,
        unseen: Rows = NO_ROWS,
        most_trained: int | None = None,
        adder: Populator | None = None,
    ) -> None:
        self._vectors = vectors
        self._unseen = unseen
        self._adder = adder or LocalPopulator()
        self._most_trained = most_trained or len(vectors)
        self._centroids: Floats | None = None

    def fill(self, kind: str, *, left_out: Rows = NO_ROWS) -> Any:
        """Train codes and fill them with all rows but for some; None for `exact`, which has none."""
        if kind == "exact":
            return None
        trim_memory()
        with all_cores():
            codes = self._trained(kind)
            trim_memory()
            self._adder.fill(codes, self._vectors, left_out)
        trim_memory()
        return codes

    def _trained(self, kind: str) -> Any:
        import faiss

        codes = empty_codes(kind, self._vectors)
        n_rows = len(self._vectors)
        n_learnt = min(self._most_trained, count_trained(kind, n_rows))
        sample = self._vectors.take(draw_others(n_rows, n_learnt, self._unseen))
        lists = faiss.try_extract_index_ivf(codes)
        if lists is not None:
            _allow_few(lists)
            if not KINDS[kind].is_narrowed:
                lists.quantizer.add(self._lists(lists, sample))  # FAISS trains none where there are as many as wanted
        codes.train(sample)
        return codes

    def _lists(self, lists: Any, sample: Floats) -> Floats:
        """Give the centroids of the lists, float32 [n_lists, D]."""
        import faiss

        if self._centroids is None:
            means = faiss.Kmeans(
                self._vectors.dim,
                lists.nlist,
                niter=lists.cp.niter,
                spherical=lists.cp.spherical,
                min_points_per_centroid=1,
                max_points_per_centroid=len(sample),
            )
            means.train(sample)
            self._centroids = np.asarray(means.centroids, np.float32)
        return self._centroids


def _allow_few(lists: Any) -> None:
    """Train on fewer rows than FAISS would like without its warning on stderr: a small table has no more."""
    lists.cp.min_points_per_centroid = 1
    if hasattr(lists, "pq"):
        lists.pq.cp.min_points_per_centroid = 1


def empty_codes(kind: str, vectors: Vectors) -> Any:
    """Give codes of a kind that have learnt nothing yet."""
    import faiss

    metric = getattr(faiss, MEASURES[vectors.metric].faiss_name)
    recipe = write_recipe(kind, len(vectors), vectors.dim)
    if not KINDS[kind].is_narrowed or metric == faiss.METRIC_L2:
        return faiss.index_factory(vectors.dim, recipe, metric)
    # Principal components are taken from the mean on, which moves inner products but no distances; of unit vectors
    # these order alike. The outer word is what the refining index is compared by.
    codes = faiss.index_factory(vectors.dim, recipe, faiss.METRIC_L2)
    codes.metric_type = metric
    return codes
