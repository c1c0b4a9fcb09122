"""`frieze.neighbours`: the k-NN graph of a table or an index, as a table of edges and as a sparse matrix."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze import terminal
from frieze.api.folder_kinds import folder_kind
from frieze.api.paths import open_table, scratch_folder, to_local_or_bucket_path, to_local_path
from frieze.core import FeatureFileError, InputError, Strings, check_table_file, translate_errors, write_table_file

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from frieze.indexing import Index

EDGES = pa.schema(
    [
        pa.field("id", pa.string()),
        pa.field("neighbour", pa.string()),
        pa.field("rank", pa.int32()),
        pa.field("score", pa.float32()),
    ]
)
"""The columns of a graph: the rows of an id stand together, best first, and ids in the order of the table."""

_MOST_EXACT = 20_000
"""Rows of a table up to which all are compared with all: choosing an index takes longer."""


class NeighbourGraph(dict[str, Any]):
    """The document of `frieze.neighbours`, a dict, that turns into a sparse matrix."""

    def __repr__(self) -> str:
        return f"NeighbourGraph({self['rows']:,} rows, k={self['k']}, {self['out']!r})"

    @property
    def ids(self) -> Strings:
        """The ids of the matrix's rows and columns, object [N], in the order of the table."""
        return np.array(self._read()["id"].to_pylist()[:: self["k"]], dtype=object)

    def to_scipy(self) -> "csr_array":
        """Return the graph as a sparse matrix, float32 [N, N]: in row i the scores of the k nearest others of image i.

        Rows and columns are those of `ids`. Where all scores are above 0 (by l2 they are below),
        `graph.to_scipy().maximum(graph.to_scipy().T)` is symmetric.

        Raises:
            InputError: The graph is no Parquet file, or it can't be read.
        """
        from scipy.sparse import csr_array

        edges, n_rows, k = self._read(), self["rows"], self["k"]
        ids = edges["id"].combine_chunks().take(pa.array(np.arange(0, n_rows * k, k)))
        columns = np.asarray(pc.index_in(edges["neighbour"], value_set=ids))
        starts = np.arange(0, n_rows * k + 1, k)
        return csr_array((edges["score"].to_numpy(), columns, starts), shape=(n_rows, n_rows))

    def _read(self) -> pa.Table:
        path = Path(self["out"])
        if path.suffix.lower() != ".parquet":
            raise InputError(f"{path} is no Parquet file.", hint="Write the graph to a name that ends in .parquet.")
        with translate_errors(
            f"{path} can't be read", hint="Make the graph again.", errors=(OSError, pa.ArrowException)
        ):
            table = pq.read_table(path)
        if len(table) != self["rows"] * self["k"] or table.schema.names != EDGES.names:
            raise FeatureFileError(f"{path} holds another graph by now.", hint="Make the graph again.")
        return table


def neighbours(features: str | Path, *, out: str | Path, k: int = 10, force: bool = False) -> NeighbourGraph:
    """Write the k-NN graph of a table: for each image its k nearest others.

    Args:
        features: The table's folder, or an index's. All images of a table of up to 20,000 are compared with all by
            cosine; for a larger one an index is made, used and deleted. An index is used as it is, with its metric.
        out: File of the edges: Parquet, CSV or JSON lines, by its suffix. Its columns are `id`, `neighbour`, `rank` (1
            is the nearest) and `score`.
        k: Neighbours of each image; fewer where the table has fewer others.
        force: Replace an existing graph.

    Returns:
        A dict with `.to_scipy()`, the sparse matrix [N, N] of the scores, and `.ids`: `out`, `rows`, `k`, `edges`,
        `metric`, `kind`, `recall` (None where all are compared with all), `recall_rows`, `n_zero`, `seconds`, `stale`.

    Raises:
        InputError: The request can't be met; the hint says what to change.
    """
    from frieze.indexing import find_neighbours, measure_graph_recall

    started, out_path = time.perf_counter(), to_local_path(out)
    if k < 1:
        raise InputError(f"k is {k}.", hint="Use k >= 1.")
    check_table_file(out_path, lambda names: names == EDGES.names, "neighbours", force=force)
    with _open_index(features, out_path) as index:
        if len(index) < 2:  # noqa: PLR2004  a neighbour is another image
            raise InputError(f"{features} has a single image, which has no neighbours.", hint="Embed more images.")
        k = min(k, len(index) - 1)
        with terminal.progress("Searching", "images") as progress:
            write_table_file(
                out_path, EDGES, (_to_table(index, *one) for one in find_neighbours(index, k=k, progress=progress))
            )
        recall, n_measured = measure_graph_recall(index, k=k) or (None, None)
        return NeighbourGraph(
            {
                "features": str(features),
                "out": str(out_path),
                "rows": len(index),
                "k": k,
                "edges": len(index) * k,
                "metric": index.metric,
                "kind": index.document["index_kind"],
                "recall": recall,
                "recall_rows": n_measured,
                "n_zero": index.n_zero,
                "stale": index.staleness(),
                "seconds": time.perf_counter() - started,
            }
        )


@contextlib.contextmanager
def _open_index(features: str | Path, near: Path) -> Iterator["Index"]:
    """Open an index, or build one of a table that is deleted afterwards."""
    from frieze.indexing import build_index, open_index

    path = to_local_or_bucket_path(features)
    if folder_kind(path) == "index":
        yield open_index(to_local_path(features))
        return
    table = open_table(features)
    with scratch_folder(near) as folder:
        with terminal.spinner("Indexing"):
            build_index(table, folder / "index", kind="exact" if len(table) <= _MOST_EXACT else "auto")
        yield open_index(folder / "index")


def _to_table(index: "Index", rows: Any, neighbours: Any, scores: Any) -> pa.Table:
    """Return some edges as a table with the columns of `EDGES`."""
    ids, k = index.row_metadata.ids, neighbours.shape[1]
    columns = [
        ids.take(pa.array(np.repeat(rows, k))),
        ids.take(pa.array(neighbours.ravel())),
        pa.array(np.tile(np.arange(1, k + 1, dtype=np.int32), len(rows))),
        pa.array(scores.ravel()),
    ]
    return pa.table(columns, schema=EDGES)
