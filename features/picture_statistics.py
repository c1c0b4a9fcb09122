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
    workspace = _Workspace(*pixels.shape[1:3])
    for row, image in enumerate(pixels):
        shares[row], measured[row] = workspace.measure(image)
    shares /= math.prod(pixels.shape[1:3])
    brightness = shares @ _LEVELS
    contrast = np.sqrt(np.maximum(0, shares @ _LEVELS**2 - brightness**2))
    entropy = np.abs((shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1))
    aspects = [width / max(1, height) for width, height in sizes]
    columns = brightness / _WHITE, contrast / _WHITE, measured[:, 0], entropy, measured[:, 1], aspects
    return np.column_stack(columns).astype(np.float32)


class _Workspace:
    """The arrays in which one image after another is measured: new ones for each would cost as much as the work."""

    def __init__(self, height: int, width: int) -> None:
        n_pixels = min(_CHUNK, height * width)
        self._colours, self._planes = np.empty((3, n_pixels), np.float32), np.empty((3, n_pixels), np.float32)
        self._luma = np.zeros((height, width), np.uint8)
        self._image = Image.frombuffer("L", (width, height), self._luma, "raw", "L", 0, 1)  # of the same memory
        n_inner = max(0, height - 2) * width
        self._levels = np.empty(height * width, np.int16)
        self._laplacian = np.empty(n_inner, np.int16)
        self._variations = np.empty((max(0, height - 2), max(0, width - 2)), np.float32)

    def measure(self, image: npt.NDArray[np.uint8]) -> tuple[list[int], tuple[float, float]]:
        """Return the histogram of the grey levels, then sharpness and colourfulness."""
        red_green, yellow_blue = _Moments(), _Moments()
        flat, luma = image.reshape(-1, 3), self._luma.reshape(-1)
        for at in range(0, len(flat), _CHUNK):
            part = flat[at : at + _CHUNK]
            colours, planes = self._colours[:, : len(part)], self._planes[:, : len(part)]
            colours[:] = part.T  # plane by plane, which are multiplied three times as fast as pixels
            np.matmul(_WEIGHTS, colours, out=planes)
            planes[0] += np.float32(0.5)
            luma[at : at + _CHUNK] = planes[0]  # rounded down
            red_green.add(planes[1])
            yellow_blue.add(planes[2])
        histogram = self._image.histogram()  # faster than bincount
        deviation, mean = (
            math.sqrt(red_green.variance + yellow_blue.variance),
            math.hypot(red_green.mean, yellow_blue.mean),
        )
        return histogram, (self._sharpness(), deviation + _MEAN_WEIGHT * mean)

    def _sharpness(self) -> float:
        """Return the variance of the Laplacian; 0 where no pixel has four neighbours."""
        if not self._variations.size:
            return 0.0
        width, levels, middle = self._luma.shape[1], self._levels, self._laplacian
        levels[:], last = self._luma.reshape(-1), width + len(middle)
        np.left_shift(levels[width:last], 2, out=middle)  # whole rows at once; those beside others are cut off
        for shift in (-width, width, -1, 1):
            middle -= levels[width + shift : last + shift]
        self._variations[:] = middle.reshape(-1, width)[:, 1:-1]
        moments, values = _Moments(), self._variations.reshape(-1)
        for at in range(0, values.size, _CHUNK):
            moments.add(values[at : at + _CHUNK])
        return moments.variance


class _Moments:
    """Mean and variance of numbers that come in parts of at most `_CHUNK`."""

    def __init__(self) -> None:
        self._n, self._total, self._squares = 0, 0.0, 0.0

    def add(self, part: Floats) -> None:
        """Take float32 [n]."""
        self._n += part.size
        self._total += float(part @ _ONES[: part.size])
        self._squares += float(part @ part)

    @property
    def mean(self) -> float:
        """The mean; 0 for no values."""
        return self._total / max(1, self._n)

    @property
    def variance(self) -> float:
        """The variance; 0 for no values."""
        return max(0.0, self._squares / max(1, self._n) - self.mean**2)
