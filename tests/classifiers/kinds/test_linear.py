import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

from frieze.classifiers import HeadConfig, open_head, train_head
from frieze.classifiers.config import FitOptions
from frieze.classifiers.data.splits import split_rows
from frieze.classifiers.kinds.base import import_skops
from frieze.classifiers.kinds.linear import LinearHead, PrototypeHead, RidgeHead, SvmHead
from frieze.classifiers.metrics import calibration_error
from frieze.core import unit_rows


def judged(head, model):
    """Fit scikit-learn's own pipeline on the split that training takes, at the chosen setting; give it and the rows."""
    embeddings, labels = head.features.embeddings(), head.features.labels
    train, _ = split_rows(labels, test_size=0.2, seed=0)
    return make_pipeline(Normalizer(), model).fit(embeddings[train], labels[train].astype(str)), embeddings


MODELS = {
    "linear": LogisticRegression(max_iter=10_000, tol=1e-8),
    "svm": LinearSVC(max_iter=100_000, tol=1e-8),
    "ridge": RidgeClassifier(),
}


@pytest.mark.parametrize("head", MODELS)
def test_heads_are_scikit_learns(head, doubtful):
    """At the setting that was chosen the predictions are those of scikit-learn's own model, fitted on the same rows."""
    opened = open_head(doubtful[head])
    judge, embeddings = judged(doubtful, MODELS[head].set_params(**doubtful.results[head]["setting"]))
    assert opened.predict(embeddings)[0].tolist() == judge.predict(embeddings).tolist()


JUDGES = {
    LinearHead: LogisticRegression(C=1, tol=1e-6),
    SvmHead: LinearSVC(C=1, tol=1e-8),
    RidgeHead: RidgeClassifier(),
}


@pytest.mark.parametrize("kind", JUDGES)
def test_heads_of_vgg16s_maps_are_scikit_learns(kind):
    """Of 60 rows of 25,088 numbers, VGG16's maps laid end to end, decision values are those of scikit-learn's model."""
    rng, codes = np.random.default_rng(0), np.arange(60) % 5
    maps = np.maximum(rng.normal(size=(5, 25_088))[codes] + 3 * rng.normal(size=(60, 25_088)), 0)
    embeddings, labels = unit_rows(maps).astype("f4"), np.array(list("abcde"), object)[codes]
    head = next(kind.fit_each(embeddings, labels, [1.0], FitOptions()))
    expected = JUDGES[kind].fit(embeddings, codes).decision_function(embeddings)
    assert np.allclose(head.logits(embeddings), expected, atol=5e-3 * np.ptp(expected))
    assert head.pipeline[-1].n_features_in_ == 25_088


def test_ridge_of_many_long_rows_is_scikit_learns(overlapping, monkeypatch):
    """Solved in steps, where rows and columns are too many to decompose, ridge is the same head."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    default = next(RidgeHead.fit_each(embeddings, labels, [1.0], FitOptions()))
    monkeypatch.setattr("frieze.classifiers.kinds.linear.MOST_AXES", 5)
    stepped = next(RidgeHead.fit_each(embeddings, labels, [1.0], FitOptions()))
    assert stepped.pipeline[-1].solver == "lsqr"
    assert np.allclose(stepped.logits(embeddings), default.logits(embeddings), atol=1e-4)


def test_logits_are_scikit_learns(overlapping):
    """Without a temperature the probabilities of `linear` are those of LogisticRegression."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    for rows in (np.arange(150), np.flatnonzero(labels != "cow")):
        head = next(LinearHead.fit_each(embeddings[rows], labels[rows], [10.0], FitOptions()))
        judge = LogisticRegression(C=10, max_iter=10_000, tol=1e-8).fit(embeddings[rows], labels[rows].astype(str))
        assert np.allclose(head.probabilities(embeddings), judge.predict_proba(embeddings), atol=1e-3)


