"""What corrected labels change: heads on the labels before and after, judged by the labels after."""

import numpy as np
import pytest

from frieze.classifiers import measure_relabelling
from frieze.core import InputError

N = 120
ALONE = np.full(N, -1)


@pytest.fixture(scope="module")
def world():
    """Vectors of three overlapping clusters and their labels; a third of the first cluster is labelled wrongly."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(3), N // 3)
    vectors = np.eye(3, 8, dtype=np.float32)[codes] + rng.normal(0, 0.25, (N, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.array(["ant", "bee", "cow"], object)[codes]
    wrong = labels.copy()
    wrong[: N // 3 - 14] = "bee"
    return vectors, wrong, labels


def test_corrections_help(world):
    """After the correction the heads are right far more often, both judged by the right labels."""
    vectors, wrong, labels = world
    measured = measure_relabelling(vectors, wrong, labels, groups=ALONE)
    assert measured.before.accuracy < 0.85
    assert measured.after.accuracy > 0.95
    assert measured.after.accuracy == (measured.predictions == labels[measured.rows]).mean()
    low, high = measured.after.interval
    assert low < measured.after.accuracy <= high


def test_nothing_corrected(world):
    """Where no label differs, the figures before and after are equal."""
    vectors, _, labels = world
    measured = measure_relabelling(vectors, labels, labels, groups=ALONE)
    assert measured.before == measured.after


def test_who_is_judged(world):
    """Images without a label, or with one of fewer than five images, are left out."""
    vectors, _, labels = world
    some = labels.copy()
    some[0], some[1:4] = None, "rare"
    assert measure_relabelling(vectors, labels, some, groups=ALONE).rows.tolist() == list(range(4, N))


def test_without_a_label_before(world):
    """An image without a label before is judged, and the heads before have learned nothing from it."""
    vectors, _, labels = world
    none = np.where(labels == "ant", None, labels)
    measured = measure_relabelling(vectors, none, labels, groups=ALONE)
    assert len(measured.rows) == N
    assert measured.before.accuracy <= 2 / 3


def test_groups(world):
    """Rows of one file are in one fold, and the interval is over files: wider than over images."""
    vectors, wrong, labels = world
    apart = measure_relabelling(vectors, wrong, labels, groups=ALONE)
    files = measure_relabelling(vectors, wrong, labels, groups=np.arange(N) // 10)
    widths = [np.diff(one.before.interval)[0] for one in (apart, files)]
    assert widths[0] < widths[1]


def test_one_class(world):
    """With one label there is nothing to tell apart."""
    vectors, _, _ = world
    with pytest.raises(InputError, match="two labels"):
        measure_relabelling(vectors, np.full(N, "a", object), np.full(N, "a", object), groups=ALONE)
