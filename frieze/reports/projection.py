"""Projection of embeddings to points on a plane, by PCA or UMAP."""

import importlib.util
import sys
import types
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frieze.core import Floats, InputError, Rows, unit_rows

if TYPE_CHECKING:
    from frieze.features import Features

METHODS = ("pca", "umap")
MOST_POINTS = 100_000
_SEED = 0
_LEAST_NEIGHBOURS = 2  # what UMAP needs


class Points(NamedTuple):
    """Points of a map.

    Attributes:
        rows: int64 [n], their rows of the table, ascending.
        positions: float32 [n, 2], each axis in [0, 1].
        method: `pca` or `umap`.
        kept: Share of the variance that the plane keeps, in [0, 1]; None for UMAP.
    """

    rows: Rows
    positions: Floats
    method: str
    kept: float | None


def choose_rows(n_rows: int) -> Rows:
    """Return the rows that a map shows: all, or a random sample that is the same every time."""
    if n_rows <= MOST_POINTS:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(_SEED).choice(n_rows, MOST_POINTS, replace=False))


def read_rows(table: "Features", rows: Rows) -> Iterator[Floats]:
    """Yield the embeddings of some ascending rows in blocks of float32 [n, D], without loading the others."""
    start = 0
    for block in table.vectors():
        yield block[rows[(rows >= start) & (rows < start + len(block))] - start]
        start += len(block)


def project(vectors: Floats, rows: Rows, *, method: str) -> Points:
    """Project embeddings to a plane.

    Args:
        vectors: float32 [n, D].
        rows: int64 [n], their rows of the table.
        method: `pca`, which preserves distances as far as two axes can, or `umap`, which preserves neighbourhoods.

    Raises:
        InputError: The method is unknown, or its library is not installed.
    """
    check_method(method)
    unit = unit_rows(vectors)
    positions, kept = _pca(unit) if method == "pca" else (_umap(unit), None)
    return Points(rows, _to_unit_square(positions), method, kept)


def check_method(method: str) -> None:
    """Check that a method is known and installed.

    Raises:
        InputError: It is not.
    """
    if method not in METHODS:
        raise InputError(f"Unknown `method`: {method}.", hint=f"Use one of: {', '.join(METHODS)}.")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise InputError("UMAP is not installed.", hint="Type: pip install 'frieze[umap]', or use `method='pca'`.")


def _pca(unit: Floats) -> tuple[Floats, float]:
    from sklearn.decomposition import PCA

    n_axes = min(2, *unit.shape)
    if not np.ptp(unit, axis=0).any():  # all equal: there is nothing to project
        return np.zeros((len(unit), 2), np.float32), 0.0
    model = PCA(n_axes, svd_solver="randomized" if min(unit.shape) > n_axes else "full", random_state=_SEED)
    positions = np.zeros((len(unit), 2), np.float32)
    positions[:, :n_axes] = model.fit_transform(unit)
    return positions, float(model.explained_variance_ratio_.sum())


def import_umap() -> Any:
    """Import umap without its parametric_umap, which imports Keras, TensorFlow and PyTorch, and warns of their lack.

    If it was imported before, it stays as it is.
    """
    name = "umap.parametric_umap"
    if name in sys.modules or "umap" in sys.modules:
        return importlib.import_module("umap")
    stub: Any = types.ModuleType(name)
    stub.ParametricUMAP = stub.load_ParametricUMAP = None
    sys.modules[name] = stub
    try:
        return importlib.import_module("umap")
    finally:
        del sys.modules[name]


def _umap(unit: Floats) -> Floats:
    umap = import_umap()
    n_neighbors = min(15, len(unit) - 1)  # source: UMAP's own default
    if n_neighbors < _LEAST_NEIGHBOURS:
        return _pca(unit)[0]
    model: Any = umap.UMAP(n_neighbors=n_neighbors, random_state=_SEED, n_jobs=1, init=_pca(unit)[0])
    return np.asarray(model.fit_transform(unit), np.float32)


def _to_unit_square(positions: Floats) -> Floats:
    """Shift and scale both axes equally, so that all points lie in [0, 1] and distances keep their proportions."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    span = float((high - low).max()) or 1.0
    return np.asarray((positions - (low + high) / 2) / span + 0.5, np.float32)


def to_document(points: Points, ids: Sequence[str], labels: Sequence[str], codes: Rows) -> dict[str, Any]:
    """Return a map as plain JSON values.

    Args:
        points: The points.
        ids: Ids of their images.
        labels: Names of the labels.
        codes: int64 [n], the number of each point's label; -1 for none.
    """
    return {
        "method": points.method,
        "kept": points.kept,
        "x": [round(float(x), 4) for x in points.positions[:, 0]],
        "y": [round(float(y), 4) for y in points.positions[:, 1]],
        "ids": list(ids),
        "labels": list(labels),
        "codes": codes.tolist(),
    }
