"""scikit-learn's models: fitted on few rows without its warning, and checked when they are read."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let it take class numbers of few rows for classes, not for a regression, without a word."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        yield


def check_model(model: Any, *, n_classes: int, dim: int) -> None:
    """Refuse a model that was read and is not for these classes and this width.

    Raises:
        ValueError: It is for others.
    """
    if (model.n_features_in_, model.classes_.tolist()) != (dim, list(range(n_classes))):
        raise ValueError("its model is for another width or other classes")
