"""A contestant of search/run.py in a separate process: Frieze, its peers, and the exact scan.

Usage: python -m benchmarks.search.peers build NAME DATA OUT [OPTION=VALUE ...]
       python -m benchmarks.search.peers search NAME DATA OUT [is_tuned=no]

DATA is a folder of search/data.py. Prints JSON: `build` seconds, memory_mb (the peak less what the process
took before it read vectors), disk_mb and description (the contestant's, of its index); `search` recall, parameter,
batch and single (queries a second). A peer's search parameter is set to the least value that reaches a recall@10 of .95
on the very queries that are measured. Frieze is imported by its own contestant alone: autofaiss needs another Python
environment.
"""

import abc
import bisect
import json
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

K, TARGET, ROUNDS, ROUND_S = 10, 0.95, 3, 1.0
MAXRSS_PER_MB = 1 << 20 if sys.platform == "darwin" else 1 << 10
Array = np.ndarray[Any, Any]


class Contestant(abc.ABC):
    """A library with its usual options.

    Attributes:
        dim: Width of the vectors.
        library: What `load` gave.
        parameters: Values that its search may be set to, ascending; empty where none can be set.
        opened: What was opened.
    """

    parameters = range(0)
    opened: Any = None

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.library = self.load()

    @abc.abstractmethod
    def load(self) -> Any:
        """Import all that is needed, ahead of the clock; give the library."""

    @abc.abstractmethod
    def build(self, data: Path, out: Path, options: dict[str, str]) -> str:
        """Build and store the index; return its description."""

    @abc.abstractmethod
    def open(self, out: Path) -> None:
        """Open what was stored."""

    @abc.abstractmethod
    def search(self, queries: Array) -> Array:
        """Find the rows of ten neighbours for each query, [Q, 10]."""

    def set_search_parameter(self, parameter: int) -> None:
        """Set how hard the search looks."""
        raise NotImplementedError


def read_vectors(data: Path) -> Array:
    """Read the collection."""
    vectors: Array = np.load(data / "vectors" / "vectors.npy")
    return vectors


