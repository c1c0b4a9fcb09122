"""The fast engine on a CPU: small batches in several streams, by OpenVINO."""

import dataclasses
import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from embedder.backbones import Backbone
from embedder.engines.devices import are_gpus
from embedder.engines.setting import Setting
from embedder.preprocessing import Pixels
from features import Floats, ModelError, count_cores

_BATCHES = (1, 4, 8)
_BATCH = 4
_LARGEST_BATCH = 32
"""What more would only cost memory: a batch takes its full size however few images there are."""
_TYPES = {"float32": "f32", "bfloat16": "bf16"}
"""Precision -> what OpenVINO calls it."""


class OpenVINOEngine:
    """Runs a backbone's frozen graph in OpenVINO.

    Attributes:
        name: `openvino`.
        device: None: pixels stay in the host's memory.
        batch_size: Images of one inference; many are under way at once.
        depth: Batches of the pipeline under way at once that keep every stream busy.
    """

    name = "openvino"
    device: str | None = None
    depth = 2

    def __init__(self, backbone: Backbone, setting: Setting | None = None) -> None:
        setting = setting or Setting()
        self.batch_size = min(setting.batch_size or _BATCH, _LARGEST_BATCH)
        self._dim = backbone.spec.dim
        self._free: list[Any] = []
        try:
            self._compiled = _compile(backbone, self.batch_size, setting)
            self.infer(np.zeros((1, *backbone.spec.image_size, 3), np.uint8))
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO can't run {backbone.spec.name}: {str(error).strip().splitlines()[-1]}",
                mend="Leave --engine out, or give --engine tensorflow.",
            ) from error

    @staticmethod
    def settings(setting: Setting) -> Iterator[Setting]:
        """Give the settings worth a trial, with small batches first."""
        for batch_size in _BATCHES:
            yield dataclasses.replace(setting, batch_size=batch_size, streams=count_cores())
        if count_cores() > 1:
            yield dataclasses.replace(setting, batch_size=_BATCHES[-1], streams=count_cores() // 2)

    @staticmethod
    def why_not(setting: Setting) -> str | None:
        """Say why a setting can't be had here; None where it can."""
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed: pip install 'frieze[cpu]'"
        if are_gpus(setting.devices):
            return "OpenVINO runs on the CPU alone, and --device is a GPU"
        if setting.precision not in _TYPES:
            return f"OpenVINO has no {setting.precision} on a CPU"
        return None if setting.precision == "float32" or _has_bfloat16() else "this processor has no bfloat16"

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [n, H, W, 3] as float32 [n, D]."""
        return self.submit(pixels)()

    def submit(self, pixels: Any) -> Callable[[], Floats]:
        """Begin to embed a batch, and give what waits for its vectors."""
        step, pixels = self.batch_size, np.asarray(pixels)
        pieces = [pixels[at : at + step] for at in range(0, len(pixels), step)]
        flying = [(self._start(piece), len(piece)) for piece in pieces]

        def wait() -> Floats:
            return np.concatenate([np.empty((0, self._dim), np.float32), *(self._end(*one) for one in flying)])

        return wait

    def _start(self, pixels: Pixels) -> Any:
        """Begin one inference; one that has fewer images than it takes keeps those of another batch behind them."""
        request = self._free.pop() if self._free else self._compiled.create_infer_request()
        # Copied: OpenVINO does not keep alive what it shares.
        request.get_input_tensor().data[: len(pixels)] = pixels
        request.start_async()
        return request

    def _end(self, request: Any, n_images: int) -> Floats:
        request.wait()
        embeddings: Floats = request.get_output_tensor().data[:n_images].copy()
        self._free.append(request)
        return embeddings


def _compile(backbone: Backbone, batch_size: int, setting: Setting) -> Any:
    import openvino

    core = openvino.Core()
    with tempfile.TemporaryDirectory(prefix="frieze-") as folder:
        path = Path(folder) / "frozen.pb"
        path.write_bytes(backbone.frozen.graph.as_graph_def().SerializeToString())
        model = core.read_model(path)
    model.reshape([batch_size, *backbone.spec.image_size, 3])
    options = {
        "NUM_STREAMS": setting.streams or count_cores(),
        "INFERENCE_NUM_THREADS": count_cores(),
        "INFERENCE_PRECISION_HINT": _TYPES[setting.precision],
        "ENABLE_CPU_PINNING": False,  # threads that decode share the cores
    }
    return core.compile_model(model, "CPU", options)


def _has_bfloat16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
