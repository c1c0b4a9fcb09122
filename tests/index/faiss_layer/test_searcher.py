import dataclasses
import subprocess
import sys

import faiss
import numpy as np
import pytest

from frieze.core import count_cores
from frieze.features import METRICS
from frieze.indexing.faiss_layer.searcher import Searcher, all_cores
from frieze.indexing.faiss_layer.vectors import write_vectors


@pytest.mark.parametrize(("n_tasks", "n_threads"), [(1, 1), (2, min(2, count_cores())), (None, count_cores())])
def test_threads(n_tasks, n_threads):
    """No more threads are used than there are tasks, and their number is restored."""
    faiss.omp_set_num_threads(3)
    with all_cores(n_tasks=n_tasks):
        assert faiss.omp_get_max_threads() == n_threads
    assert faiss.omp_get_max_threads() == 3


def test_import_keeps_the_environment():
    """Importing the package changes no environment variable."""
    line = "import os; before = dict(os.environ); import frieze.indexing as index; print(dict(os.environ) == before)"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_search_widens_before_it_is_exact(indexes, queries, monkeypatch):
    """A query whose lists hold too few rows searches more lists, without an exact search."""
    searcher = indexes("ivf", "cosine")._searcher
    monkeypatch.setattr(searcher, "search_params", dataclasses.replace(searcher.search_params, search_param=1))
    monkeypatch.setattr(searcher.flat, "search", None)
    rows, scores = searcher.search(queries, k=200)
    assert (np.sort(rows, axis=1)[:, 1:] > np.sort(rows, axis=1)[:, :-1]).all()
    assert (rows >= 0).all()
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [7, 11, 39])
def test_scores_during_a_build_are_exact(metric, k, tmp_path, write_table):
    """During a build a query whose lists hold too few rows scores all hits as NumPy does."""
    rng = np.random.default_rng(0)
    embeddings = (np.repeat(rng.normal(size=(8, 16)), 5, axis=0) + 0.01 * rng.normal(size=(40, 16))).astype(np.float32)
    vectors = write_vectors(write_table(tmp_path / "t", embeddings), tmp_path / "vectors.faiss", metric=metric)
    ready = vectors.take(np.arange(40))
    faiss_index = faiss.index_factory(16, "IVF8,SQ8", vectors.flat_index.metric_type)
    faiss_index.train(ready)
    faiss_index.add(ready)
    searcher = Searcher.over(vectors, faiss_index, kind="sq8")
    searcher.fetch(ready[:1], k=k)
    rows, scores = searcher.search(ready[:1], k=k)
    expected = np.take_along_axis(METRICS[metric](ready[:1], ready), rows, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
