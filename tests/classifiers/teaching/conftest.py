"""Three clusters of vectors, of which the largest is three times as large as the others."""

import numpy as np
import pytest

from frieze.classifiers import Answers, UnitVectors

SIZES = (90, 30, 30)


@pytest.fixture(scope="session")
def codes():
    """The cluster of each vector."""
    return np.repeat(np.arange(3), SIZES)


@pytest.fixture(scope="session")
def vectors(codes):
    """The vectors."""
    noise = np.random.default_rng(0).normal(size=(len(codes), 8))
    return UnitVectors.of((np.eye(8)[codes] + 0.15 * noise).astype("f4"))


@pytest.fixture
def answer(codes):
    """Answer rows with the names of their clusters; some are held out."""

    def answer_rows(rows, held_out=()):
        rows = np.asarray(rows, np.int64)
        names = np.array(["ant", "bee", "cow"], object)
        return Answers(rows, names[codes[rows]], np.isin(rows, np.asarray(held_out, np.int64)))

    return answer_rows
