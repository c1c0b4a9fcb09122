"""Perceptual hashes: 64 bits of an image's coarse structure, which survive another size, format and quality."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import Floats, Rows

Hashes = npt.NDArray[np.uint64]
"""uint64; 0 stands for none."""

Levels = npt.NDArray[np.int16]

HASH_VERSION = "dct-sign-1"
"""The name in features.json of what this module computes."""

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue. Source: ITU-R BT.601."""
_N_CELLS = 64
"""Cells a side of the grid on which borders are found."""
_N_SAMPLES = 32
"""Samples a side of what is transformed."""
_N_LOWEST = 8
"""Frequencies of each direction that have a bit."""
_ROUNDING = 0.01
"""A coefficient up to this is zero: it is rounding, which differs from machine to machine."""
_LEAST_CONTRAST = 2.0
"""Standard deviation in the hashed frequencies, in levels, below which an image has no hash."""
_FLAT_SHARE, _FLAT_LEVELS = 0.95, 8
"""A line of cells is flat where this share of them lies within so many levels of their median."""
_LEAST_SHARE, _LEAST_CELLS = 0.2, 16
"""What has to be left inside of borders: this share of the area, and so many cells a side."""
_OUTSIDE = np.int16(10_000)
"""Stands for cells outside of a box: beyond any level."""
_ROUND_UP = 0.53
"""Added before a level is truncated; no half, which means of few pixels often meet exactly."""
_FIRST_AND_LAST = np.array([0, 1])
"""Subtracted from the first of a span and the one after the last."""
_CHUNK = 8
"""Images reduced at once: what a processor's cache holds."""
_LARGEST_PRODUCT = 1 << 18
"""Multiplications of one product of matrices. OpenBLAS shares a larger one between threads, which then spin for a while
and take the cores from the network. Source: SMP_THRESHOLD_MIN and GEMM_MULTITHREAD_THRESHOLD in interface/gemm.c."""


def hash_images(pixels: npt.NDArray[np.uint8]) -> tuple[Hashes, Hashes]:
    """Compute the perceptual hashes of images, and of their content inside of flat borders.

    A hash holds the signs of the 8 x 8 lowest coefficients of the DCT-II of the grey image, averaged to 32 x 32: bit
    8u + v is set where that of vertical frequency u and horizontal frequency v is positive; bit 0 never is.

    Args:
        pixels: [B, H, W, 3], RGB.

    Returns:
        whole: uint64 [B]; 0 for none: the image has no contrast.
        content: uint64 [B], the same as `whole` where there is no border.

    >>> ramp = np.arange(255, 0, -8, dtype=np.uint8)[:, None]
    >>> whole, content = hash_images(np.broadcast_to(ramp, (1, 32, 32, 3)))
    >>> whole.tolist(), content.tolist()  # bits 1, 3, 5 and 7: no vertical frequency
    ([170], [170])
    """
    grids = _to_grids(pixels)
    whole = _hash_grids(grids, np.array([[[0, _N_CELLS]] * 2]))
    content = whole.copy()
    images, boxes = _find_content(grids)
    content[images] = _hash_grids(grids[images], boxes)
    return whole, content


def orient_hashes(hashes: Hashes) -> Hashes:
    """Compute the hashes that the same images have when they are mirrored and turned, from the bits alone.

    Args:
        hashes: uint64 [N]; 0 for none.

    Returns:
        uint64 [8, N], in the order of EXIF's orientations: as it is, mirrored, turned by 180 degrees, upside down,
        transposed, turned by 90 degrees clockwise, transposed along the other diagonal, turned by 90 degrees
        counterclockwise; 0 where there is none.

    >>> orient_hashes(np.array([1 << 1], np.uint64))[4:5, 0].tolist() == [1 << 8]
    True
    """
    bits = np.unpackbits(hashes.astype("<u8").view(np.uint8), bitorder="little").reshape(-1, _N_LOWEST, _N_LOWEST)
    both = np.stack([hashes, _pack(bits.transpose(0, 2, 1))])
    oriented = both[:, None] ^ _FLIPS[:, None]  # [2, 4, N]
    return np.where(hashes == 0, np.uint64(0), oriented).reshape(8, len(hashes))


