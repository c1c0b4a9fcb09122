"""Projections of `frieze map`: trustworthiness of 15 neighbours and what they cost, on real tables.

Usage: OMP_NUM_THREADS=1 python -m benchmarks.projections TABLE.features ...   prints the table of docs/benchmarks.md
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import frieze
from benchmarks.tables import show
from frieze.core import Floats, unit_rows

METHODS = ("pca", "tsne", "umap")
N_JUDGED, K = 2000, 15


def trustworthiness(vectors: Floats, positions: Floats) -> float:
    """Return scikit-learn's trustworthiness, by cosine, over 2,000 rows whose neighbours are sought among all."""
    n, rows = len(vectors), np.random.default_rng(0).permutation(len(vectors))[:N_JUDGED]
    excess = 0
    for row in rows:
        scores = vectors @ vectors[row]
        apart = ((positions - positions[row]) ** 2).sum(axis=1)
        scores[row], apart[row] = -np.inf, np.inf
        nearest = np.argpartition(apart, K)[:K]
        ranks = (scores > scores[nearest, None]).sum(axis=1) + 1
        excess += int((ranks - K).clip(0).sum())
    return 1 - 2 * excess / (len(rows) * K * (2 * n - 3 * K - 1))


def measure(table: Path, method: str, out: Path) -> tuple[Floats, float]:
    """Return the points of a map, and the seconds of CPU that it took, its pictures among them."""
    began = time.process_time()
    frieze.map(table, out=out, method=method)
    seconds = time.process_time() - began
    data = re.search(r'id="data">(.*?)</script>', out.read_text(encoding="utf-8"), re.DOTALL)
    document = json.loads(data[1] if data else "")
    return np.array([document["x"], document["y"]], np.float32).T, seconds


def main() -> None:
    """Print the table."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in map(Path, sys.argv[1:]):
            vectors = unit_rows(frieze.open_features(path).embeddings())
            least = 0.0
            for method in METHODS:
                measure(path, method, Path(folder) / "map.html")  # compiles, and loads libraries
                positions, seconds = measure(path, method, Path(folder) / "map.html")
                least = least or seconds
                trusted = trustworthiness(vectors, positions)
                rows.append([path.stem, f"{len(vectors):,}", method, trusted, f"{seconds - least:.1f}"])
    show("projections", "table | images | method | trustworthiness | CPU seconds beyond PCA's", rows)


if __name__ == "__main__":
    main()
