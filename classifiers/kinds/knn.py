"""The `knn` head: k nearest neighbours."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitMemory, FitOptions
from frieze.classifiers.data.embedding_rows import Embeddings
from frieze.classifiers.kinds.base import FactoredHead, check_model, ignore_class_count_warning
from frieze.classifiers.kinds.tf_functions import neighbour_votes, power_of_shares
from frieze.core import Floats, Strings, unit_rows

_MIN_SHARE = 1e-3  # share of a class without votes, so that its logarithm is finite


class NeighboursHead(FactoredHead):
    """scikit-learn's KNeighborsClassifier on unit vectors, votes weighted by the inverse of the distance.

    Logits are the logarithms of the shares of votes: at a factor of 1 the probabilities are the shares.
    """

    memory: ClassVar[FitMemory] = FitMemory(copies=3)
    hyperparameter: ClassVar[str] = "k"
    grid: ClassVar[tuple[float, ...]] = (50, 20, 10, 5, 3, 1)
    default: ClassVar[float] = 5.0

    @classmethod
    def fit_each(
        cls, embeddings: Embeddings, labels: Strings, grid: Sequence[float], options: FitOptions
    ) -> Iterator[Self]:
        """Store float32 [N, D] of unit length with N labels, for each k; sample weights are ignored."""
        from sklearn.neighbors import KNeighborsClassifier

        del options
        classes, codes = np.unique(labels, return_inverse=True)
        for value in grid:
            started = time.perf_counter()
            model = KNeighborsClassifier(min(int(value), len(codes)), weights="distance", algorithm="brute")
            with ignore_class_count_warning():
                head = cls(classes=classes, model=model.fit(embeddings, codes))
            head.fit_seconds = time.perf_counter() - started
            yield head

    def logits(self, embeddings: Floats) -> Floats:
        """Compute float32 [N, C] for float32 [N, D]."""
        shares = np.maximum(self._model.predict_proba(unit_rows(embeddings)), _MIN_SHARE)
        logits: Floats = (self._factor * np.log(shares)).astype(np.float32)
        return logits

    def as_function(self) -> Callable[[Any], Any]:
        """Return `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        model, n_classes = self._model, len(self.classes)
        votes = neighbour_votes(model._fit_X, model._y, k=model.n_neighbors, n_classes=n_classes)  # noqa: SLF001  as stored
        return power_of_shares(votes, factor=self._factor, minimum=_MIN_SHARE)

    @classmethod
    def check(cls, model: Any, *, n_classes: int, dim: int) -> None:
        """Raise a ValueError unless it is a KNeighborsClassifier for these classes and this width."""
        from sklearn.neighbors import KNeighborsClassifier

        if type(model) is not KNeighborsClassifier:
            raise ValueError("it holds another model")
        check_model(model, n_classes=n_classes, dim=dim)
