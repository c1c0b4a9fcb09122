"""Heads with one weight vector a class, on embeddings of unit length: `linear` and `svm`."""

import contextlib
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from features import Floats, Rows, Strings

_LINEAR_C = 30.0  # inverse regularisation of published linear probes on unit vectors
_SVM_C = 1.0  # the usual value; from 0.5 to 5 held-out accuracies of pretrained backbones move by a point or less
_MAX_ITERATIONS = 1000
_FOLDS = 3


class _PipelineHead:
    """A scikit-learn pipeline: scale to unit length, then one linear model fitted on class numbers 0..C-1."""

    file_name: ClassVar[str] = "head.skops"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "skops")
    classes: Strings
    fit_seconds: float
    converged: bool
    pipeline: Any

    def __init__(self, *, seed: int) -> None:
        self.seed = seed

    def fit(self, embeddings: Floats, labels: Strings) -> None:
        """Fit on float32 [N, D] and N labels of two classes or more."""
        self.classes, codes = np.unique(labels, return_inverse=True)
        self.pipeline = self._new_pipeline()
        started = time.perf_counter()
        with _quiet() as complaints:
            self.pipeline.fit(embeddings, codes)
        self.converged = not complaints
        self.fit_seconds = time.perf_counter() - started

    def _new_pipeline(self) -> Any:
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import Normalizer

        return make_pipeline(Normalizer(), self._new_model())

    def _new_model(self) -> Any:
        raise NotImplementedError

    def save(self, path: Path) -> None:
        """Write the pipeline in skops form."""
        import skops.io

        skops.io.dump(self.pipeline, path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Read the pipeline; only types that skops trusts by itself are built, and only ours are accepted.

        Raises:
            ValueError: The file holds another model, or one of other classes or width.
            skops.io.exceptions.UntrustedTypesFoundException: It holds a type that could run code.
        """
        import skops.io

        head = cls(seed=0)
        head.classes = classes
        head.pipeline = skops.io.load(path, trusted=[])
        wanted = [type(step) for _, step in head._new_pipeline().steps]
        if [type(step) for _, step in head.pipeline.steps] != wanted:
            raise ValueError("it holds another model")
        if (head.pipeline.n_features_in_, head.pipeline.classes_.tolist()) != (dim, list(range(len(classes)))):
            raise ValueError("its model is for another width or other classes")
        return head


class LinearHead(_PipelineHead):
    """Multinomial logistic regression; the probabilities are the model's own."""

    def _new_model(self) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=_LINEAR_C, max_iter=_MAX_ITERATIONS)

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D]."""
        found: Floats = self.pipeline.predict_proba(embeddings).astype(np.float32)
        return found


class SvmHead(_PipelineHead):
    """Linear support vector machine: squared hinge, one class against the rest.

    A margin is no probability. Here a probability is the softmax of the C margins over one temperature for all
    classes, chosen so that margins of rows not fitted on (three folds of the training rows) explain their labels
    best; the order of the classes stays that of the margins. The weights are stored divided by the temperature.
    Classes of fewer than three training rows take no part in the choice; with fewer than two other classes the
    temperature is 1, and the probability says no more than the order.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2.
    """

    def _new_model(self) -> Any:
        from sklearn.svm import LinearSVC

        return LinearSVC(C=_SVM_C, max_iter=10 * _MAX_ITERATIONS, random_state=self.seed)

    def fit(self, embeddings: Floats, labels: Strings) -> None:
        """Fit on float32 [N, D] and N labels of two classes or more, then scale the margins."""
        super().fit(embeddings, labels)
        factor = self._margin_factor(embeddings, labels)
        model = self.pipeline[-1]
        model.coef_ *= factor
        model.intercept_ *= factor

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D]."""
        from scipy.special import softmax

        found: Floats = softmax(_two_sided(self.pipeline.decision_function(embeddings)), axis=1).astype(np.float32)
        return found

    def _margin_factor(self, embeddings: Floats, labels: Strings) -> float:
        """Find one over the temperature, from margins of rows that were not fitted on."""
        from sklearn.model_selection import StratifiedKFold, cross_val_predict

        _, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        often = np.flatnonzero((counts >= _FOLDS)[codes])
        classes, codes = np.unique(codes[often], return_inverse=True)
        if len(classes) < 2:  # noqa: PLR2004 - one class leaves nothing to tell apart
            return 1.0
        folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=self.seed)
        pipeline = self._new_pipeline()
        with _quiet():
            margins = cross_val_predict(pipeline, embeddings[often], codes, cv=folds, method="decision_function")
        return best_factor(_two_sided(margins), codes)


def best_factor(margins: Floats, codes: Rows) -> float:
    """Find the factor on the margins whose softmax explains the labels best.

    Args:
        margins: float [N, C].
        codes: int64 [N], the right column of each row.

    Returns:
        One over the temperature, > 0. One row in N + 2 is taken for wrong, so that margins without a mistake do not
        end in certainty.

    Source: Platt 1999, Probabilistic Outputs for Support Vector Machines, section 2.2 (the targets).
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    doubt = 1 / (len(margins) + 2)
    targets = np.full(margins.shape, doubt / (margins.shape[1] - 1))
    targets[np.arange(len(codes)), codes] = 1 - doubt

    def loss(log_factor: float) -> float:
        return -float((targets * log_softmax(np.exp(log_factor) * margins, axis=1)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-10, 10), method="bounded").x))


@contextlib.contextmanager
def _quiet() -> Iterator[list[warnings.WarningMessage]]:
    """Keep from the user what scikit-learn says about a fit; warnings of others are shown when the block ends.

    Yields:
        A list that holds the warnings of convergence after the block.
    """
    from sklearn.exceptions import ConvergenceWarning

    found: list[warnings.WarningMessage] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes")  # class numbers of few rows are no regression
        yield found
    for one in caught:
        if issubclass(one.category, ConvergenceWarning):
            found.append(one)
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def _two_sided(margins: Floats) -> Floats:
    """Give [N, C] margins also for two classes, where scikit-learn gives [N]: those of the second."""
    return np.column_stack([-margins, margins]) if margins.ndim == 1 else margins