def _to_grids(pixels: npt.NDArray[np.uint8]) -> Floats:
    """Average the grey images to 64 x 64 cells, levels from 0 to 255: float32 [B, 64, 64]."""
    n, height, width, n_channels = pixels.shape
    _, block, n_cells = _split(width, _N_CELLS // 2)  # two cells or more: a matrix is faster than a vector
    luma = np.array(_LUMA, np.float32) / _split(height, _N_CELLS)[1]  # `_sum_rows` gives so many times the mean
    columns = _averaging(block, n_cells)
    of_block = (columns[:, :, None] * luma).reshape(n_cells, -1).T  # [block * 3, n_cells]
    grids = np.empty((n, _N_CELLS, _N_CELLS), np.float32)
    sums = np.empty((min(n, _CHUNK), _N_CELLS, width * n_channels), np.float32)
    for at in range(0, n, _CHUNK):
        chunk = pixels[at : at + _CHUNK].reshape(-1, height, width * n_channels)
        _sum_rows(chunk, out=sums[: len(chunk)])
        rows = sums[: len(chunk)].reshape(-1, _rows_per_product(of_block.size), len(of_block))
        np.matmul(rows, of_block, out=grids[at : at + _CHUNK].reshape(*rows.shape[:2], n_cells))
    return grids


def _rows_per_product(n_weights: int) -> int:
    """Return how many rows to multiply at once by so many weights: a power of two up to 64."""
    most = max(1, _LARGEST_PRODUCT // n_weights)
    return int(min(_N_CELLS, 2 ** (most.bit_length() - 1)))


def _split(side: int, most_blocks: int) -> tuple[int, int, int]:
    """Split a side into blocks of whole pixels and cells: how many blocks, and the pixels and cells of each."""
    n_blocks = math.gcd(side, most_blocks)
    return n_blocks, side // n_blocks, _N_CELLS // n_blocks


def _sum_rows(pixels: npt.NDArray[np.uint8], *, out: Floats) -> None:
    """Sum the rows of each cell.

    Args:
        pixels: uint8 [n, H, W].
        out: float32 [n, 64, W], where the sums go: the mean of a cell's rows, times the rows of a block.
    """
    n, height, width = pixels.shape
    n_blocks, block, n_cells = _split(height, _N_CELLS)
    rows, sums = pixels.reshape(n, n_blocks, block, width), out.reshape(n, n_blocks, n_cells, width)
    kind = np.uint16 if block * np.iinfo(np.uint8).max <= np.iinfo(np.uint16).max else np.uint32
    total = np.empty((n, n_blocks, width), kind)
    for cell in range(n_cells):
        (first, before), (last, after) = divmod(cell * block, n_cells), divmod((cell + 1) * block, n_cells)
        total[:] = rows[:, :, first] if first < last else 0
        for row in range(first + 1, last):  # faster than a sum along the axis
            total += rows[:, :, row]
        if n_cells > 1:
            total *= kind(n_cells)
        if before:  # this part of the first row belongs to the cell above
            total -= np.multiply(rows[:, :, first], before, dtype=kind)
        if after:
            total += np.multiply(rows[:, :, last], after, dtype=kind)
        sums[:, :, cell] = total


def _averaging(n_inputs: int, n_outputs: int) -> Floats:
    """Return the matrix that averages inputs to outputs of equal length, float32 [n_outputs, n_inputs]."""
    edges, inputs = (np.arange(n_outputs + 1) * n_inputs / n_outputs)[:, None], np.arange(n_inputs)
    shares = np.minimum(edges[1:], inputs + 1) - np.maximum(edges[:-1], inputs)
    return np.asarray(np.maximum(shares, 0) * n_outputs / n_inputs, np.float32)


def _cosines() -> Floats:
    """Return the lowest rows of the orthonormal DCT-II, and zeros behind: float32 [8, 33]."""
    angles = np.arange(_N_LOWEST)[:, None] * (2 * np.arange(_N_SAMPLES) + 1) * math.pi / (2 * _N_SAMPLES)
    basis = np.cos(angles) * math.sqrt(2 / _N_SAMPLES)
    basis[0] /= math.sqrt(2)
    return np.pad(basis, ((0, 0), (0, 1))).astype(np.float32)


_COSINES = _cosines()
_COSINE_SUMS = np.cumsum(_COSINES, axis=1) - _COSINES
"""The sum of the cosines before each sample, float32 [8, 33]."""


def _bases(spans: Rows) -> Floats:
    """Return the matrices that average the cells of spans to 32 samples, and give their lowest coefficients.

    Args:
        spans: int64 [n, 2], the first cell and the one after the last.

    Returns:
        float32 [n, 8, 64].
    """
    start, end = spans[:, :1], spans[:, 1:]
    edges = np.clip((np.arange(_N_CELLS + 1) - start) * (_N_SAMPLES / (end - start)), 0, _N_SAMPLES)  # in samples
    before = edges.astype(np.int64)
    sums = _COSINE_SUMS[:, before] + _COSINES[:, before] * (edges - before).astype(np.float32)  # [8, n, 65]
    return np.diff(sums, axis=2).swapaxes(0, 1)


def _hash_grids(grids: Floats, boxes: Rows) -> Hashes:
    """Hash the boxes, int64 [n or 1, 2, 2], of grids, float32 [n, 64, 64]: uint64 [n]."""
    coefficients = _bases(boxes[:, 0]) @ grids @ _bases(boxes[:, 1]).swapaxes(1, 2)
    coefficients[:, 0, 0] = 0
    contrast = np.sqrt(np.einsum("nij,nij->n", coefficients, coefficients)) / _N_SAMPLES
    return np.where(contrast >= _LEAST_CONTRAST, _pack(coefficients > _ROUNDING), np.uint64(0))


def _pack(bits: npt.NDArray[Any]) -> Hashes:
    """Pack bits, bool or uint8 [n, 8, 8], into uint64 [n], the first one lowest; the first one counts as 0."""
    packed = np.packbits(bits.reshape(-1, _N_LOWEST**2), axis=1, bitorder="little")
    return packed.view("<u8")[:, 0].astype(np.uint64) & ~np.uint64(1)


def _find_content(grids: Floats) -> tuple[Rows, Rows]:
    """Find the images that have flat borders, and what is inside of them.

    Rows and columns are trimmed at once, then again within what is left, so that turned images have turned boxes.

    Args:
        grids: float32 [B, 64, 64].

    Returns:
        images: int64 [n], ascending.
        boxes: int64 [n, 2, 2], for rows and columns the first cell and the one after the last.
    """
    n = len(grids)
    levels = (grids + _ROUND_UP).astype(np.int16)
    lines = np.concatenate([levels, levels.swapaxes(1, 2)])  # [2B, 64, 64]: rows of all images, then columns
    spans, due = np.full((2 * n, 2), (0, _N_CELLS)), np.arange(2 * n)
    for _ in range(2):
        due = (_trim(lines, due, spans, np.roll(spans, n, axis=0)) + n) % (2 * n)
    boxes = spans.reshape(2, n, 2).swapaxes(0, 1)
    sides = boxes[:, :, 1] - boxes[:, :, 0]
    n_left = sides[:, 0] * sides[:, 1]
    is_usable = (sides.min(axis=1) >= _LEAST_CELLS) & (n_left >= _LEAST_SHARE * _N_CELLS**2) & (n_left < _N_CELLS**2)
    return np.flatnonzero(is_usable), boxes[is_usable]


def _trim(lines: Levels, which: Rows, spans: Rows, across: Rows) -> Rows:
    """Reduce spans with flat lines at an end to the longest run of others; where all lines are flat, none is.

    A bar with a title or icons goes with the flat lines that part it from the rest.

    Args:
        lines: int16 [N, 64, 64].
        which: int64 [n], the spans to reduce.
        spans: int64 [N, 2], the first line and the one after the last; reduced in place.
        across: int64 [N, 2], the first cell of each line that counts and the one after the last.

    Returns:
        int64, those that were reduced.
    """
    ends = lines[which[:, None], spans[which] - _FIRST_AND_LAST]  # [n, 2, 64]
    which = which[np.any(_are_flat(ends, across[which]), axis=1)]
    is_kept = _is_within(spans[which]) & ~_are_flat(lines[which], across[which])
    has_kept = np.any(is_kept, axis=1)
    which, is_kept = which[has_kept], is_kept[has_kept]
    spans[which] = _longest_runs(is_kept)
    return which


def _longest_runs(is_busy: npt.NDArray[np.bool_]) -> Rows:
    """Return the longest run of each row, int64 [n, 2]: the first and the one after the last.

    >>> _longest_runs(np.array([[True, True, False, False, True, True, True, False]])).tolist()
    [[4, 7]]
    """
    numbers = np.arange(is_busy.shape[1])
    starts = np.maximum.accumulate(np.where(is_busy, -1, numbers), axis=1) + 1
    lengths = np.where(is_busy, numbers - starts + 1, 0)
    ends = lengths.argmax(axis=1) + 1
    return np.stack([ends - lengths.max(axis=1), ends], axis=1)


def _is_within(spans: Rows) -> npt.NDArray[np.bool_]:
    """Return which of the 64 lines or cells lie within spans, int64 [n, 2]: bool [n, 64]."""
    cells = np.arange(_N_CELLS)
    return (cells >= spans[:, :1]) & (cells < spans[:, 1:])


def _are_flat(lines: Levels, across: Rows) -> npt.NDArray[np.bool_]:
    """Return which lines of cells, int16 [n, L, 64], are flat within spans, int64 [n, 2]: bool [n, L]."""
    ordered = np.where(_is_within(across)[:, None], lines, _OUTSIDE)
    ordered.sort(axis=2)
    n_inside = across[:, 1] - across[:, 0]
    medians = ordered[np.arange(len(lines)), :, (n_inside - 1) // 2]
    is_near = np.abs(ordered - medians[:, :, None]) <= _FLAT_LEVELS
    n_near = is_near.view(np.uint8).sum(axis=2, dtype=np.uint8)
    return np.asarray(n_near >= _FLAT_SHARE * n_inside[:, None])


def _flips() -> Hashes:
    """Return the bits that change when an image is left, mirrored, turned by 180 degrees, upside down: uint64 [4]."""
    odd = np.arange(_N_LOWEST) % 2 == 1  # mirroring changes the sign of the odd frequencies
    across, down = np.broadcast_to(odd, (_N_LOWEST, _N_LOWEST)), np.broadcast_to(odd[:, None], (_N_LOWEST, _N_LOWEST))
    return _pack(np.stack([across & ~across, across, across ^ down, down]))


_FLIPS = _flips()
