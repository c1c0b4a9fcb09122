import numpy as np
import pytest

from frieze.classifiers.calibration import calibrate_logits
from frieze.classifiers.label_audit.loo_ridge import loo_ridge_probabilities
from frieze.core import unit_rows


@pytest.fixture(scope="module")
def planted():
    """90 overlapping unit vectors [90, 6] and their classes; some rows are of one image, more of them than axes."""
    rng, codes = np.random.default_rng(0), np.arange(90) % 3
    images = np.arange(90)
    images[30:39] = np.repeat([30, 31, 32], 3)
    images[60:80] = 60
    return unit_rows(np.eye(6)[codes] + 0.5 * rng.normal(size=(90, 6))).astype("f4"), codes, images


def judged(embeddings, codes, images, penalty):
    """Return scikit-learn's decision values [N, C], with a fit of its own for each image."""
    from sklearn.linear_model import Ridge

    logits, targets = np.empty((len(codes), 3), "f4"), np.eye(3)[codes]
    for image in np.unique(images):
        rows = images == image
        logits[rows] = Ridge(alpha=penalty).fit(embeddings[~rows], targets[~rows]).predict(embeddings[rows])
    return logits


@pytest.mark.parametrize("penalty", [0.3, 10.0])
@pytest.mark.parametrize("block_floats", [1 << 24, 60])
def test_a_row_is_predicted_without_its_image(planted, monkeypatch, penalty, block_floats):
    """What is said of a row is what scikit-learn's fit without all of its image's rows says, in blocks of any size."""
    monkeypatch.setattr("frieze.classifiers.label_audit.loo_ridge._PENALTIES", (penalty,))
    monkeypatch.setattr("frieze.classifiers.label_audit.loo_ridge._BLOCK_FLOATS", block_floats)
    _, codes, _ = planted
    actual = loo_ridge_probabilities(*planted)
    assert actual == pytest.approx(calibrate_logits(judged(*planted, penalty), codes)[0], abs=1e-3)
    assert actual.dtype == np.float32


def test_the_penalty_explains_the_labels_best(planted, monkeypatch):
    """Of several penalties the answer is that of the one with the highest held-out likelihood."""
    predictions, (_, codes, _) = {}, planted
    for penalty in (0.001, 3.0, 1000.0):
        monkeypatch.setattr("frieze.classifiers.label_audit.loo_ridge._PENALTIES", (penalty,))
        predictions[penalty] = loo_ridge_probabilities(*planted)
    best = max(predictions.values(), key=lambda actual: np.log(actual[np.arange(90), codes]).sum())
    monkeypatch.setattr("frieze.classifiers.label_audit.loo_ridge._PENALTIES", tuple(predictions))
    assert loo_ridge_probabilities(*planted).tolist() == best.tolist()


def test_an_image_with_many_copies_is_predicted(planted):
    """Where all rows but one image's are equal, what is said is still probabilities."""
    codes, images = np.arange(20) % 2, np.where(np.arange(20) < 10, 0, np.arange(20))
    actual = loo_ridge_probabilities(np.tile(np.eye(3, dtype="f4")[0], (20, 1)), codes, images)
    assert actual.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-5)


@pytest.mark.parametrize("width", [6, 500])
def test_all_rows_are_of_one_image(width):
    """Where no row is left to fit without the image, the probabilities are about the shares of the classes."""
    codes = (np.arange(20) % 4 == 0).astype(int)
    embeddings = unit_rows(np.random.default_rng(0).normal(size=(20, width))).astype("f4")
    actual = loo_ridge_probabilities(embeddings, codes, np.zeros(20, int))
    assert actual == pytest.approx(np.tile([0.75, 0.25], (20, 1)), abs=0.03)


def test_few_long_rows(planted, monkeypatch):
    """What is said of rows that are longer than there are of them is what scikit-learn says."""
    embeddings, codes, images = planted
    wide = embeddings @ np.linalg.qr(np.random.default_rng(2).normal(size=(500, 6)))[0].T.astype("f4")
    noise = np.random.default_rng(3).normal(size=wide.shape).astype("f4")
    wide = unit_rows(wide + 0.02 * noise)
    monkeypatch.setattr("frieze.classifiers.label_audit.loo_ridge._PENALTIES", (0.3,))
    actual = loo_ridge_probabilities(wide, codes, images)
    assert actual == pytest.approx(calibrate_logits(judged(wide, codes, images, 0.3), codes)[0], abs=1e-3)
