import numpy as np
import pytest

from frieze.embedder.backbones.pixel_range import infer_pixel_range

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
CAFFE = np.array([103.939, 116.779, 123.68])


def standardised(mean, deviation):
    """Return scale and offset of (pixels - mean) / deviation."""
    mean, deviation = np.broadcast_arrays(np.asarray(mean, float), np.asarray(deviation, float))
    return 1 / deviation, -mean / deviation


@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        (1 / 255, 0, "0..255"),
        (1 / 256, 0, "0..255"),
        (1 / 127.5, -1, "0..255"),
        (1 / 128, -1, "0..255"),
        (1 / 127.5, 0, "0..255"),
        (1 / 255, -0.5, "0..255"),
        (-1 / 255, 1, "0..255"),
        (2, -1, "0..1"),
        (1, -0.5, "0..1"),
        (255, 0, "0..1"),
        (255, -127.5, "0..1"),
        (0.5, 0.5, "-1..1"),
        (127.5, 127.5, "-1..1"),
    ],
)
def test_rescaling(scale, offset, expected):
    """A scale and an offset tell the range whose ends they bring to those that networks compute with."""
    assert infer_pixel_range([scale] * 3, [offset] * 3) == expected


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        (MEAN, DEVIATION, "0..1"),
        (MEAN, np.sqrt(DEVIATION), "0..1"),  # the deviation given as a variance, as Keras' EfficientNet has it
        (MEAN, 1, "0..1"),
        (0.1307, 0.3081, "0..1"),
        (MEAN * 255, DEVIATION * 255, "0..255"),
        (MEAN * 255, np.sqrt(DEVIATION * 255), "0..255"),
        (CAFFE, 1, "0..255"),
        (CAFFE / 255, 1 / 255, "0..1"),
        ([30, 4, 8], [20, 9, 10], "0..255"),
        ([30, 0, 8], [20, 1e-7, 10], "0..255"),
        (2 * MEAN - 1, 2 * DEVIATION, "-1..1"),
        ([0.1, -0.1, 0.2], 0.45, "-1..1"),
    ],
)
def test_statistics(mean, deviation, expected):
    """A mean and a deviation tell the range whose pixels can have them."""
    assert infer_pixel_range(*standardised(mean, deviation)) == expected


@pytest.mark.parametrize(
    ("scale", "offset"),
    [
        (1, 0),
        (-1, 0),
        (2, 0),
        (0.5, 0),
        (1 / 0.229, 0),
        (0, 1),
        (np.nan, 0),
        (1, -3),
        standardised(0.3, 0.45),  # bright images of -1..1, or odd ones of 0..1
        standardised(0.05, 0.3),
        standardised(0.5, 1.2),
    ],
)
def test_ambiguous_numbers(scale, offset):
    """Numbers that make sense for several ranges, or for none, tell nothing."""
    assert infer_pixel_range(scale, offset) is None


def test_channels_must_agree():
    """Channels that speak for different ranges tell nothing."""
    assert infer_pixel_range([1 / 255, 1 / 255, 2], [0, 0, -1]) is None
