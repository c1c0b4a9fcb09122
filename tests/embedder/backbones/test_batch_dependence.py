import numpy as np
import pytest

from frieze.core import ModelError
from frieze.embedder.backbones.batch_dependence import probe_network

SIZE = (4, 6)


def means(images):
    """Return the mean of each colour, [B, 3]."""
    return np.asarray(images).mean(axis=(1, 2))


def rounded(images):
    """Return means that are rounded differently in a batch than alone, as numbers of 8 bits may be."""
    return means(images) * (1 + 0.004 * (len(images) > 1))


@pytest.mark.parametrize(
    "call", [means, rounded, lambda images: means(images) * np.nan, lambda images: means(images) * 0]
)
def test_width_of_a_network_that_sees_each_image_alone(call, tf):
    """The width is that of the vectors; rounding, and vectors of zeros or no numbers, are no dependence."""
    assert probe_network(call, SIZE, name="net", is_known=False) == 3


@pytest.mark.parametrize(
    "call",
    [
        lambda images: means(images) - means(images).mean(axis=0),
        lambda images: means(images) / means(images).max(),
        lambda images: means(images)[:1].repeat(len(images), axis=0),
        lambda images: means(images)[-1:].repeat(len(images), axis=0),
        lambda images: np.cumsum(means(images), axis=0),
        lambda images: means(images).reshape(1, -1),
    ],
    ids=["centred", "scaled", "first", "last", "sums", "one row"],
)
def test_a_vector_that_depends_on_the_batch_is_refused(call, tf):
    """An image has one vector, alone and among others; a network for which that is not so is rejected by name."""
    with pytest.raises(ModelError, match="net embeds an image differently with other images in its batch") as caught:
        probe_network(call, SIZE, name="net", is_known=False)
    assert "training=False" in caught.value.hint


def test_random_vectors(tf):
    """A network that gives an image another vector each time is refused for that, not for the batch."""
    draws = np.random.default_rng(0)
    with pytest.raises(ModelError, match="net embeds the same image differently each time"):
        probe_network(lambda images: draws.normal(size=(len(images), 3)), SIZE, name="net", is_known=False)


@pytest.mark.parametrize("noise", [0, 1e-8])
def test_equal_vectors(noise, tf):
    """A network that gives all images the same vector is refused: nothing could be found by it."""
    with pytest.raises(ModelError, match="net returns the same vector for different images"):
        probe_network(lambda images: 1 + noise * means(images), SIZE, name="net", is_known=False)


def test_a_known_network_is_run_once(tf):
    """A network that is known to see each image alone costs a single image."""
    seen = []
    assert probe_network(lambda images: seen.append(len(images)) or means(images), SIZE, name="net", is_known=True) == 3
    assert seen == [1]
