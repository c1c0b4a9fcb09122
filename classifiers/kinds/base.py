"""What the kinds of heads share."""

import contextlib
import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from frieze.classifiers.config import FitMemory
from frieze.core import Floats, Strings


class Softmax:
    """What scikit-learn's heads have in common: stored by skops, probabilities are the softmax of margins."""

    file_name: ClassVar[str] = "head.skops"
    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn", "skops")
    is_calibrated: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    memory: ClassVar[FitMemory] = FitMemory()
    note: str = ""

    def margins(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D]."""
        raise NotImplementedError

    def probabilities(self, embeddings: Floats) -> Floats:
        """Give float32 [N, C] for float32 [N, D], N >= 1; each row sums to 1."""
        from scipy.special import softmax

        found: Floats = softmax(self.margins(embeddings), axis=1)
        return found


def two_sided(margins: Floats) -> Floats:
    """Give [N, 2] margins for [N], those of the second of two classes."""
    return np.column_stack([-margins, margins])


_PARTS = {"model", "factor"}


class FactoredHead(Softmax):
    """A scikit-learn model and the factor on its margins, stored together in skops form."""

    classes: Strings
    fit_seconds: float
    converged: bool = True

    def __init__(self, *, classes: Strings, model: Any, factor: float = 1.0) -> None:
        self.classes = classes
        self._model = model
        self._factor = factor

    @classmethod
    def check(cls, model: Any, *, n_classes: int, dim: int) -> None:
        """Refuse a model that was read and is not of this kind, or not for these classes and this width.

        Raises:
            ValueError: It is another.
        """
        raise NotImplementedError

    def scale_logits(self, factor: float) -> None:
        """Multiply the margins by a factor > 0: one over a temperature."""
        self._factor *= factor

    def save(self, path: Path) -> None:
        """Write the model and the factor in skops form."""
        import_skops().dump({"model": self._model, "factor": self._factor}, path)

    @classmethod
    def load(cls, path: Path, *, classes: Strings, dim: int) -> Self:
        """Read them; only types that skops trusts by itself are built, and only ours are accepted.

        Raises:
            ValueError: The file holds something else, or a model of other classes or width.
            skops.io.exceptions.UntrustedTypesFoundException: It holds a type that could run code.
        """
        parts = import_skops().load(path, trusted=[])
        if not isinstance(parts, dict) or parts.keys() != _PARTS:
            raise ValueError("it holds another model")
        cls.check(parts["model"], n_classes=len(classes), dim=dim)
        return cls(classes=classes, model=parts["model"], factor=float(parts["factor"]))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let it take class numbers of few rows for classes, not for a regression, without a word."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        yield


def import_skops() -> Any:
    """Import skops.io without PyTorch.

    It imports every module of scikit-learn to list the estimators, and with them a shim for PyTorch: where that is
    installed, half a gigabyte and a second that nobody asked for.
    """
    with _left_out("torch"):
        return importlib.import_module("skops.io")


class _Absent:
    """Finds no module of one name, for one thread."""

    def __init__(self, name: str) -> None:
        self._name, self._thread = name, threading.get_ident()

    def find_spec(self, name: str, *_: Any) -> None:
        """Refuse the name; leave all others to who comes next."""
        if name == self._name and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {name}", name=name)


@contextlib.contextmanager
def _left_out(name: str) -> Iterator[None]:
    """Have this thread import a module as if it were not installed; one that is imported already stays."""
    absent: Any = _Absent(name)
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)


def check_model(model: Any, *, n_classes: int, dim: int) -> None:
    """Refuse a model that was read and is not for these classes and this width.

    Raises:
        ValueError: It is for others.
    """
    if (model.n_features_in_, model.classes_.tolist()) != (dim, list(range(n_classes))):
        raise ValueError("its model is for another width or other classes")
