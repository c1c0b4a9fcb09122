import faiss
import numpy as np
import pytest

from frieze.indexing.faiss_layer.resident_rows import ResidentRows


@pytest.fixture
def stored(tmp_path):
    """Ten vectors of 1,024 numbers, and the file of their flat FAISS index."""
    vectors = np.random.default_rng(0).normal(size=(10, 1024)).astype(np.float32)
    flat = faiss.IndexFlatIP(1024)
    flat.add(vectors)
    faiss.write_index(flat, str(tmp_path / "vectors.faiss"))
    return vectors, tmp_path / "vectors.faiss"


def resident(rows, vectors):
    """Return which rows are in memory; the others read as zeros."""
    stored = rows.flat_index.reconstruct_n(0, len(vectors))
    assert ((stored == vectors).all(axis=1) | (stored == 0).all(axis=1)).all()
    return np.flatnonzero(stored.any(axis=1)).tolist()


def test_fetched_rows_are_resident(stored):
    """Rows are in memory once they are fetched, the first and the last too; negative ones are ignored."""
    vectors, path = stored
    rows = ResidentRows(path, n_rows=10, dim=1024)
    for requested in ([[3, -1], [0, 3]], [[9, 0]]):
        rows.fetch(np.array(requested))
    assert resident(rows, vectors) == [0, 3, 9]


def test_release_frees_all_rows(stored):
    """After a release no row is in memory, and any can be fetched again."""
    vectors, path = stored
    rows = ResidentRows(path, n_rows=10, dim=1024)
    assert resident(rows, vectors) == []
    rows.fetch(np.array([1, 2]))
    rows.release()
    rows.fetch(np.array([2]))
    assert resident(rows, vectors) == [2]


def test_memory_limit(stored):
    """Rows that do not fit beside those in memory replace them; rows beyond the limit are left out."""
    vectors, path = stored
    rows = ResidentRows(path, n_rows=10, dim=1024, max_bytes=3 * (4 * 1024 + 4096))
    rows.fetch(np.array([5, 6]))
    rows.fetch(np.array([7]))
    assert resident(rows, vectors) == [5, 6, 7]
    rows.fetch(np.array([7, 8]))
    assert resident(rows, vectors) == [7, 8]
    rows.fetch(np.arange(10))
    assert resident(rows, vectors) == [0, 1, 2]
