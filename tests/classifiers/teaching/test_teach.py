"""A head on few answers: what it says of every image, and how it is measured."""

import time

import numpy as np
import pytest

from frieze.classifiers import Answers, UnitVectors, fit_linear, teach


def test_ranks_all(vectors, codes, answer):
    """Two answers a class are enough for separable clusters, and probabilities sum to 1."""
    taught = teach(vectors, answer([0, 1, 90, 91, 120, 121]))
    assert taught.classes.tolist() == ["ant", "bee", "cow"]
    assert (taught.scores.argmax(axis=1) == codes).mean() > 0.98
    np.testing.assert_allclose(taught.scores.sum(axis=1), 1, atol=1e-5)


def test_the_solver_of_train(vectors, codes, answer):
    """The head is the logistic regression of `train`, at the cost of so few rows."""
    rows = [0, 1, 90, 91]
    scores = teach(vectors, answer(rows)).scores
    examples = vectors.take(np.array(rows))
    solution = fit_linear([(examples, codes[rows])], "softmax", cost=7500.0, n_classes=2)
    logits = next(vectors.blocks()) @ solution.coef.T + solution.intercept
    factors = np.log(scores[:, 1] / scores[:, 0]) / (logits[:, 1] - logits[:, 0])
    np.testing.assert_allclose(factors, factors[0], rtol=1e-2)


def test_few_answers_are_never_sure(vectors, answer):
    """Sure is what has nine tenths of the probability or more: nothing after four answers, most after forty."""
    few, many = (teach(vectors, answer([*range(n), *range(90, 90 + n)])) for n in (2, 20))
    assert few.count_sure() == [0, 0]
    assert many.count_sure() == [(many.scores[:, code] >= 0.9).sum() for code in range(2)]
    assert 100 < sum(many.count_sure()) < 150


def test_calibrated_on_folds(vectors, answer):
    """A head whose examples contradict each other is less sure than one whose examples agree."""
    right = answer([*range(20), *range(90, 110)])
    wrong = Answers(right.rows, np.roll(right.labels, 5), right.is_held_out)
    assert teach(vectors, wrong).scores.max() < 0.9 < teach(vectors, right).scores.max()


def test_one_class(vectors, codes, answer):
    """With examples for one class alone, images are ranked by the cosine to their mean, and none is sure."""
    taught = teach(vectors, answer([90, 91]))
    assert (taught.is_fitted, taught.count_sure(), taught.accuracy) == (False, [0], None)
    assert set(codes[np.argsort(-taught.scores[:, 0])[:30]]) == {1}
    assert -1 <= taught.scores.min() < taught.scores.max() <= 1


def test_no_answers(vectors, answer):
    """Without an answer there is no class."""
    taught = teach(vectors, answer([]))
    assert (taught.scores.shape, taught.accuracy, taught.interval) == ((150, 0), None, None)


def test_held_out_is_not_fitted(vectors, answer):
    """The head does not see the answers that measure it, and the interval is Wilson's."""
    taught = teach(vectors, answer([0, 90, 1, 2, 91, 92], held_out=[1, 2, 91, 92]))
    np.testing.assert_array_equal(taught.scores, teach(vectors, answer([0, 90])).scores)
    assert (taught.n_held_out, taught.n_right, taught.accuracy) == (4, 4, 1.0)
    assert taught.interval == pytest.approx([0.51, 1.0], abs=0.005)


def test_unknown_class_is_wrong(vectors, answer):
    """A held-out image of a class without an example counts as wrong."""
    taught = teach(vectors, answer([0, 90, 1, 120], held_out=[1, 120]))
    assert (taught.n_held_out, taught.n_right) == (2, 1)


@pytest.mark.slow
def test_quick_enough():
    """100 answers on 20,000 vectors of 1,280 numbers take less than .3 s of the processor."""
    generator = np.random.default_rng(0)
    vectors = UnitVectors.of(generator.normal(size=(20_000, 1280)).astype("f4"))
    rows = generator.choice(20_000, 100, replace=False)
    answers = Answers(rows, np.array(["a", "b"] * 50, object), np.zeros(100, bool))
    teach(vectors, answers)  # the vectors are kept from now on
    started = time.process_time()
    teach(vectors, answers)
    assert time.process_time() - started < 0.3
