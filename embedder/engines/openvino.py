"""The OpenVINO engine: fast on a CPU, with small batches in several streams."""

import dataclasses
import importlib.util
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from frieze.core import Floats, ModelError, count_cores, import_openvino, locked_temporary_folder
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines.int8_graph import unpack_graph
from frieze.embedder.engines.openvino_first_layers import split_first_layers
from frieze.embedder.engines.settings import INT8, EngineSettings, are_gpus
from frieze.embedder.images.resize import Pixels

_BATCHES = (1, 4, 8)
_BATCH = 4
_LARGEST_BATCH = 32
"""More would only cost memory: a batch takes its full size however few images it has."""
_TYPES = {"float32": "f32", "bfloat16": "bf16", INT8: "f32"}
"""Precision -> its name in OpenVINO; a graph in int8 says itself which layers are."""


_HINT = "Leave `engine` out, or give `engine='tensorflow'`."
_HINT_OF_ONNX = "Export the network again; docs/howto.md shows how."


class OpenVINOEngine:
    """Runs a backbone's frozen graph in OpenVINO.

    Attributes:
        name: `openvino`.
        batch_size: Images of one inference; many are in flight at once.
        depth: Batches of the pipeline in flight that keep every stream busy.
    """

    name = "openvino"
    depth = 2

    def __init__(self, backbone: Backbone, settings: EngineSettings | None = None) -> None:
        settings = settings or EngineSettings()
        self.batch_size = fixed_batch_size(backbone) or min(settings.batch_size or _BATCH, _LARGEST_BATCH)
        self._dim = backbone.spec.dim
        self._free: list[_Request] = []
        self._threads = ThreadPoolExecutor(2 * (settings.streams or count_cores()), thread_name_prefix="frieze-parts")
        try:
            self._parts = _compile(backbone, self.batch_size, settings)
            self.infer(np.zeros((1, *backbone.spec.image_size, 3), np.uint8))
        except RuntimeError as error:
            raise ModelError(
                f"OpenVINO can't run {backbone.spec.name}: {str(error).strip().splitlines()[-1]}",
                hint=_HINT if backbone.openvino_graph is None else _HINT_OF_ONNX,
            ) from error

    @staticmethod
    def candidate_settings(settings: EngineSettings) -> Iterator[EngineSettings]:
        """Yield the settings worth a trial, small batches first."""
        for batch_size in _BATCHES:
            yield dataclasses.replace(settings, batch_size=batch_size, streams=count_cores())
        if count_cores() > 1:
            yield dataclasses.replace(settings, batch_size=_BATCHES[-1], streams=count_cores() // 2)

    @staticmethod
    def fallbacks(settings: EngineSettings) -> Iterator[EngineSettings]:
        """Yield the same with the first layers in float32, for a lower precision that drifts too far."""
        if settings.precision not in ("float32", INT8):
            yield dataclasses.replace(settings, has_float32_stem=True)

    @staticmethod
    def unsupported_reason(settings: EngineSettings) -> str | None:
        """Return why this machine can't run the settings; None where it can."""
        if importlib.util.find_spec("openvino") is None:
            return "OpenVINO is not installed: pip install openvino"
        if are_gpus(settings.devices):
            return "OpenVINO runs on the CPU alone, and `device` is a GPU"
        if settings.precision not in _TYPES:
            return f"OpenVINO has no {settings.precision} on a CPU"
        return None if settings.precision != "bfloat16" or _has_bfloat16() else "this processor has no bfloat16"

    @staticmethod
    def prefetch(batches: Iterator[Any]) -> Generator[Any, None, None]:
        """Yield the same batches: their pixels are in the host's memory."""
        yield from batches

    def infer(self, pixels: Any) -> Floats:
        """Embed uint8 [n, H, W, 3] as float32 [n, D]."""
        return self.submit(pixels)()

    def submit(self, pixels: Any) -> Callable[[], Floats]:
        """Start to embed a batch; return a function that waits for its embeddings."""
        step, pixels = self.batch_size, np.asarray(pixels)
        chunks = [pixels[at : at + step] for at in range(0, len(pixels), step)]
        in_flight = [(self._start(chunk), len(chunk)) for chunk in chunks]

        def wait() -> Floats:
            return np.concatenate([np.empty((0, self._dim), np.float32), *(self._end(*one) for one in in_flight)])

        return wait

    def _start(self, pixels: Pixels) -> "_Request":
        request = self._free.pop() if self._free else _Request(self._parts, self._threads)
        request.start(pixels)
        return request

    def _end(self, request: "_Request", n_images: int) -> Floats:
        embeddings = request.wait()[:n_images].copy()
        self._free.append(request)
        return embeddings


class _Request:
    """One inference at a time through the parts of a graph; each part starts when the one before it ends.

    In a thread, not in OpenVINO's callback: its threads end with the graph, and wait for Python's lock to forget the
    callback, while Python, which forgets the graph, waits for them with the lock held.
    """

    def __init__(self, parts: Sequence[Any], threads: ThreadPoolExecutor) -> None:
        self._steps = [part.create_infer_request() for part in parts]
        self._threads = threads
        self._running: Future[None] | None = None
        for step, following in itertools.pairwise(self._steps):
            following.set_input_tensor(step.get_output_tensor())  # shared, not copied

    def start(self, pixels: Pixels) -> None:
        """Start; a batch that is not full is followed by stale images of an earlier one."""
        # Copied: OpenVINO does not keep alive what it shares.
        self._steps[0].get_input_tensor().data[: len(pixels)] = pixels
        self._steps[0].start_async()
        if len(self._steps) > 1:
            self._running = self._threads.submit(self._run_others)

    def _run_others(self) -> None:
        self._steps[0].wait()
        for step in self._steps[1:]:
            step.infer()

    def wait(self) -> Floats:
        """Wait for the embeddings; the next inference overwrites them."""
        if self._running is not None:
            self._running.result()
        self._steps[0].wait()
        embeddings: Floats = self._steps[-1].get_output_tensor().data
        return embeddings


def fixed_batch_size(backbone: Backbone) -> int | None:
    """Return how many images a backbone's graph takes at once; None for any number."""
    return None if backbone.openvino_graph is None else backbone.openvino_graph.batch_size


def read_graph(backbone: Backbone) -> Any:
    """Return a backbone's graph, the kept one if there is, as OpenVINO's: uint8 [B, H, W, 3] -> float32 [B, D]."""
    if backbone.openvino_graph is not None:
        return backbone.openvino_graph.read()
    openvino = import_openvino()

    core = openvino.Core()
    if backbone.graph_path is not None:
        return core.read_model(backbone.graph_path)
    with locked_temporary_folder() as folder:
        path = folder / "frozen.pb"
        path.write_bytes(backbone.frozen.graph.as_graph_def().SerializeToString())
        return core.read_model(path)


def _compile(backbone: Backbone, batch_size: int, settings: EngineSettings) -> list[Any]:
    openvino = import_openvino()

    core = openvino.Core()
    model = read_graph(backbone) if settings.int8_graph is None else unpack_graph(settings.int8_graph)
    model.reshape([batch_size, *backbone.spec.image_size, 3])
    options = {
        "NUM_STREAMS": settings.streams or count_cores(),
        "INFERENCE_NUM_THREADS": count_cores(),
        "ENABLE_CPU_PINNING": False,  # decoding threads share the cores
    }
    parts = split_first_layers(model) if settings.has_float32_stem else [model]
    precisions = ["float32"] * (len(parts) - 1) + [settings.precision]
    return [
        core.compile_model(part, "CPU", options | {"INFERENCE_PRECISION_HINT": _TYPES[precision]})
        for part, precision in zip(parts, precisions, strict=True)
    ]


def _has_bfloat16() -> bool:
    openvino = import_openvino()

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
