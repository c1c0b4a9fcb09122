import os

import pytest

from features import count_cores
from index.searcher import all_cores


@pytest.mark.parametrize(("n_tasks", "n_threads"), [(1, 1), (2, min(2, count_cores())), (None, count_cores())])
def test_threads(n_tasks, n_threads):
    """No more threads are started than there are tasks, and the number is given back."""
    import faiss

    faiss.omp_set_num_threads(3)
    with all_cores(n_tasks=n_tasks):
        assert faiss.omp_get_max_threads() == n_threads
    assert faiss.omp_get_max_threads() == 3


def test_threads_sleep():
    """FAISS's threads sleep while they wait: other programs want the cores too."""
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
