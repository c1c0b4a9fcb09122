import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frieze.core import evenly_spaced, unit_rows

_ROWS = hnp.arrays(np.float32, (3, 5), elements=st.floats(-1000, 1000, width=16))


@given(_ROWS)
def test_length_one_or_zero(embeddings):
    """Each row comes out with length 1, or 0 where it was all zeros."""
    is_zero = ~embeddings.any(axis=1)
    assert np.allclose(np.linalg.norm(unit_rows(embeddings), axis=1), ~is_zero, atol=1e-5)


@given(_ROWS)
def test_direction_stays(embeddings):
    """Scaled back by its length, each row is the one that went in."""
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    assert np.allclose(unit_rows(embeddings) * norms, embeddings, rtol=1e-4, atol=1e-5)


def test_input_untouched():
    """The rows that went in stay as they are, and float32 stays float32."""
    embeddings = np.array([[3, 4], [0, 0]], np.float32)
    assert unit_rows(embeddings).dtype == np.float32
    assert embeddings.tolist() == [[3, 4], [0, 0]]


@given(n=st.integers(0, 300), most=st.integers(2, 40))
def test_evenly_spaced(n, most):
    """The requested number of rows, first and last included, with distances that differ by at most one."""
    rows = evenly_spaced(np.arange(n), most)
    assert len(rows) == min(n, most)
    assert n == 0 or (rows[0], rows[-1]) == (0, n - 1)
    assert len(rows) < 2 or np.ptp(np.diff(rows)) <= 1
