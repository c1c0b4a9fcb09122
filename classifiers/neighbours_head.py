"""The `knn` head: the nearest training rows vote."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from classifiers.graphs import neighbour_votes, power_of_shares
from classifiers.margins import Softmax
from classifiers.scikit import check_model, quiet
from classifiers.stored_rows import Embeddings
from classifiers.terms import Terms
from features import Floats, Strings, unit_rows

_LEAST_SHARE = 1e-3  # what a class without a vote counts for, so that its logarithm is finite
_PARTS = {"model", "factor"}


class NeighboursHead(Softmax):
    """scikit-learn's KNeighborsClassifier on unit vectors, votes weighted by the inverse of the distance.

    A margin is the logarithm of a share of votes: at a factor of 1 the probabilities are the shares.
    """

    setting: ClassVar[str] = "k"
    values: ClassVar[tuple[float, ...]] = (50, 20, 10, 5, 3, 1)
    usual: ClassVar[float] = 5.0
    classes: Strings
    fit_seconds: float
    converged: bool = True

    def __init__(self, *, classes: Strings, model: Any, factor: float = 1.0) -> None:
        self.classes = classes
        self._model = model
        self._factor = factor

    @classmethod
    def fit_each(cls, embeddings: Embeddings, labels: Strings, values: Sequence[float], terms: Terms) -> Iterator[Self]:
        """Keep float32 [N, D] of unit length with N labels, for each number of votes; weights change no vote."""
        from sklearn.neighbors import KNeighborsClassifier

        del terms
        classes, codes = np.unique(labels, return_inverse=True)
        for value in values:
            begun = time.perf_counter()
            model = KNeighborsClassifier(min(int(value), len(codes)), weights="distance", algorithm="brute")
            with quiet():
                head = cls(classes=classes, model=model.fit(embeddings, codes))
            head.fit_seconds = time.perf_counter() - begun
            yield head

    def margins(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D]."""
        shares = np.maximum(self._model.predict_proba(unit_rows(embeddings)), _LEAST_SHARE)
        margins: Floats = (self._factor * np.log(shares)).astype(np.float32)
        return margins

    def as_function(self) -> Callable[[Any], Any]:
        """Give `probabilities` as a TensorFlow function: float32 [B, D] -> float32 [B, C]."""
        model, n_classes = self._model, len(self.classes)
        votes = neighbour_votes(model._fit_X, model._y, k=model.n_neighbors, n_classes=n_classes)  # noqa: SLF001  as stored
        return power_of_shares(votes, factor=self._factor, least=_LEAST_SHARE)

    def soften(self, factor: float) -> None:
        """Multiply the margins by a factor > 0: one over a temperature."""
        self._factor *= factor

    def save(self, path: Path) -> None:
        """Write the model and the factor in skops form."""
        import skops.io

        skops.io.dump({"model": self._model, "factor": self._factor}, path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Read them; only types that skops trusts by itself are built, and only ours are accepted.

        Raises:
            ValueError: The file holds something else, or a model of other classes or width.
            skops.io.exceptions.UntrustedTypesFoundException: It holds a type that could run code.
        """
        import skops.io
        from sklearn.neighbors import KNeighborsClassifier

        parts = skops.io.load(path, trusted=[])
        if not isinstance(parts, dict) or parts.keys() != _PARTS or type(parts["model"]) is not KNeighborsClassifier:
            raise ValueError("it holds another model")
        model, factor = parts["model"], parts["factor"]
        check_model(model, n_classes=len(classes), dim=dim)
        return cls(classes=classes, model=model, factor=float(factor))
