"""The RBF kernel against stored vectors, and the two ways in which its values become margins."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from frieze.classifiers.config import FitMemory, FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings, StoredRows
from frieze.classifiers.kinds.base import FactoredHead, check_model, quiet, two_sided
from frieze.classifiers.kinds.linear import SvmHead
from frieze.classifiers.kinds.tf_functions import duel_margins, linear_margins, rbf, softmax_of
from frieze.classifiers.solver.linear import fit_path
from frieze.core import Floats, Rows, Strings

LEAST_LEAD = 1e-3
"""By how much the margin of the class that wins the vote is ahead at least."""


@dataclasses.dataclass(frozen=True)
class Rbf:
    """exp(-gamma |x - v|^2) for each stored vector v.

    Attributes:
        vectors: float32 [S, D].
        gamma: > 0.
    """

    vectors: Floats
    gamma: float

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not len(self.vectors) or not 0 < self.gamma < np.inf:  # noqa: PLR2004  [S, D]
            raise ValueError("its kernel has no vectors or no width")

    def __call__(self, rows: Floats) -> Floats:
        """Give float32 [n, S] in (0, 1] for float32 [n, D]."""
        centre = self.vectors.mean(axis=0)  # near vectors keep their digits when what they share is taken away
        ours, theirs = rows - centre, self.vectors - centre
        squares = (ours**2).sum(axis=1)[:, None] + (theirs**2).sum(axis=1) - 2 * ours @ theirs.T
        values: Floats = np.exp(-np.float32(self.gamma) * np.maximum(squares, 0))
        return values

    def as_function(self) -> Callable[[Any], Any]:
        """Give the same of rows scaled to unit length, in TensorFlow's operations."""
        return rbf(self.vectors, gamma=self.gamma)


class Readout(Protocol):
    """From kernel values float32 [n, S] to margins float32 [n, C]."""

    @property
    def row_floats(self) -> int:
        """How many numbers one row takes in between."""

    def margins(self, values: Floats) -> Floats:
        """Give float32 [n, C] for float32 [n, S]."""

    def as_function(self) -> Callable[[Any], Any]:
        """Give `margins` in TensorFlow's operations."""


@dataclasses.dataclass(frozen=True)
class LinearReadout:
    """One weighted sum of kernel values a class: weights float32 [C, S], intercepts float32 [C]."""

    weights: Floats
    intercepts: Floats

    @property
    def row_floats(self) -> int:
        """How many numbers one row takes in between."""
        return len(self.weights[0])

    def margins(self, values: Floats) -> Floats:
        """Give float32 [n, C] for float32 [n, S]."""
        margins: Floats = values @ self.weights.T + self.intercepts
        return margins

    def as_function(self) -> Callable[[Any], Any]:
        """Give `margins` in TensorFlow's operations."""
        return linear_margins(self.weights, self.intercepts)


@dataclasses.dataclass(frozen=True)
class OneVsOne:
    """One decision for each pair of classes, as libsvm makes it.

    The class is that of the most duels won, of several alike the one with the largest sum of decisions, squashed: what
    SVC predicts with `break_ties`. A margin is the sum over the other classes of the logarithm of the sigmoid of the
    decision, as in a tournament after Bradley and Terry; its softmax at a temperature is honest within 0.02 to 0.04 on
    photographs, where that of the votes is 0.05 to 0.1 off. Where a class wins the vote and not by margin (4 to 9 % of
    rows), its margin is lifted to just above the others.

    Attributes:
        coef: float32 [C, S], the weight of each vector in the duel of its class against each; 0 against itself.
        counts: int64 [C], how many vectors each class has; they stand class by class.
        intercepts: float32 [C, C], of each duel; symmetric.

    Source: Hastie and Tibshirani 1998, Classification by pairwise coupling, section 2 (the model).
    """

    coef: Floats
    counts: Rows
    intercepts: Floats

    @classmethod
    def of(cls, dual: Floats, intercepts: Floats, counts: Rows) -> "OneVsOne":
        """Unfold what SVC holds.

        Args:
            dual: float [C - 1, S], its `dual_coef_`.
            intercepts: float [C (C - 1) / 2], its `intercept_`.
            counts: int [C], its `n_support_`.

        Raises:
            ValueError: They do not fit together.
        """
        n_classes = len(counts)
        pairs = np.triu_indices(n_classes, 1)
        if dual.shape != (n_classes - 1, counts.sum()) or intercepts.shape != pairs[0].shape or counts.min() < 0:
            raise ValueError("its weights are for other duels")
        sign = -1 if n_classes == 2 else 1  # noqa: PLR2004  of two classes scikit-learn tells the second's side
        codes, square = np.repeat(np.arange(n_classes), counts), np.zeros((n_classes, n_classes), np.float32)
        coef = np.zeros((n_classes, len(codes)), np.float32)
        for other in range(n_classes):
            foes = codes != other
            coef[other, foes] = sign * dual[other - (other > codes[foes]), foes]
        square[pairs] = sign * intercepts
        return cls(coef, counts.astype(np.int64), square + square.T)

    @property
    def row_floats(self) -> int:
        """How many numbers one row takes in between."""
        return len(self.coef[0]) + 3 * len(self.coef) ** 2

    def margins(self, values: Floats) -> Floats:
        """Give float32 [n, C] for float32 [n, S]."""
        decisions = self._decisions(values)
        sums = decisions.sum(axis=2)
        votes = (decisions > 0).sum(axis=2) + sums / (3 * (np.abs(sums) + 1))
        margins: Floats = -np.logaddexp(0, -decisions).sum(axis=2)
        rows, winners = np.arange(len(values)), votes.argmax(axis=1)
        won = margins[rows, winners]
        margins[rows, winners] = -np.inf
        margins[rows, winners] = np.maximum(won, margins.max(axis=1) + np.float32(LEAST_LEAD))
        return margins

    def as_function(self) -> Callable[[Any], Any]:
        """Give `margins` in TensorFlow's operations."""
        return duel_margins(self.coef, self.counts, self.intercepts, least_lead=LEAST_LEAD)

    def _decisions(self, values: Floats) -> Floats:
        """Give float32 [n, C, C]: above 0 where the first class of a pair beats the second."""
        ends = np.cumsum(self.counts)
        blocks = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        parts = np.stack([values[:, block] @ self.coef[:, block].T for block in blocks], axis=1)
        classes = np.arange(len(self.counts))
        signs = np.sign(classes - classes[:, None]).astype(np.float32)
        decisions: Floats = signs * (parts + parts.transpose(0, 2, 1) + self.intercepts)
        return decisions


