import numpy as np
import pytest
from sklearn.kernel_approximation import Nystroem
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import SVC, LinearSVC

from frieze.classifiers import HeadConfig
from frieze.classifiers.config import FitOptions
from frieze.classifiers.kinds import rbf_svm as kernel_head
from frieze.classifiers.kinds.base import import_skops
from frieze.classifiers.kinds.rbf_svm import KernelHead, find_gamma
from frieze.classifiers.metrics import calibration_error
from frieze.classifiers.training.fit import fit_head
from frieze.core import import_tensorflow, unit_rows


def draw_shells(n, seed=0, n_classes=3):
    """Draw rows whose class is how near they lie to an axis: no line parts them. Embeddings [n, 6] and names [n]."""
    generator = np.random.default_rng(seed)
    embeddings = generator.normal(size=(n, 6)).astype("f4")
    near = np.abs(unit_rows(embeddings)[:, 0]) + 0.05 * generator.normal(size=n)
    codes = np.searchsorted([0.25, 0.5] if n_classes == 3 else [0.35], near)
    return unit_rows(embeddings), np.array(["far", "mid", "near"], dtype=object)[codes]


@pytest.fixture
def approximated(monkeypatch):
    """Let more than 100 rows be many, and approximate their kernel by 60."""
    monkeypatch.setattr(kernel_head, "MOST_EXACT", 100)
    monkeypatch.setattr(kernel_head, "_N_BASIS", 60)


def fit(embeddings, labels, value=3.0, options=None):
    """Fit one head at one cost."""
    return next(KernelHead.fit_each(embeddings, labels, [value], options or FitOptions()))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("value", [1, 10])
def test_head_is_scikit_learns(n_classes, value):
    """At the same C and gamma the predictions are those of SVC on unit vectors, in rows that it has not seen."""
    embeddings, labels = draw_shells(300, n_classes=n_classes)
    head, (others, _) = fit(embeddings, labels, value), draw_shells(500, seed=1, n_classes=n_classes)
    judge = SVC(C=value, gamma=find_gamma(embeddings), break_ties=n_classes > 2).fit(embeddings, labels.astype(str))
    actual = head.classes[head.probabilities(7 * others).argmax(1)]
    assert actual.tolist() == judge.predict(others).tolist()
    assert (head.note, head.converged) == ("", True)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.usefixtures("approximated")
def test_approximation_is_scikit_learns(monkeypatch, n_classes):
    """Of many rows it is Nystroem with LinearSVC behind, drawn and fitted by scikit-learn, in 99 of 100 rows."""
    monkeypatch.setattr(kernel_head, "_N_BASIS", 1000)
    embeddings, labels = draw_shells(250, n_classes=n_classes)
    head, (others, _) = fit(embeddings, labels), draw_shells(1000, seed=1, n_classes=n_classes)
    basis = Nystroem(gamma=find_gamma(embeddings), n_components=250, random_state=0)
    judge = make_pipeline(basis, LinearSVC(C=3, tol=1e-6, max_iter=100_000)).fit(
        embeddings.astype("f8"), labels.astype(str)
    )
    actual = head.classes[head.logits(others).argmax(1)]
    assert (actual == judge.predict(others.astype("f8"))).mean() >= 0.99
    assert head.note == "The RBF kernel is approximated by 1,000 of the rows: 250 are more than 100."


@pytest.mark.usefixtures("approximated")
def test_fewer_vectors_come_near_the_exact_machine():
    """With a tenth of the rows as its basis it is within five points of the exact machine."""
    (embeddings, labels), (others, right) = draw_shells(600), draw_shells(2000, seed=1)
    head = fit(embeddings, labels)
    exact = SVC(C=3, gamma=find_gamma(embeddings)).fit(embeddings, labels.astype(str)).score(others, right.astype(str))
    assert head._kernel.vectors.shape == (60, 6)
    assert (head.classes[head.logits(others).argmax(1)] == right).mean() > exact - 0.05


@pytest.mark.usefixtures("approximated")
def test_folds_are_fitted_like_all_rows(monkeypatch):
    """A fold of few rows is approximated where the whole has many: C and temperature are for the same machine."""
    embeddings, labels = draw_shells(120)
    assert fit(embeddings[:90], labels[:90]).note == ""
    monkeypatch.setattr(kernel_head, "_exact", lambda *_: pytest.fail("a fold is exact"))
    head, tuned = fit_head(HeadConfig("svm-rbf"), embeddings, labels)
    assert head.note.endswith("120 are more than 100.")
    assert list(tuned.accuracies) == [1, 3, 10]


def test_gamma_is_of_the_mean_squared_distance():
    """One over gamma is the mean squared distance of two rows, a row of weight 2 standing for two."""
    rows = draw_shells(50)[0]
    weights = 1 + (np.arange(50) % 3 == 0)
    for repeats in (None, weights):
        all_rows = np.repeat(rows, 1 if repeats is None else repeats, axis=0)
        assert find_gamma(rows, repeats) == pytest.approx(1 / (pairwise_distances(all_rows) ** 2).mean(), rel=1e-4)


