"""Filling an index by the machines of a Ray cluster: each fills a share of what was learnt here, and all are merged."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, Rows, run_on_cluster
from frieze.indexing.build.train_and_add import LocalPopulator
from frieze.indexing.faiss_layer.vectors import NO_ROWS, StoredVectors, Vectors, count_piece

_LEAST_PIECES = 8
"""How many pieces a share has at least: less is not worth the way there and back."""


class RayPopulator:
    """Fills codes with the embeddings of a file that all machines see; the result is the one of filling them here.

    Args:
        ray: The module, connected to the cluster.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def fill(self, codes: Any, vectors: Vectors, left_out: Rows = NO_ROWS) -> None:
        """Fill codes; a graph, which can't be merged, and what is not worth the way are filled here.

        Rows are left out of graphs alone.

        Raises:
            InputError: A machine does not see the file.
        """
        import faiss

        shares = self._shares(vectors)
        is_mergeable = faiss.try_extract_index_ivf(codes) is not None
        if len(left_out) or not (is_mergeable and len(shares) > 1 and isinstance(vectors, StoredVectors)):
            LocalPopulator().fill(codes, vectors, left_out)
            return
        empty = faiss.serialize_index(codes)
        place = {"path": vectors.path, "metric": vectors.metric, "n_rows": len(vectors), "dim": vectors.dim}
        for filled in run_on_cluster(self._ray, fill_share, empty, ((place, share) for share in shares)):
            codes.merge_from(faiss.deserialize_index(filled), 0)

    def _shares(self, vectors: Vectors) -> list[range]:
        """Cut the rows into a share a core of the cluster, each of whole pieces."""
        step = count_piece(vectors.dim)
        n_pieces = -(-len(vectors) // step)
        n_shares = max(1, min(int(self._ray.cluster_resources().get("CPU", 1)), n_pieces // _LEAST_PIECES))
        ends = (np.linspace(0, n_pieces, n_shares + 1).astype(int) * step).tolist()
        return [range(start, min(end, len(vectors))) for start, end in itertools.pairwise(ends)]


def fill_share(empty: Any, place: dict[str, Any], rows: range) -> Any:
    """Fill codes that have learnt with some rows of a file, on whichever machine this runs.

    Args:
        empty: The codes, as FAISS serialises them: uint8 [n].
        place: What `StoredVectors` takes.
        rows: The rows, one after the other.

    Returns:
        The filled codes, in the same form.

    Raises:
        InputError: There is no such file here.
    """
    import faiss

    codes = faiss.deserialize_index(np.asarray(empty))
    try:
        LocalPopulator().fill(codes, _Share(StoredVectors(**place), rows))
    except FileNotFoundError as error:
        raise InputError(
            f"A machine of the cluster does not see {place['path']}.",
            hint="Give an --out that all machines mount at the same place.",
        ) from error
    return faiss.serialize_index(codes)


class _Share(StoredVectors):
    """Some rows of a file."""

    def __init__(self, whole: StoredVectors, rows: range) -> None:
        super().__init__(Path(whole.path), metric=whole.metric, n_rows=whole.n_rows, dim=whole.dim)
        self._rows = rows

    def pieces(self) -> Iterator[tuple[int, Floats]]:
        return self.pieces_of(self._rows)
