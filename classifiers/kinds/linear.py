"""Heads with one weight vector a class, on embeddings of unit length: `linear`, `svm`, `ridge` and `prototype`."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitMemory, FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings, StoredRows, in_pieces
from frieze.classifiers.kinds.base import Softmax, check_model, import_skops, quiet, two_sided
from frieze.classifiers.kinds.tf_functions import linear_softmax
from frieze.classifiers.solver.linear import fit_path
from frieze.classifiers.solver.row_blocks import Doubles
from frieze.classifiers.solver.row_space import MOST_AXES, RowSpace
from frieze.core import Floats, Rows, Strings, unit_rows

_TWO = 2
_LSQR_TOLERANCE = 1e-6


class PipelineHead(Softmax):
    """A scikit-learn pipeline: scale to unit length, then one linear model over class numbers 0..C-1.

    Probabilities are the softmax of the margins; what makes them honest (`scale_logits`) is folded into the weights.
    """

    _margin_share: ClassVar[float] = 1.0  # what each side of two classes has of the model's one margin
    classes: Strings
    fit_seconds: float
    converged: bool
    pipeline: Any

    def __init__(self, *, classes: Strings, pipeline: Any) -> None:
        self.classes = classes
        self.pipeline = pipeline

    @classmethod
    def new_model(cls) -> Any:
        """Make an unfitted model of the kind that is stored."""
        raise NotImplementedError

    @classmethod
    def filled(cls, coef: Floats, intercept: Floats) -> Any:
        """Make a model with weights float32 [C, D] and intercepts [C], as if it had been fitted.

        Of two classes scikit-learn has one row of weights, for the second's side.
        """
        model = cls.new_model()
        model.classes_, model.n_features_in_ = np.arange(len(coef)), coef.shape[1]
        if len(coef) == _TWO:
            coef, intercept = (np.diff(both, axis=0) / (2 * cls._margin_share) for both in (coef, intercept))
        model.coef_, model.intercept_ = coef, intercept
        return model

    @classmethod
    def of_model(cls, model: Any, classes: Strings, *, begun: float, converged: bool = True) -> Self:
        """Put a fitted model behind the scaling.

        Args:
            model: Fitted on class numbers.
            classes: The names of the C classes.
            begun: When the fit began, by `time.perf_counter`.
            converged: Whether it ended by itself.
        """
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer

        scale = Normalizer()
        scale.n_features_in_ = model.n_features_in_
        head = cls(classes=classes, pipeline=make_pipeline(scale, model))
        head.fit_seconds, head.converged = time.perf_counter() - begun, converged
        return head

    def margins(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D], whose softmax are the probabilities."""
        found = self.pipeline.decision_function(embeddings).astype(np.float32)
        return two_sided(found * self._margin_share) if found.ndim == 1 else found

    def as_function(self) -> Callable[[Any], Any]:
        """Give `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        return linear_softmax(*self.planes())

    def planes(self) -> tuple[Floats, Floats]:
        """Give weights [C, D] and intercepts [C], whose products with unit vectors are the margins."""
        model = self.pipeline[-1]
        weights, intercepts = np.atleast_2d(model.coef_), np.atleast_1d(model.intercept_)
        if len(weights) == 1:
            sides = self._margin_share * np.array([-1, 1])
            weights, intercepts = sides[:, None] * weights, sides * intercepts
        return weights, intercepts

    def scale_logits(self, factor: float) -> None:
        """Multiply the margins by a factor > 0: one over a temperature."""
        model = self.pipeline[-1]
        model.coef_ = (model.coef_ * factor).astype(model.coef_.dtype)
        model.intercept_ = (model.intercept_ * factor).astype(model.coef_.dtype)

    def save(self, path: Path) -> None:
        """Write the pipeline in skops form."""
        import_skops().dump(self.pipeline, path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Read the pipeline; only types that skops trusts by itself are built, and only ours are accepted.

        Raises:
            ValueError: The file holds another model, or one of other classes or width.
            skops.io.exceptions.UntrustedTypesFoundException: It holds a type that could run code.
        """
        from sklearn.preprocessing import Normalizer

        head = cls(classes=classes, pipeline=import_skops().load(path, trusted=[]))
        if [type(step) for _, step in head.pipeline.steps] != [Normalizer, type(cls.new_model())]:
            raise ValueError("it holds another model")
        check_model(head.pipeline, n_classes=len(classes), dim=dim)
        return head


