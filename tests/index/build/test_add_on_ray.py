"""Adding rows on a Ray cluster; the reference is the index that is filled locally."""

import contextlib

import faiss
import numpy as np
import pytest

from frieze.core import InputError
from frieze.indexing import build_index, open_index
from frieze.indexing.build import add_on_ray


class Inline:
    """What `RayPopulator` uses of Ray, run in this process."""

    def __init__(self, cpus):
        self._cpus = cpus
        self.n_tasks = 0
        self.exceptions = type("Exceptions", (), {"RayTaskError": RuntimeError, "RayError": OSError})

    def cluster_resources(self):
        """Return the cluster's cores."""
        return {"CPU": self._cpus}

    available_resources = cluster_resources

    def put(self, value):
        """Return the value itself."""
        return value

    get = put

    def remote(self, **_):
        """Wrap a function as a task that runs at once."""

        def wrap(function):
            def run(*args):
                self.n_tasks += 1
                return function(*args)

            return type("Task", (), {"remote": staticmethod(run)})

        return wrap


@pytest.fixture
def cluster_of(monkeypatch):
    """`cluster_of(cores)`: the cluster behind `ray="auto"`, with shares of one block each."""

    def make(cpus):
        ray = Inline(cpus)
        monkeypatch.setattr("frieze.indexing.build.build.connect_to_ray", lambda _: contextlib.nullcontext(ray))
        monkeypatch.setattr(add_on_ray, "_MIN_BLOCKS", 1)
        monkeypatch.setattr(add_on_ray, "count_block_rows", lambda _: 500)
        return ray

    return make


def search_all_lists(out, table):
    """Return scores and rows of 100 queries' nearest rows with every list searched."""
    faiss_index = faiss.read_index(str(out / open_index(out).document["generation"] / "index.faiss"))
    lists = faiss.extract_index_ivf(faiss_index)
    lists.nprobe = lists.nlist
    return faiss_index.search(np.ascontiguousarray(table.embeddings()[::20]), 20)


def assert_same(here, there, table):
    """Compare the FAISS indexes of two folders; the order of ties may differ."""
    (ours, rows), (theirs, others) = search_all_lists(there, table), search_all_lists(here, table)
    assert (ours == theirs).all()
    assert (rows == others).mean() > 0.99  # of equal scores either may come first


@pytest.mark.parametrize("kind", ["ivf", "sq8", "rabitq", "pq", "pca-pq"])
def test_equals_a_local_build(kind, table, cluster_of, tmp_path):
    """The FAISS index gives bitwise equal scores, however many machines added its rows."""
    ray = cluster_of(3)
    build_index(table, tmp_path / "here", kind=kind)
    build_index(table, tmp_path / "there", kind=kind, ray="auto")
    assert ray.n_tasks == 3
    assert_same(tmp_path / "here", tmp_path / "there", table)


def test_a_graph_is_filled_locally(table, cluster_of, tmp_path):
    """A graph can't be merged, so no task is started for it."""
    ray = cluster_of(3)
    build_index(table, tmp_path / "there", kind="hnsw", ray="auto")
    assert ray.n_tasks == 0
    assert len(open_index(tmp_path / "there").ids) == len(table)


def test_a_rebuild_uses_the_cluster(table, cluster_of, tmp_path):
    """A rebuild of an existing index runs on the cluster as well."""
    ray = cluster_of(2)
    build_index(table, tmp_path / "there", kind="sq8")
    build_index(table, tmp_path / "there", kind="sq8", ray="auto", force=True)
    assert ray.n_tasks == 2


def test_a_file_that_a_machine_lacks():
    """A machine that does not see the file raises an error that says so."""
    empty = faiss.serialize_index(faiss.index_factory(8, "IVF1,Flat"))
    file = {"path": "/not/there", "metric": "cosine", "n_rows": 4, "dim": 8}
    with pytest.raises(InputError, match="does not see /not/there"):
        add_on_ray.add_share(empty, file, range(4))


@pytest.mark.slow
def test_on_a_cluster(cluster, table, tmp_path, monkeypatch):
    """A real cluster's machines build the same index."""
    monkeypatch.setattr(add_on_ray, "_MIN_BLOCKS", 1)
    monkeypatch.setattr(add_on_ray, "count_block_rows", lambda _: 500)
    build_index(table, tmp_path / "here", kind="pq")
    build_index(table, tmp_path / "there", kind="pq", ray=cluster.address)
    assert_same(tmp_path / "here", tmp_path / "there", table)