MOST_EXACT = 20_000
"""Rows up to which the kernel machine is exact: its time grows with their square."""


_N_BASIS = (
    1000  # as accurate as exact on 6,000 photographs; 500 lose half a point to it, 2000 take 4 to 15 times as long
)

_LEAST_AXIS = 1e-6  # of the longest: below it rounding would be blown up

_LEAST_SPREAD = 1e-6

_CACHE_MB = 500

_BLOCK_FLOATS = 2**24

_TWO = 2


class KernelHead(FactoredHead):
    """SVC with an RBF kernel on unit vectors up to 20,000 rows; beyond, Nystroem and a linear machine behind it.

    gamma is one over the mean squared distance of two rows, so that the kernel is about 1/e between rows drawn at
    random, however crowded a network's embeddings are; a gamma much smaller makes a linear machine, one much larger a
    nearest neighbour. It is not tuned: that would multiply the fits, and C makes up for most of it.

    Source: Caputo et al. 2002, Appearance-based object recognition using SVMs: which kernel should I use (gamma);
    Williams and Seeger 2001, Using the Nystroem method to speed up kernel machines (the approximation).
    """

    memory: ClassVar[FitMemory] = FitMemory(columns=_N_BASIS)
    setting: ClassVar[str] = "C"
    values: ClassVar[tuple[float, ...]] = (1, 3, 10)
    usual: ClassVar[float] = 1.0
    _kernel: Rbf
    _readout: Readout

    def __init__(self, *, classes: Strings, model: Any, factor: float = 1.0) -> None:
        super().__init__(classes=classes, model=model, factor=factor)
        self._kernel, self._readout = _parts(model)

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, values: Sequence[float], terms: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D] of unit length, N labels of two classes or more, and their weights, for each cost."""
        rows = embeddings.read() if isinstance(embeddings, StoredRows) else embeddings
        classes, codes = np.unique(labels, return_inverse=True)
        n_rows = max(len(rows), terms.n_rows)  # a fold is fitted as the whole is
        fit, note = _exact, ""
        if n_rows > MOST_EXACT:
            fit = _approximated
            note = (
                f"The RBF kernel is approximated by {_N_BASIS:,} of the rows: {n_rows:,} are more than {MOST_EXACT:,}."
            )
        begun = time.perf_counter()
        for steps, converged in fit(rows, codes, values, terms):
            head = cls(classes=classes, model=_pipeline(steps, rows.shape[1]))
            head.fit_seconds, head.converged, head.note = time.perf_counter() - begun, converged, note
            yield head
            begun = time.perf_counter()

    def margins(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D]."""
        unit = self._model[0].transform(embeddings)
        n = max(1, _BLOCK_FLOATS // self._readout.row_floats)
        blocks = (self._kernel(unit[start : start + n]) for start in range(0, len(unit), n))
        margins = np.concatenate([self._readout.margins(values) for values in blocks])
        return (self._factor * margins).astype(np.float32)

    def as_function(self) -> Callable[[Any], Any]:
        """Give `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        kernel, readout = self._kernel.as_function(), self._readout.as_function()
        return softmax_of(lambda embeddings: readout(kernel(embeddings)), factor=self._factor)

    @classmethod
    def check(cls, model: Any, *, n_classes: int, dim: int) -> None:
        """Refuse what is no pipeline of ours for these classes and this width, with a ValueError."""
        from sklearn.kernel_approximation import Nystroem
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import Normalizer
        from sklearn.svm import SVC, LinearSVC

        forms = [[Normalizer, SVC], [Normalizer, Nystroem, LinearSVC]]
        if type(model) is not Pipeline or [type(step) for _, step in model.steps] not in forms:
            raise ValueError("it holds another model")
        check_model(model, n_classes=n_classes, dim=dim)
        kernel, readout = _parts(model)
        if kernel.vectors.shape[1] != dim or readout.margins(kernel(kernel.vectors[:1])).shape != (1, n_classes):
            raise ValueError("its weights are for another width or other classes")


def _exact(rows: Floats, codes: Rows, values: Sequence[float], terms: FitOptions) -> Iterator[tuple[list[Any], bool]]:
    from sklearn.svm import SVC

    gamma = find_gamma(rows, terms.weights)
    for value in values:
        model = SVC(C=value, gamma=gamma, break_ties=len(np.unique(codes)) > _TWO, cache_size=_CACHE_MB, random_state=0)
        with quiet():
            model.fit(rows, codes, sample_weight=terms.weights)
        yield [model], True


def _approximated(
    rows: Floats, codes: Rows, values: Sequence[float], terms: FitOptions
) -> Iterator[tuple[list[Any], bool]]:
    basis = _basis(rows, find_gamma(rows, terms.weights), terms.seed)
    mapped = _mapped(rows, basis)
    n_classes = int(codes.max()) + 1
    solutions = fit_path([(mapped, codes)], SvmHead.loss, costs=values, n_classes=n_classes, weights=terms.weights)
    for value, solution in zip(values, solutions, strict=True):
        model = SvmHead.filled(solution.coef, solution.intercept).set_params(C=value)
        yield [basis, model], solution.converged


def find_gamma(rows: Floats, weights: Floats | None = None) -> float:
    """Give one over the mean squared distance of two rows: of unit vectors 1 / (2 (1 - |mean|^2)).

    Args:
        rows: float32 [N, D].
        weights: float32 [N], how much each row counts; None for all alike.

    >>> find_gamma(np.eye(2, dtype="f4"))
    1.0
    """
    mean = np.average(rows, axis=0, weights=weights).astype(np.float64)
    squares = np.average(np.einsum("nd,nd->n", rows, rows), weights=weights)
    return 1 / (2 * max(float(squares) - float(mean @ mean), _LEAST_SPREAD))


def _basis(rows: Floats, gamma: float, seed: int) -> Any:
    """Fill a Nystroem with rows drawn at random; unlike its own fit without axes too short for float32."""
    from sklearn.kernel_approximation import Nystroem

    n = min(_N_BASIS, len(rows))
    drawn = np.sort(np.random.default_rng(seed).choice(len(rows), n, replace=False))
    lengths, axes = np.linalg.eigh(Rbf(rows[drawn].astype(np.float64), gamma)(rows[drawn].astype(np.float64)))
    is_long = lengths > _LEAST_AXIS * lengths[-1]
    axes = axes[:, is_long]
    basis = Nystroem(gamma=gamma, n_components=n, random_state=seed)
    basis.components_, basis.component_indices_ = rows[drawn], drawn
    basis.normalization_ = (axes / np.sqrt(lengths[is_long]) @ axes.T).astype(np.float32)
    basis.n_features_in_ = rows.shape[1]
    return basis


def _mapped(rows: Floats, basis: Any) -> Floats:
    """Give `basis.transform(rows)`, float32 [N, n], without float64 in between."""
    kernel = Rbf(basis.components_, basis.gamma)
    mapped = np.empty((len(rows), len(basis.components_)), np.float32)
    n = max(1, _BLOCK_FLOATS // mapped.shape[1])
    for start in range(0, len(rows), n):
        np.matmul(kernel(rows[start : start + n]), basis.normalization_.T, out=mapped[start : start + n])
    return mapped


def _pipeline(steps: list[Any], dim: int) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    scale = Normalizer()
    scale.n_features_in_ = dim
    return make_pipeline(scale, *steps)


def _parts(model: Any) -> tuple[Rbf, Readout]:
    """Give the kernel and what reads it of a pipeline."""
    first, last = model[1], model[-1]
    if first.kernel != "rbf":
        raise ValueError("its kernel is another")
    if first is last:
        vectors = last.support_vectors_.astype(np.float32)
        return Rbf(vectors, float(last.gamma)), OneVsOne.of(last.dual_coef_, last.intercept_, last.n_support_)
    coef, intercepts = last.coef_, last.intercept_
    if len(coef) == 1:
        coef, intercepts = two_sided(coef[0]).T, two_sided(intercepts)[0]
    weights = coef.astype(np.float64) @ first.normalization_
    return Rbf(first.components_, float(first.gamma)), LinearReadout(
        weights.astype(np.float32), intercepts.astype(np.float32)
    )
