"""The fast engine on a CPU: small batches in several streams, by OpenVINO."""

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from frieze.core import Floats, ModelError, count_cores, locked_temporary_folder
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines.devices import are_gpus
from frieze.embedder.engines.openvino_stem import split_stem
from frieze.embedder.engines.settings import Setting
from frieze.embedder.images.resize import Pixels

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
        self._free: list[_Request] = []
        try:
            self._parts = _compile(backbone, self.batch_size, setting)
            self.infer(np.zeros((1, *backbone.spec.image_size, 3), np.uint8))
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO can't run {backbone.spec.name}: {str(error).strip().splitlines()[-1]}",
                hint="Leave --engine out, or give --engine tensorflow.",
            ) from error

    @staticmethod
    def settings(setting: Setting) -> Iterator[Setting]:
        """Give the settings worth a trial, with small batches first."""
        for batch_size in _BATCHES:
            yield dataclasses.replace(setting, batch_size=batch_size, streams=count_cores())
        if count_cores() > 1:
            yield dataclasses.replace(setting, batch_size=_BATCHES[-1], streams=count_cores() // 2)

    @staticmethod
    def truer(setting: Setting) -> Iterator[Setting]:
        """Give what is worth a trial where a setting's vectors don't hold."""
        if setting.precision != "float32":
            yield dataclasses.replace(setting, has_float32_stem=True)

    @staticmethod
    def unsupported_reason(setting: Setting) -> str | None:
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

    def _start(self, pixels: Pixels) -> "_Request":
        request = self._free.pop() if self._free else _Request(self._parts)
        request.start(pixels)
        return request

    def _end(self, request: "_Request", n_images: int) -> Floats:
        embeddings = request.wait()[:n_images].copy()
        self._free.append(request)
        return embeddings


class _Request:
    """One inference at a time through the parts of a graph, each beginning when the one before it has ended."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self._steps = [part.create_infer_request() for part in parts]
        for step, following in itertools.pairwise(self._steps):
            following.set_input_tensor(step.get_output_tensor())  # handed on in place
            step.set_callback(lambda _, following=following: following.start_async(), None)

    def start(self, pixels: Pixels) -> None:
        """Begin; where there are fewer images than it takes, those of another batch stand behind them."""
        # Copied: OpenVINO does not keep alive what it shares.
        self._steps[0].get_input_tensor().data[: len(pixels)] = pixels
        self._steps[0].start_async()

    def wait(self) -> Floats:
        """Give the embeddings; they are overwritten by the next inference."""
        for step in self._steps:
            step.wait()
        embeddings: Floats = self._steps[-1].get_output_tensor().data
        return embeddings


def _compile(backbone: Backbone, batch_size: int, setting: Setting) -> list[Any]:
    import openvino

    core = openvino.Core()
    with locked_temporary_folder() as folder:
        path = folder / "frozen.pb"
        path.write_bytes(backbone.frozen.graph.as_graph_def().SerializeToString())
        model = core.read_model(path)
    model.reshape([batch_size, *backbone.spec.image_size, 3])
    options = {
        "NUM_STREAMS": setting.streams or count_cores(),
        "INFERENCE_NUM_THREADS": count_cores(),
        "ENABLE_CPU_PINNING": False,  # threads that decode share the cores
    }
    parts = split_stem(model) if setting.has_float32_stem else [model]
    precisions = ["float32"] * (len(parts) - 1) + [setting.precision]
    return [
        core.compile_model(part, "CPU", options | {"INFERENCE_PRECISION_HINT": _TYPES[precision]})
        for part, precision in zip(parts, precisions, strict=True)
    ]


def _has_bfloat16() -> bool:
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
