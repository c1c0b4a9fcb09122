"""The vectors of search/run.py: a collection, queries that are not in it, and their exact nearest neighbours.

Usage: python -m benchmarks.search.data FOLDER sheet ROWS DIM
       FRIEZE_DATA=... python -m benchmarks.search.data FOLDER cifar10

FOLDER gets vectors/vectors.npy float32 [N, D] and queries.npy float32 [1000, D], both of unit length; answers.npy int64
[1000, 10], best first; and the folder features, the collection after `frieze import`. Prints JSON: rows, dim and
import_seconds.

The sheet: 1,000 cluster centres from a normal distribution in 20 dimensions; each point is a centre drawn at random
plus normal noise of .8 of its spread; a random linear map to D dimensions that keeps the spread, tanh, and normal noise
of .02 in each number. Seed 0. So neighbours lie on a curved sheet, as those of images do (random vectors have no
meaningful neighbours). Queries are more points of the same draw.

cifar10: the 10,000 images of the test set through mobilenet_v1_025_128; 1,000 drawn at random are the queries.
"""

import json
import sys
from pathlib import Path

import numpy as np

import frieze
from benchmarks import DATA
from frieze.core import Floats, unit_rows
from frieze.features import open_features, top_k

N_QUERIES, K, SEED = 1_000, 10, 0
N_CLUSTERS, N_INNER, SPREAD, NOISE = 1_000, 20, 0.8, 0.02
BLOCK_ROWS = 100_000


def draw_sheet(n_rows: int, dim: int) -> Floats:
    """Draw float32 [N, D] in clusters on a sheet of few dimensions."""
    rng = np.random.default_rng(SEED)
    centres = rng.normal(size=(N_CLUSTERS, N_INNER))
    widen = rng.normal(size=(N_INNER, dim)) / np.sqrt(N_INNER)
    rows = np.empty((n_rows, dim), np.float32)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = rows[start : start + BLOCK_ROWS]
        inner = centres[rng.integers(0, N_CLUSTERS, len(block))] + SPREAD * rng.normal(size=(len(block), N_INNER))
        block[:] = np.tanh(inner @ widen) + NOISE * rng.normal(size=block.shape)
    return rows


def sheet(_folder: Path, n_rows: str, dim: str) -> tuple[Floats, Floats]:
    """Return a collection and queries on the sheet."""
    rows = draw_sheet(int(n_rows) + N_QUERIES, int(dim))
    return rows[N_QUERIES:], rows[:N_QUERIES]


def cifar10(folder: Path) -> tuple[Floats, Floats]:
    """Return embeddings of photographs, a tenth of them as queries."""
    backbone = str(DATA / "backbones" / "mobilenet_v1_025_128" / "saved_model")
    frieze.embed(DATA / "images" / "cifar10_test_webdataset", out=folder / "embedded", backbone=backbone)
    embeddings = open_features(folder / "embedded").embeddings()
    shuffled = np.random.default_rng(SEED).permutation(len(embeddings))
    return embeddings[shuffled[N_QUERIES:]], embeddings[shuffled[:N_QUERIES]]


SETS = {"sheet": sheet, "cifar10": cifar10}


def exact_neighbours(queries: Floats, vectors: Floats) -> np.ndarray:
    """Find the exact nearest neighbours, int64 [Q, 10], in blocks of the collection."""
    rows, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for start in range(0, len(vectors), BLOCK_ROWS):
        new_rows, new_scores = top_k(queries, vectors[start : start + BLOCK_ROWS], k=K)
        rows, scores = np.hstack([rows, new_rows + start]), np.hstack([scores, new_scores])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        rows, scores = np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)
    return rows


def main() -> None:
    """Write one set."""
    folder, name, *arguments = sys.argv[1:]
    out = Path(folder)
    vectors, queries = map(unit_rows, SETS[name](out, *arguments))
    (out / "vectors").mkdir()  # a folder of its own: autofaiss reads every file beside it
    np.save(out / "vectors" / "vectors.npy", vectors)
    np.save(out / "queries.npy", queries)
    np.save(out / "answers.npy", exact_neighbours(queries, vectors))
    document = frieze.import_vectors(out / "vectors" / "vectors.npy", out=out / "features")
    result = {"rows": len(vectors), "dim": vectors.shape[1], "import_seconds": document["seconds"]}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
