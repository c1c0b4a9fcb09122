import faiss
import numpy as np
import pytest

from frieze.core import FeatureFileError, InputError, unit_rows
from frieze.features import METRICS
from frieze.indexing import build_index, open_index
from frieze.indexing.faiss_layer.vectors import InMemoryVectors, draw_rows, load, merge_top_k, write_vectors


def whole(stored):
    """All embeddings of a file, as FAISS reads them."""
    return faiss.read_index(str(stored.path)).reconstruct_n(0, 2_000)


@pytest.fixture(params=METRICS)
def stored(request, table, tmp_path):
    """The shared table's vectors, stored for a metric."""
    return write_vectors(table, tmp_path / "vectors.faiss", metric=request.param)


def test_stored_vectors_are_a_faiss_index(stored, vectors):
    """FAISS reads the file, with every row prepared for the metric."""
    flat = faiss.read_index(str(stored.path))
    target = unit_rows(vectors) if stored.metric == "cosine" else vectors
    np.testing.assert_array_equal(flat.reconstruct_n(0, flat.ntotal), target)
    assert flat.metric_type == (faiss.METRIC_L2 if stored.metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def test_the_file_is_what_faiss_would_write(stored, tmp_path):
    """Written block by block, the file equals the one that FAISS writes, byte by byte."""
    faiss.write_index(faiss.read_index(str(stored.path)), str(tmp_path / "again.faiss"))
    assert (tmp_path / "again.faiss").read_bytes() == stored.path.read_bytes()


def test_blocks_are_all_rows(stored, monkeypatch):
    """The blocks, in order, are all rows, each with the number of its first row."""
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


def test_take_across_blocks(stored, monkeypatch):
    """Rows are read by number, wherever a block begins and ends."""
    monkeypatch.setattr("frieze.indexing.faiss_layer.vectors._BLOCK_BYTES", 700 * 16 * 4)
    rows = np.array([0, 5, 699, 700, 1_399, 1_400, 1_999])
    np.testing.assert_array_equal(stored.take(rows), whole(stored)[rows])


def test_fetched_rows_are_resident(stored):
    """The flat index of a stored file has the fetched rows, and zeros for others."""
    stored.fetch(np.array([[1_999, -1], [3, 1_999]]))
    stored.fetch(np.array([700]))
    actual = stored.flat_index.reconstruct_n(0, 2_000)
    np.testing.assert_array_equal(actual[[3, 700, 1_999]], whole(stored)[[3, 700, 1_999]])
    assert np.flatnonzero(actual.any(axis=1)).tolist() == [3, 700, 1_999]


def test_fetched_rows_keep_their_limit(stored):
    """Where rows would exceed the memory limit, those fetched before are released first."""
    stored.max_fetched_bytes = 3 * (16 * 4 + 4_096)
    stored.fetch(np.array([1, 2]))
    stored.fetch(np.array([2, 3]))
    assert np.flatnonzero(stored.flat_index.reconstruct_n(0, 2_000).any(axis=1)).tolist() == [1, 2, 3]
    stored.fetch(np.array([8, 9]))
    assert np.flatnonzero(stored.flat_index.reconstruct_n(0, 2_000).any(axis=1)).tolist() == [8, 9]
    stored.fetch(np.arange(10, 20))
    assert np.flatnonzero(stored.flat_index.reconstruct_n(0, 2_000).any(axis=1)).tolist() == [10, 11, 12]


def test_in_memory_vectors_equal_stored_ones(stored):
    """Vectors in memory return the same rows and the same index as stored ones."""
    held = InMemoryVectors(whole(stored), metric=stored.metric)
    assert (len(held), held.dim, held.metric) == (len(stored), stored.dim, stored.metric)
    np.testing.assert_array_equal(held.take(draw_rows(2_000, 50)), stored.take(draw_rows(2_000, 50)))
    np.testing.assert_array_equal(held.flat_index.reconstruct_n(0, 2_000), whole(stored))


def test_an_embedding_that_is_not_finite_is_named(tmp_path, clustered, write_table):
    """A table with a NaN can't be indexed; the error names the image."""
    embeddings = clustered(20, 8)
    embeddings[13, 2] = np.nan
    with pytest.raises(FeatureFileError, match=r"c03/img-13\.jpg .* not finite"):
        write_vectors(write_table(tmp_path / "t", embeddings), tmp_path / "v", metric="l2")


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize(("length", "word"), [(1e25, "large"), (1e19, "large"), (1e-25, "small"), (1e-13, "small")])
def test_an_embedding_beyond_float32s_squares_is_named(metric, length, word, tmp_path, clustered, write_table):
    """A row whose square exceeds float32 is refused by its id for l2 and dot, with what to type."""
    embeddings = clustered(20, 8)
    embeddings[13] *= length / np.linalg.norm(embeddings[13])
    with pytest.raises(InputError, match=rf"c03/img-13\.jpg .* too {word} for the metric {metric}") as caught:
        write_vectors(write_table(tmp_path / "t", embeddings), tmp_path / "v", metric=metric)
    assert "`metric='cosine'`" in caught.value.hint


@pytest.mark.parametrize("metric", ["l2", "dot"])
@pytest.mark.parametrize("scale", [1e-11, 1e-6, 1e17])
def test_accepted_rows_are_ranked_as_in_float64(metric, scale, tmp_path, clustered, write_table):
    """Rows of any accepted length are ranked as NumPy ranks them in float64."""
    embeddings = (clustered(300, 8) * scale).astype(np.float32)
    build_index(write_table(tmp_path / "t", embeddings), tmp_path / "i", metric=metric)
    wide = embeddings.astype(np.float64)
    scores = wide @ wide.T if metric == "dot" else -np.linalg.norm(wide[:, None] - wide, axis=2)
    actual, _ = open_index(tmp_path / "i").searcher.search(embeddings[:40], k=10)
    np.testing.assert_array_equal(actual, np.argsort(-scores[:40], axis=1, kind="stable")[:, :10])


def test_cosine_ignores_lengths(tmp_path, clustered, write_table):
    """Rows of length 1e25 and 1e-25 are accepted with cosine."""
    embeddings = clustered(20, 8)
    scaled = embeddings * np.repeat([1e25, 1e-25], 10)[:, None].astype(np.float32)
    stored = write_vectors(write_table(tmp_path / "t", scaled), tmp_path / "v", metric="cosine")
    np.testing.assert_allclose(stored.take(np.arange(20)), unit_rows(embeddings), atol=1e-6)


def test_a_missing_file_is_named(tmp_path):
    """A missing FAISS file is named, with the hint."""
    with pytest.raises(FeatureFileError, match=r"none\.faiss is missing or broken") as caught:
        load(tmp_path / "none.faiss", hint="Type this.")
    assert caught.value.hint == "Type this."


@pytest.mark.parametrize("width", [1, 3, 10])
def test_merged_blocks_are_the_top_k(width):
    """The k best of blocks of any width are those of all rows; of equal scores the earlier block's come first."""
    scores = np.random.default_rng(0).integers(0, 5, (4, 20)).astype(np.float32)
    blocks = [
        (np.tile(np.arange(s, min(s + width, 20)), (4, 1)), scores[:, s : s + width]) for s in range(0, 20, width)
    ]
    rows, best = merge_top_k(4, 6, blocks)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :6]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(scores, expected, axis=1))
