"""Processes that decode: a batch decoded in the test's own thread is the judge."""

import contextlib
import io
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
from frieze.embedder.images import decode_processes
from frieze.embedder.images.decode_processes import DecodeProcesses, DecoderDiedError
from frieze.embedder.images.limits import Limits
from frieze.embedder.images.prepare import ThreadDecoder
from frieze.features import BackboneSpec

SPEC = BackboneSpec(name="", handle="", fingerprint="", dim=1, image_size=(24, 32))
LIMITS = Limits(max_pixels=3000)


def encode(side, kind="JPEG"):
    """Return the bytes of a picture of noise."""
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


IMAGES = [encode(20), b"", encode(40), b"no image", encode(60), encode(50, "PNG"), encode(40)[:300]]
"""Good ones, and those that are empty, no image, too large and cut short."""


def decode_with(decoder, images=IMAGES):
    """Decode a batch: its results, failures as (stage, reason, message), and its perceptual hashes."""
    for data in images:
        decoder.add(data)
    done = decoder.finish()
    results = [(one.stage, one.reason, one.message) if isinstance(one, ImageError) else one for one in done.results]
    return results, done.hashes.tolist()


@pytest.fixture(scope="module")
def processes():
    """Two processes."""
    with contextlib.closing(DecodeProcesses(2, SPEC, LIMITS, batch_size=8)) as both:
        yield both


@pytest.fixture
def expected():
    """What a thread makes of the images: its results and pixels."""
    pixels = np.zeros((8, 24, 32, 3), np.uint8)
    return decode_with(ThreadDecoder(SPEC, LIMITS.max_pixels, pixels)), pixels


def test_same_as_a_thread(processes, expected):
    """Both processes give the pixels, sizes, traits, failures and hashes of a thread, batch after batch."""
    pixels = [np.zeros((8, 24, 32, 3), np.uint8) for _ in range(2)]
    with processes.take(pixels[0]) as one, processes.take(pixels[1]) as other:
        assert decode_with(one) == decode_with(other) == expected[0]
        assert decode_with(one) == expected[0]
    assert all(np.array_equal(actual, expected[1]) for actual in pixels)
    assert sum(isinstance(one[0], str) for one in expected[0][0]) == 4
    assert all(whole for whole, _ in expected[0][1])


def test_cpu_seconds(processes):
    """The CPU seconds of the process are told."""
    with processes.take(np.empty((8, 24, 32, 3), np.uint8)) as decoder:
        decoder.add(IMAGES[0])
        assert decoder.finish().cpu_s > 0


def test_a_process_that_ended_is_replaced(processes, expected):
    """Where a process dies, the batch fails, and the pool has as many as before."""
    pixels = np.zeros((8, 24, 32, 3), np.uint8)
    with contextlib.ExitStack() as held:
        decoder = held.enter_context(processes.take(pixels))
        decoder._helper._child.kill()
        with pytest.raises(DecoderDiedError, match="lack of memory") as caught:
            decode_with(decoder)
        assert held.__exit__(caught.type, caught.value, caught.tb) is False
    with processes.take(pixels), processes.take(pixels) as decoder:
        assert decode_with(decoder) == expected[0]


def test_killed_or_crashed(processes):
    """A process that was killed from outside is told from one that crashed."""
    for number, was_killed in ((signal.SIGKILL, True), (signal.SIGSEGV, False)):
        with contextlib.suppress(DecoderDiedError), processes.take(np.empty((8, 24, 32, 3), np.uint8)) as decoder:
            decoder._helper._child.send_signal(number)
            with pytest.raises(DecoderDiedError) as caught:
                decode_with(decoder)
            assert caught.value.was_killed is was_killed
            raise caught.value


def test_a_process_that_can_not_begin(monkeypatch):
    """Where a process ends before it is ready, making a pool fails, and so does a batch that needs a new process."""
    pixels = np.empty((1, 24, 32, 3), np.uint8)
    with contextlib.closing(DecodeProcesses(1, SPEC, LIMITS, batch_size=1)) as pool:
        with contextlib.suppress(KeyError), pool.take(pixels):
            raise KeyError
        monkeypatch.setattr(sys, "executable", shutil.which("false"))
        for make in (lambda: DecodeProcesses(2, SPEC, LIMITS, batch_size=1), pool.take(pixels).__enter__):
            with pytest.raises(DecoderDiedError):
                make()


def test_what_is_no_folder_in_the_path(monkeypatch):
    """Something else than a text in `sys.path`, which Python ignores, is left out."""
    monkeypatch.setattr(sys, "path", [*sys.path, Path("nowhere")])
    DecodeProcesses(1, SPEC, LIMITS, batch_size=1).close()


def test_ctrl_c_of_a_terminal_does_not_reach_them(processes):
    """The processes have a session of their own."""
    with processes.take(np.empty((8, 24, 32, 3), np.uint8)) as decoder:
        assert os.getsid(decoder._helper._child.pid) != os.getsid(0)


def test_a_stopped_one_is_closed():
    """A process that was stopped (SIGSTOP) does not keep the pool from closing."""
    pool = DecodeProcesses(1, SPEC, LIMITS, batch_size=1)
    with pool.take(np.empty((1, 24, 32, 3), np.uint8)) as decoder:
        child = decoder._helper._child
        child.send_signal(signal.SIGSTOP)
    pool.close()
    assert child.poll() is not None


def test_a_batch_that_was_left_is_not_mixed_with_the_next(processes, expected):
    """A batch that ends in an error of the caller leaves nothing to the next one."""
    pixels = np.zeros((8, 24, 32, 3), np.uint8)
    with contextlib.suppress(KeyError), processes.take(pixels) as decoder:
        decoder.add(IMAGES[0])
        raise KeyError
    for _ in range(2):
        with processes.take(pixels) as decoder:
            assert decode_with(decoder) == expected[0]


def test_processes_end(processes):
    """Closed, the pool leaves no process behind."""
    pool = DecodeProcesses(1, SPEC, LIMITS, batch_size=1)
    with pool.take(np.empty((1, 24, 32, 3), np.uint8)) as decoder:
        child = decoder._helper._child
    pool.close()
    assert child.poll() is not None


def test_memory_is_shared(processes, monkeypatch):
    """Large images of all processes together get the memory that those of one would."""
    monkeypatch.setattr(decode_processes.DECODE_MEMORY, "n_processes", 4)
    monkeypatch.setattr(decode_processes.DECODE_MEMORY, "_free", lambda: 8 << 30)
    with decode_processes.DECODE_MEMORY.take(1 << 30):
        assert decode_processes.DECODE_MEMORY._limit == 1 << 30
