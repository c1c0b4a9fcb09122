import dataclasses

import numpy as np
import pytest
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC

from frieze.classifiers.kinds.rbf_svm import MIN_LEAD, LinearReadout, OneVsOne, Rbf
from frieze.core import import_tensorflow


def draw_one_vs_one(n_classes, n=40, seed=0):
    """Fit SVC on rows that overlap; give it, its one-vs-one readout and kernel values float32 [n, S] of other rows."""
    generator = np.random.default_rng(seed)
    rows, others = generator.normal(size=(2, n * n_classes, 3)).astype("f4")
    codes = np.arange(len(rows)) % n_classes
    model = SVC(gamma=0.5, C=3, break_ties=n_classes > 2).fit(rows + np.eye(n_classes, 3)[codes], codes)
    values = Rbf(model.support_vectors_.astype("f4"), 0.5)(others)
    return model, OneVsOne.of(model.dual_coef_, model.intercept_, model.n_support_), others, values


def test_kernel_is_scikit_learns():
    """Values are exp(-gamma |x - v|^2), also of near vectors far from zero."""
    rows, vectors = np.random.default_rng(0).normal(size=(2, 30, 4)).astype("f4")
    assert np.allclose(Rbf(vectors, 0.7)(rows), rbf_kernel(rows, vectors, 0.7), atol=1e-6)
    far, near = 100 + rows / 100, 100 + vectors / 100
    exact = rbf_kernel(far.astype("f8") - 100, near.astype("f8") - 100, 1e3)
    assert np.allclose(Rbf(near, 1e3)(far), exact, atol=2e-3)


@pytest.mark.parametrize("gamma", [0, -1, np.inf, np.nan])
def test_kernel_has_a_width(gamma):
    """A kernel without vectors, or of no width, is refused."""
    with pytest.raises(ValueError, match="no vectors or no width"):
        Rbf(np.ones((1, 2), "f4"), gamma)
    with pytest.raises(ValueError, match="no vectors or no width"):
        Rbf(np.ones((0, 2), "f4"), 1.0)


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_the_predicted_class_has_the_largest_logit(n_classes):
    """The class of the largest logit is what SVC predicts, even where no class wins all its pairs."""
    model, readout, others, values = draw_one_vs_one(n_classes)
    actual = readout.logits(values)
    assert actual.shape == (len(others), n_classes)
    assert np.array_equal(actual.argmax(1), model.predict(others))


@pytest.mark.parametrize("n_classes", [3, 6])
def test_logits_are_likelihoods_of_pairs(n_classes):
    """A logit is the summed log sigmoid of scikit-learn's decision values; a winner of votes alone is raised above."""
    model, readout, others, values = draw_one_vs_one(n_classes)
    decisions = model.set_params(decision_function_shape="ovo", break_ties=False).decision_function(others)
    expected, pairs = np.zeros((len(others), n_classes)), np.triu_indices(n_classes, 1)
    for first, second, column in zip(*pairs, decisions.T, strict=True):
        expected[:, first] -= np.log1p(np.exp(-column))
        expected[:, second] -= np.log1p(np.exp(column))
    actual = readout.logits(values) + np.log(2)  # of each class against itself
    is_lifted = np.arange(n_classes) == actual.argmax(1)[:, None]
    assert np.allclose(actual[~is_lifted], expected[~is_lifted], atol=1e-4)
    ahead = np.sort(expected, axis=1)[:, -1] + MIN_LEAD
    assert (actual[is_lifted] <= ahead + 1e-4).all()
    assert (np.diff(np.sort(actual, axis=1)[:, -2:], axis=1) > MIN_LEAD / 2).all()


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_one_vs_one_as_tf_function(n_classes):
    """The TensorFlow function returns the logits."""
    _, readout, _, values = draw_one_vs_one(n_classes)
    got = readout.as_function()(import_tensorflow().constant(values)).numpy()
    assert np.allclose(got, readout.logits(values), atol=1e-4)


def test_sums_are_weighted():
    """Sums give one weighted sum a class, and say how much a row takes in between."""
    sums = LinearReadout(np.array([[1, 2], [3, 4], [0, 1]], "f4"), np.array([0, 10, 20], "f4"))
    values = np.array([[1, 1], [0, 2]], "f4")
    assert sums.logits(values).tolist() == [[3, 17, 21], [4, 18, 22]]
    assert sums.as_function()(import_tensorflow().constant(values)).numpy().tolist() == [[3, 17, 21], [4, 18, 22]]
    assert (sums.row_floats, dataclasses.replace(draw_one_vs_one(2)[1], coef=np.ones((2, 5), "f4")).row_floats) == (
        2,
        17,
    )


@pytest.mark.parametrize("spoilt", [0, 1, 2])
def test_one_vs_one_checks_shapes(spoilt):
    """Weights, intercepts and counts of different pairs are refused."""
    parts = [np.ones((2, 6)), np.ones(3), np.array([1, 2, 3])]
    OneVsOne.of(*parts)
    parts[spoilt] = parts[spoilt][..., :-1]
    with pytest.raises(ValueError, match="for other pairs of classes"):
        OneVsOne.of(*parts)
    with pytest.raises(ValueError, match="for other pairs of classes"):
        OneVsOne.of(np.ones((2, 6)), np.ones(3), np.array([-1, 4, 3]))
