import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    label_ranking_average_precision_score,
    precision_recall_fscore_support,
)

from frieze.classifiers.multilabel import metrics
from frieze.classifiers.multilabel.examples import multilabel_rows
from frieze.classifiers.multilabel.metrics import average_precisions, notes_on_map, report_labels, score_labels


def draw(n=200, n_classes=4, *, seed=0, digits=9):
    """Draw probabilities that are right more often than not; few digits make many of them equal."""
    generator = np.random.default_rng(seed)
    has_label = generator.random((n, n_classes)) < [0.5, 0.3, 0.1, 0.02][:n_classes]
    probabilities = np.clip(0.4 * has_label + 0.6 * generator.random((n, n_classes)), 0, 1).round(digits)
    return probabilities.astype("f4"), has_label


@pytest.mark.parametrize("digits", [9, 1])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_average_precisions_are_scikit_learns(digits, is_weighted):
    """Each label's average precision is scikit-learn's, with equal scores and with weights of rows."""
    probabilities, has_label = draw(digits=digits)
    weights = np.random.default_rng(1).integers(0, 4, len(has_label)).astype(float) if is_weighted else None
    expected = average_precision_score(has_label, probabilities, average=None, sample_weight=weights)
    assert average_precisions(probabilities, has_label, weights) == pytest.approx(expected)


def test_scores_are_scikit_learns():
    """MAP over labels that occur, ranking, micro and macro figures are scikit-learn's."""
    probabilities, has_label = draw()
    has_label[:, 3] = False
    thresholds = np.array([0.5, 0.6, 0.7, 0.5], "f4")
    actual = score_labels(probabilities, thresholds, has_label, None)
    predicted, has_any = probabilities >= thresholds, has_label.any(axis=1)
    expected = {
        "map": average_precision_score(has_label[:, :3], probabilities[:, :3]),
        "micro_average_precision": average_precision_score(has_label, probabilities, average="micro"),
        "label_ranking_average_precision": label_ranking_average_precision_score(
            has_label[has_any], probabilities[has_any]
        ),
        "macro_f1": f1_score(has_label[:, :3], predicted[:, :3], average="macro"),
        "micro_f1": f1_score(has_label, predicted, average="micro"),
        "exact_match": (predicted == has_label).all(axis=1).mean(),
    }
    assert {name: actual[name] for name in expected} == pytest.approx(expected)
    assert (actual["interval_over"], actual["n_test_groups"]) == ("images", None)


def test_figures_of_one_label_are_scikit_learns(listed):
    """A single label has the F1, precision and recall of the images that have it; scikit-learn mixes in the others."""
    probabilities, has_label = draw(n_classes=1)
    thresholds = np.array([0.6], "f4")
    actual = score_labels(probabilities, thresholds, has_label, None)
    expected = f1_score(has_label.ravel(), (probabilities >= 0.6).ravel())
    assert (actual["macro_f1"], actual["micro_f1"]) == pytest.approx((expected, expected))
    labelled = multilabel_rows(listed().rows).take(np.arange(200)).take_classes(np.array([True, False, False]))
    (row,) = report_labels(probabilities, thresholds, labelled)["per_class"]
    columns = precision_recall_fscore_support(labelled.has_label.ravel(), probabilities.ravel() >= 0.6, average=None)
    assert [row[name] for name in ("precision", "recall", "f1", "n_test")] == pytest.approx(
        [column[1] for column in columns]
    )


def test_a_random_order_of_few_images():
    """`baseline_map` is the mean of scikit-learn's average precision over all orders, above the share of a label."""
    has_label = np.array([[1, 1], [0, 1], [0, 0], [0, 0]], bool)
    orders = np.array(list(itertools.permutations(range(4)))).T
    each = [average_precision_score(np.tile(one[:, None], 24), orders) for one in has_label.T]
    actual = score_labels(orders[:, :2].astype("f4"), np.full(2, 0.5, "f4"), has_label, None)["baseline_map"]
    assert actual == pytest.approx(np.mean(each))
    assert actual > has_label.mean() + 0.2


