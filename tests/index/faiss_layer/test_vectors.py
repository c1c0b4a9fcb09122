import faiss
import numpy as np
import pytest

from frieze.core import FeatureFileError, InputError, unit_rows
from frieze.features import METRICS
from frieze.indexing import build_index, open_index
from frieze.indexing.faiss_layer.vectors import InMemoryVectors, draw_rows, load, write_vectors


def whole(stored):
    """All embeddings of a file, as FAISS reads them."""
    return faiss.read_index(str(stored.path)).reconstruct_n(0, 2_000)


@pytest.fixture(params=METRICS)
def stored(request, table, tmp_path):
    """The shared table's vectors, stored for a metric."""
    return write_vectors(table, tmp_path / "vectors.faiss", metric=request.param)


def test_stored_vectors_are_a_faiss_index(stored, vectors):
    """FAISS reads the file as its own, with every row as the metric wants it."""
    flat = faiss.read_index(str(stored.path))
    wanted = unit_rows(vectors) if stored.metric == "cosine" else vectors
    np.testing.assert_array_equal(flat.reconstruct_n(0, flat.ntotal), wanted)
    assert flat.metric_type == (faiss.METRIC_L2 if stored.metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def test_the_file_is_what_faiss_would_write(stored, tmp_path):
    """Written piece by piece, the file is byte by byte the one that FAISS writes of the whole."""
    faiss.write_index(faiss.read_index(str(stored.path)), str(tmp_path / "again.faiss"))
    assert (tmp_path / "again.faiss").read_bytes() == stored.path.read_bytes()


def test_pieces_are_the_whole(stored, monkeypatch):
    """The pieces, laid at the row numbers they name, are all rows; the mapped index has the same."""
    monkeypatch.setattr("frieze.indexing.faiss_layer.vectors._BLOCK_BYTES", 300 * 16 * 4)
    blocks = list(stored.blocks())
    assert [start for start, _ in blocks] == [0, 300, 600, 900, 1_200, 1_500, 1_800]
    np.testing.assert_array_equal(np.vstack([piece for _, piece in blocks]), whole(stored))


def test_rows_are_drawn_over_the_whole_table():
    """Drawn rows differ, ascend, are the same each time, and lie in every tenth of the table."""
    rows = draw_rows(10_000, 500)
    assert len(np.unique(rows)) == 500
    assert (np.diff(rows) > 0).all()
    assert (rows == draw_rows(10_000, 500)).all()
    assert (np.bincount(rows // 1_000, minlength=10) > 25).all()


def test_take_across_pieces(stored, monkeypatch):
    """Rows are taken by their number, wherever a piece begins and ends."""
    monkeypatch.setattr("frieze.indexing.faiss_layer.vectors._BLOCK_BYTES", 700 * 16 * 4)
    rows = np.array([0, 5, 699, 700, 1_399, 1_400, 1_999])
    np.testing.assert_array_equal(stored.take(rows), whole(stored)[rows])


def test_rows_are_there_when_they_were_fetched(stored):
    """Of a stored file the index of a build has the rows that were fetched, and zeros for others."""
    stored.fetch(np.array([[1_999, -1], [3, 1_999]]))
    stored.fetch(np.array([700]))
    found = stored.flat_index.reconstruct_n(0, 2_000)
    np.testing.assert_array_equal(found[[3, 700, 1_999]], whole(stored)[[3, 700, 1_999]])
    assert np.flatnonzero(found.any(axis=1)).tolist() == [3, 700, 1_999]


def test_no_more_is_fetched_than_allowed(stored):
    """Where rows would take more than is allowed, those fetched before go first."""
    stored.max_fetched_bytes = 3 * (16 * 4 + 4_096)
    stored.fetch(np.array([1, 2]))
    stored.fetch(np.array([2, 3]))
    assert np.flatnonzero(stored.flat_index.reconstruct_n(0, 2_000).any(axis=1)).tolist() == [1, 2, 3]
    stored.fetch(np.array([8, 9]))
    assert np.flatnonzero(stored.flat_index.reconstruct_n(0, 2_000).any(axis=1)).tolist() == [8, 9]
    stored.fetch(np.arange(10, 20))
    assert np.flatnonzero(stored.flat_index.reconstruct_n(0, 2_000).any(axis=1)).tolist() == [10, 11, 12]


def test_held_vectors_are_like_stored_ones(stored):
    """Vectors in memory give what stored ones give: the same rows, the same index."""
    held = InMemoryVectors(whole(stored), metric=stored.metric)
    assert (len(held), held.dim, held.metric) == (len(stored), stored.dim, stored.metric)
    np.testing.assert_array_equal(held.take(draw_rows(2_000, 50)), stored.take(draw_rows(2_000, 50)))
    np.testing.assert_array_equal(held.flat_index.reconstruct_n(0, 2_000), whole(stored))


def test_an_embedding_that_is_not_finite_is_named(tmp_path, clustered, write_table):
    """A table with a NaN can't be indexed: the image is named."""
    embeddings = clustered(20, 8)
    embeddings[13, 2] = np.nan
    with pytest.raises(FeatureFileError, match=r"c03/img-13\.jpg .* not finite"):
        write_vectors(write_table(tmp_path / "t", embeddings), tmp_path / "v", metric="l2")


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize(("length", "word"), [(1e25, "large"), (1e19, "large"), (1e-25, "small"), (1e-13, "small")])
def test_an_embedding_beyond_float32s_squares_is_named(metric, length, word, tmp_path, clustered, write_table):
    """A row whose square float32 can't hold is refused by its id for l2 and dot, with what to type."""
    embeddings = clustered(20, 8)
    embeddings[13] *= length / np.linalg.norm(embeddings[13])
    with pytest.raises(InputError, match=rf"c03/img-13\.jpg .* too {word} for --metric {metric}") as caught:
        write_vectors(write_table(tmp_path / "t", embeddings), tmp_path / "v", metric=metric)
    assert "--metric cosine" in caught.value.hint


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("scale", [1e-11, 1e-6, 1e17])
def test_whatever_is_taken_is_ranked_as_in_float64(metric, scale, tmp_path, clustered, write_table):
    """Rows of any length that is taken are found in the order that NumPy finds in float64."""
    embeddings = (clustered(300, 8) * scale).astype(np.float32)
    build_index(write_table(tmp_path / "t", embeddings), tmp_path / "i", metric=metric)
    wide = embeddings.astype(np.float64)
    scores = wide @ wide.T if metric == "dot" else -np.linalg.norm(wide[:, None] - wide, axis=2)
    found, _ = open_index(tmp_path / "i").searcher.search(embeddings[:40], k=10)
    np.testing.assert_array_equal(found, np.argsort(-scores[:40], axis=1, kind="stable")[:, :10])


def test_by_the_cosine_lengths_do_not_count(tmp_path, clustered, write_table):
    """Rows of 1e25 and 1e-25 are as good as others by the cosine."""
    embeddings = clustered(20, 8)
    scaled = embeddings * np.repeat([1e25, 1e-25], 10)[:, None].astype(np.float32)
    stored = write_vectors(write_table(tmp_path / "t", scaled), tmp_path / "v", metric="cosine")
    np.testing.assert_allclose(stored.take(np.arange(20)), unit_rows(embeddings), atol=1e-6)


def test_a_missing_file_is_told(tmp_path):
    """A FAISS file that is not there is named, with the mend."""
    with pytest.raises(FeatureFileError, match=r"none\.faiss is missing or broken") as caught:
        load(tmp_path / "none.faiss", hint="Type this.")
    assert caught.value.hint == "Type this."