class _SolvedHead(PipelineHead):
    """A head that our own solver fits, for a row of costs one from the other."""

    streams: ClassVar[bool] = True
    setting: ClassVar[str] = "C"
    loss: ClassVar[str]

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, values: Sequence[float], terms: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D] of unit length, N labels of two classes or more, and their weights, for each cost."""
        classes, codes = np.unique(labels, return_inverse=True)
        pieces, weights = in_pieces(embeddings, codes, terms.weights)
        solutions = fit_path(pieces, cls.loss, costs=values, n_classes=len(classes), weights=weights)
        begun = time.perf_counter()
        for value, solution in zip(values, solutions, strict=True):
            model = cls.filled(solution.coef, solution.intercept).set_params(C=value)
            yield cls.of_model(model, classes, begun=begun, converged=solution.converged)
            begun = time.perf_counter()


class LinearHead(_SolvedHead):
    """Multinomial logistic regression, as scikit-learn's LogisticRegression defines it."""

    values: ClassVar[tuple[float, ...]] = (0.3, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
    usual: ClassVar[float] = 30.0  # inverse regularisation of published linear probes on unit vectors
    loss: ClassVar[str] = "softmax"
    _margin_share: ClassVar[float] = 0.5

    @classmethod
    def new_model(cls) -> Any:
        """Make an unfitted LogisticRegression."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression()


class SvmHead(_SolvedHead):
    """Linear support vector machine: squared hinge, one class against the rest, as in scikit-learn's LinearSVC."""

    values: ClassVar[tuple[float, ...]] = (0.03, 0.1, 0.3, 1, 3, 10, 30)
    usual: ClassVar[float] = 1.0
    loss: ClassVar[str] = "squared_hinge"

    @classmethod
    def new_model(cls) -> Any:
        """Make an unfitted LinearSVC."""
        from sklearn.svm import LinearSVC

        return LinearSVC()


class RidgeHead(PipelineHead):
    """Least squares with squared weights added, on targets of 1 and -1: scikit-learn's RidgeClassifier."""

    memory: ClassVar[FitMemory] = FitMemory(copies=4)  # scikit-learn centres a copy, and weighs another
    setting: ClassVar[str] = "alpha"
    values: ClassVar[tuple[float, ...]] = (30, 10, 3, 1, 0.3, 0.1, 0.03)
    usual: ClassVar[float] = 1.0

    @classmethod
    def new_model(cls) -> Any:
        """Make an unfitted RidgeClassifier."""
        from sklearn.linear_model import RidgeClassifier

        return RidgeClassifier()

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, values: Sequence[float], terms: FitOptions
    ) -> Iterator[Self]:
        """Fit on float32 [N, D] of unit length, N labels of two classes or more, and their weights, for each alpha."""
        classes, codes = np.unique(labels, return_inverse=True)
        begun = time.perf_counter()
        space = None if isinstance(embeddings, StoredRows) else RowSpace.of_few(embeddings)
        rows = embeddings if space is None else space.coordinates
        for value in values:
            model = cls.new_model().set_params(alpha=value, random_state=terms.seed, **_way(rows))
            with quiet():
                model.fit(rows, codes, sample_weight=terms.weights)
            if space is not None:
                model.coef_, model.n_features_in_ = space.weights(model.coef_), embeddings.shape[1]
            yield cls.of_model(model, classes, begun=begun)
            begun = time.perf_counter()


def _way(rows: Embeddings) -> dict[str, Any]:
    """Choose how RidgeClassifier solves: in steps where rows and columns are too many to decompose."""
    return {"solver": "lsqr", "tol": _LSQR_TOLERANCE} if min(rows.shape) > MOST_AXES else {}


class PrototypeHead(PipelineHead):
    """The mean of each class: the class whose mean is nearest. For few rows a class.

    Nearest by cosine, or by Euclidean distance as in scikit-learn's NearestCentroid. The mean of a class that is spread
    wide is short: by cosine its length does not count, by distance it counts against the class. Which is right hangs on
    the collection, by up to four points either way, so that folds choose.

    Source: Snell et al. 2017, Prototypical Networks for Few-shot Learning; stored as a LogisticRegression.
    """

    streams: ClassVar[bool] = True
    setting: ClassVar[str] = "length"
    values: ClassVar[tuple[float, ...]] = (0.0, 1.0)
    usual: ClassVar[float] = 0.0
    _margin_share: ClassVar[float] = 0.5

    @classmethod
    def new_model(cls) -> Any:
        """Make an unfitted LogisticRegression."""
        return LinearHead.new_model()

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, values: Sequence[float], terms: FitOptions
    ) -> Iterator[Self]:
        """Average float32 [N, D] of unit length by N labels of two classes or more; weights do not change a mean.

        Of the values 0 is by cosine, 1 by Euclidean distance.
        """
        del terms
        begun = time.perf_counter()
        classes, codes = np.unique(labels, return_inverse=True)
        means = _sums(embeddings, codes, len(classes)) / np.bincount(codes)[:, None]
        squares = np.square(means).sum(axis=1)
        for value in values:
            weights = means.astype(np.float32) if value else unit_rows(means.astype(np.float32))
            intercepts = (-value * squares / 2).astype(np.float32)
            yield cls.of_model(cls.filled(weights, intercepts), classes, begun=begun)


def _sums(embeddings: Embeddings, codes: Rows, n_classes: int) -> Doubles:
    sums = np.zeros((n_classes, embeddings.shape[1]))
    for piece, own in in_pieces(embeddings, codes, None)[0]:
        for code in np.unique(own):
            sums[code] += piece[own == code].sum(axis=0, dtype=np.float64)
    return sums
