import numpy as np
import pytest

from frieze.core import unit_rows
from frieze.features import METRICS
from frieze.indexing import build_index, find_duplicates, open_index


@pytest.fixture
def find(write_table, tmp_path):
    """`find(embeddings, metric="cosine")`: duplicates at the default score, no two files equal."""

    def run(embeddings, metric="cosine"):
        names = [f"{row}.jpg" for row in range(len(embeddings))]
        columns = {"sha256": [f"{row:064}" for row in range(len(embeddings))]}
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        table = write_table(folder / "t.features", embeddings, names=names, columns=columns)
        build_index(table, folder / "t.index", kind="exact", metric=metric)
        return find_duplicates(open_index(folder / "t.index"))

    return run


def photographs(n_rows, *, offset=0.0, seed=0):
    """Return unrelated unit vectors of 32 numbers around a common mean."""
    embeddings = offset + np.random.default_rng(seed).normal(size=(n_rows, 32))
    return unit_rows(embeddings.astype(np.float32))


def with_edits(embeddings, n_edited):
    """Append an edit of each of the first few rows, a tenth of the typical distance away."""
    noise = np.random.default_rng(1).normal(size=(n_edited, 32)) / np.sqrt(32)
    typical = np.sqrt(2 * embeddings.var(axis=0, ddof=1).sum())
    return unit_rows(np.vstack([embeddings, embeddings[:n_edited] + 0.1 * typical * noise]).astype(np.float32))


@pytest.mark.parametrize("offset", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("metric", METRICS)
def test_finds_edits_and_nothing_else(metric, offset, find):
    """However near unrelated images are to each other, edits are found and unrelated images are not."""
    found = find(with_edits(photographs(150, offset=offset), 20), metric)
    groups = sorted(sorted(int(name.removesuffix(".jpg")) for name in group["ids"]) for group in found["groups"])
    assert groups == [[row, 150 + row] for row in range(20)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_rows", [1, 2, 10, 1_000])
def test_no_duplicates_no_groups(metric, n_rows, find):
    """A collection of unrelated images has no groups at any size; of a thousand images five may look alike."""
    assert find(photographs(n_rows, offset=0.5), metric)["n_duplicates"] <= 0.005 * n_rows


@pytest.mark.parametrize("metric", METRICS)
def test_two_images(metric, find):
    """Two near images are duplicates, though the collection has no other distances."""
    edited = photographs(2)
    edited[1] = edited[0] + 0.02 * edited[1]
    assert [len(group["ids"]) for group in find(edited, metric)["groups"]] == [2]


@pytest.mark.parametrize("metric", METRICS)
def test_equal_vectors_only(metric, find):
    """A collection of one vector many times is one group."""
    assert [len(group["ids"]) for group in find(np.repeat(photographs(1), 30, axis=0), metric)["groups"]] == [30]


def test_threshold_follows_the_collection(find):
    """The nearer unrelated images are, the higher is the threshold: a quarter of the typical gap below 1."""
    wide, narrow = photographs(150), photographs(150, offset=2.0)
    for embeddings in (wide, narrow):
        typical = embeddings.var(axis=0, ddof=1).sum()
        assert find(embeddings)["min_score"] == pytest.approx(1 - 0.25 * typical, rel=1e-2)


def test_threshold_of_a_crowded_collection(find):
    """Where unrelated images form dense clusters, the threshold is higher than the typical distance alone gives."""
    rng = np.random.default_rng(2)
    embeddings = photographs(10)[rng.integers(0, 10, 1_000)] + 0.3 * photographs(1_000, seed=3)
    found = find(embeddings.astype(np.float32))
    assert found["min_score"] > 1 - 0.2 * unit_rows(embeddings).var(axis=0, ddof=1).sum()
    assert found["n_duplicates"] <= 50


def test_long_vectors_are_not_near_to_everything(find):
    """With the dot product a long vector scores high with many: near means near the longest one's own score."""
    embeddings = photographs(200, offset=0.5)
    embeddings[:20] *= 3
    assert find(embeddings, "dot")["groups"] == []
