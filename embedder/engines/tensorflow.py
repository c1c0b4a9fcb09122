"""The reference engine: the backbone as one frozen TensorFlow graph, a replica on each GPU or one on the CPU."""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from embedder.backbones import Backbone
from embedder.engines.devices import are_gpus, find_devices
from embedder.engines.setting import Setting
from features import Floats, InputError, import_tensorflow

_CPU_BATCHES, _GPU_BATCHES = (8, 32), (64, 256)
_CPU_BATCH, _GPU_BATCH = 32, 128
_REWRITES = {
    ("CPU", "bfloat16"): "auto_mixed_precision_onednn_bfloat16",
    ("GPU", "float16"): "auto_mixed_precision",
}
"""Device and precision -> what Grappler calls the pass that rewrites a frozen graph to it."""


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
        self._turns = itertools.cycle(devices)
        self._replicas = ThreadPoolExecutor(len(devices), thread_name_prefix="frieze-infer")
        for _ in devices:
            self.infer(np.zeros((1, *backbone.spec.image_size, 3), np.uint8))  # what is slow once is slow here

    @staticmethod
    def settings(setting: Setting) -> Iterator[Setting]:
        """Give the settings worth a trial, with small batches first."""
        for batch_size in _GPU_BATCHES if are_gpus(setting.devices) else _CPU_BATCHES:
            yield dataclasses.replace(setting, batch_size=batch_size)

    @staticmethod
    def why_not(setting: Setting) -> str | None:
        """Say why a setting can't be had here; None where it can."""
        kind = setting.devices[0][:3]
        if setting.precision == "float32" or (kind, setting.precision) in _REWRITES:
            return None
        return f"TensorFlow has no {setting.precision} on a {kind}"

    def submit(self, pixels: Any) -> Callable[[], Floats]:
        """Begin to embed a batch, and give what waits for its vectors."""
        return self._replicas.submit(self.infer, pixels).result

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [n, H, W, 3] as float32 [n, D], a batch at a time.

        Raises:
            InputError: The memory is too small for a single image.
        """
        device = next(self._turns)
        pieces, done = [np.empty((0, self._dim), np.float32)], 0  # convolutions of no images fail
        while done < len(pixels):
            try:
                pieces.append(self._run(device, pixels, done))
                done += len(pieces[-1])
            except import_tensorflow().errors.ResourceExhaustedError as error:
                self._back_off(device, error)
        return np.concatenate(pieces)

    def _run(self, device: str, pixels: Any, done: int) -> Floats:
        tf = import_tensorflow()
        piece = pixels if len(pixels) <= self.batch_size else pixels[done : done + self.batch_size]
        with tf.device(device), _rewriting(self._rewrite):
            # By keyword: positional arguments make a frozen function try, and print, another signature first.
            (embeddings,) = self._function(pixels=tf.convert_to_tensor(piece))
            return np.asarray(embeddings.numpy(), np.float32)

    def _back_off(self, device: str, error: Exception) -> None:
        if self.batch_size == 1:
            raise InputError(
                f"The memory of {device} is too small for this backbone, one image at a time.",
                mend="Give a smaller backbone or --image-size, or another --device.",
            ) from error
        self.batch_size //= 2


@contextlib.contextmanager
def _rewriting(option: str | None) -> Iterator[None]:
    """Have Grappler rewrite graphs that run in the block; the switch is the thread's own."""
    if option is None:
        yield
        return
    switch = import_tensorflow().config.optimizer.set_experimental_options
    switch({option: True})
    try:
        yield
    finally:
        switch({option: False})
