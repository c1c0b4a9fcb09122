"""Linear heads on embeddings of unit length: `linear` (logistic regression), `svm`, `ridge` and `prototype`."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitMemory, FitOptions
from frieze.classifiers.data.embedding_rows import EmbeddingRows, Embeddings, as_row_blocks
from frieze.classifiers.kinds.base import Softmax, check_model, ignore_class_count_warning, import_skops, two_columns
from frieze.classifiers.kinds.tf_functions import linear_softmax
from frieze.classifiers.solver.lbfgs import TOLERANCE
from frieze.classifiers.solver.linear import PathOptions, Solution, fit_path
from frieze.classifiers.solver.row_blocks import Doubles
from frieze.classifiers.solver.row_space import MOST_AXES, RowSpace
from frieze.core import Floats, Rows, Strings, unit_rows

_BINARY = 2
_LSQR_TOLERANCE = 1e-6
_ROUGH_TOLERANCE = 1e-4  # takes half the passes; the temperature changes by half a percent
_NO_LENGTH = 10 * np.finfo(np.float32).eps  # below it scikit-learn's Normalizer leaves a row as it is


@dataclasses.dataclass(frozen=True)
class LinearWeights:
    """The weights of a linear head: all that it takes to predict, in NumPy alone.

    Attributes:
        coef: [C, D], of the logits of unit vectors.
        intercept: [C].
    """

    coef: Floats
    intercept: Floats

    def probabilities(self, embeddings: Floats) -> Floats:
        """Predict float32 [N, C] for float32 [N, D], N >= 1, as scikit-learn's pipeline to the bit; rows sum to 1."""
        lengths = np.sqrt(np.einsum("ij,ij->i", embeddings, embeddings))
        lengths[lengths < _NO_LENGTH] = 1.0
        unit = embeddings / lengths[:, None]
        if len(self.coef) == _BINARY:
            logits = two_columns((unit @ self.coef[1] + self.intercept[1]).astype(np.float32))
        else:
            logits = (unit @ self.coef.T + self.intercept).astype(np.float32)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def write(self, path: Path) -> None:
        """Write an .npz file of both arrays."""
        np.savez(path, coef=self.coef, intercept=self.intercept)

    @classmethod
    def read(cls, path: Path, *, shape: tuple[int, int]) -> Self:
        """Read what `write` wrote for (C, D); nothing in it is run.

        Raises:
            ValueError: They are of another shape; KeyError and others where it is no such file.
        """
        with np.load(path, allow_pickle=False) as arrays:
            weights = cls(arrays["coef"], arrays["intercept"])
        if (weights.coef.shape, weights.intercept.shape) != (shape, shape[:1]):
            raise ValueError("it holds the weights of another head")
        return weights


