"""Decodes images in processes of their own, into memory that they share with this one.

For machines whose many cores one Python can't keep busy with decoding, however little of it holds its lock.
"""

import contextlib
import itertools
import mmap
import os
import queue
import signal
import struct
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import IO, NamedTuple

import numpy as np

from frieze.core import HelperProcess, ImageError, InputError
from frieze.embedder.images.decode_memory import DECODE_MEMORY
from frieze.embedder.images.limits import Limits
from frieze.embedder.images.prepare import BatchDecoder, BatchResult, ThreadDecoder
from frieze.embedder.images.resize import Pixels
from frieze.features import BackboneSpec

_IMAGE, _END, _READY = b"i", b"", b"r"
"""What is sent before the bytes of an image, after the last of a batch, and by a process that has begun."""
TIMEOUT = ImageError("decode", "timeout", "decoding takes longer than `image_timeout`")
_NUMBER = struct.Struct("<q")
"""After the pixels in shared memory: the number of the image that is decoded, in its batch."""


class DecoderDiedError(InputError):
    """A process ended while it decoded.

    Attributes:
        was_killed: Whether it was killed from outside, as for lack of memory; else it crashed, or could not begin.
        timed_out: The number, among those of the batch, of the image that took too long; None for none.
    """

    def __init__(self, *, was_killed: bool, timed_out: int | None = None) -> None:
        super().__init__(
            "A process that decodes images was ended, perhaps for lack of memory.",
            hint="Run the same again: it goes on where this run stopped; fewer `workers` take less memory.",
        )
        self.was_killed = was_killed
        self.timed_out = timed_out


class _Task(NamedTuple):
    """What a process is told once.

    Attributes:
        spec: Image size, fit and version of decoding.
        limits: Which images are refused.
        batch_size: Images that its memory holds.
        n_processes: With how many it shares the machine's memory.
        hashes: Whether to compute perceptual hashes.
        statistics: Whether to compute picture statistics.
    """

    spec: BackboneSpec
    limits: Limits
    batch_size: int
    n_processes: int
    hashes: bool
    statistics: bool = False


class _Process:
    """One process, and the memory into which it decodes."""

    def __init__(self, task: _Task) -> None:
        self._shape = task.batch_size, *task.spec.image_size, 3
        self._n_bytes = int(np.prod(self._shape))
        with _open_memory(self._n_bytes + _NUMBER.size) as memory:
            self._memory = mmap.mmap(memory.fileno(), self._n_bytes + _NUMBER.size)
            self._helper = HelperProcess(decode_for_other, memory.fileno())
        self._connection = self._helper.connection
        self.pixels: Pixels
        self._task = task

    def begin(self) -> "_Process":
        """Hand over the task, and wait until the process takes images; one that does not is closed."""
        try:
            with self._translate_death():
                self._connection.send(self._task)
                self._connection.recv_bytes()
        except DecoderDiedError:
            self.close()
            raise
        return self

    def add(self, data: bytes) -> None:
        with self._translate_death():
            self._connection.send_bytes(_IMAGE)
            self._connection.send_bytes(data)

    def finish(self) -> BatchResult:
        with self._translate_death():
            self._connection.send_bytes(_END)
            done: BatchResult = self._connection.recv()
        n_decoded = sum(not isinstance(result, ImageError) for result in done.results)
        self.pixels[:n_decoded] = np.frombuffer(self._memory, np.uint8, self._n_bytes).reshape(self._shape)[:n_decoded]
        return done

    def close(self) -> None:
        self._helper.close()

    def _translate_death(self) -> contextlib.AbstractContextManager[None]:
        return self._helper.watched(self._died)

    def _died(self, exit_code: int | None) -> DecoderDiedError:
        (number,) = _NUMBER.unpack_from(self._memory, self._n_bytes)
        timed_out = number if exit_code == -signal.SIGALRM else None
        return DecoderDiedError(was_killed=exit_code == -signal.SIGKILL, timed_out=timed_out)


