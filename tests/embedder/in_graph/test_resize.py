import numpy as np
import pytest

from frieze.embedder.images.resize import FITS, fit_image
from frieze.embedder.in_graph.resize import GRAPH_FITS, resize_pixels

# Ratios of small numbers put many values halfway between two levels, where either rounding is right.
SIZES = [(47, 35), (37, 91), (499, 333), (29, 23), (33, 57), (301, 23), (64, 64)]


@pytest.fixture(scope="module")
def fit_as(tf):
    """`fit_as(fit, pixels)`: one image through a graph that takes any size, into 30 rows of 40 pixels."""
    images = tf.TensorSpec([None, None, None, 3], tf.uint8)

    def graph(fit):
        return tf.function(
            lambda pixels: resize_pixels(pixels, fit=fit, image_size=(30, 40)), [images], autograph=False
        )

    graphs = {fit: graph(fit) for fit in FITS}
    return lambda fit, pixels: graphs[fit](pixels[None]).numpy()[0]


def test_every_fit_has_a_twin():
    """Each way in which Pillow fits an image has its twin."""
    assert set(GRAPH_FITS) == set(FITS)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("fit", FITS)
def test_pixels_are_those_of_pillow(fit_as, photo, fit, size):
    """Enlarged or shrunk, hardly any level differs from Pillow's, and none by more than a rounding for each axis."""
    image = photo(3, *size)
    expected = fit_image(image, fit=fit, image_size=(30, 40)).astype(int)
    got = fit_as(fit, np.asarray(image))
    assert (got.shape, got.dtype) == ((30, 40, 3), np.uint8)
    assert np.abs(got - expected).max() <= 2
    assert (got != expected).mean() < 0.03


@pytest.mark.parametrize("fit", FITS)
def test_images_of_the_right_size_stay(fit_as, photo, fit):
    """Pixels that have the network's size already are not touched."""
    pixels = np.asarray(photo(4, 40, 30))
    assert np.array_equal(fit_as(fit, pixels), pixels)


def test_a_batch_is_its_images(tf, photo):
    """Images in company are fitted as each alone."""
    pixels = np.stack([np.asarray(photo(seed)) for seed in range(3)])
    together = resize_pixels(tf.constant(pixels), fit="crop", image_size=(16, 16)).numpy()
    alone = [resize_pixels(tf.constant(one[None]), fit="crop", image_size=(16, 16)).numpy()[0] for one in pixels]
    assert np.array_equal(together, alone)
