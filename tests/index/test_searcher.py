import dataclasses
import subprocess
import sys

import numpy as np
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


def test_the_environment_is_the_callers():
    """Importing the package sets no variable for the process that does."""
    line = "import os; before = dict(os.environ); import index; print(dict(os.environ) == before)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_looks_harder_before_it_looks_at_all(indexes, queries, monkeypatch):
    """A query whose lists hold fewer rows than it wants finds as many, each once, without a look at every row."""
    searcher = indexes("ivf", "cosine")._searcher
    monkeypatch.setattr(searcher, "effort", dataclasses.replace(searcher.effort, knob=1))
    monkeypatch.setattr(searcher.flat, "search", None)
    rows, scores = searcher.search(queries, k=200)
    assert (np.sort(rows, axis=1)[:, 1:] > np.sort(rows, axis=1)[:, :-1]).all()
    assert (rows >= 0).all()
    assert (np.diff(scores, axis=1) <= 0).all()
