"""Hashes of made pictures: SciPy's DCT, and pictures that are really mirrored, framed or resized, are the judges."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from scipy.fft import dctn

from frieze.features import hash_images, orient_hashes


def picture(seed, height, width):
    """Return a smooth coloured picture, uint8 [H, W, 3]."""
    colours = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    return np.asarray(Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC))


def pictures(n, height=96, width=96):
    """Return smooth coloured pictures, uint8 [n, H, W, 3]."""
    return np.stack([picture(seed, height, width) for seed in range(n)])


def distances(some, others):
    """Return how many bits differ, int [n]."""
    return np.bitwise_count(some ^ others).tolist()


def framed(pixels, side=128, at=(10, 20), colour=250):
    """Return the pictures within a larger flat square."""
    frames = np.full((len(pixels), side, side, 3), colour, np.uint8)
    height, width = pixels.shape[1:3]
    frames[:, at[0] : at[0] + height, at[1] : at[1] + width] = pixels
    return frames


def averaged(grey):
    """Average a grey image to 32 x 32: each pixel is repeated until the sides divide."""
    height, width = grey.shape
    large = np.repeat(np.repeat(grey, 32, axis=0), 32, axis=1)
    return large.reshape(32, height, 32, width).mean(axis=(1, 3))


@pytest.mark.parametrize(("height", "width"), [(224, 224), (128, 128), (224, 160), (75, 331), (8, 20)])
def test_bits_are_signs_of_the_dct(height, width):
    """Bit 8u + v is set where SciPy's DCT-II of the averaged grey image is positive at (u, v), except for bit 0."""
    whole, _ = hash_images(pictures(3, height, width))
    for pixels, value in zip(pictures(3, height, width), whole, strict=True):
        coefficients = dctn(averaged(pixels @ [0.299, 0.587, 0.114]), norm="ortho")[:8, :8].ravel()
        bits = np.array([int(value) >> bit & 1 for bit in range(64)])
        is_clear = np.abs(coefficients) > 0.1
        assert (bits == (coefficients > 0))[is_clear][1:].all()
        assert (is_clear.sum() > 40, bits[0]) == (True, 0)


@pytest.mark.parametrize("pixels", [pictures(5, 64, 64), pictures(5, 224, 224), framed(pictures(5))])
def test_orientations(pixels):
    """The hashes of the eight orientations, of images and contents, are those of the pixels, turned and mirrored."""
    transposed = pixels.swapaxes(1, 2)
    oriented = [orient_hashes(hashes) for hashes in hash_images(pixels)]
    for number, other in enumerate(
        [
            pixels,
            np.flip(pixels, 2),
            np.rot90(pixels, 2, (1, 2)),
            np.flip(pixels, 1),
            transposed,
            np.rot90(pixels, -1, (1, 2)),
            np.rot90(transposed, 2, (1, 2)),
            np.rot90(pixels, 1, (1, 2)),
        ]
    ):
        for hashes, expected in zip(hash_images(other), oriented, strict=True):
            assert hashes.tolist() == expected[number].tolist(), number


def test_another_size():
    """Another size of the same pictures changes few bits, other pictures about half of the 63."""
    some, others = hash_images(pictures(20, 224, 224))[0], hash_images(pictures(20, 90, 90))[0]
    assert max(distances(some, others)) <= 4
    assert min(distances(some, np.roll(others, 1))) >= 12


def test_a_flat_image_has_none():
    """An image without contrast has no hash, in no orientation; its neighbours in the batch have theirs."""
    pixels = pictures(3)
    pixels[1] = 128 + np.random.default_rng(0).integers(-3, 3, pixels[1].shape)
    whole, content = hash_images(pixels)
    assert [(whole == 0).tolist(), (content == 0).tolist()] == [[False, True, False]] * 2
    assert (orient_hashes(whole)[:, 1] == 0).all()


@pytest.mark.parametrize("at", [(10, 20), (0, 0), (32, 0), (16, 32)])
def test_content_inside_of_borders(at):
    """The content of a framed picture is the picture's, whichever sides have a border, in any batch."""
    whole, _ = hash_images(pictures(8))
    framed_whole, content = hash_images(np.concatenate([framed(pictures(4), at=at), pictures(4, 128, 128)]))
    assert max(distances(content[:4], whole[:4])) <= 6
    assert min(distances(framed_whole[:4], whole[:4])) >= 10
    assert (content[4:] == framed_whole[4:]).all()


def test_broad_bars():
    """Bars above and below may be broader than the picture: columns, of which each is flat, are left then."""
    frames = framed(pictures(4, 40, 128), at=(44, 0))
    assert max(distances(hash_images(frames)[1], hash_images(pictures(4, 40, 128))[0])) <= 4


def test_borders_with_some_marks():
    """A border may have marks, such as a caption, on less than a third of each line."""
    frames = framed(pictures(4))
    frames[:, 112:124, 30:60] = 0
    assert max(distances(hash_images(frames)[1], hash_images(pictures(4))[0])) <= 6


@pytest.mark.parametrize("size", [(50, 50), (128, 30)])
def test_too_little_left(size):
    """Where too little would be left inside of the borders, nothing is trimmed."""
    whole, content = hash_images(framed(pictures(3, *size), at=(0, 40)))
    assert content.tolist() == whole.tolist()


def test_any_batch_gives_the_same():
    """An image's hashes do not depend on the batch."""
    pixels = np.concatenate([framed(pictures(4)), pictures(5, 128, 128)])
    one_by_one = [np.concatenate(hash_images(one[None])).tolist() for one in pixels]
    assert np.stack(hash_images(pixels), axis=1).tolist() == one_by_one


def test_no_images():
    """No images have no hashes."""
    assert [one.tolist() for one in hash_images(np.empty((0, 64, 64, 3), np.uint8))] == [[], []]
    assert orient_hashes(np.empty(0, np.uint64)).shape == (8, 0)


ONE_THREAD = """
import time, numpy as np
from frieze.features import hash_images
pixels = np.random.default_rng(0).integers(0, 256, (16, {side}, {side}, 3), np.uint8)
hash_images(pixels)
whole, own = time.process_time(), time.thread_time()
for _ in range(20):
    hash_images(pixels)
print((time.process_time() - whole) / (time.thread_time() - own))
"""


@pytest.mark.parametrize("side", [224, 299])
def test_no_other_thread_works(side):
    """No thread of BLAS works or spins beside the one that hashes: the network needs the other cores."""
    variables = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", ONE_THREAD.format(side=side)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.2