@pytest.mark.parametrize("most", [100, 1000])
def test_equal_rows_are_fitted(monkeypatch, most):
    """Rows that are all alike, or each there twice, end in finite probabilities."""
    monkeypatch.setattr(kernel_head, "MOST_EXACT", most)
    monkeypatch.setattr(kernel_head, "_N_BASIS", 60)
    embeddings, labels = draw_shells(100)
    assert find_gamma(np.ones((4, 1), "f4")) == 500_000
    for rows in (np.zeros(200, int), np.arange(200) // 2):
        head = fit(embeddings[rows], np.resize(labels, 200))
        assert np.isfinite(head.probabilities(embeddings)).all()


@pytest.mark.parametrize("gamma", [0.05, None])
def test_equal_rows_do_not_amplify_rounding(gamma):
    """A basis of rows that are each there twice, in float32, has the inner products of the kernel."""
    rows = np.repeat(draw_shells(100)[0], 2, axis=0)
    gamma = gamma or find_gamma(rows)
    mapped = kernel_head._mapped(rows, kernel_head._basis(rows, gamma, 0))
    assert mapped @ mapped.T == pytest.approx(rbf_kernel(rows, gamma=gamma), abs=1e-4)


def test_weights_count_rows():
    """A row of weight 2 counts as two rows."""
    embeddings, labels = draw_shells(200)
    twice = np.arange(200) % 3 == 0
    rows = np.concatenate([np.arange(200), np.flatnonzero(twice)])
    weighted = fit(embeddings, labels, options=FitOptions(1 + twice.astype("f4")))
    assert np.allclose(weighted.logits(embeddings), fit(embeddings[rows], labels[rows]).logits(embeddings), atol=0.02)
    assert not np.allclose(weighted.logits(embeddings), fit(embeddings, labels).logits(embeddings), atol=0.1)


@pytest.mark.usefixtures("approximated")
def test_weights_reach_the_approximation():
    """Rows of weight 0 leave no trace but as vectors of the basis: the class that they alone have is not predicted."""
    embeddings, labels = draw_shells(300)
    head = fit(embeddings, labels, options=FitOptions((labels != "mid").astype("f4")))
    assert not (head.classes[head.logits(embeddings).argmax(1)] == "mid").any()


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.usefixtures("approximated")
def test_the_approximation_is_stored_and_exported(tmp_path, n_classes):
    """After save and load probabilities are the same bits, and in TensorFlow's operations the same."""
    embeddings, labels = draw_shells(300, n_classes=n_classes)
    head = fit(embeddings, labels)
    head.scale_logits(2.0)
    head.save(tmp_path / "head.skops")
    loaded = KernelHead.load(tmp_path / "head.skops", classes=head.classes, dim=6)
    actual = head.probabilities(embeddings)
    assert np.array_equal(loaded.probabilities(embeddings), actual)
    graph = loaded.as_function()(import_tensorflow().constant(3 * embeddings)).numpy()
    assert np.allclose(graph, actual, atol=1e-4)
    assert np.array_equal(import_skops().load(tmp_path / "head.skops")["model"].predict(embeddings), actual.argmax(1))


@pytest.mark.parametrize("most", [100, 1001])
def test_probabilities_are_calibrated(monkeypatch, most):
    """On fresh rows confidence and accuracy agree within three points, exact or approximated."""
    monkeypatch.setattr(kernel_head, "MOST_EXACT", most)
    monkeypatch.setattr(kernel_head, "_N_BASIS", 60)
    (embeddings, labels), (others, right) = draw_shells(1000), draw_shells(3000, seed=1)
    head, _ = fit_head(HeadConfig("svm-rbf"), embeddings, labels)
    actual = head.probabilities(others)
    assert calibration_error(actual.max(1), head.classes[actual.argmax(1)] == right) < 0.03


def test_many_rows_are_predicted_in_blocks(monkeypatch):
    """Rows that do not fit one block have the logits they have in one block."""
    embeddings, labels = draw_shells(100)
    head = fit(embeddings, labels)
    together = head.logits(embeddings)
    monkeypatch.setattr(kernel_head, "_BLOCK_FLOATS", 1000)
    assert np.allclose(head.logits(embeddings), together, atol=1e-5)


def foreign(name):
    """Return a stored thing that is no `svm-rbf` head of three classes and width 6."""
    embeddings, labels = draw_shells(60)
    codes = np.unique(labels, return_inverse=True)[1]
    head = fit(embeddings, labels)
    model = head._model
    svc = model[-1]
    if name == "list":
        return [model]
    if name == "neighbours":
        return {"model": KNeighborsClassifier(algorithm="brute").fit(embeddings, codes), "factor": 1.0}
    if name == "polynomial":
        model = make_pipeline(Normalizer(), SVC(kernel="poly", gamma=1.0)).fit(embeddings, codes)
    if name == "narrow vectors":
        svc.support_vectors_ = svc.support_vectors_[:, :5]
    if name == "few vectors":
        svc.support_vectors_ = svc.support_vectors_[1:]
    if name == "many counts":
        svc._n_support = svc._n_support + 1
    if name == "scaled":
        svc.gamma = "scale"
    return {"model": model, "factor": 1.0}


def test_a_machine_for_others_is_refused(tmp_path):
    """A head of another width, or of fewer classes, is not read as one of these."""
    head = fit(*draw_shells(60))
    head.save(tmp_path / "head.skops")
    for classes, dim in ((head.classes, 7), (head.classes[:2], 6)):
        with pytest.raises(ValueError, match="its model is for another width or other classes"):
            KernelHead.load(tmp_path / "head.skops", classes=classes, dim=dim)


@pytest.mark.parametrize(
    "name", ["list", "neighbours", "polynomial", "narrow vectors", "few vectors", "many counts", "scaled"]
)
def test_what_is_no_such_head_is_refused(tmp_path, name):
    """A file with another model, or one whose parts do not fit together, is refused before it is asked."""
    import_skops().dump(foreign(name), tmp_path / "head.skops")
    with pytest.raises(ValueError, match=r"another|other pairs of classes|matmul|could not convert"):
        KernelHead.load(tmp_path / "head.skops", classes=np.array(["a", "b", "c"], dtype=object), dim=6)
