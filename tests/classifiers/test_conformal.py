import numpy as np
import pytest

from frieze.classifiers.conformal import HeldOutPredictions, fewest_images, prediction_sets
from frieze.core import InputError

CLASSES = np.array(["ant", "bee", "cow"], dtype=object)


def draw(n, *, seed, sharpness=1.5, shares=(0.6, 0.3, 0.1)):
    """Draw n images with their labels and a head's probabilities, which are those of its logits."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(3, n, p=shares)
    logits = sharpness * np.eye(3)[codes] + rng.normal(size=(n, 3))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probabilities.astype(np.float32), CLASSES[codes]


def draw_held_out(n, **options):
    """Draw what a head predicted of n held-out images."""
    probabilities, labels = draw(n, **options)
    return HeldOutPredictions.of(probabilities, labels, CLASSES)


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_sets_hold_the_label_as_often_as_stated(confidence):
    """Over forty draws sets of new images hold their label with the stated probability, and so in each class."""
    covered = []
    for seed in range(40):
        probabilities, labels = draw(2_000, seed=1_000 + seed)
        thresholds = draw_held_out(400, seed=seed).thresholds(CLASSES, confidence)
        codes = np.searchsorted(CLASSES, labels)
        is_in = prediction_sets(probabilities, thresholds)[np.arange(2_000), codes]
        covered.append([is_in.mean(), *(is_in[codes == code].mean() for code in range(3))])
    assert np.all(np.mean(covered, axis=0) >= confidence - 0.005)
    assert np.mean(covered, axis=0)[0] <= confidence + 0.02


def test_a_threshold_is_the_lowest_of_nineteen():
    """For 95 % of nineteen images of a class it is the lowest probability of their label."""
    probabilities = np.linspace(0.2, 0.9, 19).astype(np.float32)
    labels = np.repeat(CLASSES[:2], 19)
    images = HeldOutPredictions(labels, labels, np.ones(38, "f4"), np.r_[probabilities, probabilities / 2])
    assert np.allclose(images.thresholds(CLASSES[:2], 0.95), [0.2, 0.1])


def test_a_class_of_few_images_gets_the_threshold_of_all():
    """A class with fewer images than a threshold takes has that of all images, and is named."""
    labels = np.repeat(CLASSES[:2], [94, 5])
    images = HeldOutPredictions(labels, labels, np.ones(99, "f4"), np.linspace(0.01, 0.99, 99).astype("f4"))
    thresholds = images.thresholds(CLASSES, 0.9)
    assert np.allclose(thresholds, [0.095, 0.1, 0.1])
    assert images.pooled(CLASSES, 0.9) == ["bee", "cow"]


def test_the_likeliest_class_is_always_in_the_set():
    """No set is empty, however high the thresholds."""
    probabilities, _ = draw(50, seed=0)
    assert prediction_sets(probabilities, np.ones(3, "f4")).sum(axis=1).tolist() == [1] * 50


def test_coverage_is_of_images_that_did_not_set_the_thresholds():
    """Over thirty draws the coverage told is that of other images, to half a point."""
    probabilities, labels = draw(5_000, seed=4)
    codes = np.searchsorted(CLASSES, labels)
    stated, of_others = [], []
    for seed in range(30):
        images = draw_held_out(400, seed=seed)
        is_in = prediction_sets(probabilities, images.thresholds(CLASSES, 0.9))
        stated.append(images.coverage(CLASSES, 0.9))
        of_others.append(is_in[np.arange(5_000), codes].mean())
    assert np.mean(stated) == pytest.approx(np.mean(of_others), abs=0.005)


def test_coverage_of_the_fewest_images_is_not_whole():
    """Where a fold leaves fewer images than a threshold takes, the lowest one is the threshold, and not zero."""
    stated = [draw_held_out(19, seed=seed).coverage(CLASSES, 0.95) for seed in range(60)]
    assert 0.9 < np.mean(stated) < 0.99


def test_coverage_of_few_images_is_not_always_whole():
    """The lowest of twenty images is not in its own set: its threshold is that of the others."""
    labels = np.repeat(CLASSES[:2], 20)
    images = HeldOutPredictions(
        labels, labels[::-1], np.ones(40, "f4"), np.tile(np.linspace(0.1, 0.4, 20), 2).astype("f4")
    )
    assert images.coverage(CLASSES[:2], 0.9) < 1


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_is_a_share(confidence):
    """A confidence outside (0, 1) is refused."""
    with pytest.raises(InputError, match="between 0 and 1"):
        draw_held_out(100, seed=0).thresholds(CLASSES, confidence)


def test_too_few_held_out_images_are_refused():
    """A confidence that takes more images than there are is refused, with the number."""
    with pytest.raises(InputError, match=r"18 held-out images; a confidence of 0.95 takes 19"):
        draw_held_out(18, seed=0).thresholds(CLASSES, 0.95)
    assert [fewest_images(confidence) for confidence in (1e-10, 0.5, 0.9, 0.95, 0.99)] == [1, 1, 9, 19, 99]
