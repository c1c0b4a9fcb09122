"""Picture statistics: brightness, contrast, sharpness, entropy, colourfulness and aspect of images."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from frieze.core import Floats

STATISTICS = ("brightness", "contrast", "sharpness", "entropy", "colourfulness", "aspect")
"""The columns of picture statistics, after those of perceptual hashes; a table has all or none."""

STATISTICS_VERSION = "pixels-1"
"""The name in features.json of what this module computes."""

_WHITE = 255
_WEIGHTS = np.array([[77 / 256, 150 / 256, 29 / 256], [1, -1, 0], [0.5, 0.5, -1]], np.float32)
"""Grey (ITU-R BT.601, in 256ths), red - green, and (red + green) / 2 - blue: of levels all are exact in float32."""
_MEAN_WEIGHT = 0.3
_LEVELS = np.arange(_WHITE + 1, dtype=np.float64)
_CHUNK = 8192
"""Pixels of one product: OpenBLAS shares a dot product of 10,000 and more, and a product of matrices of 262,144
multiplications, between threads, which then spin. Source: interface/dot.c, interface/gemm.c."""
_ONES = np.ones(_CHUNK, np.float32)


def measure_pictures(pixels: npt.NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> Floats:
    """Compute the statistics of images from the pixels that the network takes, before they are normalised.

    Args:
        pixels: [n, H, W, 3], RGB.
        sizes: Width and height of each image as displayed.

    Returns:
        float32 [n, 6], in the order of `STATISTICS`. With Y = (77 R + 150 G + 29 B) / 256, rounded:
        brightness: mean of Y / 255, in [0, 1].
        contrast: standard deviation of Y / 255, in [0, .5]: the RMS contrast.
        sharpness: variance of the Laplacian (4 in the middle, -1 above, below, left and right) of Y; 0 for less than
            3 pixels a side.
        entropy: of the histogram of Y in 256 levels, in bits, in [0, 8].
        colourfulness: of Hasler and Suesstrunk; 0 for grey, 15 slightly, 45 averagely, 82 highly colourful.
        aspect: width / height of the image.

    Source: Peli 1990, Contrast in complex images; Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield
    microscopy; Hasler and Suesstrunk 2003, Measuring colourfulness in natural images, equation for M(3).

    >>> grey = np.full((1, 8, 8, 3), 51, np.uint8)
    >>> [round(float(one), 3) for one in measure_pictures(grey, [(300, 200)])[0]]
    [0.2, 0.0, 0.0, 0.0, 0.0, 1.5]
    """
    shares, measured = np.zeros((len(pixels), _WHITE + 1)), np.zeros((len(pixels), 2))
    for row, image in enumerate(pixels):
        shares[row], measured[row] = _measure(image)
    shares /= math.prod(pixels.shape[1:3])
    brightness = shares @ _LEVELS
    contrast = np.sqrt(np.maximum(0, shares @ _LEVELS**2 - brightness**2))
    entropy = np.abs((shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1))
    aspects = [width / max(1, height) for width, height in sizes]
    columns = brightness / _WHITE, contrast / _WHITE, measured[:, 0], entropy, measured[:, 1], aspects
    return np.column_stack(columns).astype(np.float32)


def _measure(image: npt.NDArray[np.uint8]) -> tuple[list[int], tuple[float, float]]:
    """Return the histogram of the grey levels, then sharpness and colourfulness."""
    height, width, n_channels = image.shape
    colours, planes = image.reshape(-1, n_channels).astype(np.float32), np.empty((3, height * width), np.float32)
    for at in range(0, height * width, _CHUNK):
        np.matmul(_WEIGHTS, colours[at : at + _CHUNK].T, out=planes[:, at : at + _CHUNK])
    planes[0] += np.float32(0.5)
    luma = planes[0].astype(np.uint8).reshape(height, width)
    histogram = Image.fromarray(luma).histogram()  # faster than bincount
    return histogram, (_moments(_laplacian(luma))[1], _colourfulness(planes[1], planes[2]))


def _laplacian(luma: npt.NDArray[np.uint8]) -> Floats:
    height, width = luma.shape
    if min(height, width) < 3:  # noqa: PLR2004  no pixel has four neighbours
        return np.empty(0, np.float32)
    flat, last = luma.reshape(-1).astype(np.int16), (height - 1) * width
    middle = flat[width:last] << np.int16(2)  # whole rows at once; those of other rows beside them are cut off
    for shift in (-width, width, -1, 1):
        middle -= flat[width + shift : last + shift]
    return middle.reshape(-1, width)[:, 1:-1].astype(np.float32).reshape(-1)


def _colourfulness(red_green: Floats, yellow_blue: Floats) -> float:
    means, variances = zip(_moments(red_green), _moments(yellow_blue), strict=True)
    return math.sqrt(sum(variances)) + _MEAN_WEIGHT * math.hypot(*means)


def _moments(values: Floats) -> tuple[float, float]:
    """Return mean and variance of float32 [n]; 0 for no values."""
    total = squares = 0.0
    for at in range(0, values.size, _CHUNK):
        part = values[at : at + _CHUNK]
        total += float(part @ _ONES[: part.size])
        squares += float(part @ part)
    mean = total / max(1, values.size)
    return mean, max(0.0, squares / max(1, values.size) - mean**2)