def test_weights_count_rows(overlapping):
    """A row of weight 2 counts as two rows."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    twice = np.arange(len(labels)) % 3 == 0
    for kind in (LinearHead, SvmHead, RidgeHead):
        weighted = next(kind.fit_each(embeddings, labels, [1.0], FitOptions(1 + twice.astype("f4"))))
        rows = np.concatenate([np.arange(len(labels)), np.flatnonzero(twice)])
        doubled = next(kind.fit_each(embeddings[rows], labels[rows], [1.0], FitOptions()))
        assert np.allclose(weighted.logits(embeddings), doubled.logits(embeddings), atol=5e-3)


def test_prototypes_are_class_means(overlapping):
    """The class is that of the mean with the highest cosine, or with the least distance as of NearestCentroid."""
    embeddings, labels = unit_rows(overlapping.embeddings()), overlapping.labels
    by_cosine, by_distance = PrototypeHead.fit_each(embeddings, labels, PrototypeHead.grid, FitOptions())
    means = unit_rows(np.stack([embeddings[labels == name].mean(0) for name in by_cosine.classes]))
    assert np.array_equal(by_cosine.logits(embeddings).argmax(1), (embeddings @ means.T).argmax(1))
    judge = NearestCentroid().fit(embeddings, labels.astype(str)).predict(embeddings)
    assert by_distance.classes[by_distance.logits(embeddings).argmax(1)].tolist() == judge.tolist()


@pytest.mark.parametrize(("spread", "chosen"), [((0.3, 2.5, 0.3), 1.0), ((0.1, 0.1, 0.1), 0.0)])
def test_a_prototype_is_no_worse_than_nearest_centroid(spread, chosen, table):
    """Where a class is spread wide folds choose the distance, else the cosine: no less than the judge."""
    rng, codes = np.random.default_rng(0), np.arange(1500) % 3
    corners = np.eye(8)[[0, 1, 0]] + np.eye(8)[[0, 0, 2]]
    embeddings = (corners[codes] + np.array(spread)[codes, None] * rng.normal(size=(1500, 8))).astype("f4")
    rows = table([f"{row:04}" for row in range(1500)], np.array(["ant", "bee", "cow"])[codes].tolist(), embeddings)
    actual = train_head(rows, rows.path.parent / "head", config=HeadConfig("prototype"))
    train, test = split_rows(rows.labels, test_size=0.2, seed=0)
    judge = make_pipeline(Normalizer(), NearestCentroid()).fit(embeddings[train], codes[train])
    assert actual["setting"] == {"length": chosen}
    assert actual["accuracy"] >= judge.score(embeddings[test], codes[test]) - 0.005


def test_what_is_stored_works_without_us(doubtful):
    """The stored file is a scikit-learn pipeline whose own probabilities or decisions are the head's."""
    embeddings = doubtful.features.embeddings()
    for head in ("linear", "svm", "ridge", "prototype"):
        pipeline, opened = import_skops().load(doubtful[head] / "head.skops", trusted=[]), open_head(doubtful[head])
        assert np.array_equal(opened.classes[pipeline.predict(embeddings)], opened.predict(embeddings)[0])
        if head in ("linear", "prototype"):
            assert np.allclose(pipeline.predict_proba(embeddings), opened.probabilities(embeddings), atol=1e-6)


def test_svm_probabilities_are_calibrated(doubtful, table):
    """On fresh rows of the same kind, confidence and accuracy of the svm agree within the noise of 3,000 rows."""
    generator = np.random.default_rng(1)
    codes = generator.integers(0, 3, 3000)
    fresh = np.eye(8, dtype="f4")[codes] + 0.4 * generator.normal(size=(3000, 8)).astype("f4")
    actual = open_head(doubtful["svm"]).probabilities(fresh)
    assert calibration_error(actual.max(1), actual.argmax(1) == codes) < 0.05


@pytest.mark.parametrize("kind", [LinearHead, SvmHead, RidgeHead, PrototypeHead])
def test_two_classes_have_both_probabilities(kind, overlapping):
    """With two classes the higher probability is on the side of the model's one decision value."""
    rows = np.flatnonzero(overlapping.labels != "cow")
    embeddings, labels = unit_rows(overlapping.embeddings()[rows]), overlapping.labels[rows]
    head = next(kind.fit_each(embeddings, labels, [1.0], FitOptions()))
    actual = head.probabilities(embeddings)
    assert actual.shape == (100, 2)
    assert np.array_equal(actual.argmax(1), head.pipeline.predict(embeddings))
    assert (head.classes[actual.argmax(1)] == labels).mean() > 0.7
