import faiss
import numpy as np
import pytest

from frieze.indexing.build.train_and_add import IndexTrainer
from frieze.indexing.faiss_layer.kinds import KINDS, count_lists
from frieze.indexing.faiss_layer.vectors import InMemoryVectors


@pytest.fixture(scope="module")
def held(clustered):
    """3,000 vectors of width 16."""
    return InMemoryVectors(clustered(3_000), metric="l2")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exact"])
def test_every_row_is_added(kind, held):
    """The index is trained and contains all rows in order: a row is among the nearest to itself."""
    faiss_index = IndexTrainer(held).train_and_add(kind)
    assert faiss_index.is_trained
    _, rows = faiss_index.search(held.flat_index.reconstruct_n(0, 200), 20)
    assert (rows == np.arange(200)[:, None]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exact"])
def test_unseen_rows_are_not_trained_on(kind, held, monkeypatch):
    """The queries that measure an index are not trained on, but are added to it."""
    unseen, taken, real = np.arange(0, 3_000, 6), [], held.take
    monkeypatch.setattr(held, "take", lambda rows: taken.append(rows) or real(rows))
    assert IndexTrainer(held, unseen=unseen).train_and_add(kind).ntotal == 3_000
    assert taken
    assert not np.isin(np.concatenate(taken), unseen).any()


def test_exact_has_no_index_of_its_own(held):
    """Exact search needs only the flat index."""
    assert IndexTrainer(held).train_and_add("exact") is None


def test_lists_are_trained_once(held, monkeypatch):
    """Kinds with the same lists share their centroids; k-means runs once."""
    runs, real = [], faiss.Kmeans.train
    monkeypatch.setattr(faiss.Kmeans, "train", lambda *args: runs.append(1) or real(*args))
    trainer = IndexTrainer(held)
    filled = [trainer.train_and_add(kind) for kind in ("ivf", "sq8")]
    lists = [faiss.try_extract_index_ivf(faiss_index) for faiss_index in filled]
    centroids = [one.quantizer.reconstruct_n(0, count_lists(3_000)) for one in lists]
    assert runs == [1]
    np.testing.assert_array_equal(*centroids)


def test_training_rows_keep_their_limit(held, monkeypatch):
    """No more training rows are held than the limit."""
    drawn, real = [], held.take
    monkeypatch.setattr(held, "take", lambda rows: drawn.append(len(rows)) or real(rows))
    IndexTrainer(held, max_training_rows=700).train_and_add("pq")
    assert drawn == [700]
