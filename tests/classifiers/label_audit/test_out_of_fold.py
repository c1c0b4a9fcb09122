import numpy as np
import pytest

from frieze.classifiers.calibration import fit_temperature
from frieze.classifiers.data.folds import fold_rows
from frieze.classifiers.label_audit.out_of_fold import find_label_issues, predict_out_of_fold
from frieze.core import unit_rows


@pytest.fixture(scope="module")
def planted(points):
    """300 overlapping rows of three classes, 15 labels wrong: embeddings, given codes, which are wrong, folds."""
    _, labels, embeddings = points(noise=0.35, n=100)
    codes, generator = np.unique(labels, return_inverse=True)[1], np.random.default_rng(0)
    is_wrong = np.zeros(300, bool)
    is_wrong[generator.choice(300, 15, replace=False)] = True
    codes = np.where(is_wrong, (codes + generator.integers(1, 3, 300)) % 3, codes)
    return unit_rows(embeddings), codes, is_wrong, fold_rows(codes, np.arange(300), n_folds=5, seed=0)


@pytest.fixture(scope="module")
def held_out(planted):
    """What held-out heads say of the planted rows."""
    embeddings, codes, _, folds = planted
    return predict_out_of_fold(embeddings, codes, folds)


def judged(planted, cost):
    """Return scikit-learn's held-out decision values [N, C] on the same folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    embeddings, codes, _, folds = planted
    model = LogisticRegression(C=cost, max_iter=1000, tol=1e-8)
    return cross_val_predict(model, embeddings, codes, cv=PredefinedSplit(folds), method="decision_function")


@pytest.mark.parametrize("cost", [0.03, 3.0])
def test_probabilities_are_those_of_sklearn(planted, monkeypatch, cost):
    """scikit-learn's heads on the same folds, scaled by one temperature, give the same probabilities."""
    from scipy.special import softmax

    monkeypatch.setattr("frieze.classifiers.label_audit.out_of_fold._COSTS", (cost,))
    embeddings, codes, _, folds = planted
    held_out, logits = predict_out_of_fold(embeddings, codes, folds), judged(planted, cost)
    judge = softmax(fit_temperature(logits, codes) * logits, axis=1)
    assert np.abs(held_out.probabilities - judge).max() < 0.01
    assert held_out.probabilities.dtype == np.float32
    assert held_out.log_loss == pytest.approx(-np.log(judge[np.arange(300), codes]).mean(), abs=1e-3)


def test_the_cost_explains_the_labels_best(planted, monkeypatch):
    """No other cost on the path has a lower held-out loss, be it lower or higher than the one taken."""
    embeddings, codes, _, folds = planted
    costs, losses = (0.0001, 0.1, 100.0, 10_000.0), []
    for cost in costs:
        monkeypatch.setattr("frieze.classifiers.label_audit.out_of_fold._COSTS", (cost,))
        losses.append(predict_out_of_fold(embeddings, codes, folds).log_loss)
    monkeypatch.setattr("frieze.classifiers.label_audit.out_of_fold._COSTS", costs)
    held_out = predict_out_of_fold(embeddings, codes, folds)
    assert held_out.cost == costs[np.argmin(losses)]
    assert held_out.cost in costs[1:-1]
    assert held_out.log_loss == pytest.approx(min(losses), rel=2e-3)


def test_wrong_labels_come_first(planted, held_out):
    """Of the planted errors the first 5 % hold half and more, and as many as scikit-learn's plain ranking there."""
    _, codes, is_wrong, _ = planted
    first = [one.row for one in find_label_issues(held_out.probabilities, codes)[:15]]
    logits = judged(planted, held_out.cost)
    plain = np.exp(logits)[np.arange(300), codes] / np.exp(logits).sum(axis=1)
    assert is_wrong[first].sum() >= max(8, is_wrong[np.argsort(plain)[:15]].sum())


def test_a_copy_does_not_vouch_for_a_label(planted):
    """A wrong label whose copies have it too is found where the copies are known, and not else."""
    embeddings, codes, _, _ = planted
    embeddings, codes = embeddings.copy(), codes.copy()
    row = int(np.flatnonzero(codes == 0)[0])
    copies = np.flatnonzero(codes == 0)[:20]
    embeddings[copies], codes[copies] = unit_rows(np.eye(8, dtype="f4")[[1]] + 0.2), 0
    images = np.arange(300)
    apart = predict_out_of_fold(embeddings, codes, fold_rows(codes, images, n_folds=5, seed=0))
    images[copies] = row
    together = predict_out_of_fold(
        embeddings, codes, fold_rows(codes, np.unique(images, return_inverse=True)[1], n_folds=5, seed=0)
    )
    assert apart.probabilities[row, 0] > together.probabilities[row, 0] + 0.1
    assert together.probabilities[row].argmax() == 1


def test_only_likelier_classes_are_issues():
    """A row whose own class is the likeliest is no issue; the others have class, probability and score."""
    probabilities = np.array([[0.4, 0.3, 0.3], [0.1, 0.7, 0.2], [0.05, 0.9, 0.05]], "f4")
    actual = find_label_issues(probabilities, np.array([0, 0, 2]))
    assert [(one.row, one.code) for one in actual] == [(2, 1), (1, 1)]
    assert [one.probability for one in actual] == pytest.approx([0.9, 0.7])
    assert [one.score for one in actual] == pytest.approx([0.95, 0.9])
    assert [one.log_odds for one in actual] == pytest.approx(np.log([0.9 / 0.05, 0.7 / 0.1]))


def test_issues_are_ordered_by_odds():
    """A label that is half as likely as another class comes after one that is nine times less likely than another."""
    probabilities = np.array([[0.05, 0.1, 0.35, 0.5], [0.08, 0.72, 0.1, 0.1], [0.2, 0.4, 0.2, 0.2]], "f4")
    assert [one.row for one in find_label_issues(probabilities, np.array([2, 0, 0]))] == [1, 2, 0]
