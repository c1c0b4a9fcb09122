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
def test_codes_hold_every_row(kind, held):
    """Codes are trained and have all rows in their order: a row is among the nearest to itself."""
    faiss_index = IndexTrainer(held).train_and_add(kind)
    assert faiss_index.is_trained
    _, rows = faiss_index.search(held.flat_index.reconstruct_n(0, 200), 20)
    assert (rows == np.arange(200)[:, None]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exact"])
def test_unseen_rows_are_not_learnt_from(kind, held, monkeypatch):
    """What measures an index is none of what it learns from, and is in it as all else."""
    unseen, taken, real = np.arange(0, 3_000, 6), [], held.take
    monkeypatch.setattr(held, "take", lambda rows: taken.append(rows) or real(rows))
    assert IndexTrainer(held, unseen=unseen).train_and_add(kind).ntotal == 3_000
    assert taken
    assert not np.isin(np.concatenate(taken), unseen).any()


def test_exact_has_no_codes(held):
    """Exact search needs nothing but the vectors."""
    assert IndexTrainer(held).train_and_add("exact") is None


def test_lists_are_learnt_once(held, monkeypatch):
    """Kinds with the same lists share their centroids; the k-means runs once."""
    runs, real = [], faiss.Kmeans.train
    monkeypatch.setattr(faiss.Kmeans, "train", lambda *args: runs.append(1) or real(*args))
    trainer = IndexTrainer(held)
    filled = [trainer.train_and_add(kind) for kind in ("ivf", "sq8")]
    lists = [faiss.try_extract_index_ivf(faiss_index) for faiss_index in filled]
    centroids = [one.quantizer.reconstruct_n(0, count_lists(3_000)) for one in lists]
    assert runs == [1]
    np.testing.assert_array_equal(*centroids)


def test_no_more_is_held_than_allowed(held, monkeypatch):
    """What is learnt from is no more than may be held."""
    drawn, real = [], held.take
    monkeypatch.setattr(held, "take", lambda rows: drawn.append(len(rows)) or real(rows))
    IndexTrainer(held, max_training_rows=700).train_and_add("pq")
    assert drawn == [700]
