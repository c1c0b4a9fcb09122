import numpy as np  # noqa: F401  its BLAS is what is limited
from threadpoolctl import threadpool_info, threadpool_limits

from frieze.core import one_blas_thread


def n_threads():
    """The threads of NumPy's BLAS; another library may bring one of its own later."""
    return {one["num_threads"] for one in threadpool_info() if "numpy" in one["filepath"]}


def test_the_limit_is_lifted():
    """BLAS has one thread meanwhile, and afterwards as many as before."""
    with threadpool_limits(2, user_api="blas"):
        with one_blas_thread():
            assert n_threads() == {1}
        assert n_threads() == {2}
