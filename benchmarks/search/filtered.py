"""Filtered search: recall and milliseconds by kind of index and by the share of rows that passes.

Usage: python -m benchmarks.search.filtered   prints the table of docs/benchmarks.md (some minutes; 300 MB on disk).
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

import frieze
from benchmarks.tables import show
from frieze.features import (
    BackboneSpec,
    Features,
    Manifest,
    Shard,
    open_features,
    open_writer,
    part_schema,
    to_part,
    top_k,
)
from frieze.indexing import Index

N_ROWS, N_QUERIES, N_TIMED, DIM, N_CLUSTERS, N_INNER = 100_000, 500, 100, 256, 1_000, 12
KINDS = ("auto", "ivf", "pq", "pca-pq", "rabitq", "hnsw")
FILTERS = {
    "by chance": ("number < 500", "number < 50", "number < 1"),
    "by cluster": ("label < '500'", "label < '050'", "label < '001'"),
}
"""Filters that pass half of the rows to one in a thousand: rows at random, or all rows of some clusters."""


def draw() -> tuple[np.ndarray, np.ndarray]:
    """Draw float32 [N + Q, 256] on a bent sheet of 12 dimensions with a little noise, and the cluster of each."""
    rng = np.random.default_rng(0)
    centres, widen = rng.normal(size=(N_CLUSTERS, N_INNER)), rng.normal(size=(N_INNER, DIM)) / np.sqrt(N_INNER)
    clusters = rng.integers(0, N_CLUSTERS, N_ROWS + N_QUERIES)
    inner = centres[clusters] + 0.4 * rng.normal(size=(len(clusters), N_INNER))
    return (np.tanh(inner @ widen) + 0.02 * rng.normal(size=(len(clusters), DIM))).astype(np.float32), clusters


def write_table(out: Path, embeddings: np.ndarray, clusters: np.ndarray) -> Features:
    """Store vectors as a table whose labels are the clusters, and whose column `number` is drawn from 0 to 999."""
    spec = BackboneSpec(name="drawn", handle="builtin", fingerprint="f" * 64, dim=DIM, image_size=(8, 8))
    schema = part_schema(spec, [pa.field("number", pa.int64())])
    rows = np.arange(len(embeddings))
    names = [f"{row}.jpg" for row in rows]
    facts = dict.fromkeys(("size_bytes", "mtime_ns", "width", "height"), np.ones(len(rows), np.int64))
    columns = facts | {"id": names, "uri": names, "sha256": ["0" * 64] * len(rows)}
    columns |= {
        "label": [f"{one:03d}" for one in clusters],
        "number": np.random.default_rng(1).integers(0, 1000, len(rows)),
    }
    with open_writer(out, Manifest(spec=spec, source="drawn")) as writer:
        writer.commit(Shard(0, rows), to_part(columns, embeddings, schema))
    return open_features(out)


def measure(index: Index, queries: np.ndarray, exact: np.ndarray, where: str | None) -> str:
    """Return recall@10, the median of single queries and the mean in one batch, both in milliseconds."""
    start = time.perf_counter()
    ids, _ = index.top_k(queries, 10, where=where)
    batch_s = (time.perf_counter() - start) / len(queries)
    recall = np.mean([len({*hits} & {*expected}) / len(expected) for hits, expected in zip(ids, exact, strict=True)])
    times = []
    for query in queries[:N_TIMED]:
        start = time.perf_counter()
        index.top_k(query[None], 10, where=where)
        times.append(time.perf_counter() - start)
    return f"{recall:.3f}, {statistics.median(times) * 1e3:.2f}, {batch_s * 1e3:.3f}"


def exact_ids(table: Features, embeddings: np.ndarray, clusters: np.ndarray) -> dict[str | None, np.ndarray]:
    """Return the exact nearest ids for every filter, object [Q, 10], by NumPy."""
    stored, queries, numbers = embeddings[:N_ROWS], embeddings[N_ROWS:], table.rows["number"].to_numpy()
    clusters = clusters[:N_ROWS]
    passing = {None: np.arange(N_ROWS)}
    for most, chance, cluster in zip((500, 50, 1), *FILTERS.values(), strict=True):
        passing |= {chance: np.flatnonzero(numbers < most), cluster: np.flatnonzero(clusters < most)}
    return {
        where: table.ids[rows[top_k(queries, stored[rows], k=10, metric="cosine")[0]]]
        for where, rows in passing.items()
    }


def rows(folder: Path) -> Iterator[list[str]]:
    """Measure each kind."""
    embeddings, clusters = draw()
    table = write_table(folder / "t.features", embeddings[:N_ROWS], clusters[:N_ROWS])
    exact, queries = exact_ids(table, embeddings, clusters), embeddings[N_ROWS:]
    for kind in KINDS:
        built = frieze.index(table.path, out=folder / kind, kind=kind)
        index = frieze.open_index(folder / kind)
        name = f"{kind} ({built['kind']})" if kind == "auto" else kind
        yield [name, "no filter", measure(index, queries, exact[None], None), "", ""]
        for how, filters in FILTERS.items():
            yield [name, how, *(measure(index, queries, exact[where], where) for where in filters)]


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="frieze-filters-") as folder:
        show("filters", "kind | what passes | 50 % | 5 % | 0.1 %", rows(Path(folder)))


if __name__ == "__main__":
    main()
