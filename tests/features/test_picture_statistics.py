import numpy as np
import pytest

from frieze.features import STATISTICS, measure_pictures


def plain_statistics(image, size):
    """Compute the statistics as docs/format.md defines them, in float64."""
    red, green, blue = (image[..., channel].astype(np.int64) for channel in range(3))
    luma = (77 * red + 150 * green + 29 * blue + 128) >> 8
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    shares = np.array([(luma == level).mean() for level in range(256)])
    opponents = red - green, (red + green) / 2 - blue
    deviation, mean = (np.hypot(*(function(one) for one in opponents)) for function in (np.std, np.mean))
    entropy = -sum(share * np.log2(share) for share in shares if share)
    return luma.mean() / 255, luma.std() / 255, laplacian.var(), entropy, deviation + 0.3 * mean, size[0] / size[1]


@pytest.mark.parametrize("shape", [(3, 5), (24, 32), (224, 224)])
def test_definitions(shape):
    """Each statistic is that of its definition."""
    images = np.random.default_rng(0).integers(0, 256, (3, *shape, 3), np.uint8)
    images[1] //= 9
    sizes = [(400, 300), (30, 40), (9, 1)]
    expected = [plain_statistics(image, size) for image, size in zip(images, sizes, strict=True)]
    assert np.allclose(measure_pictures(images, sizes), expected, rtol=1e-4, atol=1e-5)


def test_extremes():
    """Black, white, one pixel a side and an empty batch have finite statistics."""
    black, white = np.zeros((1, 9, 9, 3), np.uint8), np.full((1, 1, 1, 3), 255, np.uint8)
    assert measure_pictures(black, [(9, 9)]).tolist() == [[0, 0, 0, 0, 0, 1]]
    assert measure_pictures(white, [(1, 1)]).tolist() == [[1, 0, 0, 0, 0, 1]]
    assert measure_pictures(black[:0], []).shape == (0, len(STATISTICS))


def test_colourfulness():
    """Half of pure red and half of pure green is more colourful than grey: the value of a calculation by hand."""
    image = np.zeros((1, 2, 2, 3), np.uint8)
    image[0, 0, :, 0] = image[0, 1, :, 1] = 255  # rg = 255 and -255; yb = 127.5
    assert measure_pictures(image, [(2, 2)])[0, 4] == pytest.approx(255 + 0.3 * 127.5)
