"""scikit-learn's models: fitted on few rows without its warning, stored by skops, and checked when they are read."""

import contextlib
import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any


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
