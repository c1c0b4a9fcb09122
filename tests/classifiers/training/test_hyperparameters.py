import numpy as np
import pytest

from frieze.classifiers import HEADS, HeadConfig
from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.folds import make_folds
from frieze.classifiers.kinds.linear import LinearHead
from frieze.classifiers.training import hyperparameters
from frieze.classifiers.training.fit import find_threshold, fit_head
from frieze.classifiers.training.hyperparameters import Tuned, tune_head
from frieze.core import unit_rows


def test_few_rows_have_no_folds():
    """Where fewer than two classes have three rows, the hyperparameter has its default."""
    labels = np.array(["a"] * 5 + ["b", "b"], dtype=object)
    assert make_folds(labels, None, seed=0) == []
    tuned = tune_head(LinearHead, np.eye(7, dtype="f4"), labels, [], FitOptions())
    assert (tuned.value, tuned.factor, tuned.accuracies, len(tuned.confidences)) == (30.0, 1.0, {}, 0)


@pytest.mark.parametrize("head", [name for name in HEADS if len(HEADS[name].grid) > 1])
def test_the_value_is_the_one_that_is_right_most_often(head, overlapping):
    """What is chosen has the highest accuracy on rows not fitted on, computed by hand; of several alike the first."""
    kind, embeddings, labels = HEADS[head], unit_rows(overlapping.embeddings()), overlapping.labels
    folds = make_folds(labels, None, seed=0)
    n_right = [
        sum(
            (one.classes[one.probabilities(embeddings[held]).argmax(1)] == labels[held]).sum()
            for train, held in folds
            for one in kind.fit_each(embeddings[train], labels[train], [value], FitOptions())
        )
        for value in kind.grid
    ]
    tuned = tune_head(kind, embeddings, labels, folds, FitOptions())
    assert list(tuned.accuracies) == list(kind.grid)
    assert np.allclose(list(tuned.accuracies.values()), np.array(n_right) / 150, atol=0.02)  # of a path, not alone
    best = max(tuned.accuracies.values())
    assert tuned.value == next(value for value in kind.grid if tuned.accuracies[value] == best)


@pytest.mark.parametrize("head", ["linear", "svm"])
def test_many_rows_are_searched_on_a_sample(head, overlapping, monkeypatch):
    """Of many rows a sample chooses among fewer values; temperature and fit are those of all folds and all rows."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    seen, kind = [], HEADS[head]
    real = kind.fit_each.__func__

    def fit_each(cls, embeddings, labels, grid, options):
        seen.append((len(embeddings), len(set(labels)), len(grid), options.is_rough, options.near is not None))
        return real(cls, embeddings, labels, grid, options)

    monkeypatch.setattr("frieze.classifiers.training.hyperparameters._SAMPLED", 60)
    monkeypatch.setattr("frieze.classifiers.training.hyperparameters._SAMPLED_PER_CLASS", 1)
    monkeypatch.setattr(kind, "fit_each", classmethod(fit_each))
    fitted, tuned = fit_head(HeadConfig(head), embeddings, labels)
    middle = kind.grid.index(kind.default)
    ways = [(60, 3, n, True, False) for n in (len(kind.grid) - middle, middle)]
    assert seen == [*ways, *[(100, 3, 1, True, False)] * 3, (150, 3, 1, False, True)]
    assert tuned.accuracies[tuned.value] == max(tuned.accuracies.values())
    monkeypatch.undo()
    alone = next(kind.fit_each(embeddings, labels, [tuned.value], FitOptions()))
    alone.scale_logits(tuned.factor)
    assert np.abs(fitted.probabilities(embeddings) - alone.probabilities(embeddings)).max() < 0.01
    whole = tune_head(kind, embeddings, labels, make_folds(labels, None, seed=0), FitOptions())
    assert tuned.accuracies[tuned.value] > max(whole.accuracies.values()) - 0.06
    assert len(tuned.confidences) == len(whole.confidences) == 150


@pytest.mark.parametrize(
    ("curve", "tried"),
    [
        ([0.1, 0.3, 0.5, 0.5, 0.5, 0.9, 0.8, 1.0, 1.0, 1.0], (10, 30, 100, 300)),
        ([0.2, 0.5, 0.6, 0.6, 0.6, 0.605, 0.9, 0.9, 0.9, 0.9], (10, 30, 100)),
        ([0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7], (0.3, 1, 3, 10, 30, 100)),
    ],
)
def test_a_climb_ends_where_the_accuracy_falls(curve, tried, monkeypatch):
    """It goes on while values are better, to the simpler side also while they are equal, and tries no others."""
    accuracy_of = dict(zip(LinearHead.grid, curve, strict=True))
    search = hyperparameters._Search(LinearHead, np.zeros((1000, 2), "f4"), np.zeros(1000), FitOptions())
    monkeypatch.setattr(hyperparameters._Search, "fit", lambda _, __, grid, **___: iter(grid))
    monkeypatch.setattr(hyperparameters._Search, "n_right", lambda _, value, *__: 1000 * accuracy_of[value])
    expected = {value: accuracy_of[value] for value in tried}
    assert search.climb(np.arange(1000), np.arange(1000)) == pytest.approx(expected)


def test_confidences_are_of_rows_not_fitted_on(overlapping):
    """The accuracy among the confidences is the chosen value's, and their mean is near it."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    tuned = tune_head(LinearHead, embeddings, labels, make_folds(labels, None, seed=0), FitOptions())
    assert tuned.is_right.mean() == pytest.approx(tuned.accuracies[tuned.value])
    assert tuned.confidences.mean() == pytest.approx(tuned.is_right.mean(), abs=0.05)


