import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from frieze.classifiers import HEADS, HeadClassifier
from frieze.core import InputError

EXPECTED_FAILURES: dict = {}
"""Check of scikit-learn -> why it does not apply; no check fails."""
CHECKED = [HeadClassifier("linear", value=30), HeadClassifier("knn", value=5), HeadClassifier("ridge")]


@pytest.fixture
def points():
    """Separable embeddings [60, 8] of three classes, and their names."""
    rng, codes = np.random.default_rng(0), np.arange(60) % 3
    return (np.eye(3, 8)[codes] + rng.normal(0, 0.1, (60, 8))).astype(np.float32), np.array(["a", "b", "c"])[codes]


@parametrize_with_checks(CHECKED, expected_failed_checks=lambda _: EXPECTED_FAILURES)
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    """Heads are estimators as scikit-learn defines them."""
    check(estimator)


@pytest.mark.parametrize("kind", [kind for kind in HEADS if kind != "keras"])
def test_every_kind(kind, points):
    """Each kind of head tells separable classes apart, with probabilities that sum to 1, in cross-validation."""
    embeddings, names = points
    assert cross_val_score(HeadClassifier(kind), embeddings, names, cv=3).min() == 1
    probabilities = HeadClassifier(kind).fit(embeddings, names).predict_proba(embeddings)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_as_train_does(points):
    """Without a value the hyperparameter is one of the kind's grid; with one it is that one; both survive a pickle."""
    embeddings, names = points
    assert HeadClassifier().fit(embeddings, names).value_ in HEADS["linear"].grid
    head = HeadClassifier("svm", value=0.3, balanced=True, random_state=1).fit(embeddings, names)
    unpickled = pickle.loads(pickle.dumps(head))  # noqa: S301  our own
    assert (head.value_, unpickled.predict(embeddings).tolist()) == (0.3, names.tolist())


def test_classes_that_are_numbers(points):
    """Classes keep their type and their order, numbers too: 2 comes before 10."""
    embeddings, names = points
    numbers = np.select([names == "a", names == "b"], [10, 2], 7)
    head = clone(HeadClassifier("prototype")).fit(embeddings, numbers)
    assert (head.classes_.tolist(), head.predict(embeddings).tolist()) == ([2, 7, 10], numbers.tolist())


def test_unknown_kind(points):
    """An unknown kind of head is refused, with those that there are."""
    with pytest.raises(InputError, match="Unknown head: forest"):
        HeadClassifier("forest").fit(*points)
