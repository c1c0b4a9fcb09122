"""Add rows on a Ray cluster: each task adds a share of the rows to a copy of the trained index; copies are merged."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, Rows, run_on_cluster
from frieze.indexing.build.train_and_add import LocalPopulator
from frieze.indexing.faiss_layer.vectors import NO_ROWS, StoredVectors, Vectors, count_block_rows

_MIN_BLOCKS = 8
"""Blocks of a share at least: fewer are not worth the transfer."""


class RayPopulator:
    """Adds the embeddings of a file that all machines see; the result equals that of adding them locally.

    Args:
        ray: The module, connected to the cluster.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def add(self, faiss_index: Any, vectors: Vectors, left_out: Rows = NO_ROWS) -> None:
        """Add all rows but some to a trained index; a graph, which can't be merged, and a few rows are added locally.

        Only a graph has rows left out.

        Raises:
            InputError: A machine does not see the file.
        """
        import faiss

        shares = self._shares(vectors)
        is_mergeable = faiss.try_extract_index_ivf(faiss_index) is not None
        if len(left_out) or not (is_mergeable and len(shares) > 1 and isinstance(vectors, StoredVectors)):
            LocalPopulator().add(faiss_index, vectors, left_out)
            return
        empty = faiss.serialize_index(faiss_index)
        file = {"path": vectors.path, "metric": vectors.metric, "n_rows": len(vectors), "dim": vectors.dim}
        for copy in run_on_cluster(self._ray, add_share, empty, ((file, share) for share in shares)):
            faiss_index.merge_from(faiss.deserialize_index(copy), 0)

    def _shares(self, vectors: Vectors) -> list[range]:
        """Split the rows into one share per core of the cluster, each of whole blocks."""
        step = count_block_rows(vectors.dim)
        n_pieces = -(-len(vectors) // step)
        n_shares = max(1, min(int(self._ray.cluster_resources().get("CPU", 1)), n_pieces // _MIN_BLOCKS))
        ends = (np.linspace(0, n_pieces, n_shares + 1).astype(int) * step).tolist()
        return [range(start, min(end, len(vectors))) for start, end in itertools.pairwise(ends)]


def add_share(empty: Any, file: dict[str, Any], rows: range) -> Any:
    """Add some rows of a file to a trained index, as a Ray task.

    Args:
        empty: The trained index without rows, serialized by FAISS: uint8 [n].
        file: Arguments of `StoredVectors`.
        rows: The rows to add.

    Returns:
        The index with these rows, serialized likewise.

    Raises:
        InputError: This machine does not see the file.
    """
    import faiss

    faiss_index = faiss.deserialize_index(np.asarray(empty))
    try:
        LocalPopulator().add(faiss_index, _Share(StoredVectors(**file), rows))
    except FileNotFoundError as error:
        raise InputError(
            f"A machine of the cluster does not see {file['path']}.",
            hint="Use an `out` that all machines mount at the same path.",
        ) from error
    return faiss.serialize_index(faiss_index)


class _Share(StoredVectors):
    """A range of rows of a file."""

    def __init__(self, whole: StoredVectors, rows: range) -> None:
        super().__init__(Path(whole.path), metric=whole.metric, n_rows=whole.n_rows, dim=whole.dim)
        self._rows = rows

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        return self.blocks_of(self._rows)
