"""Embeddings as points on a plane."""

import importlib.util
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
        rows: int64 [n], the rows of the table they stand for, ascending.
        places: float32 [n, 2], each axis in [0, 1].
        method: What laid them out.
        kept: Share of the variance that the plane keeps, in [0, 1]; None where the method has none.
    """

    rows: Rows
    places: Floats
    method: str
    kept: float | None


def choose_rows(n_rows: int) -> Rows:
    """Give the rows that a map shows: all, or so many drawn by chance, the same ones every time."""
    if n_rows <= MOST_POINTS:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(_SEED).choice(n_rows, MOST_POINTS, replace=False))


def read_rows(table: "Features", rows: Rows) -> Iterator[Floats]:
    """Give the embeddings of some rows, ascending, float32 [n, D] a block, without holding the others."""
    start = 0
    for block in table.vectors():
        yield block[rows[(rows >= start) & (rows < start + len(block))] - start]
        start += len(block)


def lay_out(vectors: Floats, rows: Rows, *, method: str) -> Points:
    """Lay embeddings out on a plane.

    Args:
        vectors: float32 [n, D].
        rows: int64 [n], where they come from.
        method: `pca`, which keeps distances as far as two axes can, or `umap`, which keeps neighbours together.

    Raises:
        InputError: The method is unknown, or its library is not there.
    """
    check_method(method)
    unit = unit_rows(vectors)
    places, kept = _pca(unit) if method == "pca" else (_umap(unit), None)
    return Points(rows, _to_unit_square(places), method, kept)


def check_method(method: str) -> None:
    """Refuse a method that is unknown or can't be had here.

    Raises:
        InputError: It is.
    """
    if method not in METHODS:
        raise InputError(f"Unknown --method: {method}.", hint=f"Use one of: {', '.join(METHODS)}.")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise InputError("UMAP is not installed.", hint="Type: pip install 'frieze[umap]', or take --method pca.")


def _pca(unit: Floats) -> tuple[Floats, float]:
    from sklearn.decomposition import PCA

    n_axes = min(2, *unit.shape)
    if not np.ptp(unit, axis=0).any():  # all alike: there is nothing to lay out
        return np.zeros((len(unit), 2), np.float32), 0.0
    model = PCA(n_axes, svd_solver="randomized" if min(unit.shape) > n_axes else "full", random_state=_SEED)
    places = np.zeros((len(unit), 2), np.float32)
    places[:, :n_axes] = model.fit_transform(unit)
    return places, float(model.explained_variance_ratio_.sum())


def _umap(unit: Floats) -> Floats:
    import umap

    n_neighbors = min(15, len(unit) - 1)  # source: UMAP's own default
    if n_neighbors < _LEAST_NEIGHBOURS:
        return _pca(unit)[0]
    model: Any = umap.UMAP(n_neighbors=n_neighbors, random_state=_SEED, n_jobs=1, init=_pca(unit)[0])
    return np.asarray(model.fit_transform(unit), np.float32)


def _to_unit_square(places: Floats) -> Floats:
    """Move and scale both axes alike, so that all points lie in [0, 1] and distances keep their proportions."""
    low, high = places.min(axis=0), places.max(axis=0)
    span = float((high - low).max()) or 1.0
    return np.asarray((places - (low + high) / 2) / span + 0.5, np.float32)


def to_document(points: Points, ids: Sequence[str], labels: Sequence[str], codes: Rows) -> dict[str, Any]:
    """Give a map as plain JSON values.

    Args:
        points: Where each image lies.
        ids: Of the points' images.
        labels: Names of the labels.
        codes: int64 [n], the number of each point's label; -1 for none.
    """
    return {
        "method": points.method,
        "kept": points.kept,
        "x": [round(float(x), 4) for x in points.places[:, 0]],
        "y": [round(float(y), 4) for y in points.places[:, 1]],
        "ids": list(ids),
        "labels": list(labels),
        "codes": codes.tolist(),
    }
