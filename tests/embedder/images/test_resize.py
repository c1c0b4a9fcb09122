import numpy as np
import pytest
from PIL import Image

from frieze.embedder import FITS, PIXELS
from frieze.embedder.images.resize import fit_image

COLOUR = [0.2, 0.4, 0.6]


def stripes():
    """Draw an image twice as wide as high: left half red, right half blue."""
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (20, 0, 40, 20))
    return image


@pytest.mark.parametrize("fit", FITS)
def test_size(fit):
    """Each fit gives uint8 pixels of exactly the height and width requested."""
    pixels = fit_image(stripes(), fit=fit, image_size=(12, 10))
    assert (pixels.shape, pixels.dtype) == ((12, 10, 3), np.uint8)


def test_squash_keeps_everything():
    """Squash gives the aspect up: both halves are there, all of the height is filled."""
    pixels = fit_image(stripes(), fit="squash", image_size=(8, 8))
    assert pixels[[0, 7], 0].tolist() == [[255, 0, 0]] * 2
    assert pixels[[0, 7], 7].tolist() == [[0, 0, 255]] * 2


def test_crop_keeps_the_middle():
    """Crop cuts the same from both sides: of a picture with edges in green nothing green is left."""
    image = Image.new("RGB", (40, 20), "green")
    image.paste("red", (7, 0, 33, 20))
    pixels = fit_image(image, fit="crop", image_size=(8, 8))
    assert pixels.reshape(-1, 3).tolist() == [[255, 0, 0]] * 64


def test_pad_adds_black_bars():
    """Pad keeps the aspect: a picture twice as wide as high gets black above and below."""
    pixels = fit_image(stripes(), fit="pad", image_size=(8, 8))
    assert pixels[[0, 1, 6, 7]].max() == 0
    assert pixels[2:6, 0].tolist() == [[255, 0, 0]] * 4


def test_resize_is_antialiased():
    """A fine chequerboard that shrinks becomes even grey, not a pattern of black and white."""
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = fit_image(Image.fromarray(board).convert("RGB"), fit="squash", image_size=(8, 8))
    assert 120 <= pixels.min() <= pixels.max() <= 135


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0..1", [0.2, 0.4, 0.6]),
        ("-1..1", [-0.6, -0.2, 0.2]),
        ("0..255", [51.0, 102.0, 153.0]),
        ("caffe", [153 - 103.939, 102 - 116.779, 51 - 123.68]),
        ("torch", [(0.2 - 0.485) / 0.229, (0.4 - 0.456) / 0.224, (0.6 - 0.406) / 0.225]),
    ],
)
def test_ranges(name, expected, tf):
    """Each range gives what its name says, as float32, for NumPy arrays and for tensors; caffe is BGR."""
    images = np.array(COLOUR, np.float32).reshape(1, 1, 1, 3)
    for values in (images, tf.constant(images)):
        got = np.asarray(PIXELS[name](values))
        assert got.dtype == np.float32
        assert got.ravel().tolist() == pytest.approx(expected, abs=1e-4)
