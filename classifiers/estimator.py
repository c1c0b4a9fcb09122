"""A head as a scikit-learn estimator, for pipelines, grid searches and cross-validation in a program."""

import importlib
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitOptions
from frieze.classifiers.registry import Classifier, kind_of_head
from frieze.classifiers.training.fit import HeadConfig, balanced_weights, fit_head
from frieze.core import Floats, Strings, unit_rows

# A class needs its bases at import time; only users of HeadClassifier import this module.
_base: Any = importlib.import_module("sklearn.base")


class HeadClassifier(_base.ClassifierMixin, _base.BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The head of `frieze train --head KIND` on embeddings in memory.

    Rows are scaled to unit length first, as `train` does. Without `value` folds of the training rows choose the
    hyperparameter and calibrate the probabilities; with it, that value is fitted alone, without calibration, which
    suits a grid search.

    Args:
        kind: A key of `HEADS`: linear, svm, svm-rbf, ridge, knn, prototype or keras.
        value: The hyperparameter of that kind: C of linear and svm, alpha of ridge, k of knn; None to choose it.
        balanced: Whether all classes have the same weight, whatever their number of rows.
        random_state: Seed of folds and fit, an int or None for 0.

    Attributes:
        classes_: The classes [C], sorted.
        head_: The fitted head.
        value_: The hyperparameter that was given or chosen.
        n_features_in_: Width D.

    >>> import numpy as np
    >>> embeddings = np.repeat(np.eye(2, dtype="f4"), 4, axis=0)
    >>> HeadClassifier("linear", value=30).fit(embeddings, list("aaaabbbb")).predict(embeddings).tolist()
    ['a', 'a', 'a', 'a', 'b', 'b', 'b', 'b']
    """

    classes_: Any
    head_: Classifier
    value_: float
    n_features_in_: int
    _DTYPES: ClassVar[list[type]] = [np.float32, np.float64]

    def __init__(
        self,
        kind: str = "linear",
        *,
        value: float | None = None,
        balanced: bool = False,
        random_state: int | None = None,
    ) -> None:
        self.kind = kind
        self.value = value
        self.balanced = balanced
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803  scikit-learn's name
        """Fit on embeddings [N, D] and their classes [N].

        Raises:
            InputError: There is no such kind of head.
            ValueError: The rows or classes are not what a classifier takes; one class alone, too.
        """
        from sklearn.utils.multiclass import check_classification_targets
        from sklearn.utils.validation import validate_data

        config = HeadConfig(self.kind, seed=int(self.random_state or 0), is_balanced=self.balanced)
        X, y = validate_data(self, X, y, dtype=self._DTYPES)  # noqa: N806
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:  # noqa: PLR2004
            raise ValueError(f"A head needs two classes or more; there is one class: {self.classes_[0]!r}.")
        embeddings, labels = unit_rows(X.astype(np.float32)), _number_texts(codes)
        self.value_, self.head_ = self._fit(config, embeddings, labels)
        return self

    def _fit(self, config: HeadConfig, embeddings: Floats, labels: Strings) -> tuple[float, Classifier]:
        if self.value is None:
            head, tuned = fit_head(config, embeddings, labels)
            return tuned.value, head
        options = FitOptions(balanced_weights(labels) if config.is_balanced else None, config.seed, n_rows=len(labels))
        return self.value, next(kind_of_head(self.kind).fit_each(embeddings, labels, [self.value], options))

    def predict_proba(self, X: Any) -> Floats:  # noqa: N803
        """Predict probabilities [N, C], columns as in `classes_`; each row sums to 1."""
        from sklearn.utils.validation import check_is_fitted, validate_data

        check_is_fitted(self)
        X = validate_data(self, X, dtype=self._DTYPES, reset=False)  # noqa: N806
        return self.head_.probabilities(unit_rows(X.astype(np.float32)))

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Predict the class [N] of each embedding [N, D]."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]


def _number_texts(codes: Any) -> Strings:
    """Return class numbers as texts that sort as the numbers do: a head knows classes by name."""
    return np.array([f"{code:09d}" for code in codes], dtype=object)
