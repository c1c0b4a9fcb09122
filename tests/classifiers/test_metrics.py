import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.metrics import calibration_error, report, score

CLASSES = np.array(["a", "b", "c"], dtype=object)


def predictions(n=200, seed=0, n_true=3):
    """Draw probabilities [n, 3] and labels that have nothing to do with them."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet([0.5] * 3, n).astype("f4")
    return probabilities, CLASSES[generator.integers(0, n_true, n)]


def examples(labels):
    """Return examples whose ids are their numbers."""
    ids = np.array([f"{row:03d}" for row in range(len(labels))], dtype=object)
    table = pa.table({"id": ids, "sha256": ids, "uri": "/pictures/" + ids})
    return Examples(np.arange(len(labels)), labels, table)


@given(st.integers(0, 99))
def test_figures_are_those_of_sklearn(seed):
    """Accuracy and macro F1 are scikit-learn's."""
    from sklearn.metrics import accuracy_score, f1_score

    probabilities, labels = predictions(seed=seed)
    predicted = CLASSES[probabilities.argmax(1)].tolist()
    actual = score(probabilities, labels, classes=CLASSES)
    assert actual["accuracy"] == pytest.approx(accuracy_score(labels.tolist(), predicted))
    assert actual["macro_f1"] == pytest.approx(f1_score(labels.tolist(), predicted, average="macro"))


def test_macro_f1_is_over_the_classes_that_occur():
    """A class without a test row has no part in the mean, though rows were mistaken for it."""
    probabilities = np.eye(3, dtype="f4")[[0, 0, 1, 2]]
    actual = score(probabilities, CLASSES[[0, 0, 1, 1]], classes=CLASSES)
    assert actual["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_calibration_error_by_hand():
    """Two bins: .9 sure and half right, .6 sure and all right, three rows to one."""
    confidences = np.array([0.9, 0.9, 0.9, 0.9, 0.6, 0.6], dtype="f4")
    is_right = np.array([True, True, False, False, True, True])
    assert calibration_error(confidences, is_right) == pytest.approx((4 * 0.4 + 2 * 0.4) / 6)


@pytest.mark.parametrize(("confidences", "error"), [((0.61, 0.66), 0.135), ((0.65, 0.68), 0.515)])
def test_calibration_error_has_fifteen_bins(confidences, error):
    """Opposite errors cancel within a fifteenth, as in Guo et al., and never across its edges."""
    is_right = np.array([True, False])
    assert calibration_error(np.array(confidences, "f4"), is_right) == pytest.approx(error, abs=1e-6)


def test_a_sure_and_right_head_is_calibrated():
    """Certainty belongs to the last bin; where it is right the error is 0."""
    assert calibration_error(np.ones(5, "f4"), np.ones(5, bool)) == 0


def test_confusion_is_that_of_sklearn():
    """Rows of the confusion matrix are true classes, columns predicted ones, absent classes included."""
    from sklearn.metrics import confusion_matrix

    probabilities, labels = predictions(n_true=2)
    predicted = CLASSES[probabilities.argmax(1)].tolist()
    expected = confusion_matrix(labels.tolist(), predicted, labels=CLASSES.tolist())
    actual = report(probabilities, examples(labels), classes=CLASSES)
    assert actual["confusion"] == expected.tolist()
    assert sum(map(sum, actual["confusion"])) == 200
    assert actual["confusion"][2] == [0, 0, 0]


def test_each_class_has_its_figures():
    """Precision, recall and F1 of a class follow from its row and column."""
    probabilities = np.eye(3, dtype="f4")[[0, 0, 1, 1]]
    actual = report(probabilities, examples(CLASSES[[0, 0, 0, 1]]), classes=CLASSES)["per_class"]
    assert actual[0] == {"class": "a", "precision": 1.0, "recall": pytest.approx(2 / 3), "f1": 0.8, "n_test": 3}
    assert actual[2] == {"class": "c", "precision": 0.0, "recall": 0.0, "f1": 0.0, "n_test": 0}


def test_mistakes_are_the_surest_wrong_rows():
    """The fifty wrong rows of highest probability are told, surest first."""
    probabilities, labels = predictions()
    actual = report(probabilities, examples(labels), classes=CLASSES)["mistakes"]
    wrong = probabilities.max(1)[CLASSES[probabilities.argmax(1)] != labels]
    assert [row["probability"] for row in actual] == pytest.approx(np.sort(wrong)[::-1][:50].tolist())
    row = int(actual[0]["id"])
    assert actual[0]["uri"] == f"/pictures/{row:03d}"
    assert actual[0]["label"] == labels[row] != actual[0]["prediction"] == CLASSES[probabilities[row].argmax()]


@pytest.mark.parametrize(("size", "over", "n_groups"), [(20, "groups", 10), (1, "images", 200)])
def test_intervals_count_groups_of_several_images(size, over, n_groups):
    """Where a group has several images intervals count groups; where none has, they are those of single images."""
    probabilities, labels = predictions()
    alone = score(probabilities, labels, classes=CLASSES)
    actual = score(probabilities, labels, classes=CLASSES, groups=np.arange(200) // size)
    assert (actual["interval_over"], actual["n_test_groups"]) == (over, n_groups)
    assert (alone["interval_over"], alone["n_test_groups"]) == ("images", None)
    for name in ("confidence_interval", "macro_f1_interval"):
        assert (actual[name] == alone[name]) == (over == "images")