class PipelineHead(Softmax):
    """A scikit-learn pipeline: scale to unit length, then one linear model over class numbers 0..C-1.

    Probabilities are the softmax of the logits; `scale_logits` folds the temperature into the weights.
    """

    _decision_share: ClassVar[float] = 1.0  # share of the model's one decision value that each of two classes has
    classes: Strings
    fit_seconds: float
    converged: bool
    pipeline: Any

    def __init__(self, *, classes: Strings, pipeline: Any) -> None:
        self.classes = classes
        self.pipeline = pipeline

    @classmethod
    def new_model(cls) -> Any:
        """Return an unfitted model of the stored kind."""
        raise NotImplementedError

    @classmethod
    def fitted_model(cls, coef: Floats, intercept: Floats) -> Any:
        """Return a model with weights float32 [C, D] and intercepts [C], as if it had been fitted.

        For two classes scikit-learn has one row of weights, for the second class.
        """
        model = cls.new_model()
        model.classes_, model.n_features_in_ = np.arange(len(coef)), coef.shape[1]
        if len(coef) == _BINARY:
            coef, intercept = (np.diff(both, axis=0) / (2 * cls._decision_share) for both in (coef, intercept))
        model.coef_, model.intercept_ = coef, intercept
        return model

    @classmethod
    def from_model(cls, model: Any, classes: Strings, *, started: float, converged: bool = True) -> Self:
        """Build a head from a fitted model, with scaling before it.

        Args:
            model: Fitted on class numbers.
            classes: The names of the C classes.
            started: Start of the fit, by `time.perf_counter`.
            converged: Whether the fit converged.
        """
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer

        scale = Normalizer()
        scale.n_features_in_ = model.n_features_in_
        head = cls(classes=classes, pipeline=make_pipeline(scale, model))
        head.fit_seconds, head.converged = time.perf_counter() - started, converged
        return head

    def logits(self, embeddings: Floats) -> Floats:
        """Compute float32 [N, C] for float32 [N, D], the decision values; their softmax is `probabilities`."""
        decisions = self.pipeline.decision_function(embeddings).astype(np.float32)
        return two_columns(decisions * self._decision_share) if decisions.ndim == 1 else decisions

    def as_function(self) -> Callable[[Any], Any]:
        """Return `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        return linear_softmax(*self.coef_and_intercept())

    def coef_and_intercept(self) -> tuple[Floats, Floats]:
        """Return weights [C, D] and intercepts [C] of the logits of unit vectors."""
        model = self.pipeline[-1]
        weights, intercepts = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
        if len(weights) == 1:
            signs = self._decision_share * np.array([-1, 1])
            weights, intercepts = signs[:, None] * weights, signs * intercepts
        return weights, intercepts

    def scale_logits(self, factor: float) -> None:
        """Multiply the logits by a factor > 0, 1 / temperature."""
        model = self.pipeline[-1]
        model.coef_ = (model.coef_ * factor).astype(model.coef_.dtype)
        model.intercept_ = (model.intercept_ * factor).astype(model.coef_.dtype)

    def save(self, path: Path) -> None:
        """Write the pipeline to a skops file."""
        import_skops().dump(self.pipeline, path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Load the pipeline; only types that skops trusts by default are built, and only this kind is accepted.

        Raises:
            ValueError: The file holds another model, or one for other classes or another width.
            skops.io.exceptions.UntrustedTypesFoundException: It holds a type that could run code.
        """
        from sklearn.preprocessing import Normalizer

        head = cls(classes=classes, pipeline=import_skops().load(path, trusted=[]))
        if [type(step) for _, step in head.pipeline.steps] != [Normalizer, type(cls.new_model())]:
            raise ValueError("it holds another model")
        check_model(head.pipeline, n_classes=len(classes), dim=dim)
        return head


