import dataclasses

import numpy as np
import pytest

from frieze.core import unit_rows
from frieze.features import METRICS
from frieze.indexing import build_index, find_duplicates, open_index
from frieze.indexing.duplicates.threshold import Sample, choose_min_score


@pytest.fixture
def find(write_table, tmp_path):
    """`find(embeddings, metric="cosine")`: sets of look-alikes at the default score, no two files equal."""

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
    actual = find(with_edits(photographs(150, offset=offset), 20), metric)
    groups = sorted(sorted(int(name.removesuffix(".jpg")) for name in group["ids"]) for group in actual["look_alikes"])
    assert groups == [[row, 150 + row] for row in range(20)]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_rows", [1, 2, 10, 1_000])
def test_no_duplicates_no_groups(metric, n_rows, find):
    """A collection of unrelated images has no look-alikes at any size; of a thousand images ten may be."""
    assert find(photographs(n_rows, offset=0.5), metric)["n_look_alikes"] <= 0.01 * n_rows


@pytest.mark.parametrize("metric", METRICS)
def test_two_images(metric, find):
    """Two near images look alike, though the collection has no other distances."""
    edited = photographs(2)
    edited[1] = edited[0] + 0.02 * edited[1]
    assert [len(one["ids"]) for one in find(edited, metric)["look_alikes"]] == [2]


@pytest.mark.parametrize("metric", METRICS)
def test_equal_vectors_only(metric, find):
    """A collection of one vector many times is one set."""
    assert [len(one["ids"]) for one in find(np.repeat(photographs(1), 30, axis=0), metric)["look_alikes"]] == [30]


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
    actual = find(embeddings.astype(np.float32))
    assert actual["min_score"] > 1 - 0.2 * unit_rows(embeddings).var(axis=0, ddof=1).sum()
    assert actual["n_look_alikes"] <= 100


def test_long_vectors_are_not_near_to_everything(find):
    """With the dot product a long vector scores high with many: near means near the longest one's own score."""
    embeddings = photographs(200, offset=0.5)
    embeddings[:20] *= 3
    assert find(embeddings, "dot")["look_alikes"] == []


def crowded(n_rows, ranks, gaps):
    """A sample of orthogonal unit vectors; every row has these gaps, 1 - cosine, to its nearest rows from a rank on."""
    vectors = np.eye(32, dtype=np.float32)
    scores = 1 - np.repeat(gaps, np.diff([*ranks, 102]))
    return Sample(n_rows, np.arange(32), vectors, np.zeros((32, 101), np.int64), np.tile(scores, (32, 1)))


@pytest.mark.parametrize(("n_rows", "last"), [(1_000, 100), (200, 50)])
def test_unrelated_images_are_counted_by_a_power_law(n_rows, last):
    """The 20th and the 100th nearest (in a small collection: a quarter of all) give the gap of .01 unrelated images.

    Nearer ranks may hold duplicates, and those between do not count.
    """
    gap = 0.1
    near, far = (gap * (rank / 0.01) ** (1 / 8) for rank in (20, last))
    sample = crowded(n_rows, [1, 21, 22, last + 1], [0.0, near, near + 1e-4, far])
    assert choose_min_score(sample, metric="cosine", longest=1.0) == pytest.approx(1 - gap, abs=1e-4)


@pytest.mark.parametrize(("n_rows", "is_crowded"), [(159, False), (160, True)])
def test_few_images_have_no_power_law(n_rows, is_crowded):
    """Below 160 images the typical gap alone decides; from 160 on the power law does, down to a tenth of it."""
    sample = crowded(n_rows, [1, 41], [0.01, 0.3])
    typical = 0.5 ** (50 / 546)
    least = 0.025 * typical if is_crowded else 0.25 * typical
    assert choose_min_score(sample, metric="cosine", longest=1.0) == pytest.approx(1 - least, abs=1e-6)


@pytest.mark.parametrize("n_rows", [2, 11, 32])
def test_the_prior_counts_like_fifty_pairs(n_rows):
    """A guess of .5 for the typical gap counts like 50 measured pairs."""
    sample = crowded(n_rows, [1], [0.2])
    sample = dataclasses.replace(sample, rows=sample.rows[:n_rows], vectors=sample.vectors[:n_rows])
    n_pairs = n_rows * (n_rows - 1) / 2
    expected = 1 - 0.25 * 0.5 ** (50 / (50 + n_pairs))  # the measured gap is 1
    assert choose_min_score(sample, metric="cosine", longest=1.0) == pytest.approx(expected, abs=1e-6)


def test_the_score_stays_below_rounding():
    """Where all vectors are equal the score is lower by a thousandth than that of a vector to itself."""
    sample = dataclasses.replace(crowded(32, [1], [0.0]), vectors=np.eye(1, 32, dtype=np.float32).repeat(32, axis=0))
    assert choose_min_score(sample, metric="cosine", longest=1.0) == pytest.approx(1 - 1e-3, abs=1e-7)
