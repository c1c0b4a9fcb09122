"""scikit-learn without what it says about tables of few rows."""

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let it take class numbers of few rows for classes, not for a regression, without a word."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes")
        warnings.filterwarnings("ignore", "The least populated class")
        yield
