"""The vectors of benchmarks/index.py: a collection, queries that are not in it, and their exact answers.

Usage: python -P benchmarks/index_data.py FOLDER sheet ROWS DIM
       FRIEZE_DATA=... python -P benchmarks/index_data.py FOLDER cifar10

FOLDER gets vectors/vectors.npy float32 [N, D] and queries.npy float32 [1000, D], both of unit length; answers.npy int64
[1000, 10], best first; and features, into which `frieze import` brings the collection. Prints JSON: rows, dim and
import_seconds. `-P` keeps this folder off the path of imports: index.py would hide Frieze's package of that name.

The sheet: 1,000 cluster centres from a normal distribution in 20 dimensions; each point is a centre drawn at random
plus normal noise of .8 of its spread; a random linear map to D dimensions that keeps the spread, tanh, and normal noise
of .02 in each number. Seed 0. So neighbours lie on a curved sheet, as those of images do (random vectors without
structure have no neighbours to speak of, and no index finds them). Queries are more points of the same draw.

cifar10: the 10,000 images of the test set through mobilenet_v1_025_128; 1,000 drawn at random are the queries.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

import frieze
from frieze.core import Floats, unit_rows
from frieze.features import open_features, top_k

DATA = Path(os.environ.get("FRIEZE_DATA", Path(__file__).parents[2] / "shared" / "data"))
N_QUERIES, K, SEED = 1_000, 10, 0
N_CLUSTERS, N_INNER, SPREAD, NOISE = 1_000, 20, 0.8, 0.02
PIECE_ROWS = 100_000


def draw_sheet(n_rows: int, dim: int) -> Floats:
    """Draw float32 [N, D] in clusters on a sheet of few dimensions."""
    rng = np.random.default_rng(SEED)
    centres = rng.normal(size=(N_CLUSTERS, N_INNER))
    widen = rng.normal(size=(N_INNER, dim)) / np.sqrt(N_INNER)
    rows = np.empty((n_rows, dim), np.float32)
    for start in range(0, n_rows, PIECE_ROWS):
        piece = rows[start : start + PIECE_ROWS]
        inner = centres[rng.integers(0, N_CLUSTERS, len(piece))] + SPREAD * rng.normal(size=(len(piece), N_INNER))
        piece[:] = np.tanh(inner @ widen) + NOISE * rng.normal(size=piece.shape)
    return rows


def sheet(_folder: Path, n_rows: str, dim: str) -> tuple[Floats, Floats]:
    """Give a collection and queries on the sheet."""
    rows = draw_sheet(int(n_rows) + N_QUERIES, int(dim))
    return rows[N_QUERIES:], rows[:N_QUERIES]


def cifar10(folder: Path) -> tuple[Floats, Floats]:
    """Give embeddings of photographs, a tenth of them as queries."""
    backbone = str(DATA / "backbones" / "mobilenet_v1_025_128" / "saved_model")
    frieze.embed(DATA / "images" / "cifar10_test_webdataset", out=folder / "embedded", backbone=backbone)
    embeddings = open_features(folder / "embedded").embeddings()
    shuffled = np.random.default_rng(SEED).permutation(len(embeddings))
    return embeddings[shuffled[N_QUERIES:]], embeddings[shuffled[:N_QUERIES]]


SETS = {"sheet": sheet, "cifar10": cifar10}


def answer(queries: Floats, vectors: Floats) -> np.ndarray:
    """Find the exact answers, int64 [Q, 10], a piece of the collection at a time."""
    rows, scores = np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    for start in range(0, len(vectors), PIECE_ROWS):
        new_rows, new_scores = top_k(queries, vectors[start : start + PIECE_ROWS], k=K)
        rows, scores = np.hstack([rows, new_rows + start]), np.hstack([scores, new_scores])
        best = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        rows, scores = np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)
    return rows


def main() -> None:
    """Make one set."""
    folder, name, *words = sys.argv[1:]
    out = Path(folder)
    vectors, queries = map(unit_rows, SETS[name](out, *words))
    (out / "vectors").mkdir()  # alone: autofaiss reads every file beside it
    np.save(out / "vectors" / "vectors.npy", vectors)
    np.save(out / "queries.npy", queries)
    np.save(out / "answers.npy", answer(queries, vectors))
    document = frieze.import_vectors(out / "vectors" / "vectors.npy", out=out / "features")
    told = {"rows": len(vectors), "dim": vectors.shape[1], "import_seconds": document["seconds"]}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
