"""t-SNE: positions on a plane that keep the nearest neighbours of each vector near it.

Source: L. van der Maaten and G. Hinton, Visualizing Data using t-SNE, JMLR 2008; the repulsion on a grid: G. Linderman
et al., Fast interpolation-based t-SNE, Nature Methods 2019; equal weights of the k nearest: J. N. Böhm, P. Berens and
D. Kobak, Attraction-repulsion spectrum in neighbor embeddings, JMLR 2022; the start and the rate: D. Kobak and
P. Berens, The art of using t-SNE for single-cell transcriptomics, Nature Communications 2019.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from frieze.core import Floats, Rows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

LEAST_VECTORS = 50
"""Of fewer there are too few neighbours to lay out by."""
_K = 15  # neighbours of each
_N_STEPS, _N_EARLY = 300, 75
_EXAGGERATION = 12.0  # of the attraction, in the early steps
_MOMENTUM = {True: 0.5, False: 0.8}  # whether the step is an early one
_START_STD = 0.01
_NOISE = 0.01  # of the start, so that equal vectors part
_CELL, _MOST_CELLS = 0.5, 512  # width of a cell, and how many along a side: they are wider where the plane needs more


def lay_out(vectors: Floats, *, seed: int = 0) -> Floats:
    """Lay out vectors on a plane by t-SNE over their exact k-NN graph.

    Args:
        vectors: float32 [n, D], n >= 50, D >= 2, not all equal; the first two columns, which should be principal
            components, are where it starts.
        seed: Of the noise at the start.

    Returns:
        float32 [n, 2], the same for the same seed.
    """
    affinities = _affinities(vectors)
    pairs = np.repeat(np.arange(len(vectors)), np.diff(affinities.indptr)), affinities.indices
    start = vectors[:, :2] / vectors[:, 0].std()
    start = start + np.random.default_rng(seed).normal(scale=_NOISE, size=start.shape)
    positions = np.asarray(_START_STD * start, np.float32)
    state = _Descent(positions, np.zeros_like(positions), np.ones_like(positions))
    repulsion = _Repulsion()
    for step in range(_N_STEPS):
        is_early = step < _N_EARLY
        exaggeration = _EXAGGERATION if is_early else 1.0
        attraction = _attraction(affinities, pairs, state.positions)
        gradient = exaggeration * attraction - repulsion.forces(state.positions)
        rate = 2 * len(vectors) / exaggeration
        state = _descend(state, gradient, rate=rate, momentum=_MOMENTUM[is_early])
    return state.positions


class _Descent(NamedTuple):
    """Positions, their last steps and the gain of each coordinate, each float32 [n, 2]."""

    positions: Floats
    steps: Floats
    gains: Floats


def _affinities(vectors: Floats) -> "csr_matrix":
    """Return a symmetric matrix [n, n] that is above zero for the k nearest of each row, and sums to one."""
    import faiss
    from scipy.sparse import csr_matrix

    n = len(vectors)
    k = min(_K, n // 6)
    _, nearest = faiss.knn(vectors, vectors, k + 1)
    is_self = nearest == np.arange(n)[:, None]
    is_self[~is_self.any(axis=1), -1] = True  # many equal vectors: it is not among its own nearest
    starts = np.arange(0, n * k + 1, k)
    directed = csr_matrix((np.ones(n * k, np.float32), nearest[~is_self], starts), shape=(n, n))
    both = (directed + directed.T).tocsr()
    both.data = np.asarray(both.data / both.data.sum(), np.float32)
    return both


def _attraction(affinities: "csr_matrix", pairs: tuple[Rows, Rows], positions: Floats) -> Floats:
    """Return the sum of each row's pulls, away from its neighbours: the gradient's first part, [n, 2]."""
    apart = positions[pairs[0]] - positions[pairs[1]]
    weighted = affinities.copy()
    weighted.data = affinities.data / (1 + np.einsum("ea,ea->e", apart, apart))
    pull: Floats = np.asarray(weighted.sum(axis=1)) * positions - weighted @ positions
    return pull


class _Repulsion:
    """The forces between all pairs, by convolution on a grid that grows with the plane."""

    def __init__(self) -> None:
        self._shape = (0, 0.0)
        self._kernels: list[Floats] = []

    def forces(self, positions: Floats) -> Floats:
        """Return the gradient's second part, [n, 2]."""
        from scipy import fft

        low = positions.min(axis=0)
        span = float((positions.max(axis=0) - low).max())
        width = max(_CELL, span / _MOST_CELLS)
        side = fft.next_fast_len(int(span / width) + 3, real=True)
        self._prepare(side, width)
        corners, shares = _spread((positions - low) / width, side)
        masses = sum(np.bincount(at, share, side * side) for at, share in zip(corners, shares, strict=True))
        spectrum = fft.rfft2(np.asarray(masses, np.float32).reshape(side, side), s=(2 * side, 2 * side))
        fields = (fft.irfft2(spectrum * kernel, s=(2 * side, 2 * side)) for kernel in self._kernels)
        total, across, up = (_gather(field[:side, :side].ravel(), corners, shares) for field in fields)
        z = max(float(total.sum()) - _self_terms(shares, width), 1e-9)
        return np.stack([across, up], axis=1) / np.float32(z)

    def _prepare(self, side: int, width: float) -> None:
        """Transform the kernels 1 / (1 + d^2) and d / (1 + d^2)^2, unless they are there for this grid."""
        from scipy import fft

        if self._shape == (side, width):
            return
        offsets = np.fft.fftfreq(2 * side, 1 / (2 * side)) * width
        near = 1 / (1 + offsets[:, None] ** 2 + offsets**2)
        kernels = (near, offsets[:, None] * near**2, offsets * near**2)
        self._shape, self._kernels = (side, width), [fft.rfft2(kernel.astype(np.float32)) for kernel in kernels]


def _spread(places: Floats, side: int) -> tuple[list[Rows], list[Floats]]:
    """Return for each point the four cells around it and its share in each, by linear interpolation."""
    whole = np.floor(places)
    across, up = (places - whole).T
    first = np.asarray(whole[:, 0] * side + whole[:, 1], np.int64)
    shares = [(1 - across) * (1 - up), (1 - across) * up, across * (1 - up), across * up]
    return [first, first + 1, first + side, first + side + 1], shares


def _gather(field: Floats, corners: list[Rows], shares: list[Floats]) -> Floats:
    return np.asarray(sum(field[at] * share for at, share in zip(corners, shares, strict=True)))


def _self_terms(shares: list[Floats], width: float) -> float:
    """Return what the points add to the sum of 1 / (1 + d^2) by being paired with themselves on the grid."""
    a, b, c, d = (np.asarray(share, np.float64) for share in shares)
    beside, across = 1 / (1 + width**2), 1 / (1 + 2 * width**2)
    same = a * a + b * b + c * c + d * d
    return float((same + 2 * beside * (a + d) * (b + c) + 2 * across * (a * d + b * c)).sum())


def _descend(state: _Descent, gradient: Floats, *, rate: float, momentum: float) -> _Descent:
    """Take one step of gradient descent; a plane that shrinks is scaled up again, else it would take long to unfold."""
    turns_back = (gradient > 0) == (state.steps > 0)
    gains = np.where(turns_back, state.gains * 0.8, state.gains + 0.2).clip(0.01).astype(np.float32)
    steps = np.asarray(momentum * state.steps - rate * gains * gradient, np.float32)
    positions = state.positions + steps
    positions = positions - positions.mean(axis=0)
    scale = max(1.0, _START_STD / float(positions.std()))
    return _Descent(positions * np.float32(scale), steps * np.float32(scale), gains)
