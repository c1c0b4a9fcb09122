import numpy as np
import pytest

from frieze.classifiers.finetuning.inputs import augmentation
from frieze.core import import_keras


@pytest.fixture(scope="module")
def images():
    """Four noisy images float32 [4, 16, 16, 3] in [0, 1]."""
    return np.random.default_rng(0).random((4, 16, 16, 3), np.float32)


def changed(images, *, training, seed=0):
    """Run images through all layers."""
    network = import_keras().Sequential(augmentation(seed))
    return np.asarray(network(images, training=training))


def test_changes_images_in_training(images):
    """In training each image becomes another one, of the same size and within [0, 1]."""
    actual = changed(images, training=True)
    assert actual.shape == images.shape
    assert (actual.min(), actual.max()) >= (0, 0)
    assert actual.max() <= 1
    assert (np.abs(actual - images).mean((1, 2, 3)) > 0.02).all()


def test_leaves_images_alone_in_use(images):
    """Outside training nothing is changed."""
    assert np.array_equal(changed(images, training=False), images)


def test_the_seed_decides(images):
    """The same seed draws the same, another one something else."""
    one, same, other = (changed(images, training=True, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other, atol=0.02)
