import warnings

import numpy as np
import pytest

from classifiers import open_head
from classifiers.linear_heads import LinearHead, SvmHead, _quiet, best_factor
from classifiers.scores import calibration_error
from classifiers.splits import split_rows


def judged(overlapping, model):
    """Fit scikit-learn's own pipeline on the split that training takes; give it with the embeddings."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    embeddings, labels = overlapping.embeddings(), overlapping.labels
    train, _ = split_rows(labels, test_size=0.2, seed=0)
    return make_pipeline(Normalizer(), model).fit(embeddings[train], labels[train].astype(str)), embeddings


def test_linear_is_logistic_regression(doubtful):
    """The probabilities are those of scikit-learn's pipeline fitted on the same rows."""
    from sklearn.linear_model import LogisticRegression

    judge, embeddings = judged(doubtful.features, LogisticRegression(C=30, max_iter=1000))
    opened = open_head(doubtful["linear"])
    assert np.allclose(opened.probabilities(embeddings), judge.predict_proba(embeddings), atol=1e-6)
    assert opened.predict(embeddings)[0].tolist() == judge.predict(embeddings).tolist()


def test_svm_decides_as_linear_svc(doubtful):
    """The predictions are those of scikit-learn's LinearSVC fitted on the same rows."""
    from sklearn.svm import LinearSVC

    judge, embeddings = judged(doubtful.features, LinearSVC(C=1, random_state=0))
    assert open_head(doubtful["svm"]).predict(embeddings)[0].tolist() == judge.predict(embeddings).tolist()


def test_svm_probabilities_are_calibrated(doubtful, table):
    """On fresh rows of the same kind, confidence and accuracy of the svm agree within the noise of 3,000 rows."""
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 3, 3000)
    fresh = np.eye(8, dtype="f4")[codes] + 0.4 * generator.normal(size=(3000, 8)).astype("f4")
    found = open_head(doubtful["svm"]).probabilities(fresh)
    assert calibration_error(found.max(1), found.argmax(1) == codes) < 0.05


def test_svm_of_two_classes_has_both_probabilities(overlapping):
    """With two classes the higher probability is on the side of the margin."""
    rows = np.flatnonzero(overlapping.labels != "cow")
    head = SvmHead(seed=0)
    head.fit(overlapping.embeddings()[rows], overlapping.labels[rows])
    found = head.probabilities(overlapping.embeddings()[rows])
    assert found.shape == (100, 2)
    assert np.array_equal(found.argmax(1), head.pipeline.predict(overlapping.embeddings()[rows]))


def test_best_factor_finds_the_temperature():
    """Margins that are log-odds times 5 are divided by 5."""
    generator = np.random.default_rng(0)
    log_odds = generator.normal(size=(20_000, 4))
    codes = (log_odds + generator.gumbel(size=log_odds.shape)).argmax(1)
    assert best_factor(5 * log_odds, codes) == pytest.approx(0.2, rel=0.05)


def test_margins_without_a_mistake_do_not_end_in_certainty():
    """With N rows all right the highest probability stays near (N + 1) / (N + 2)."""
    margins = np.eye(2)[[0, 1] * 5]
    factor = best_factor(margins, np.array([0, 1] * 5))
    assert 1 / (1 + np.exp(-factor)) == pytest.approx(11 / 12, abs=0.001)


def test_only_the_warning_of_convergence_is_silenced(overlapping, monkeypatch):
    """A cut fit sets `converged` and says nothing; other warnings come through."""
    monkeypatch.setattr("classifiers.linear_heads._MAX_ITERATIONS", 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with _quiet() as complaints:
            warnings.warn("another", stacklevel=1)
            LinearHead(seed=0)._new_pipeline().fit(overlapping.embeddings(), overlapping.labels.astype(str))
    assert [str(one.message) for one in caught] == ["another"]
    assert len(complaints) == 1


def test_a_cut_svm_says_so_without_a_warning(overlapping, monkeypatch):
    """Neither the fit nor the choice of the temperature warns; `converged` tells."""
    from sklearn.svm import LinearSVC

    monkeypatch.setattr(SvmHead, "_new_model", lambda _: LinearSVC(max_iter=1, random_state=0))
    head = SvmHead(seed=0)
    head.fit(overlapping.embeddings(), overlapping.labels)
    assert head.converged is False
