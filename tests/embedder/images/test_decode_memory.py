import contextlib
import io
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from frieze.embedder import decode
from frieze.embedder.images.decode_memory import DECODE_MEMORY, SMALL_BYTES, DecodeMemory


def most_at_once(n_bytes, *, free, n_threads=6, rounds=3):
    """Take memory from several threads, and return how many held it at once at most."""
    memory, lock, here, most = DecodeMemory(lambda: free), threading.Lock(), [0], [0]
    seen = threading.Barrier(n_threads) if n_bytes < SMALL_BYTES else None

    def work(_):
        with memory.take(n_bytes):
            with lock:
                here[0] += 1
                most[0] = max(most[0], here[0])
            if seen is not None:
                seen.wait(timeout=10)
            with lock:
                here[0] -= 1

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(work, range(n_threads * rounds)))
    return most[0]


@pytest.mark.parametrize(("n_fit", "expected"), [(1, 1), (2, 2), (3, 3)])
def test_sum_is_bounded(n_fit, expected):
    """As many large images are decoded at once as fit half of the free memory together."""
    assert most_at_once(SMALL_BYTES, free=2 * n_fit * SMALL_BYTES) <= expected


def test_too_large_image_is_decoded_alone():
    """An image that never fits goes alone; it does not wait forever."""
    assert most_at_once(100 * SMALL_BYTES, free=SMALL_BYTES) == 1


def test_small_ones_do_not_wait():
    """Small images are decoded at once by all threads."""
    assert most_at_once(SMALL_BYTES - 1, free=0) == 6


def test_given_back_after_an_error():
    """What is taken is given back where decoding fails."""
    memory = DecodeMemory(lambda: 2 * SMALL_BYTES)
    for _ in range(3):
        with pytest.raises(ValueError, match="bad"), memory.take(SMALL_BYTES):
            raise ValueError("bad")
    assert memory._taken == 0


@pytest.mark.parametrize(
    ("mode", "form", "options", "bytes_per_pixel"),
    [
        ("RGB", "PNG", {}, 8),
        ("RGB", "JPEG", {}, 4),
        ("RGB", "JPEG", {"progressive": True}, 10),
        ("CMYK", "JPEG", {"progressive": True}, 14),
        ("RGB", "WEBP", {}, 17),
        ("RGB", "GIF", {}, 12),
    ],
)
def test_reserved_memory(mode, form, options, bytes_per_pixel, monkeypatch):
    """An image reserves the measured peak of its format: 8 bytes a pixel by Pillow where none was measured."""
    reserved, file = [], io.BytesIO()
    monkeypatch.setattr(DECODE_MEMORY, "take", lambda size: reserved.append(size) or contextlib.nullcontext())
    Image.new(mode, (50, 20)).save(file, form, **options)
    decode(file.getvalue(), side_px=50)
    assert reserved == [50 * 20 * bytes_per_pixel]