@pytest.mark.parametrize(
    ("n_with", "low", "expected"),
    [(5, 0.8, []), (4, 0.8, ["fewer than 5 held-out images: 1 (cat)"]), (5, 1.0, ["has no width"]), (0, 0.8, [])],
)
def test_what_is_rough(listed, n_with, low, expected):
    """A note names labels on one to four held-out images, another tells of an interval without a width."""
    labelled = multilabel_rows(listed().rows)
    has_label = labelled.has_label.copy()
    has_label[:, 0] = np.arange(len(labelled)) < n_with
    notes = notes_on_map({"map_interval": [low, 1.0]}, dataclasses.replace(labelled, has_label=has_label))
    assert len(notes) == len(expected)
    assert all(text in note for text, note in zip(expected, notes, strict=True))


def test_figures_do_not_depend_on_the_blocks(monkeypatch):
    """Labels are ranked a few at a time, with the figures of all at once."""
    probabilities, has_label = draw()
    whole = score_labels(probabilities, np.full(4, 0.5, "f4"), has_label, None)
    monkeypatch.setattr(metrics, "_CELLS_AT_ONCE", 1)
    blocks = score_labels(probabilities, np.full(4, 0.5, "f4"), has_label, None)
    assert blocks["map_interval"] == pytest.approx(whole["map_interval"])
    assert blocks["map"] == pytest.approx(whole["map"])


@pytest.mark.filterwarnings("error")
def test_one_image_with_a_label():
    """Resamples without the only image that has a label count for nothing, without a warning of NumPy."""
    has_label = np.arange(10)[:, None] == 3
    figures = score_labels(np.linspace(1, 0, 10, dtype="f4")[:, None], np.full(1, 0.5, "f4"), has_label, None)
    assert figures["map"] == pytest.approx(1 / 4)
    assert figures["map_interval"][0] < 1 / 4 < figures["map_interval"][1]


def test_the_interval_holds_the_figure_of_all_images():
    """Of ten samples of 200 of 5,000 images nine or more have an interval that holds the figure of all."""
    probabilities, has_label = draw(5_000, 3)
    whole = score_labels(probabilities, np.full(3, 0.5, "f4"), has_label, None)["map"]
    holds = 0
    for sample in np.random.default_rng(0).permutation(5_000)[:2_000].reshape(10, 200):
        low, high = score_labels(probabilities[sample], np.full(3, 0.5, "f4"), has_label[sample], None)["map_interval"]
        holds += low <= whole <= high
    assert holds >= 9


def test_the_interval_of_rare_labels_reaches_lower():
    """With few images of a label the mAP is too high on average; most intervals hold that of all images."""
    generator = np.random.default_rng(1)
    has_label = generator.random((5_000, 6)) < 0.03
    probabilities = (1.5 * has_label + generator.normal(size=has_label.shape)).astype("f4")
    whole = average_precision_score(has_label, probabilities)
    holds = 0
    for sample in generator.permutation(5_000)[:2_000].reshape(20, 100):
        low, high = score_labels(probabilities[sample], np.full(6, 2, "f4"), has_label[sample], None)["map_interval"]
        holds += low <= whole <= high
    assert holds >= 17


def test_groups_make_the_interval_wider():
    """Ten copies of each image tell no more than the images: the interval over groups is that of the images."""
    probabilities, has_label = draw()
    thresholds = np.full(4, 0.5, "f4")
    low, high = score_labels(probabilities, thresholds, has_label, None)["map_interval"]
    tenfold = np.repeat(probabilities, 10, axis=0), np.repeat(has_label, 10, axis=0)
    grouped = score_labels(tenfold[0], thresholds, tenfold[1], np.repeat(np.arange(200), 10))
    assert (grouped["interval_over"], grouped["n_test_groups"]) == ("groups", 200)
    assert grouped["map_interval"] == pytest.approx([low, high], abs=0.01)


def test_the_surest_mistakes_come_first(listed):
    """A mistake names its label, whether it is predicted, and the probability; right pairs are none."""
    labelled = multilabel_rows(listed().rows)
    probabilities = labelled.has_label.astype("f4")
    row = int(np.flatnonzero(labelled.has_label[:, 0])[0])
    other = int(np.flatnonzero(~labelled.has_label[:, 1])[0])
    probabilities[row, 0], probabilities[other, 1] = 0.1, 0.6
    report = report_labels(probabilities, np.full(3, 0.5, "f4"), labelled)
    assert [(one["id"], one["label"], one["is_predicted"]) for one in report["mistakes"]] == [
        (labelled.examples.ids[row], "cat", False),
        (labelled.examples.ids[other], "dog", True),
    ]
    assert [one["n_test"] for one in report["per_class"]] == labelled.has_label.sum(axis=0).tolist()
