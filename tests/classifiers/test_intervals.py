import numpy as np
import pytest
from sklearn.metrics import f1_score

from frieze.classifiers.intervals import (
    accuracy_interval,
    difference_interval,
    f1_interval,
    grouped_accuracy_interval,
    grouped_f1_interval,
)


def draw_groups(generator, sizes, *, accuracy=0.8, alike=0.1):
    """Draw for images of groups whether each is right: shares of a beta distribution around an accuracy."""
    spread = (1 - alike) / alike
    shares = generator.beta(accuracy * spread, (1 - accuracy) * spread, len(sizes))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    return generator.random(len(groups)) < shares[groups], groups


SIZES = {"2": [2] * 40, "10": [10] * 20, "50": [50] * 20, "1, 2, 10 and 50": [1, 2, 10, 50] * 10}


@pytest.mark.parametrize("sizes", SIZES)
def test_intervals_over_groups_hold_the_accuracy(sizes):
    """Of 300 draws of groups about 95 % have the accuracy of all groups in their interval, of whatever sizes."""
    generator = np.random.default_rng(0)
    draws = [draw_groups(generator, SIZES[sizes]) for _ in range(300)]
    intervals = np.array([grouped_accuracy_interval(*draw) for draw in draws])
    assert 0.92 <= ((intervals[:, 0] <= 0.8) & (intervals[:, 1] >= 0.8)).mean() <= 0.98


def test_an_interval_over_images_is_too_narrow():
    """Counted as single images, groups of 50 have the accuracy of all groups in six of ten intervals."""
    generator = np.random.default_rng(0)
    draws = [draw_groups(generator, SIZES["50"])[0] for _ in range(300)]
    intervals = np.array([accuracy_interval(int(is_right.sum()), len(is_right)) for is_right in draws])
    assert ((intervals[:, 0] <= 0.8) & (intervals[:, 1] >= 0.8)).mean() < 0.65


def test_images_that_are_groups_have_the_interval_of_images():
    """Of many groups of one image, the interval is that over images."""
    is_right = np.arange(2000) % 4 > 0
    expected = accuracy_interval(1500, 2000)
    assert grouped_accuracy_interval(is_right, np.arange(2000)) == pytest.approx(expected, abs=0.001)


def test_one_group_says_nothing_of_others():
    """Where all images are of one group, any accuracy of other groups is possible."""
    codes, groups = np.array([0, 1, 1]), np.zeros(3, int)
    assert grouped_accuracy_interval(codes > 0, groups) == [0, 1]
    assert grouped_f1_interval(codes, codes, groups, n_classes=2) == [0, 1]
    assert difference_interval(codes, groups) == [-1, 1]


def test_groups_that_happen_to_be_alike_are_not_certain():
    """Where groups have the same accuracy, the interval is no narrower than that over images."""
    is_right, groups = np.tile(np.arange(10) > 0, 4), np.repeat(np.arange(4), 10)
    low, high = grouped_accuracy_interval(is_right, groups)
    narrow = accuracy_interval(36, 40)
    assert low < narrow[0] < narrow[1] < high
    codes, predicted = np.tile([0, 1], 20), np.tile([0, 1, 0, 1, 0, 0, 0, 1, 0, 1], 4)
    low, high = grouped_f1_interval(codes, predicted, groups, n_classes=2)
    assert low < 0.85
    assert high > 0.95


@pytest.mark.parametrize(("is_right", "expected"), [(True, [0.66, 1]), (False, [0, 0.34])])
def test_groups_that_are_all_right_are_not_certain(is_right, expected):
    """Where every image of ten groups is right, or wrong, the interval is that of about ten images."""
    actual = grouped_accuracy_interval(np.full(500, is_right), np.arange(500) // 50)
    assert actual == pytest.approx(expected, abs=0.01)


def test_f1_over_groups_is_that_of_resampled_groups():
    """Of many groups, the interval of the macro F1 has the percentiles of drawing whole groups."""
    generator = np.random.default_rng(3)
    is_right, groups = draw_groups(generator, [8] * 150, alike=0.3)
    codes = generator.integers(0, 3, len(groups))
    predicted = np.where(is_right, codes, (codes + 1) % 3)
    drawn = (generator.integers(0, 150, (400, 150, 1)) * 8 + np.arange(8)).reshape(400, -1)
    macro = [f1_score(codes[rows], predicted[rows], average="macro") for rows in drawn]
    expected = np.percentile(macro, [2.5, 97.5])
    assert grouped_f1_interval(codes, predicted, groups, n_classes=4) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("groups", [None, np.arange(400) // 10])
def test_a_difference_of_heads_is_that_of_resampled_images(groups):
    """The interval of a difference has the percentiles of drawing images, also by groups of unlike images."""
    generator = np.random.default_rng(4)
    gains = generator.choice([-1, 0, 1], 400, p=[0.1, 0.7, 0.2])
    drawn = generator.choice(gains, (2000, 400)).mean(axis=1)
    assert difference_interval(gains, groups) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.015)


def test_heads_that_agree_may_differ():
    """Heads that are right on the same images have an interval with a width."""
    low, high = difference_interval(np.zeros(50, int), None)
    assert low == pytest.approx(-1.96 / 52)
    assert difference_interval(np.zeros(50, int), np.arange(50) // 5)[1] > high == -low


def test_interval_is_that_of_resampled_rows():
    """Of many rows the interval has the percentiles of resampling the rows one by one."""
    is_right = np.arange(2000) < 1500
    resampled = np.random.default_rng(1).choice(is_right, (1000, 2000)).mean(1)
    assert accuracy_interval(1500, 2000) == pytest.approx(np.percentile(resampled, [2.5, 97.5]), abs=0.005)


@pytest.mark.parametrize(("n_right", "n_rows"), [(0, 1), (2, 2), (40, 40)])
def test_few_rows_claim_no_certainty(n_right, n_rows):
    """Where every row is right, or wrong, the interval still has a width, as Wilson's formula gives it."""
    z = 1.959964
    middle = (n_right + z**2 / 2) / (n_rows + z**2)
    half = z / (n_rows + z**2) * np.sqrt(n_right * (n_rows - n_right) / n_rows + z**2 / 4)
    assert accuracy_interval(n_right, n_rows) == pytest.approx([middle - half, middle + half], abs=1e-5)


def test_f1_interval_is_that_of_resampled_rows():
    """Drawing rows of equal cells together gives the interval of drawing them one by one, scored by scikit-learn."""
    generator = np.random.default_rng(3)
    codes = generator.integers(0, 4, 300)
    predicted = np.where(generator.random(300) < 0.7, codes, generator.integers(0, 4, 300))
    drawn = generator.integers(0, 300, (300, 300))
    macro = [f1_score(codes[rows], predicted[rows], average="macro") for rows in drawn]
    assert f1_interval(codes, predicted, n_classes=6) == pytest.approx(np.percentile(macro, [2.5, 97.5]), abs=0.01)


def test_f1_interval_where_a_class_may_be_missed():
    """A draw without any row of a rare class is scored on the others."""
    low, high = f1_interval(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]), n_classes=2)
    assert low < 0.5
    assert high == 1
