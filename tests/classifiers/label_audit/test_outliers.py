import numpy as np
import pytest

from frieze.classifiers.label_audit.knn_votes import N_NEIGHBOURS
from frieze.classifiers.label_audit.outliers import find_outliers
from frieze.core import unit_rows
from frieze.features import top_k


def nearest_of(embeddings):
    """Return the cosines to the nearest rows, by NumPy."""
    return top_k(embeddings, embeddings, k=min(len(embeddings), N_NEIGHBOURS))[1]


@pytest.fixture
def embeddings():
    """Two dense classes of 100 rows [200, 16]."""
    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(16, dtype="f4")[:2], 100, axis=0)
    return unit_rows(centres + 0.1 * generator.normal(size=(200, 16)).astype("f4"))


def test_no_outliers_among_equals(embeddings):
    """A collection of dense classes has none."""
    rows, scores = find_outliers(nearest_of(embeddings), np.ones(200, np.int64))
    assert (rows.tolist(), scores.tolist()) == ([], [])


def test_planted_outliers_are_found(embeddings):
    """Rows in directions of their own are found, and no others; the farthest comes first."""
    embeddings[[3, 150]] = -np.eye(16, dtype="f4")[[5, 0]]
    rows, scores = find_outliers(nearest_of(embeddings), np.ones(200, np.int64))
    assert rows.tolist() == [150, 3]
    assert 0 < scores[1] < scores[0] <= 1


def test_a_copy_does_not_hide_an_outlier(embeddings):
    """An outlier that is there ten times is found ten times where its copies are known, and never else."""
    embeddings[:10] = np.eye(16, dtype="f4")[5]
    nearest, sizes = nearest_of(embeddings), np.ones(200, np.int64)
    assert find_outliers(nearest, sizes)[0].tolist() == []
    sizes[:10] = 10
    assert sorted(find_outliers(nearest, sizes)[0]) == list(range(10))


def test_an_image_that_is_there_often_is_no_outlier(embeddings):
    """What is there more often than copies are passed over is a class of its own."""
    embeddings[:31] = np.eye(16, dtype="f4")[5]
    sizes = np.ones(200, np.int64)
    sizes[:31] = 31
    assert find_outliers(nearest_of(embeddings), sizes)[0].tolist() == []


@pytest.mark.parametrize("n_rows", [1, 2, 11, 30])
def test_small_tables(embeddings, n_rows):
    """A table of few rows, all alike, has no outliers."""
    few = np.repeat(embeddings[:1], n_rows, axis=0)
    assert find_outliers(nearest_of(few), np.ones(n_rows, np.int64))[0].tolist() == []


def test_the_fence_is_tukeys():
    """Listed is what is more than three interquartile ranges above the upper quartile; the score tells by how many."""
    distances = np.r_[np.linspace(0.1, 0.2, 100), 0.5, 0.6]
    nearest = np.repeat(1 - distances[:, None], N_NEIGHBOURS, axis=1).astype("f4")
    lower, upper = np.quantile(distances, (0.25, 0.75))
    rows, scores = find_outliers(nearest, np.ones(102, np.int64))
    assert rows.tolist() == [101, 100]
    assert scores == pytest.approx(1 - 3 * (upper - lower) / (distances[[101, 100]] - upper), rel=1e-4)


@pytest.mark.parametrize(("n_near", "is_outlier"), [(9, True), (10, False)])
def test_ten_near_rows_are_a_neighbourhood(n_near, is_outlier):
    """A row with ten near neighbours is no outlier, however far the others are; a row with nine is one."""
    distances = np.repeat(np.linspace(0.1, 0.11, 100)[:, None], N_NEIGHBOURS, axis=1)
    distances[50, n_near + 1 :] = 0.9
    distances[:, 0] = 0  # the row itself
    rows, _ = find_outliers((1 - distances).astype("f4"), np.ones(100, np.int64))
    assert rows.tolist() == [50] * is_outlier
