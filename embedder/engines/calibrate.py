"""Post-training quantization: a backbone's graph in int8, calibrated on the user's own images by NNCF.

Layers whose rounding moves the embeddings most stay in float32: a greedy search by measured drift names them, the same
ones for the same images.
"""

import dataclasses
import hashlib
import importlib.metadata
import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, count_cores, import_nncf, import_openvino, muted, unit_rows
from frieze.embedder.backbones import Backbone
from frieze.embedder.engines.accuracy import ENOUGH, LEAST_RECALL, measure_drift
from frieze.embedder.engines.int8_graph import pack_graph
from frieze.embedder.engines.openvino import fixed_batch_size, read_graph
from frieze.embedder.engines.openvino_first_layers import WEIGHTED, has_weights
from frieze.embedder.images.resize import Pixels

_SAFE_RECALL = LEAST_RECALL + 0.003
"""Recall that ends the search: it is measured against OpenVINO, and judged against TensorFlow."""
_SHARES = (0.7, 0.5, 0.35, 0.25, 0.18, 0.125, 0.09, 0.06, 0.03)
"""Shares of all layers' drift that those in int8 may cause, in turn. With less, few layers are left."""
_CORRECTED_RECALL = 0.01
"""Recall that NNCF's correction of biases, which the ranking leaves out, may win."""
_LEAST_S = 2e-5
"""Seconds that any layer takes at least, beside those that are estimated."""
_PRODUCTS_PER_S, _VALUES_PER_S = 3e10, 2e9
"""What a core multiplies, and reads or writes, in float32. An estimate: other programs change measured times, by
which the same images would leave other layers in float32 in each run."""
_MOST_GROUPS = 64
"""Neighbouring layers of a deeper network are tried, and left in float32, together."""
_FEW = 32
"""So many images rank the layers."""
_BATCH = 4
_ROUNDING = "FakeQuantize"
"""The operation that rounds to int8."""
_MOVES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "MaxPool")
"""Operations that move values, unchanged, so that NNCF may round before them."""
_ATTENTION = "ScaledDotProductAttention"
"""What OpenVINO makes of an attention's products."""


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A graph in int8.

    Attributes:
        graph: From `pack_graph`: uint8 [B, H, W, 3] -> float32 [B, D].
        document: What features.json keeps: the file's `sha256`; `layers`, how many have weights; `float32_layers`, the
            numbers of those that stay in float32, in the order of computation from 0; `images` it was calibrated on;
            `versions` of the libraries.
    """

    graph: bytes
    document: dict[str, Any]


def calibrate(backbone: Backbone, pixels: Pixels, judged: Pixels) -> Calibration:
    """Quantize a backbone to int8, but for the layers that move its embeddings most.

    Layers are left in float32 until the recall@10 of the embeddings is `LEAST_RECALL`, or little is left in int8:
    whether it is reached is for `check_drift` to say.

    Args:
        backbone: The network.
        pixels: uint8 [n, H, W, 3], to find the ranges of activations with.
        judged: uint8 [n, H, W, 3], others where there are enough, to measure drift with.

    Raises:
        InputError: NNCF is not installed, or there are fewer than `ENOUGH` images.
    """
    import_nncf()
    if len(judged) < ENOUGH:
        raise InputError(
            f"`precision='int8'` is calibrated on images: {ENOUGH} usable ones at least, here are {len(judged)}.",
            hint="Leave `precision` out, or give more images.",
        )
    graph = _Graph(backbone)
    quantized, layers = _search(graph, pixels, judged)
    data = pack_graph(quantized)
    document = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "float32_layers": sorted(graph.layers.index(layer) for layer in layers),
        "layers": len(graph.layers),
        "images": len(pixels),
        "versions": {name: importlib.metadata.version(name) for name in ("openvino", "nncf")},
    }
    return Calibration(data, document)


def _search(graph: "_Graph", pixels: Pixels, judged: Pixels) -> tuple[Any, list[str]]:
    """Quantize with more and more layers in float32, until the recall suffices; return the model and those layers.

    What would miss the recall is known from a model that simulates int8, before NNCF makes one, which takes seconds.
    """
    reference = graph.embed(graph.read(), judged)

    def recall_of(model: Any) -> float:
        return float(measure_drift(graph.embed(model, judged), reference)["recall_at_10"] or 0)

    whole = quantized = graph.quantize((), pixels)
    layers: list[str] = []
    ranked = [] if recall_of(whole) >= _SAFE_RECALL else graph.rank(whole, judged[:_FEW])
    for share in _SHARES if ranked else ():
        layers = _worst_layers(ranked, share)
        others = [layer for layer in graph.layers if layer not in layers]
        simulated = recall_of(graph.quantize_only(others, whole)) + _CORRECTED_RECALL
        if simulated >= _SAFE_RECALL or share == _SHARES[-1]:
            quantized = graph.quantize(layers, pixels)
            if recall_of(quantized) >= _SAFE_RECALL:
                break
    return quantized, layers


@dataclasses.dataclass(frozen=True)
class _Group:
    """Neighbouring layers, and what they cost.

    Attributes:
        layers: Their names.
        drift: 1 - cosine that they cause alone in int8.
        seconds: That they take in float32, estimated.
    """

    layers: list[str]
    drift: float
    seconds: float


def _worst_layers(ranked: Sequence[_Group], share: float) -> list[str]:
    """Return the layers, worst first, without which the others have at most a share of the drift."""
    remaining = sum(group.drift for group in ranked)
    allowed, layers = share * remaining, list[str]()
    for group in ranked:
        if remaining <= allowed:
            break
        layers += group.layers
        remaining -= group.drift
    return layers


class _Graph:
    """A backbone's graph, its layers with weights named by their numbers."""

    def __init__(self, backbone: Backbone) -> None:
        from openvino._offline_transformations import apply_moc_transformations  # NNCF imports it, too: no public name

        self._model = read_graph(backbone)
        self._batch_size = fixed_batch_size(backbone) or _BATCH
        # Batch norm and padding join their convolutions, as they would when compiled: rounding must not stand between.
        apply_moc_transformations(self._model, cf=False)
        self._model.reshape([1, *backbone.spec.image_size, 3])
        multiplying = [op for op in self._model.get_ordered_ops() if op.get_type_name() in {*WEIGHTED, _ATTENTION}]
        self.layers = _name([op for op in multiplying if has_weights(op)], "layer")
        self._without_weights = _name([op for op in multiplying if not has_weights(op)], "product")

    def read(self) -> Any:
        """Return a copy in float32."""
        return self._model.clone()

    def embed(self, model: Any, pixels: Pixels) -> Floats:
        """Embed uint8 [n, H, W, 3] by a copy of the graph as float32 [n, D]."""
        return _embed(model, pixels, self._batch_size)

    def quantize(self, float32_layers: Sequence[str], pixels: Pixels) -> Any:
        """Return a copy in int8, with the ranges of activations on some images.

        Products of activations, as in attention, stay in float32: they take little time, and cause much drift.
        """
        nncf = import_nncf()

        left_out = [*float32_layers, *self._without_weights]
        ignored = nncf.IgnoredScope(names=left_out) if left_out else None
        images = nncf.Dataset([image[None] for image in pixels])
        with muted():
            return nncf.quantize(self.read(), images, subset_size=len(pixels), ignored_scope=ignored)

    def rank(self, quantized: Any, pixels: Pixels) -> list[_Group]:
        """Return groups of neighbouring layers: first those that cause most drift for the seconds that int8 saves."""
        size, operations = -(-len(self.layers) // _MOST_GROUPS), _by_name(self._model)
        reference = unit_rows(self.embed(self.read(), pixels))
        groups = []
        for start in range(0, len(self.layers), size):
            layers = self.layers[start : start + size]
            embeddings = unit_rows(self.embed(self.quantize_only(layers, quantized), pixels))
            drift = max(0.0, float(1 - (embeddings * reference).sum(axis=1).mean()))
            groups.append(_Group(layers, drift, sum(_estimate_s(operations[layer]) for layer in layers)))
        return sorted(groups, key=lambda group: group.drift / (group.seconds + _LEAST_S), reverse=True)

    def quantize_only(self, layers: Sequence[str], quantized: Any) -> Any:
        """Return a copy in float32 whose `layers` have weights and inputs of the quantized model."""
        from openvino import opset13

        model = self.read()
        originals, others = _by_name(model), _by_name(quantized)
        for layer in layers:
            op, other = originals[layer], others[layer]
            rounding = _rounding_before(other.input_value(0))
            if rounding is not None:
                ranges = [_compute(rounding.input_value(at)) for at in range(1, 5)]
                if rounding.output(0) != other.input_value(0):
                    ranges = [number.reshape(()) for number in ranges]  # the axes are others here
                levels = rounding.get_attributes()["levels"]
                rounded = opset13.fake_quantize(op.input_value(0), *ranges, levels=levels)
                op.input(0).replace_source_output(rounded.output(0))
            # As numbers: with several streams, OpenVINO seldom, but at times, computes them wrongly from constants.
            op.input(1).replace_source_output(opset13.constant(_compute(other.input_value(1))).output(0))
        return model


def _estimate_s(layer: Any) -> float:
    """Estimate the seconds of a layer in float32 for one image; 0 where its sizes are not known."""
    output, weights = layer.output(0), math.prod(layer.input_value(1).get_shape())
    if output.get_partial_shape().is_dynamic or layer.input_value(0).get_partial_shape().is_dynamic:
        return 0.0
    shape, n_values = output.get_shape(), math.prod(output.get_shape())
    channels = shape[-1] if layer.get_type_name() == "MatMul" else shape[1]
    moved = n_values + weights + math.prod(layer.input_value(0).get_shape())
    return float(n_values * weights / channels / _PRODUCTS_PER_S + moved / _VALUES_PER_S)


def _rounding_before(value: Any) -> Any:
    """Return the operation that rounds a layer's input, also where values are only moved behind it; None for none."""
    node = value.get_node()
    while node.get_type_name() in _MOVES:
        node = node.input_value(0).get_node()
    is_whole = node is value.get_node() or all(
        math.prod(node.input_value(at).get_shape()) == 1 for at in range(1, node.get_input_size())
    )
    return node if node.get_type_name() == _ROUNDING and is_whole else None


def _compute(value: Any) -> Floats:
    """Return the numbers of a tensor that depends on constants alone."""
    openvino = import_openvino()
    from openvino import opset13

    numbers = openvino.Tensor(np.empty(tuple(value.get_shape()), np.float32))
    openvino.Model([opset13.result(value)], [], "constants").evaluate([numbers], [])
    return np.array(numbers.data)


def _name(ops: Sequence[Any], what: str) -> list[str]:
    """Name operations by their numbers, and return the names."""
    for number, op in enumerate(ops):
        op.set_friendly_name(f"{what} {number}")
    return [op.get_friendly_name() for op in ops]


def _by_name(model: Any) -> dict[str, Any]:
    return {op.get_friendly_name(): op for op in model.get_ordered_ops()}


def _embed(model: Any, pixels: Pixels, batch_size: int) -> Floats:
    """Embed uint8 [n, H, W, 3] by an OpenVINO model, which stays as it is, as float32 [n, D]."""
    openvino = import_openvino()

    model = model.clone()
    model.reshape([batch_size, *pixels.shape[1:]])
    options = {"NUM_STREAMS": count_cores(), "INFERENCE_NUM_THREADS": count_cores(), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(model, "CPU", options)
    idle, running, chunks = (
        [compiled.create_infer_request() for _ in range(count_cores())],
        deque[Any](),
        list[Floats](),
    )
    padded = np.concatenate([pixels, pixels[: -len(pixels) % batch_size]])
    for at in range(0, len(padded), batch_size):
        request = idle.pop() if idle else _wait(running, chunks)
        request.get_input_tensor().data[:] = padded[at : at + batch_size]
        request.start_async()
        running.append(request)
    while running:
        _wait(running, chunks)
    return np.concatenate(chunks)[: len(pixels)]


def _wait(running: deque[Any], chunks: list[Floats]) -> Any:
    """Wait for the request that was started first, append its embeddings, and return it.

    Without a callback: to forget one, OpenVINO's threads wait for Python's lock (see `openvino._Request`).
    """
    request = running.popleft()
    request.wait()
    chunks.append(request.get_output_tensor().data.copy())
    return request
