"""The reference engine: the backbone as one frozen TensorFlow graph, a replica on each GPU or one on the CPU."""

import collections
import contextlib
import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, import_tensorflow
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines.devices import are_gpus, find_devices
from frieze.embedder.engines.settings import Setting

_CPU_BATCHES, _GPU_BATCHES = (8, 32), (64, 256)
_CPU_BATCH, _GPU_BATCH = 32, 128
_REWRITES = {
    ("CPU", "bfloat16"): "auto_mixed_precision_onednn_bfloat16",
    ("GPU", "float16"): "auto_mixed_precision",
}
"""Device and precision -> what Grappler calls the pass that rewrites a frozen graph to it."""
_FULL = "Dst tensor is not initialized"
"""What TensorFlow says where a GPU's memory is too full to copy pixels there."""
_switch = threading.Lock()
_n_rewriting: collections.Counter[str] = collections.Counter()
"""How many threads are in a block that rewrites; the switch is one for the whole process."""


class TensorFlowEngine:
    """Runs a backbone's frozen graph.

    Attributes:
        name: `tensorflow`.
        device: The GPU's name, where there is one; None on CPUs, and for several devices, which take turns.
        batch_size: Images run at once; halved for good when memory runs out.
        depth: Batches under way at once that keep every device busy.
    """

    name = "tensorflow"

    def __init__(self, backbone: Backbone, setting: Setting | None = None) -> None:
        setting = setting or Setting()
        devices = setting.devices or find_devices()
        has_gpus = are_gpus(devices)
        self.device: str | None = f"/{devices[0]}" if has_gpus and len(devices) == 1 else None
        self.batch_size = setting.batch_size or (_GPU_BATCH if has_gpus else _CPU_BATCH)
        self.depth = 2 * len(devices)
        self._dim = backbone.spec.dim
        self._rewrite = _REWRITES.get((devices[0][:3], setting.precision))
        self._function = backbone.frozen
        import_tensorflow().config.experimental.enable_tensor_float_32_execution(False)  # noqa: FBT003  float32 is float32
        self._turns = itertools.cycle(devices)
        self._replicas = {device: ThreadPoolExecutor(1, thread_name_prefix="frieze-infer") for device in devices}
        for _ in devices:
            self.infer(np.zeros((1, *backbone.spec.image_size, 3), np.uint8))  # what is slow once is slow here

    @staticmethod
    def settings(setting: Setting) -> Iterator[Setting]:
        """Give the settings worth a trial, with small batches first."""
        for batch_size in _GPU_BATCHES if are_gpus(setting.devices) else _CPU_BATCHES:
            yield dataclasses.replace(setting, batch_size=batch_size)

    @staticmethod
    def truer(_setting: Setting) -> Iterator[Setting]:
        """Give what is worth a trial where a setting's vectors don't hold."""
        return iter(())

    @staticmethod
    def unsupported_reason(setting: Setting) -> str | None:
        """Say why a setting can't be had here; None where it can."""
        kind = setting.devices[0][:3]
        if setting.precision == "float32" or (kind, setting.precision) in _REWRITES:
            return None
        return f"TensorFlow has no {setting.precision} on a {kind}"

    def submit(self, pixels: Any) -> Callable[[], Floats]:
        """Begin to embed a batch on the device whose turn it is, and give what waits for its vectors."""
        device = next(self._turns)
        return self._replicas[device].submit(self.infer_on, device, pixels).result

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [n, H, W, 3] as float32 [n, D]."""
        return self.infer_on(next(self._turns), pixels)

    def infer_on(self, device: str, pixels: Any) -> Floats:
        """Embed on one device, a batch at a time.

        Raises:
            InputError: The memory is too small for a single image.
        """
        tf = import_tensorflow()
        pieces, done = [np.empty((0, self._dim), np.float32)], 0  # convolutions of no images fail
        while done < len(pixels):
            piece = pixels if len(pixels) <= self.batch_size else pixels[done : done + self.batch_size]
            try:
                pieces.append(self._run(device, piece))
                done += len(piece)
            except (tf.errors.ResourceExhaustedError, tf.errors.InternalError) as error:
                self._back_off(device, len(piece), error)
        return np.concatenate(pieces)

    def _run(self, device: str, piece: Any) -> Floats:
        tf = import_tensorflow()
        with tf.device(device), _rewriting(self._rewrite):
            # By keyword: positional arguments make a frozen function try, and print, another signature first.
            (embeddings,) = self._function(pixels=tf.convert_to_tensor(piece))
            return np.asarray(embeddings.numpy(), np.float32)

    def _back_off(self, device: str, n_images: int, error: Exception) -> None:
        if not (isinstance(error, import_tensorflow().errors.ResourceExhaustedError) or _FULL in str(error)):
            raise error
        if n_images == 1:
            raise InputError(
                f"The memory of {device} is too small for this backbone, one image at a time.",
                hint="Give a smaller backbone or --image-size, or another --device.",
            ) from error
        self.batch_size = min(self.batch_size, n_images // 2)  # another replica may have gone below


@contextlib.contextmanager
def _rewriting(option: str | None) -> Iterator[None]:
    """Have Grappler rewrite graphs that run in the block, also while other threads leave theirs."""
    if option is None:
        yield
        return
    _turn(option, 1)
    try:
        yield
    finally:
        _turn(option, -1)


def _turn(option: str, by: int) -> None:
    with _switch:
        _n_rewriting[option] += by
        import_tensorflow().config.optimizer.set_experimental_options({option: _n_rewriting[option] > 0})
