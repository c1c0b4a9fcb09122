import faiss
import numpy as np
import pytest

from index.filling import Filler
from index.kinds import KINDS, count_lists
from index.vectors import HeldVectors

NONE = np.empty(0, np.int64)


@pytest.fixture(scope="module")
def held(clustered):
    """3,000 vectors of width 16."""
    return HeldVectors(clustered(3_000), metric="l2")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exact"])
def test_codes_hold_every_row(kind, held):
    """Codes are trained and have all rows in their order: a row is among the nearest to itself."""
    codes = Filler(held).fill(kind, left_out=NONE)
    assert codes.is_trained
    _, rows = codes.search(held.raw.reconstruct_n(0, 200), 20)
    assert (rows == np.arange(200)[:, None]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exact"])
def test_rows_that_are_left_out(kind, held):
    """Codes lack the rows that were left out, and take them later under their numbers."""
    left_out = np.array([0, 7, 2_999])
    codes, queries = Filler(held).fill(kind, left_out=left_out), held.raw.reconstruct_batch(left_out)
    assert codes.ntotal == 2_997
    assert not np.isin(codes.search(queries, 20)[1], left_out).any()
    codes.add_with_ids(queries, left_out)
    assert (codes.search(queries, 20)[1] == left_out[:, None]).any(axis=1).all()


def test_exact_has_no_codes(held):
    """Exact search needs nothing but the vectors."""
    assert Filler(held).fill("exact", left_out=NONE) is None


def test_lists_are_learnt_once(held, monkeypatch):
    """Kinds with the same lists share their centroids; the k-means runs once."""
    runs, real = [], faiss.Kmeans.train
    monkeypatch.setattr(faiss.Kmeans, "train", lambda *args: runs.append(1) or real(*args))
    filler = Filler(held)
    filled = [filler.fill(kind, left_out=NONE) for kind in ("ivf", "sq8")]
    lists = [faiss.try_extract_index_ivf(codes) for codes in filled]
    centroids = [one.quantizer.reconstruct_n(0, count_lists(3_000)) for one in lists]
    assert runs == [1]
    np.testing.assert_array_equal(*centroids)


def test_no_more_is_held_than_allowed(held, monkeypatch):
    """What is learnt from is no more than may be held."""
    drawn, real = [], held.draw
    monkeypatch.setattr(held, "draw", lambda n_drawn: drawn.append(n_drawn) or real(n_drawn))
    Filler(held, most_trained=700).fill("pq", left_out=NONE)
    assert drawn == [700]
