import numpy as np
import pytest

from frieze.core import MismatchError
from frieze.embedder.engines.accuracy import ENOUGH, check_drift, measure_drift

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(ENOUGH, 8)).astype(np.float32)


def noisy(scale):
    """Return the rows with noise."""
    return ROWS + scale * RNG.normal(size=ROWS.shape).astype(np.float32)


def plain_recall(embeddings, reference):
    """Compute recall@10 in a plain loop."""

    def nearest(rows, at):
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        order = np.argsort(-(unit @ unit[at]), kind="stable")
        return {row for row in order.tolist() if row != at} & set(order[:11].tolist()) - {at}

    return np.mean([len(nearest(embeddings, at) & nearest(reference, at)) / 10 for at in range(len(reference))])


def test_same():
    """Vectors of the same direction have not drifted, whatever their lengths."""
    assert measure_drift(ROWS * 3, ROWS) == {
        "images": ENOUGH,
        "least_cosine": 1.0,
        "median_cosine": 1.0,
        "recall_at_10": 1.0,
    }


def test_agrees_with_the_plain_way():
    """Cosines and recall@10 are those of a plain loop."""
    drifted = noisy(0.3)
    drift = measure_drift(drifted, ROWS)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(drifted, ROWS, strict=True)]
    assert drift["least_cosine"] == pytest.approx(min(cosines), abs=1e-5)
    assert drift["median_cosine"] == pytest.approx(np.median(cosines), abs=1e-5)
    assert drift["recall_at_10"] == pytest.approx(plain_recall(drifted, ROWS), abs=1e-3)
    assert 0.3 < drift["recall_at_10"] < 0.95


def test_equal_images():
    """Equal images do not lower the recall: an image is never its own neighbour."""
    rows = np.repeat(ROWS[: ENOUGH // 2], 2, axis=0)
    assert measure_drift(rows, rows)["recall_at_10"] == 1.0


def test_unusable_reference():
    """Images whose reference is zero or not finite do not count for drift."""
    rows = ROWS[:20].copy()
    rows[3], rows[5] = 0, np.nan
    drift = measure_drift(rows, rows)
    assert (drift["images"], drift["least_cosine"]) == (18, 1.0)


@pytest.mark.filterwarnings("error")
def test_not_finite():
    """A row that overflows while the reference is finite has cosine 0."""
    rows = ROWS.copy()
    rows[7] = np.inf
    drift = measure_drift(rows, ROWS)
    assert (drift["images"], drift["least_cosine"], drift["median_cosine"]) == (ENOUGH, 0.0, 1.0)


def test_few():
    """With too few images for neighbours only cosines are measured."""
    assert measure_drift(ROWS[:-1], ROWS[:-1])["recall_at_10"] is None
    assert measure_drift(ROWS[:0], ROWS[:0])["images"] == 0


@pytest.mark.parametrize(
    ("precision", "least_cosine", "recall", "is_refused"),
    [
        ("float32", 0.9999, None, False),
        ("float32", 0.9998, 1.0, True),
        ("bfloat16", 0.90, 0.95, False),
        ("bfloat16", 0.9999, 0.94, True),
        ("bfloat16", 0.90, None, False),
    ],
)
def test_judged(precision, least_cosine, recall, is_refused):
    """Float32 is judged by its cosines, a lower precision by its recall@10, if there are enough images."""
    drift = {"images": 9, "least_cosine": least_cosine, "median_cosine": 0.99, "recall_at_10": recall}
    if not is_refused:
        check_drift(drift, engine="openvino", precision=precision)
        return
    with pytest.raises(
        MismatchError, match=rf"openvino in {precision} .* on 9 of the images .*\n.*`accept_drift=True`"
    ):
        check_drift(drift, engine="openvino", precision=precision)