class Frieze(Contestant):
    """The public path: `frieze index`, `frieze.open_index`."""

    def load(self) -> Any:
        """Import what an index needs."""
        import faiss  # noqa: F401  what Frieze itself imports late

        import frieze
        import frieze.indexing

        return frieze

    def build(self, data: Path, out: Path, options: dict[str, str]) -> str:
        """Choose, build and store."""
        recall = float(options.pop("recall"))
        document = self.library.index(data / "features", out=out, recall=recall, **options)  # type: ignore[arg-type]
        (out.parent / f"{out.name}.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        return f"{document['kind']}: {document['recipe']}, {document['effort']}"

    def open(self, out: Path) -> None:
        """Open the index."""
        self.opened = self.library.open_index(out)

    def search(self, queries: Array) -> Array:
        """Search; the ids are the rows' numbers."""
        ids, _ = self.opened.top_k(queries, K)
        return np.asarray(ids)


class Exact(Contestant):
    """FAISS's flat index."""

    def load(self) -> Any:
        """Import FAISS."""
        import faiss

        return faiss

    def build(self, data: Path, out: Path, options: dict[str, str]) -> str:
        """Add all and store."""
        del options
        vectors = read_vectors(data)
        flat = self.library.IndexFlatIP(self.dim)
        flat.add(vectors)
        self.library.write_index(flat, str(out))
        return "Flat"

    def open(self, out: Path) -> None:
        """Read it into memory."""
        self.opened = self.library.read_index(str(out))

    def search(self, queries: Array) -> Array:
        """Search."""
        rows: Array = self.opened.search(queries, K)[1]
        return rows


class Autofaiss(Exact):
    """autofaiss: it chooses, builds and tunes by a formula, for a memory."""

    parameters = range(1, 4096)

    def load(self) -> Any:
        """Import both."""
        import autofaiss  # noqa: F401  used by `build`

        return super().load()

    def build(self, data: Path, out: Path, options: dict[str, str]) -> str:
        """Build for cosine: inner products of unit vectors."""
        import autofaiss

        _, infos = autofaiss.build_index(
            str(data / "vectors"),
            index_path=str(out),
            index_infos_path=f"{out}.json",
            metric_type="ip",
            current_memory_available="8GB",
            verbose=40,
            **options,
        )
        return f"{infos['index_key']}, {infos['index_param']}"

    def set_search_parameter(self, parameter: int) -> None:
        """Set efSearch or nprobe, whichever there is."""
        lists = hasattr(self.library.downcast_index(self.opened), "hnsw")
        self.library.ParameterSpace().set_index_parameter(self.opened, "efSearch" if lists else "nprobe", parameter)


class Hnswlib(Contestant):
    """hnswlib with the parameters that most use."""

    parameters = range(K, 4096)

    def load(self) -> Any:
        """Import it."""
        import hnswlib

        return hnswlib

    def build(self, data: Path, out: Path, options: dict[str, str]) -> str:
        """Add all, on every core, and store."""
        del options
        vectors = read_vectors(data)
        graph = self.library.Index(space="cosine", dim=self.dim)
        graph.init_index(max_elements=len(vectors), M=16, ef_construction=200)
        graph.add_items(vectors)
        graph.save_index(str(out))
        return "M 16, ef_construction 200"

    def open(self, out: Path) -> None:
        """Read it into memory."""
        self.opened = self.library.Index(space="cosine", dim=self.dim)
        self.opened.load_index(str(out))

    def set_search_parameter(self, parameter: int) -> None:
        """Set ef."""
        self.opened.set_ef(parameter)

    def search(self, queries: Array) -> Array:
        """Search."""
        rows: Array = self.opened.knn_query(queries, k=K)[0]
        return rows


class Usearch(Contestant):
    """usearch, all defaults."""

    parameters = range(K, 4096)

    def load(self) -> Any:
        """Import it."""
        import usearch.index

        return usearch.index

    def build(self, data: Path, out: Path, options: dict[str, str]) -> str:
        """Add all, on every core, and store."""
        del options
        vectors = read_vectors(data)
        graph = self.library.Index(ndim=self.dim, metric="cos")
        graph.add(np.arange(len(vectors)), vectors)
        graph.save(str(out))
        return f"{graph.dtype.name.lower()}, {graph.connectivity} links, expansion_add {graph.expansion_add}"

    def open(self, out: Path) -> None:
        """Read it into memory."""
        self.opened = self.library.Index.restore(str(out))

    def set_search_parameter(self, parameter: int) -> None:
        """Set expansion_search."""
        self.opened.expansion_search = parameter

    def search(self, queries: Array) -> Array:
        """Search; one query comes back without its axis."""
        return np.atleast_2d(self.opened.search(queries, K).keys)


CONTESTANTS: dict[str, type[Contestant]] = {
    "frieze": Frieze,
    "exact": Exact,
    "autofaiss": Autofaiss,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
}


def build(contestant: Contestant, data: Path, out: Path, options: dict[str, str]) -> dict[str, object]:
    """Build once, reading of the vectors and storing included."""
    before, start = peak_mb(), time.perf_counter()
    description = contestant.build(data, out, options)
    seconds, memory = time.perf_counter() - start, peak_mb() - before
    files = [out] if out.is_file() else [path for path in out.rglob("*") if path.is_file()]
    disk_mb = sum(path.stat().st_size for path in files) / 1e6
    return {"seconds": seconds, "memory_mb": memory, "disk_mb": disk_mb, "description": description}


def peak_mb() -> float:
    """Return this process's peak memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS_PER_MB


def search(contestant: Contestant, data: Path, out: Path, options: dict[str, str]) -> dict[str, object]:
    """Measure the stored index."""
    queries, answers = np.load(data / "queries.npy"), np.load(data / "answers.npy")
    contestant.open(out)

    def recall(parameter: int) -> float:
        if parameter:
            contestant.set_search_parameter(parameter)
        rows = contestant.search(queries).astype(np.int64)
        return float((rows[:, :, None] == answers[:, None]).any(axis=2).mean())

    parameters = contestant.parameters if options.get("is_tuned") != "no" else range(0)
    last = max(0, len(parameters) - 1)
    least = bisect.bisect_left(parameters, TARGET, hi=last, key=recall)
    parameter = parameters[least] if parameters else 0
    reached = recall(parameter)
    batch, single = rate(contestant, [queries]), rate(contestant, [query[None] for query in queries])
    return {"recall": reached, "parameter": parameter, "batch": batch, "single": single}


def rate(contestant: Contestant, batches: list[Array]) -> float:
    """Return queries a second: repeated batches for at least a second, median of three rounds."""
    rates = []
    for _ in range(ROUNDS):
        n_done, start = 0, time.perf_counter()
        while time.perf_counter() - start < ROUND_S:
            batch = batches[n_done // len(batches[0]) % len(batches)]
            contestant.search(batch)
            n_done += len(batch)
        rates.append(n_done / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    """Run one step."""
    step, name, data, out, *options = sys.argv[1:]
    take = {"build": build, "search": search}[step]
    split = dict(option.split("=", maxsplit=1) for option in options)
    contestant = CONTESTANTS[name](np.load(Path(data) / "queries.npy").shape[1])
    print("\n" + json.dumps(take(contestant, Path(data), Path(out), split)))


if __name__ == "__main__":
    main()