def _open_memory(n_bytes: int) -> IO[bytes]:
    in_memory = hasattr(os, "memfd_create")  # on Linux
    memory = os.fdopen(os.memfd_create("frieze"), "w+b") if in_memory else tempfile.TemporaryFile()  # noqa: SIM115
    memory.truncate(n_bytes)
    return memory


class DecodeProcesses:
    """A pool of processes that decode; each thread of the pipeline takes one for a batch.

    Args:
        n_processes: How many.
        spec: Image size, fit and version of decoding.
        limits: Which images are refused.
        batch_size: Most images of a batch.
        hashes: Whether to compute perceptual hashes.
        statistics: Whether to compute picture statistics.
    """

    def __init__(
        self,
        n_processes: int,
        spec: BackboneSpec,
        limits: Limits,
        batch_size: int,
        *,
        hashes: bool = True,
        statistics: bool = False,
    ) -> None:
        self._task = _Task(spec, limits, batch_size, n_processes, hashes, statistics)
        self._n_processes = n_processes
        self._idle = queue.SimpleQueue[_Process | None]()
        processes = list[_Process]()
        try:
            processes.extend(_Process(self._task) for _ in range(n_processes))
            for process in processes:
                self._idle.put(process.begin())
        except BaseException:
            for process in processes:
                process.close()
            raise

    @contextlib.contextmanager
    def take(self, pixels: Pixels) -> Iterator[BatchDecoder]:
        """Wait for an idle process, and hold it while the block runs.

        Args:
            pixels: uint8 [n, H, W, 3], where the images go.

        Raises:
            DecoderDiedError: It ended meanwhile; another takes its place.
        """
        process = self._idle.get()
        try:
            if process is None:
                process = self._start_again()
            process.pixels = pixels
            yield process
        except BaseException:
            if process is not None:
                process.close()  # it may be in the midst of a batch
            process = None
            raise
        finally:
            self._idle.put(process)

    def _start_again(self) -> _Process:
        """Start a process in place of one that ended."""
        try:
            return _Process(self._task).begin()
        except OSError as error:  # no process or memory is to be had
            raise DecoderDiedError(was_killed=True) from error

    def close(self) -> None:
        """End the processes; no batch may be in flight."""
        for _ in range(self._n_processes):
            process = self._idle.get()
            if process is not None:
                process.close()


def decode_for_other() -> None:
    """Decode batch after batch until the other process closes the connection."""
    connection, (memory,) = HelperProcess.other_end()
    try:
        task: _Task = connection.recv()
        DECODE_MEMORY.n_processes = task.n_processes
        shared, shape = mmap.mmap(memory, 0), (task.batch_size, *task.spec.image_size, 3)
        pixels = np.frombuffer(shared, np.uint8, int(np.prod(shape))).reshape(shape)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        connection.send_bytes(_READY)
        with task.limits.hold():
            while True:
                connection.send(_decode_batch(connection, task, pixels, shared))
    except (EOFError, OSError):
        os._exit(0)


def _decode_batch(connection: Connection, task: _Task, pixels: Pixels, shared: mmap.mmap) -> BatchResult:
    cpu = time.process_time()
    decoder = ThreadDecoder(task.spec, task.limits.max_pixels, pixels, hashes=task.hashes, statistics=task.statistics)
    for number in itertools.takewhile(lambda _: connection.recv_bytes() != _END, itertools.count()):
        data = connection.recv_bytes()
        _NUMBER.pack_into(shared, pixels.nbytes, number)
        with ended_after(task.limits.image_timeout):
            decoder.add(data)
    return decoder.finish()._replace(cpu_s=time.process_time() - cpu)


@contextlib.contextmanager
def ended_after(seconds: float | None) -> Iterator[None]:
    """End this process where the block takes longer; by the system, for a decoder may never return to Python."""
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