def test_a_validation_part_replaces_folds(overlapping, monkeypatch):
    """Given rows to choose on, these alone are looked at; the head is fitted on all."""
    seen, real = [], LinearHead.fit_each.__func__

    def fit_each(cls, embeddings, *args, **named):
        seen.append(len(embeddings))
        return real(cls, embeddings, *args, **named)

    monkeypatch.setattr(LinearHead, "fit_each", classmethod(fit_each))
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    _, tuned = fit_head(HeadConfig("linear"), embeddings, labels, validation=np.arange(0, 150, 5))
    assert (seen, len(tuned.confidences)) == ([120, 150], 30)


def test_a_class_that_a_fold_has_not_fitted_is_left_out(overlapping):
    """Where a fold lacks a class in training, value, factor and confidences are as without that class's rows there."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    whole = make_folds(labels, None, seed=0)
    folds = [(whole[0][0][labels[whole[0][0]] != "cow"], whole[0][1]), *whole[1:]]
    judged = [(train, held[np.isin(labels[held], labels[train])]) for train, held in folds]
    tuned, alone = (tune_head(HEADS["ridge"], embeddings, labels, one, FitOptions()) for one in (folds, judged))
    n_cows = int((labels[whole[0][1]] == "cow").sum())
    assert (tuned.unjudged, alone.unjudged, len(tuned.is_right)) == ({"cow": n_cows}, {}, 150 - n_cows)
    assert (tuned.value, tuned.factor, tuned.accuracies) == (alone.value, alone.factor, alone.accuracies)
    assert tuned.factor == pytest.approx(
        tune_head(HEADS["ridge"], embeddings, labels, whole, FitOptions()).factor, rel=0.4
    )


def test_a_fold_of_one_class_is_left_out(overlapping):
    """Two classes, one of them in one group: the fold that would fit a single class judges nothing."""
    rows = np.flatnonzero(overlapping.labels != "cow")
    embeddings, labels = unit_rows(overlapping.embeddings())[rows], overlapping.labels[rows]
    groups = np.where(labels == "ant", 0, np.arange(len(labels)))
    head, tuned = fit_head(HeadConfig("linear"), embeddings, labels, groups=groups)
    assert tuned.unjudged["ant"] == 50
    assert head.probabilities(embeddings).max() > 0.8


def test_balanced_classes_count_alike(overlapping):
    """With one class ten times as frequent, balancing gives the rare ones more of the rows."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    rows = np.concatenate([np.flatnonzero(labels == "ant"), np.flatnonzero(labels != "ant")[::10]])
    shares = []
    for is_balanced in (False, True):
        head, _ = fit_head(HeadConfig("svm", is_balanced=is_balanced), embeddings[rows], labels[rows])
        shares.append((head.probabilities(embeddings).argmax(1) > 0).mean())
    assert shares[1] > shares[0]


def test_the_threshold_reaches_the_precision():
    """The least probability from which on enough answers were right; rows of one probability go together."""
    confidences = np.array([0.9, 0.8, 0.7, 0.7, 0.6], "f4")
    tuned = Tuned(1.0, confidences=confidences, is_right=np.array([True, True, False, True, False]))
    assert find_threshold(tuned, 0.99) == pytest.approx(0.8)
    assert find_threshold(tuned, 0.75) == pytest.approx(0.7)
    assert find_threshold(tuned, 0.6) == pytest.approx(0.6)


def test_no_threshold_where_nothing_was_right():
    """Where no answer was right, or nothing is known, only certainty is answered."""
    assert find_threshold(Tuned(1.0, confidences=np.array([0.9], "f4"), is_right=np.array([False])), 0.5) == 1
    assert find_threshold(Tuned(1.0), 0.5) == 1
