"""The `svm-rbf` head: an SVM with RBF kernel, exact (SVC) or approximated (Nystroem)."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from frieze.classifiers.config import FitMemory, FitOptions
from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings
from frieze.classifiers.kinds.base import FactoredHead, check_model, ignore_class_count_warning, two_columns
from frieze.classifiers.kinds.linear import SvmHead
from frieze.classifiers.kinds.tf_functions import linear_logits, one_vs_one_logits, rbf, softmax_of
from frieze.classifiers.solver.linear import fit_path
from frieze.core import Floats, Rows, Strings

MIN_LEAD = 1e-3
"""Minimum lead of the logit of the class that wins the one-vs-one vote."""


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
        """Compute float32 [n, S] in (0, 1] for float32 [n, D]."""
        centre = self.vectors.mean(axis=0)  # centring keeps the digits of vectors that are close to each other
        centred_rows, centred_vectors = rows - centre, self.vectors - centre
        squares = (centred_rows**2).sum(axis=1)[:, None] + (centred_vectors**2).sum(axis=1)
        squares -= 2 * centred_rows @ centred_vectors.T
        values: Floats = np.exp(-np.float32(self.gamma) * np.maximum(squares, 0))
        return values

    def as_function(self) -> Callable[[Any], Any]:
        """Return the kernel of rows scaled to unit length as a TensorFlow function."""
        return rbf(self.vectors, gamma=self.gamma)


class Readout(Protocol):
    """Computes logits float32 [n, C] from kernel values float32 [n, S]."""

    @property
    def row_floats(self) -> int:
        """Number of temporary floats for one row."""

    def logits(self, values: Floats) -> Floats:
        """Compute float32 [n, C] for float32 [n, S]."""

    def as_function(self) -> Callable[[Any], Any]:
        """Return `logits` as a TensorFlow function."""


@dataclasses.dataclass(frozen=True)
class LinearReadout:
    """One weighted sum of kernel values a class: weights float32 [C, S], intercepts float32 [C]."""

    weights: Floats
    intercepts: Floats

    @property
    def row_floats(self) -> int:
        """Number of temporary floats for one row."""
        return len(self.weights[0])

    def logits(self, values: Floats) -> Floats:
        """Compute float32 [n, C] for float32 [n, S]."""
        logits: Floats = values @ self.weights.T + self.intercepts
        return logits

    def as_function(self) -> Callable[[Any], Any]:
        """Return `logits` as a TensorFlow function."""
        return linear_logits(self.weights, self.intercepts)


@dataclasses.dataclass(frozen=True)
class OneVsOne:
    """One decision value for each pair of classes (one vs one), as in libsvm.

    The predicted class wins the most pairs; ties are broken by the squashed sum of decision values, like SVC with
    `break_ties`. A logit is the sum over the other classes of the log sigmoid of the decision value (Bradley-Terry
    model). Its softmax at a temperature is calibrated within 0.02 to 0.04 on photographs, that of the votes within 0.05
    to 0.1. Where the class that wins the vote has not the highest logit (4 to 9 % of rows), its logit is raised to just
    above the others.

    Attributes:
        coef: float32 [C, S], the weight of each vector for its class against each other one; 0 against itself.
        counts: int64 [C], support vectors of each class; they are sorted by class.
        intercepts: float32 [C, C], of each pair; symmetric.

    Source: Hastie and Tibshirani 1998, Classification by pairwise coupling, section 2 (the model).
    """

    coef: Floats
    counts: Rows
    intercepts: Floats

    @classmethod
    def of(cls, dual: Floats, intercepts: Floats, counts: Rows) -> "OneVsOne":
        """Expand the attributes of a fitted SVC.

        Args:
            dual: float [C - 1, S], its `dual_coef_`.
            intercepts: float [C (C - 1) / 2], its `intercept_`.
            counts: int [C], its `n_support_`.

        Raises:
            ValueError: Their shapes do not match.
        """
        n_classes = len(counts)
        pairs = np.triu_indices(n_classes, 1)
        if dual.shape != (n_classes - 1, counts.sum()) or intercepts.shape != pairs[0].shape or counts.min() < 0:
            raise ValueError("its weights are for other pairs of classes")
        sign = -1 if n_classes == 2 else 1  # noqa: PLR2004  for two classes scikit-learn has the second class only
        codes, square = np.repeat(np.arange(n_classes), counts), np.zeros((n_classes, n_classes), np.float32)
        coef = np.zeros((n_classes, len(codes)), np.float32)
        for other in range(n_classes):
            opponents = codes != other
            coef[other, opponents] = sign * dual[other - (other > codes[opponents]), opponents]
        square[pairs] = sign * intercepts
        return cls(coef, counts.astype(np.int64), square + square.T)

    @property
    def row_floats(self) -> int:
        """Number of temporary floats for one row."""
        return len(self.coef[0]) + 3 * len(self.coef) ** 2

    def logits(self, values: Floats) -> Floats:
        """Compute float32 [n, C] for float32 [n, S]."""
        decisions = self._decisions(values)
        sums = decisions.sum(axis=2)
        votes = (decisions > 0).sum(axis=2) + sums / (3 * (np.abs(sums) + 1))
        logits: Floats = -np.logaddexp(0, -decisions).sum(axis=2)
        rows, winners = np.arange(len(values)), votes.argmax(axis=1)
        won = logits[rows, winners]
        logits[rows, winners] = -np.inf
        logits[rows, winners] = np.maximum(won, logits.max(axis=1) + np.float32(MIN_LEAD))
        return logits

    def as_function(self) -> Callable[[Any], Any]:
        """Return `logits` as a TensorFlow function."""
        return one_vs_one_logits(self.coef, self.counts, self.intercepts, min_lead=MIN_LEAD)

    def _decisions(self, values: Floats) -> Floats:
        """Compute decision values float32 [n, C, C]: above 0 where the first class of a pair wins."""
        ends = np.cumsum(self.counts)
        blocks = [slice(end - count, end) for end, count in zip(ends, self.counts, strict=True)]
        parts = np.stack([values[:, block] @ self.coef[:, block].T for block in blocks], axis=1)
        classes = np.arange(len(self.counts))
        signs = np.sign(classes - classes[:, None]).astype(np.float32)
        decisions: Floats = signs * (parts + parts.transpose(0, 2, 1) + self.intercepts)
        return decisions


MOST_EXACT = 20_000
"""Number of rows up to which the SVM is exact: its time grows with their square."""


_N_BASIS = 1000  # as accurate as exact on 6,000 photographs; 500 lose half a point, 2000 take 4 to 15 times as long

_MIN_AXIS = 1e-6  # of the longest: shorter axes would amplify rounding

_MIN_SPREAD = 1e-6

_CACHE_MB = 500

_BLOCK_FLOATS = 2**24

_BINARY = 2


class KernelHead(FactoredHead):
    """SVC with an RBF kernel on unit vectors up to 20,000 rows; beyond, Nystroem features and a linear SVM.

    gamma is 1 / the mean squared distance of two rows, so that the kernel is about 1/e between random rows, however
    crowded the embeddings are; with a much smaller gamma the SVM is linear, with a much larger one it is a nearest
    neighbour. It is not tuned: that would multiply the fits, and C makes up for most of it.

    Source: Caputo et al. 2002, Appearance-based object recognition using SVMs: which kernel should I use (gamma);
    Williams and Seeger 2001, Using the Nystroem method to speed up kernel machines (the approximation).
    """

    memory: ClassVar[FitMemory] = FitMemory(columns=_N_BASIS)
    hyperparameter: ClassVar[str] = "C"
    grid: ClassVar[tuple[float, ...]] = (1, 3, 10)
    default: ClassVar[float] = 1.0
    _kernel: Rbf
    _readout: Readout

    def __init__(self, *, classes: Strings, model: Any, factor: float = 1.0) -> None:
        super().__init__(classes=classes, model=model, factor=factor)
        self._kernel, self._readout = _parts(model)

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, grid: Sequence[float], options: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D] of unit length, N labels of two classes or more, and sample weights, for each C."""
        rows = embeddings.read() if isinstance(embeddings, EmbeddingRows) else embeddings
        classes, codes = np.unique(labels, return_inverse=True)
        n_rows = max(len(rows), options.n_rows)  # a fold is fitted like all rows
        fit, note = _exact, ""
        if n_rows > MOST_EXACT:
            fit = _approximated
            note = (
                f"The RBF kernel is approximated by {_N_BASIS:,} of the rows: {n_rows:,} are more than {MOST_EXACT:,}."
            )
        started = time.perf_counter()
        for steps, converged in fit(rows, codes, grid, options):
            head = cls(classes=classes, model=_pipeline(steps, rows.shape[1]))
            head.fit_seconds, head.converged, head.note = time.perf_counter() - started, converged, note
            yield head
            started = time.perf_counter()

    def logits(self, embeddings: Floats) -> Floats:
        """Compute float32 [N, C] for float32 [N, D]."""
        unit = self._model[0].transform(embeddings)
        n = max(1, _BLOCK_FLOATS // self._readout.row_floats)
        blocks = (self._kernel(unit[start : start + n]) for start in range(0, len(unit), n))
        logits = np.concatenate([self._readout.logits(values) for values in blocks])
        return (self._factor * logits).astype(np.float32)

    def as_function(self) -> Callable[[Any], Any]:
        """Return `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        kernel, readout = self._kernel.as_function(), self._readout.as_function()
        return softmax_of(lambda embeddings: readout(kernel(embeddings)), factor=self._factor)

    @classmethod
    def check(cls, model: Any, *, n_classes: int, dim: int) -> None:
        """Raise a ValueError unless it is a pipeline of this kind for these classes and this width."""
        from sklearn.kernel_approximation import Nystroem
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import Normalizer
        from sklearn.svm import SVC, LinearSVC

        forms = [[Normalizer, SVC], [Normalizer, Nystroem, LinearSVC]]
        if type(model) is not Pipeline or [type(step) for _, step in model.steps] not in forms:
            raise ValueError("it holds another model")
        check_model(model, n_classes=n_classes, dim=dim)
        kernel, readout = _parts(model)
        if kernel.vectors.shape[1] != dim or readout.logits(kernel(kernel.vectors[:1])).shape != (1, n_classes):
            raise ValueError("its weights are for another width or other classes")


def _exact(rows: Floats, codes: Rows, grid: Sequence[float], options: FitOptions) -> Iterator[tuple[list[Any], bool]]:
    from sklearn.svm import SVC

    gamma = find_gamma(rows, options.weights)
    for value in grid:
        model = SVC(
            C=value, gamma=gamma, break_ties=len(np.unique(codes)) > _BINARY, cache_size=_CACHE_MB, random_state=0
        )
        with ignore_class_count_warning():
            model.fit(rows, codes, sample_weight=options.weights)
        yield [model], True


def _approximated(
    rows: Floats, codes: Rows, grid: Sequence[float], options: FitOptions
) -> Iterator[tuple[list[Any], bool]]:
    basis = _basis(rows, find_gamma(rows, options.weights), options.seed)
    mapped = _mapped(rows, basis)
    n_classes = int(codes.max()) + 1
    solutions = fit_path([(mapped, codes)], SvmHead.loss, costs=grid, n_classes=n_classes, weights=options.weights)
    for value, solution in zip(grid, solutions, strict=True):
        model = SvmHead.fitted_model(solution.coef, solution.intercept).set_params(C=value)
        yield [basis, model], solution.converged


def find_gamma(rows: Floats, weights: Floats | None = None) -> float:
    """Compute 1 / the mean squared distance of two rows: for unit vectors 1 / (2 (1 - |mean|^2)).

    Args:
        rows: float32 [N, D].
        weights: float32 [N], sample weights; None for equal ones.

    >>> find_gamma(np.eye(2, dtype="f4"))
    1.0
    """
    mean = np.average(rows, axis=0, weights=weights).astype(np.float64)
    squares = np.average(np.einsum("nd,nd->n", rows, rows), weights=weights)
    return 1 / (2 * max(float(squares) - float(mean @ mean), _MIN_SPREAD))


def _basis(rows: Floats, gamma: float, seed: int) -> Any:
    """Build a Nystroem on random rows; unlike its own fit, without axes that are too short for float32."""
    from sklearn.kernel_approximation import Nystroem

    n = min(_N_BASIS, len(rows))
    drawn = np.sort(np.random.default_rng(seed).choice(len(rows), n, replace=False))
    lengths, axes = np.linalg.eigh(Rbf(rows[drawn].astype(np.float64), gamma)(rows[drawn].astype(np.float64)))
    is_long = lengths > _MIN_AXIS * lengths[-1]
    axes = axes[:, is_long]
    basis = Nystroem(gamma=gamma, n_components=n, random_state=seed)
    basis.components_, basis.component_indices_ = rows[drawn], drawn
    basis.normalization_ = (axes / np.sqrt(lengths[is_long]) @ axes.T).astype(np.float32)
    basis.n_features_in_ = rows.shape[1]
    return basis


def _mapped(rows: Floats, basis: Any) -> Floats:
    """Compute `basis.transform(rows)`, float32 [N, n], without float64 copies."""
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
    """Return the kernel and the readout of a pipeline."""
    first, last = model[1], model[-1]
    if first.kernel != "rbf":
        raise ValueError("its kernel is another")
    if first is last:
        vectors = last.support_vectors_.astype(np.float32)
        return Rbf(vectors, float(last.gamma)), OneVsOne.of(last.dual_coef_, last.intercept_, last.n_support_)
    coef, intercepts = last.coef_, last.intercept_
    if len(coef) == 1:
        coef, intercepts = two_columns(coef[0]).T, two_columns(intercepts)[0]
    weights = coef.astype(np.float64) @ first.normalization_
    return Rbf(first.components_, float(first.gamma)), LinearReadout(
        weights.astype(np.float32), intercepts.astype(np.float32)
    )
