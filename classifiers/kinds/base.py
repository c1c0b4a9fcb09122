"""Base classes of the kinds of heads: softmax probabilities, skops files, checks of loaded models."""

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitMemory
from frieze.core import Floats, Strings, without_module


class Softmax:
    """Base of scikit-learn heads: stored by skops, probabilities are the softmax of `logits`."""

    file_name: ClassVar[str] = "head.skops"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "skops")
    is_calibrated: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    is_iterative: ClassVar[bool] = False
    memory: ClassVar[FitMemory] = FitMemory()
    note: str = ""

    def logits(self, embeddings: Floats) -> Floats:
        """Compute float32 [N, C] for float32 [N, D]."""
        raise NotImplementedError

    def probabilities(self, embeddings: Floats) -> Floats:
        """Predict float32 [N, C] for float32 [N, D], N >= 1; each row sums to 1."""
        from scipy.special import softmax

        probabilities: Floats = softmax(self.logits(embeddings), axis=1)
        return probabilities


def two_columns(decisions: Floats) -> Floats:
    """Return decision values [N, 2] of two classes for those of the second one, [N]."""
    return np.column_stack([-decisions, decisions])


_PARTS = {"model", "factor"}


class FactoredHead(Softmax):
    """A scikit-learn model and the factor on its logits (1 / temperature), stored together by skops."""

    classes: Strings
    fit_seconds: float
    converged: bool = True

    def __init__(self, *, classes: Strings, model: Any, factor: float = 1.0) -> None:
        self.classes = classes
        self._model = model
        self._factor = factor

    @classmethod
    def check(cls, model: Any, *, n_classes: int, dim: int) -> None:
        """Check that a loaded model is of this kind, for these classes and this width.

        Raises:
            ValueError: It is not.
        """
        raise NotImplementedError

    def scale_logits(self, factor: float) -> None:
        """Multiply the logits by a factor > 0, 1 / temperature."""
        self._factor *= factor

    def save(self, path: Path) -> None:
        """Write the model and the factor to a skops file."""
        import_skops().dump({"model": self._model, "factor": self._factor}, path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Load model and factor; only types that skops trusts by default are built, and only this kind is accepted.

        Raises:
            ValueError: The file holds something else, or a model for other classes or another width.
            skops.io.exceptions.UntrustedTypesFoundException: It holds a type that could run code.
        """
        parts = import_skops().load(path, trusted=[])
        if not isinstance(parts, dict) or parts.keys() != _PARTS:
            raise ValueError("it holds another model")
        cls.check(parts["model"], n_classes=len(classes), dim=dim)
        return cls(classes=classes, model=parts["model"], factor=float(parts["factor"]))


@contextlib.contextmanager
def ignore_class_count_warning() -> Iterator[None]:
    """Silence scikit-learn's warning that many classes for few rows look like a regression."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        yield


def import_skops() -> Any:
    """Import skops.io without PyTorch.

    It imports every module of scikit-learn to list the estimators, and with them a shim for PyTorch: where that is
    installed, half a gigabyte and a second for nothing.
    """
    with without_module("torch"):
        return importlib.import_module("skops.io")


def check_model(model: Any, *, n_classes: int, dim: int) -> None:
    """Check that a loaded model is for these classes and this width.

    Raises:
        ValueError: It is not.
    """
    if (model.n_features_in_, model.classes_.tolist()) != (dim, list(range(n_classes))):
        raise ValueError("its model is for another width or other classes")
