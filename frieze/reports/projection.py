"""Projection of embeddings to points on a plane, by t-SNE, UMAP or PCA."""

import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from frieze.core import Floats, InputError, Rows, unit_rows
from frieze.reports import tsne

if TYPE_CHECKING:
    from frieze.features import Features

METHODS = ("tsne", "umap", "pca")
MOST_POINTS = 100_000
"""Of a map in a file."""
MOST_LAID_OUT = 50_000
"""Points that are laid out with each other; the others are placed among their neighbours."""
_SEED = 0
_LEAST_NEIGHBOURS = 2  # what UMAP needs
_N_AXES = 100  # principal components among which neighbours are found; source: PaCMAP's default
_N_PLACING = 5  # neighbours of a point that is placed
_N_LISTS, _N_PROBES = 256, 16  # of the index in which these are found


class Points(NamedTuple):
    """Points of a map.

    Attributes:
        rows: int64 [n], their rows of the table, ascending.
        positions: float32 [n, 2], each axis in [0, 1].
        method: `tsne`, `umap` or `pca`.
        kept: Share of the variance that the plane keeps, in [0, 1]; None but for PCA.
    """

    rows: Rows
    positions: Floats
    method: str
    kept: float | None


def choose_rows(n_rows: int, *, most: int | None = None) -> Rows:
    """Return the rows that a map shows: all, or a random sample that is the same every time."""
    size = min(n_rows, MOST_POINTS if most is None else most)
    return np.sort(np.random.default_rng(_SEED).choice(n_rows, size, replace=False))


def read_rows(table: "Features", rows: Rows) -> Iterator[Floats]:
    """Yield the embeddings of some ascending rows in blocks of float32 [n, D], without loading the others."""
    start = 0
    for block in table.vectors():
        yield block[rows[(rows >= start) & (rows < start + len(block))] - start]
        start += len(block)


def project(vectors: Floats, rows: Rows, *, method: str) -> Points:
    """Project embeddings to a plane, as `project_stored` does.

    Args:
        vectors: float32 [n, D].
        rows: int64 [n], their rows of the table.
        method: As of `project_stored`.
    """
    points = project_stored(lambda some: [vectors[some]], np.arange(len(rows)), method=method)
    return points._replace(rows=rows)


def project_stored(read: Callable[[Rows], Iterable[Floats]], rows: Rows, *, method: str) -> Points:
    """Project stored embeddings to a plane; of more than 50,000 the others are placed among those.

    Args:
        read: Yields the embeddings of some ascending rows in blocks, float32 [b, D].
        rows: int64 [n], ascending.
        method: `tsne` or `umap`, which preserve neighbourhoods, or `pca`, which preserves distances as far as two axes
            can. Fewer than 50 images are projected by PCA where t-SNE is asked for.

    Raises:
        InputError: The method is unknown, or its library is not installed.
    """
    check_method(method)
    laid_out = choose_rows(len(rows), most=MOST_LAID_OUT)
    unit = unit_rows(np.concatenate(list(read(rows[laid_out]))))
    used = "pca" if method == "tsne" and not _can_lay_out(unit) else method
    plane = _PLANES[used](unit)
    positions = np.empty((len(rows), 2), np.float32)
    positions[laid_out] = plane.positions
    others = np.setdiff1d(np.arange(len(rows)), laid_out)
    if len(others):
        positions[others] = np.concatenate([plane.place(unit_rows(block)) for block in read(rows[others])])
    return Points(rows, _to_unit_square(positions), used, plane.kept)


def check_method(method: str) -> None:
    """Check that a method is known and installed.

    Raises:
        InputError: It is not.
    """
    if method not in METHODS:
        raise InputError(f"Unknown `method`: {method}.", hint=f"Use one of: {', '.join(METHODS)}.")
    if method == "umap" and importlib.util.find_spec("umap") is None:
        raise InputError("UMAP is not installed.", hint="Type: pip install 'frieze[umap]', or use `method='tsne'`.")


class _Plane(NamedTuple):
    """Positions of unit vectors, a function that places others, and the share of the variance that is kept."""

    positions: Floats
    place: Callable[[Floats], Floats]
    kept: float | None


def _can_lay_out(unit: Floats) -> bool:
    return len(unit) >= tsne.LEAST_VECTORS and unit.shape[1] > 1 and bool(np.ptp(unit, axis=0).any())


def _components(unit: Floats, most: int) -> Any:
    """Return scikit-learn's PCA, fitted."""
    from sklearn.decomposition import PCA

    n_axes = min(most, *unit.shape)
    return PCA(n_axes, svd_solver="randomized" if min(unit.shape) > n_axes else "full", random_state=_SEED).fit(unit)


def _pca(unit: Floats) -> _Plane:
    if not np.ptp(unit, axis=0).any():  # all equal: there is nothing to project
        return _Plane(np.zeros((len(unit), 2), np.float32), lambda block: np.zeros((len(block), 2), np.float32), 0.0)
    model = _components(unit, 2)

    def place(block: Floats) -> Floats:
        axes: Floats = model.transform(block)
        return np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))

    return _Plane(place(unit), place, float(model.explained_variance_ratio_.sum()))


def _tsne(unit: Floats) -> _Plane:
    model = _components(unit, _N_AXES)
    reduced = np.ascontiguousarray(model.transform(unit), np.float32)
    return _among_neighbours(reduced, tsne.lay_out(reduced, seed=_SEED), model.transform)


def _among_neighbours(reduced: Floats, positions: Floats, reduce: Callable[[Floats], Floats]) -> _Plane:
    """Return a plane on which others lie at the median of their nearest, which a single one far away does not move."""
    import faiss

    index: Any = None

    def place(block: Floats) -> Floats:
        nonlocal index
        if index is None:
            index = faiss.index_factory(reduced.shape[1], f"IVF{_N_LISTS},Flat")
            index.train(reduced)
            index.add(reduced)
            index.nprobe = _N_PROBES
        _, nearest = index.search(np.ascontiguousarray(reduce(block), np.float32), _N_PLACING)
        return np.asarray(np.median(positions[nearest], axis=1), np.float32)

    return _Plane(positions, place, None)


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


def _umap(unit: Floats) -> _Plane:
    umap = import_umap()
    n_neighbors = min(15, len(unit) - 1)  # source: UMAP's own default
    if n_neighbors < _LEAST_NEIGHBOURS:
        return _pca(unit)._replace(kept=None)
    model: Any = umap.UMAP(n_neighbors=n_neighbors, random_state=_SEED, n_jobs=1, init=_pca(unit).positions)
    return _among_neighbours(unit, np.asarray(model.fit_transform(unit), np.float32), np.asarray)


_PLANES: dict[str, Callable[[Floats], _Plane]] = {"tsne": _tsne, "umap": _umap, "pca": _pca}


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