class _LbfgsHead(PipelineHead):
    """A head that the L-BFGS solver fits along a regularisation path."""

    streams: ClassVar[bool] = True
    is_iterative: ClassVar[bool] = True
    hyperparameter: ClassVar[str] = "C"
    loss: ClassVar[str]

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, grid: Sequence[float], options: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D] of unit length, N labels of two classes or more, and sample weights, for each C."""
        classes, codes = np.unique(labels, return_inverse=True)
        row_blocks, weights = as_row_blocks(embeddings, codes, options.weights)
        prior = None if options.start is None else Solution(*options.start.take(classes))
        path = PathOptions(prior, _near(options, classes), _ROUGH_TOLERANCE if options.is_rough else TOLERANCE)
        solutions = fit_path(row_blocks, cls.loss, costs=grid, n_classes=len(classes), weights=weights, options=path)
        started = time.perf_counter()
        for value, solution in zip(grid, solutions, strict=True):
            model = cls.fitted_model(solution.coef, solution.intercept).set_params(C=value)
            yield cls.from_model(model, classes, started=started, converged=solution.converged)
            started = time.perf_counter()


def _near(options: FitOptions, classes: Strings) -> Solution | None:
    if not isinstance(options.near, PipelineHead) or not np.array_equal(options.near.classes, classes):
        return None
    coef, intercept = options.near.coef_and_intercept()
    return Solution(coef.astype(np.float32), intercept.astype(np.float32))


class LinearHead(_LbfgsHead):
    """Multinomial logistic regression, as scikit-learn's LogisticRegression defines it."""

    grid: ClassVar[tuple[float, ...]] = (0.3, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
    default: ClassVar[float] = 30.0  # inverse regularisation of published linear probes on unit vectors
    loss: ClassVar[str] = "softmax"
    _decision_share: ClassVar[float] = 0.5

    @classmethod
    def new_model(cls) -> Any:
        """Return an unfitted LogisticRegression."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression()


class SvmHead(_LbfgsHead):
    """Linear support vector machine: squared hinge, one class against the rest, as in scikit-learn's LinearSVC."""

    grid: ClassVar[tuple[float, ...]] = (0.03, 0.1, 0.3, 1, 3, 10, 30)
    default: ClassVar[float] = 1.0
    loss: ClassVar[str] = "squared_hinge"

    @classmethod
    def new_model(cls) -> Any:
        """Return an unfitted LinearSVC."""
        from sklearn.svm import LinearSVC

        return LinearSVC()


class RidgeHead(PipelineHead):
    """Ridge regression on targets of 1 and -1: scikit-learn's RidgeClassifier."""

    memory: ClassVar[FitMemory] = FitMemory(copies=4)  # scikit-learn centres a copy and weights another
    hyperparameter: ClassVar[str] = "alpha"
    grid: ClassVar[tuple[float, ...]] = (30, 10, 3, 1, 0.3, 0.1, 0.03)
    default: ClassVar[float] = 1.0

    @classmethod
    def new_model(cls) -> Any:
        """Return an unfitted RidgeClassifier."""
        from sklearn.linear_model import RidgeClassifier

        return RidgeClassifier()

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, grid: Sequence[float], options: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D] of unit length, N labels of two classes or more, and sample weights, for each alpha."""
        classes, codes = np.unique(labels, return_inverse=True)
        started = time.perf_counter()
        space = None if isinstance(embeddings, EmbeddingRows) else RowSpace.if_fewer_rows_than_columns(embeddings)
        rows = embeddings if space is None else space.coordinates
        for value in grid:
            model = cls.new_model().set_params(alpha=value, random_state=options.seed, **_solver_options(rows))
            with ignore_class_count_warning():
                model.fit(rows, codes, sample_weight=options.weights)
            if space is not None:
                model.coef_, model.n_features_in_ = space.weights(model.coef_), embeddings.shape[1]
            yield cls.from_model(model, classes, started=started)
            started = time.perf_counter()


def _solver_options(rows: Embeddings) -> dict[str, Any]:
    """Choose the solver of RidgeClassifier: iterative where rows and columns are too many to decompose."""
    return {"solver": "lsqr", "tol": _LSQR_TOLERANCE} if min(rows.shape) > MOST_AXES else {}


class PrototypeHead(PipelineHead):
    """Nearest class mean (prototype), for few rows a class.

    Nearest by cosine, or by Euclidean distance as in scikit-learn's NearestCentroid. The mean of a widely spread class
    is short: cosine ignores that, distance penalises the class. Which is better depends on the collection, by up to
    four points either way, so that folds choose.

    Source: Snell et al. 2017, Prototypical Networks for Few-shot Learning; stored as a LogisticRegression.
    """

    streams: ClassVar[bool] = True
    hyperparameter: ClassVar[str] = "length"
    grid: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    default: ClassVar[float] = 0.0
    _decision_share: ClassVar[float] = 0.5

    @classmethod
    def new_model(cls) -> Any:
        """Return an unfitted LogisticRegression."""
        return LinearHead.new_model()

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, grid: Sequence[float], options: FitOptions
    ) -> Iterator[Self]:
        """Average float32 [N, D] of unit length by N labels of two classes or more; sample weights are ignored.

        In the grid 0 is cosine, 1 is Euclidean distance.
        """
        del options
        started = time.perf_counter()
        classes, codes = np.unique(labels, return_inverse=True)
        means = _sums(embeddings, codes, len(classes)) / np.bincount(codes)[:, None]
        squares = np.square(means).sum(axis=1)
        for value in grid:
            weights = means.astype(np.float32) if value else unit_rows(means.astype(np.float32))
            intercepts = (-value * squares / 2).astype(np.float32)
            yield cls.from_model(cls.fitted_model(weights, intercepts), classes, started=started)


def _sums(embeddings: Embeddings, codes: Rows, n_classes: int) -> Doubles:
    sums = np.zeros((n_classes, embeddings.shape[1]))
    for block, block_codes in as_row_blocks(embeddings, codes, None)[0]:
        for code in np.unique(block_codes):
            sums[code] += block[block_codes == code].sum(axis=0, dtype=np.float64)
    return sums
