"""The reference engine: the backbone as one frozen TensorFlow graph, a replica on each GPU or one on the CPU."""

import collections
import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np

from frieze.core import Floats, InputError, import_tensorflow
from frieze.embedder.backbones import Backbone
from frieze.embedder.backbones.in_program import find_failure
from frieze.embedder.engines.settings import EngineSettings, are_gpus, find_devices

_CPU_BATCHES, _GPU_BATCHES = (8, 32), (64, 256)
_CPU_BATCH, _GPU_BATCH = 32, 128
_REWRITES = {
    ("CPU", "bfloat16"): "auto_mixed_precision_onednn_bfloat16",
    ("GPU", "float16"): "auto_mixed_precision",
}
"""Device and precision -> Grappler's name of the pass that rewrites a frozen graph to that precision."""
_FULL = "Dst tensor is not initialized"
"""TensorFlow's message when a GPU's memory is too full to copy pixels there."""
_PREFETCHED_BATCHES = 2
_switch = threading.Lock()
_n_rewriting: collections.Counter[str] = collections.Counter()
"""How many threads are in a block that rewrites; the option holds for the whole process."""


class _HasPixels(Protocol):
    pixels: Any  # uint8 [n, H, W, 3]


T = TypeVar("T", bound=_HasPixels)


class TensorFlowEngine:
    """Runs a backbone's frozen graph.

    Attributes:
        name: `tensorflow`.
        device: The name of a single GPU; None on CPUs, and for several devices, which take turns.
        batch_size: Images run at once; halved for good when out of memory.
        depth: Batches in flight that keep every device busy.
    """

    name = "tensorflow"

    def __init__(self, backbone: Backbone, settings: EngineSettings | None = None) -> None:
        settings = settings or EngineSettings()
        devices = settings.devices or find_devices()
        has_gpus = are_gpus(devices)
        self.device: str | None = f"/{devices[0]}" if has_gpus and len(devices) == 1 else None
        self.batch_size = settings.batch_size or (_GPU_BATCH if has_gpus else _CPU_BATCH)
        self.depth = 2 * len(devices)
        self._dim = backbone.spec.dim
        self._rewrite = _REWRITES.get((devices[0][:3], settings.precision))
        self._function = backbone.frozen
        import_tensorflow().config.experimental.enable_tensor_float_32_execution(False)  # noqa: FBT003  float32 is float32
        self._turns = itertools.cycle(devices)
        self._replicas = {device: ThreadPoolExecutor(1, thread_name_prefix="frieze-infer") for device in devices}
        for _ in devices:
            self.infer(np.zeros((1, *backbone.spec.image_size, 3), np.uint8))  # warm up: the first call is slow

    @staticmethod
    def candidate_settings(settings: EngineSettings) -> Iterator[EngineSettings]:
        """Yield the settings worth a trial, small batches first."""
        for batch_size in _GPU_BATCHES if are_gpus(settings.devices) else _CPU_BATCHES:
            yield dataclasses.replace(settings, batch_size=batch_size)

    @staticmethod
    def fallbacks(_settings: EngineSettings) -> Iterator[EngineSettings]:
        """Yield nothing: the reference has no more accurate settings."""
        return iter(())

    @staticmethod
    def unsupported_reason(settings: EngineSettings) -> str | None:
        """Return why this machine can't run the settings; None where it can."""
        kind = settings.devices[0][:3]
        if settings.precision == "float32" or (kind, settings.precision) in _REWRITES:
            return None
        return f"TensorFlow has no {settings.precision} on a {kind}"

    def submit(self, pixels: Any) -> Callable[[], Floats]:
        """Start to embed a batch on the next device in turn; return a function that waits for its embeddings."""
        device = next(self._turns)
        return self._replicas[device].submit(self.infer_on, device, pixels).result

    def prefetch(self, batches: Iterator[T]) -> Generator[T, None, None]:
        """Yield the same batches; tf.data copies their pixels to a single GPU, while those before are embedded."""
        return prefetch_pixels(batches, self.device)

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [n, H, W, 3] as float32 [n, D]."""
        return self.infer_on(next(self._turns), pixels)

    def infer_on(self, device: str, pixels: Any) -> Floats:
        """Embed on one device, a batch at a time.

        Raises:
            InputError: The memory is too small for a single image.
        """
        tf = import_tensorflow()
        chunks, done = [np.empty((0, self._dim), np.float32)], 0  # convolutions of no images fail
        while done < len(pixels):
            chunk = pixels if len(pixels) <= self.batch_size else pixels[done : done + self.batch_size]
            try:
                chunks.append(self._run(device, chunk))
                done += len(chunk)
            except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
                self._back_off(device, len(chunk), error)
        return np.concatenate(chunks)

    def _run(self, device: str, chunk: Any) -> Floats:
        tf = import_tensorflow()
        with tf.device(device), _rewriting(self._rewrite):
            # By keyword: positional arguments make a frozen function try, and print, another signature first.
            try:
                (embeddings,) = self._function(pixels=tf.convert_to_tensor(chunk))
            except tf.errors.OpError as error:
                failure = find_failure(error)
                if failure is None:
                    raise
                raise failure from failure.__cause__
            return np.asarray(embeddings.numpy(), np.float32)

    def _back_off(self, device: str, n_images: int, error: Exception) -> None:
        if not (isinstance(error, import_tensorflow().errors.ResourceExhaustedError) or _FULL in str(error)):
            raise error
        if n_images == 1:
            raise InputError(
                f"The memory of {device} is too small for this backbone, one image at a time.",
                hint="Give a smaller backbone or `image_size`, or another `device`.",
            ) from error
        self.batch_size = min(self.batch_size, n_images // 2)  # another replica may have halved it already


def prefetch_pixels(batches: Iterator[T], device: str | None) -> Generator[T, None, None]:
    """Pass batches through tf.data, which takes the next ones, and copies their pixels, while one is in use.

    Args:
        batches: Advanced in a thread of TensorFlow.
        device: Where the pixels go; None for the host's memory.

    Yields:
        The batches in order, with tensors for pixels. Close it before `batches`.
    """
    tf = import_tensorflow()
    taken, errors = collections.deque[T](), list[BaseException]()

    def take() -> Iterator[Any]:
        try:
            for batch in batches:
                taken.append(batch)
                yield batch.pixels
        except BaseException as error:  # noqa: BLE001  raised below: TensorFlow would change its type
            errors.append(error)

    dataset = tf.data.Dataset.from_generator(take, output_signature=tf.TensorSpec([None, None, None, 3], tf.uint8))
    options = tf.data.Options()
    options.threading.private_threadpool_size = 2
    options.autotune.enabled = False  # nothing to tune, and its thread can delay the end for seconds
    dataset = dataset.with_options(options).prefetch(_PREFETCHED_BATCHES)
    if device is not None:
        dataset = dataset.apply(tf.data.experimental.prefetch_to_device(device, _PREFETCHED_BATCHES))
    try:
        for pixels in dataset:
            batch = taken.popleft()
            batch.pixels = pixels
            yield batch
    except BaseException as stop:  # noqa: BLE001  whatever it is
        # Its frames hold the pipeline: shown at the interpreter's exit, the error would wait for ever.
        raise stop.with_traceback(None) from None
    if errors:
        raise errors[0]


@contextlib.contextmanager
def _rewriting(option: str | None) -> Iterator[None]:
    """Switch a Grappler pass on for the block; it stays on while any thread is in such a block."""
    if option is None:
        yield
        return
    _count_rewriting(option, 1)
    try:
        yield
    finally:
        _count_rewriting(option, -1)


def _count_rewriting(option: str, by: int) -> None:
    with _switch:
        _n_rewriting[option] += by
        import_tensorflow().config.optimizer.set_experimental_options({option: _n_rewriting[option] > 0})
