"""Damaged images of every kind against decoding. As a script, this file tries many under a limit of memory.

Usage: python tests/embedder/images/test_damaged_images.py N   prints the figures of docs/benchmarks.md.
"""

import collections
import io
import json
import os
import random
import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frieze.core import ImageError
from frieze.embedder import Limits, decode

MAX_PIXELS = 1 << 20
MARGIN_MB = 64
LIMIT_MB = 16 * MAX_PIXELS // 2**20 + MARGIN_MB
"""What decoding may take: a few layers of 4 bytes a pixel, and what libraries take for themselves."""

N_CASES = 20_000
REASONS = {"damaged", "empty", "not an image", "too large", "truncated", "unsupported"}
MAGIC = (b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\x40\0\0\0WEBPVP8 ", b"II*\0", b"MM\0*")
EXTREMES = (b"\xff" * 4, b"\0" * 4, struct.pack("<I", 60_000), struct.pack(">I", 60_000), b"\x7f\xff\xff\xff")


def _encode(image, kind, **options):
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _samples():
    """Encode a small picture in every form that we read."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 31, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((93, 72))
    rgb, grey = image.convert("RGB"), image.convert("L")
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 257)
    animated = {"save_all": True, "append_images": [rgb.rotate(9)]}
    yield from (_encode(one, "JPEG") for one in (rgb, grey, rgb.convert("CMYK")))
    yield from (
        _encode(rgb, "JPEG", **options) for options in ({"progressive": True}, {"exif": b"Exif\0\0II*\0\x08\0\0\0"})
    )
    yield from (_encode(one, "PNG") for one in (rgb, image, grey, deep, rgb.convert("P"), rgb.convert("1")))
    yield from (_encode(rgb.convert("P"), "GIF"), _encode(rgb, "GIF", **animated))
    yield from (_encode(one, "BMP") for one in (rgb, grey, rgb.convert("1")))
    yield from (_encode(image, "WEBP"), _encode(rgb, "WEBP", lossless=True), _encode(rgb, "WEBP", **animated))
    for compression in (None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        yield _encode(rgb, "TIFF", compression=compression)
    yield from (_encode(deep, "TIFF"), _encode(rgb, "TIFF", **animated))


SAMPLES = tuple(_samples())


def _flip(data, rng):
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)


def _flip_head(data, rng):
    data[rng.randrange(min(64, len(data)))] ^= 1 << rng.randrange(8)


def _extreme(data, rng):
    at = rng.randrange(min(200, len(data)))
    data[at : at + 4] = rng.choice(EXTREMES)


def _cut(data, rng):
    del data[rng.randrange(len(data)) :]


def _lose(data, rng):
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 40)]


def _splice(data, rng):
    other = rng.choice(SAMPLES)
    data[rng.randrange(len(data)) :] = other[rng.randrange(len(other)) :]


def _noise(data, rng):
    data[:] = rng.choice(MAGIC) + rng.randbytes(rng.randrange(300))


DAMAGES = (_flip, _flip_head, _extreme, _cut, _lose, _splice, _noise)


def damaged(rng):
    """Draw a damaged image: one of the samples after one or two sorts of damage."""
    data = bytearray(rng.choice(SAMPLES))
    for _ in range(rng.randint(1, 2)):
        if data:
            rng.choice(DAMAGES)(data, rng)
    return bytes(data)


def outcome(data, side_px=32):
    """Decode: gives `image` for a right one, or the reason of a clear failure; anything else is an error."""
    try:
        image, (width, height) = decode(data, side_px=side_px, max_pixels=MAX_PIXELS)
    except ImageError as error:
        return _clear(error)
    pixels = np.asarray(image)
    assert (pixels.dtype, pixels.ndim, pixels.shape[2]) == (np.uint8, 3, 3)
    assert 0 < width * height <= MAX_PIXELS
    assert pixels.shape[0] <= height
    assert pixels.shape[1] <= width
    return "image"


def _clear(error):
    assert not isinstance(error.__cause__, MemoryError), error.message
    assert (error.stage, error.reason in REASONS, bool(error.message)) == ("decode", True, True), error.reason
    return error.reason


@pytest.mark.parametrize("number", range(len(SAMPLES)))
def test_sound(number):
    """Before the damage, each sample is a right image of its full size."""
    image, size = decode(SAMPLES[number], side_px=500)
    assert (image.mode, image.size, size) == ("RGB", (93, 72), (93, 72))
    assert outcome(SAMPLES[number]) == "image"


@pytest.mark.parametrize("accepts", [False, True])
@settings(max_examples=150)
@given(rng=st.randoms(use_true_random=False))
def test_damaged(accepts, rng):
    """Whatever the damage, it is a right image or a clear failure, truncated images accepted or not."""
    with Limits(accept_truncated=accepts).hold():
        outcome(damaged(rng))


@settings(max_examples=100)
@given(data=st.binary(max_size=200), magic=st.sampled_from(MAGIC))
def test_noise(data, magic):
    """Bytes that only begin like an image are a clear failure, or by rare luck a right image."""
    outcome(magic + data)


@pytest.mark.parametrize("head", [b"VP8X", b"VP8L", b"VP8 "])
def test_bombs_of_webp(head):
    """A WebP that promises more pixels than the limit is refused before its canvas is laid out."""
    body = {
        b"VP8X": b"\0\0\0\0" + (16382).to_bytes(3, "little") * 2,
        b"VP8L": b"\x2f" + struct.pack("<I", 16382 | 16382 << 14),
        b"VP8 ": b"\x10\0\0\x9d\x01\x2a" + struct.pack("<HH", 16383, 16383),
    }[head]
    chunk = head + struct.pack("<I", len(body)) + body
    data = b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk + bytes(64)
    assert outcome(data) == "too large"


def try_many(count):
    """Decode damaged images under a limit of memory; gives how many came to what, and the memory taken."""
    for sample in SAMPLES:
        outcome(sample)
    before = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: PTH123, SIM115
    resource.setrlimit(resource.RLIMIT_AS, (before + LIMIT_MB * 2**20,) * 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    actual = collections.Counter()
    for number in range(count):
        with Limits(accept_truncated=bool(number % 2)).hold():
            actual[outcome(damaged(random.Random(number)))] += 1  # noqa: S311  not for secrets
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    return {"cases": count, **dict(actual.most_common()), "limit_mb": LIMIT_MB, "grown_mb": round(grown)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit of memory is Linux's")
def test_many_under_a_limit_of_memory():
    """Twenty thousand damaged images crash nothing and allocate nothing beyond the limit."""
    command = [sys.executable, __file__, str(N_CASES)]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}  # libraw's threads reserve more addresses than the limit leaves
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=alone)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["cases"] == N_CASES
    assert document["image"] > N_CASES // 10
    assert sum(document.get(reason, 0) for reason in REASONS) == N_CASES - document["image"]


if __name__ == "__main__":
    print(json.dumps(try_many(int(sys.argv[1]))))  # noqa: T201  a script
