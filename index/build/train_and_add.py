"""Train a FAISS index of a kind on a sample of the embeddings and add all rows to it."""

from typing import Any, Protocol

import numpy as np

from frieze.core import Floats, Rows, trim_memory
from frieze.indexing.faiss_layer.kinds import KINDS, count_training_rows, write_recipe
from frieze.indexing.faiss_layer.metrics import FAISS_METRICS
from frieze.indexing.faiss_layer.searcher import all_cores
from frieze.indexing.faiss_layer.vectors import NO_ROWS, Vectors, blocks_without, draw_rows_except


class Populator(Protocol):
    """Adds rows to a trained FAISS index."""

    def add(self, faiss_index: Any, vectors: Vectors, left_out: Rows = NO_ROWS) -> None:
        """Add all embeddings but some to an empty trained index, with their row numbers as ids."""


class LocalPopulator:
    """Adds rows in this process."""

    def add(self, faiss_index: Any, vectors: Vectors, left_out: Rows = NO_ROWS) -> None:
        """Add all embeddings but some, block by block."""
        for rows, embeddings in blocks_without(vectors, left_out):
            faiss_index.add_with_ids(embeddings, rows)


class IndexTrainer:
    """Trains FAISS indexes of several kinds on the same embeddings; centroids of lists are trained once for all kinds.

    Args:
        vectors: The embeddings.
        unseen: int64 [m], rows that are not trained on: the queries that will measure the index.
        max_training_rows: How many training rows may be held at once; None for no limit.
        populator: Adds the rows; this process by default.
    """

    def __init__(
        self,
        vectors: Vectors,
        *,
        unseen: Rows = NO_ROWS,
        max_training_rows: int | None = None,
        populator: Populator | None = None,
    ) -> None:
        self._vectors = vectors
        self._unseen = unseen
        self._populator = populator or LocalPopulator()
        self._max_training_rows = max_training_rows or len(vectors)
        self._centroids: Floats | None = None

    def train_and_add(self, kind: str, *, left_out: Rows = NO_ROWS) -> Any:
        """Train an index of a kind and add all rows but some; None for `exact`, which needs only the flat index."""
        if kind == "exact":
            return None
        trim_memory()
        with all_cores():
            faiss_index = self._train(kind)
            trim_memory()
            self._populator.add(faiss_index, self._vectors, left_out)
        trim_memory()
        return faiss_index

    def _train(self, kind: str) -> Any:
        import faiss

        faiss_index = create_faiss_index(kind, self._vectors)
        n_rows = len(self._vectors)
        n_training_rows = min(self._max_training_rows, count_training_rows(kind, n_rows))
        sample = self._vectors.take(draw_rows_except(n_rows, n_training_rows, self._unseen))
        lists = faiss.try_extract_index_ivf(faiss_index)
        if lists is not None:
            lists.cp.min_points_per_centroid = 1  # no warning on stderr about a small table: it has no more rows
            if not KINDS[kind].uses_pca:
                # FAISS trains no centroids where the quantizer already has as many as there are lists.
                lists.quantizer.add(self._list_centroids(lists, sample))
        faiss_index.train(sample)
        return faiss_index

    def _list_centroids(self, lists: Any, sample: Floats) -> Floats:
        """Return the centroids of the lists, float32 [n_lists, D]; k-means runs at the first call."""
        import faiss

        if self._centroids is None:
            kmeans = faiss.Kmeans(
                self._vectors.dim,
                lists.nlist,
                niter=lists.cp.niter,
                spherical=lists.cp.spherical,
                min_points_per_centroid=1,
                max_points_per_centroid=len(sample),
            )
            kmeans.train(sample)
            self._centroids = np.asarray(kmeans.centroids, np.float32)
        return self._centroids


def create_faiss_index(kind: str, vectors: Vectors) -> Any:
    """Create an untrained FAISS index of a kind."""
    import faiss

    metric = getattr(faiss, FAISS_METRICS[vectors.metric].faiss_name)
    recipe = write_recipe(kind, len(vectors), vectors.dim)
    if not KINDS[kind].uses_pca or metric == faiss.METRIC_L2:
        return faiss.index_factory(vectors.dim, recipe, metric)
    # Principal components are relative to the mean, which changes inner products but no distances; both order unit
    # vectors alike. The refining index is compared by the outer metric.
    faiss_index = faiss.index_factory(vectors.dim, recipe, faiss.METRIC_L2)
    faiss_index.metric_type = metric
    return faiss_index
