import numpy as np
import pytest

from frieze.classifiers import HeadConfig, open_start, train_head
from frieze.classifiers.training.learning_curve import HeadsOnPart, draw_parts, forecast_accuracy, measure_curve

SIZES = (100, 200, 400, 800)


def draw_point(n_train, rng, *, n_test=500, draws=3, floor=0.05):
    """Draw which held-out images draws of a head get right whose error is floor + 2 / sqrt(n_train)."""
    return HeadsOnPart(n_train, rng.random((draws, n_test)) > floor + 2 * n_train**-0.5)


def true_accuracy(n_train, floor=0.05):
    """Return the accuracy of such a head."""
    return 1 - floor - 2 * n_train**-0.5


def test_the_interval_holds_the_truth():
    """For errors of a power law the 95 % interval holds the true accuracy in 36 of 40 cases or more."""
    n_held, widths = 0, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        points = [draw_point(n, rng) for n in SIZES]
        ((_, low, high),) = forecast_accuracy(points, [3_200], None, seed=seed)
        n_held += low <= true_accuracy(3_200) <= high
        widths.append(high - low)
    assert n_held >= 36
    assert np.mean(widths) < 0.1


def test_the_forecast_follows_the_law():
    """Of very many held-out images the forecast is the law's value, to two points."""
    rng = np.random.default_rng(0)
    points = [draw_point(n, rng, n_test=20_000) for n in SIZES]
    forecast = forecast_accuracy(points, [1_600, 3_200], None, seed=0)
    assert np.allclose(forecast[:, 0], [true_accuracy(1_600), true_accuracy(3_200)], atol=0.02)


def test_few_held_out_images_make_a_wide_interval():
    """The interval of fifty images is wider than that of five thousand, and each holds its forecast."""
    widths = []
    for n_test in (50, 5_000):
        rng = np.random.default_rng(1)
        ((middle, low, high),) = forecast_accuracy(
            [draw_point(n, rng, n_test=n_test) for n in SIZES], [1_600], None, seed=0
        )
        assert low <= middle <= high
        widths.append(high - low)
    assert widths[0] > 3 * widths[1]


def test_groups_that_are_alike_make_a_wide_interval():
    """Where the images of a group are right or wrong together, the interval is that of the groups."""
    rng = np.random.default_rng(2)
    of_groups = [draw_point(n, rng, n_test=40, draws=1) for n in SIZES]
    points = [HeadsOnPart(one.n_train, np.repeat(one.is_right, 25, axis=1)) for one in of_groups]
    groups = np.repeat(np.arange(40), 25)
    by_image, by_group = (forecast_accuracy(points, [1_600], of, seed=0)[0] for of in (None, groups))
    assert by_group[2] - by_group[1] > 2 * (by_image[2] - by_image[1])


def test_parts_hold_each_class():
    """An eighth, a quarter and a half of each class are drawn, two of a class at least."""
    labels = np.repeat(np.array(["ant", "bee", "cow"], dtype=object), [160, 80, 4])
    for draws, expected in zip(draw_parts(labels, None, seed=0), [(20, 10, 2), (40, 20, 2), (80, 40, 2)], strict=True):
        for rows in draws:
            assert np.unique(labels[rows], return_counts=True)[1].tolist() == list(expected)
            assert len(np.unique(rows)) == len(rows)


def test_parts_are_of_whole_groups():
    """With groups a part has all rows of a group or none, and about its share of the rows."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    labels = rng.choice(["ant", "bee"], 300).astype(object)
    for draws, share in zip(draw_parts(labels, groups, seed=0), (1 / 8, 1 / 4, 1 / 2), strict=True):
        for rows in draws:
            assert set(np.bincount(groups[rows], minlength=60).tolist()) <= {0, 5}
            assert len(rows) == pytest.approx(share * 300, abs=5)


def test_too_few_images_give_no_curve():
    """Where an eighth of the images is fewer than two of each class, there is a sentence in place of a curve."""
    labels = np.repeat(np.array(["ant", "bee"], dtype=object), 40)
    curve = measure_curve(pytest.fail, np.ones(10, bool), labels)
    assert (curve["points"], curve["forecast"]) == ([], [])
    assert curve["advice"] == "No learning curve: 80 training images are too few to fit on parts."


def test_training_measures_the_curve(table, points, tmp_path):
    """`train` fits on parts with the chosen hyperparameter; the last point is the head that is stored."""
    features = table(*points(noise=0.5, n=120))
    trained = train_head(features, tmp_path / "head", config=HeadConfig("linear", has_curve=True))
    curve = trained["learning_curve"]
    assert [(one["n_train"], one["draws"]) for one in curve["points"]] == [(36, 4), (72, 4), (144, 3), (288, 1)]
    assert curve["points"][-1]["accuracy"] == trained["accuracy"]
    assert [one["n_train"] for one in curve["forecast"]] == [576, 1_152]
    assert curve["advice"].startswith("Accuracy by training images: 36 0.")


@pytest.mark.parametrize("sizes", [[240], [120, 120], [80, 80, 80], [200, *[4] * 20]])
def test_few_groups_give_no_curve(sizes):
    """Where groups are few, or one of them is most of the images, there are no parts worth the name."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.array(["ant", "bee"] * (len(groups) // 2), dtype=object)
    assert draw_parts(labels, groups, seed=0) is None


def test_no_mistake_is_no_certainty():
    """Where all of 36 held-out images are right, the interval of the forecast is about as wide as Wilson's."""
    points = [HeadsOnPart(n, np.ones((3, 36), bool)) for n in SIZES]
    ((accuracy, low, high),) = forecast_accuracy(points, [1_600], None, seed=0)
    assert (accuracy, high) == (1, 1)
    assert 0.85 < low < 0.97


def test_few_held_out_groups_give_no_forecast():
    """With fewer than five held-out groups accuracies are told, and no forecast."""
    labels = np.repeat(np.array(["ant", "bee"], dtype=object), 80)
    groups = np.repeat(np.arange(4), 5)
    curve = measure_curve(lambda _: np.ones(20, bool), np.ones(20, bool), labels, held_out_groups=groups)
    assert (len(curve["points"]), curve["forecast"]) == (4, [])
    assert "too few groups for a forecast" in curve["advice"]


def test_parts_start_as_the_head_does(table, points, tmp_path):
    """Where the head is better without the weights that it could start from, so are the heads on parts."""
    ids, labels, embeddings = points(noise=0.5, n=120)
    turned = [{"ant": "bee", "bee": "cow", "cow": "ant"}[label] for label in labels]
    others = table([f"other/{name}" for name in ids], turned, embeddings, name="turned.features")
    train_head(others, tmp_path / "start")
    features = table(ids, labels, embeddings)
    curves = []
    for number, start in enumerate([None, open_start(tmp_path / "start", features)]):
        config = HeadConfig("linear", start=start, has_curve=True)
        curves.append(train_head(features, tmp_path / f"{number}.head", config=config)["learning_curve"])
    assert curves[0] == curves[1]
