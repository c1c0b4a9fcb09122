"""A backbone with a head as one ONNX model: by tf2onnx; the graph of an ONNX backbone stays as it is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from frieze.core import ModelError, import_tensorflow, muted
from frieze.embedder.backbones import Backbone
from frieze.embedder.backbones.base import freeze
from frieze.embedder.backbones.onnx_file import OnnxNetwork, find_network
from frieze.embedder.backbones.openvino_graph import Images, are_channels_first
from frieze.embedder.backbones.pooling import pool_tensor
from frieze.embedder.backbones.views import concat_views, mean_of_tensors
from frieze.embedder.images.resize import PIXELS
from frieze.features import BackboneSpec

ONNX_INPUT, ONNX_OUTPUT = "pixels", "probabilities"
"""Names of the model's input, uint8 [N, H, W, 3], and output."""

_LEAST_OPSET, _NEWEST_OPSET = 13, 18
"""Versions of ONNX's operators that tf2onnx writes."""
_XLA = "_XlaMustCompile"
_IMAGES, _RESULT = "images", "result"
_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)


def to_onnx(backbone: Backbone, then: Callable[[Any], Any]) -> Any:
    """Write a backbone and a head as one ONNX model.

    Args:
        backbone: From `open_backbone` or `reopen_backbone`.
        then: TensorFlow function of its embeddings, float32 [B, D].

    Returns:
        An onnx.ModelProto: `pixels`, uint8 [N, H, W, 3] of the backbone's size -> `probabilities`, what `then` gives.
        N is 1 where the backbone takes one image at a time.

    Raises:
        ModelError: An operation, or a version of ONNX's operators, can't be converted, or the model is above 2 GB.
    """
    import onnx

    errors = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, onnx.version_converter.ConvertError)
    try:
        with muted():  # tf2onnx logs as it goes
            is_file = backbone.openvino_graph is not None
            model = _with_file(backbone.spec, then) if is_file else _of_tensorflow(backbone, then)
            _name_batch(model.graph)
            onnx.checker.check_model(model)
    except (ValueError, RuntimeError, NotImplementedError, *errors) as error:
        raise ModelError(
            f"{backbone.spec.name} with its head can't be written as ONNX: {_last_line(error)}",
            hint="Export it as a SavedModel, or use the head itself: frieze predict HEAD SOURCE --out FILE.parquet",
        ) from error
    return model


def _name_batch(graph: Any) -> None:
    """Name the number of images in the shapes of input and output."""
    for one in (*graph.input, *graph.output):
        batch = one.type.tensor_type.shape.dim[0]
        if not batch.HasField("dim_value"):
            batch.dim_param = "N"


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()


def _of_tensorflow(backbone: Backbone, then: Callable[[Any], Any]) -> Any:
    tf = import_tensorflow()
    network = _without_xla(freeze(lambda images: then(backbone.call(images)), backbone.spec.image_size))
    pixels = tf.TensorSpec([None, *backbone.spec.image_size, 3], tf.uint8, name=ONNX_INPUT)
    return _convert(lambda pixels: network(pixels)[0], pixels, output=ONNX_OUTPUT, opset=_NEWEST_OPSET)


def _without_xla(function: Any) -> Any:
    """Return a frozen function whose calls of others may be inlined: Keras has XLA compile grouped convolutions.

    The called functions get another name, since TensorFlow keeps one of each name.
    """
    from tensorflow.python.eager.wrap_function import function_from_graph_def

    definition = function.graph.as_graph_def()
    called = definition.library.function
    for one in called:
        one.signature.name += "_inlined"
        one.attr.pop(_XLA, None)
    for node in (*definition.node, *(node for one in called for node in one.node_def)):
        node.attr.pop(_XLA, None)
        for value in node.attr.values():
            if value.HasField("func"):
                value.func.name += "_inlined"
    names = [[tensor.name for tensor in tensors] for tensors in (function.inputs, function.outputs)]
    return function_from_graph_def(definition, *names)


def _convert(function: Callable[[Any], Any], spec: Any, *, output: str, opset: int) -> Any:
    """Convert a TensorFlow function of one tensor to an ONNX model."""
    import tf2onnx

    traced = import_tensorflow().function(lambda values: {output: function(values)}, [spec], autograph=False)
    handlers: dict[str, tuple[Any, list[str]]] = {
        "Erfc": (_convert_erfc, [])
    }  # the exact GELU of Keras, which tf2onnx 1.17 does not know
    model, _ = tf2onnx.convert.from_function(traced, [spec], opset=opset, custom_op_handlers=handlers)
    kept = [one for one in model.opset_import if one.domain in ("", *(node.domain for node in model.graph.node))]
    _replace(model.opset_import, kept)
    return model


def _convert_erfc(context: Any, node: Any, _name: str, _arguments: Any) -> None:
    """Write erfc(x) as 1 - erf(x)."""
    import numpy as np

    node.type = "Erf"
    dtype = {1: np.float32, 10: np.float16, 11: np.float64}[context.get_dtype(node.output[0])]  # numbers of ONNX
    one = context.make_const(f"{node.name}/one", np.array(1, dtype))
    context.insert_new_node_on_output("Sub", node.output[0], inputs=[one.output[0], node.output[0]])


def _with_file(spec: BackboneSpec, then: Callable[[Any], Any]) -> Any:
    """Put what scales the pixels before the graph of an ONNX file, and pooling and head behind it."""
    import onnx

    found_network = find_network(Path(spec.handle), spec.layer)
    network = onnx.load(spec.handle)
    entry, output = _cut(network, found_network, spec.image_size)
    opset = _raise_opset(network, _LEAST_OPSET)
    before = _before(found_network.images, spec, min(opset, _NEWEST_OPSET))
    behind = _behind(found_network.images, spec, then, min(opset, _NEWEST_OPSET))
    model = _join(before, network, (_IMAGES, entry), "before")
    return _join(model, behind, (output, _RESULT), "behind")


def _cut(network: Any, found_network: OnnxNetwork, size: tuple[int, int]) -> tuple[str, str]:
    """Leave of a model what computes one output from the images; return the names of its input and output."""
    import onnx

    graph = network.graph
    tensors = {name for node in graph.node for name in node.output}
    (output, *_) = sorted(found_network.output_names & tensors) or [""]
    (entry, *_) = sorted(found_network.images.model.input().get_names() & {one.name for one in graph.input}) or [""]
    if not (output and entry):
        raise ValueError("its input or its output has no name in the file.")
    needed = _needed(graph, output)
    _replace(graph.node, [node for node in graph.node if needed.intersection(node.output)])
    _replace(graph.initializer, [one for one in graph.initializer if one.name in needed])
    _replace(graph.input, [one for one in graph.input if one.name == entry])
    element_type = found_network.images.model.output().get_element_type().to_dtype()
    number = onnx.helper.np_dtype_to_tensor_dtype(element_type)
    sides = found_network.images.output_sides(size)
    _replace(graph.output, [onnx.helper.make_tensor_value_info(output, number, sides)])
    del graph.value_info[:]
    return entry, output


def _needed(graph: Any, output: str) -> set[str]:
    """Return the names of all tensors that an output is computed from, and its own."""
    producers = {name: node for node in graph.node for name in node.output}
    needed, pending = set[str](), [output]
    while pending:
        name = pending.pop()
        if name and name not in needed:
            needed.add(name)
            pending += _inputs_of(producers[name]) if name in producers else []
    return needed


def _inputs_of(node: Any) -> Iterator[str]:
    """Yield the names of the tensors that a node takes, and that the graphs in it take from outside."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _inputs_of(inner)


def _before(images: Images, spec: BackboneSpec, opset: int) -> Any:
    """Convert what is done to pixels: uint8 [N, H, W, 3] -> what the network takes."""
    tf = import_tensorflow()
    element_type = tf.as_dtype(images.model.input().get_element_type().to_dtype())

    def scale(pixels: Any) -> Any:
        values = PIXELS[spec.pixels](concat_views(tf.cast(pixels, tf.float32) / 255.0, spec.views))
        values = tf.round(values) if element_type.is_integer else values
        return tf.cast(tf.transpose(values, _TO_FIRST) if images.is_first else values, element_type)

    pixels = tf.TensorSpec([images.batch_size, *spec.image_size, 3], tf.uint8, name=ONNX_INPUT)
    return _convert(scale, pixels, output=_IMAGES, opset=opset)


def _behind(images: Images, spec: BackboneSpec, then: Callable[[Any], Any], opset: int) -> Any:
    """Convert what is done to the network's output: pooling, the mean of views, the head."""
    tf = import_tensorflow()
    sides = images.output_sides(spec.image_size)
    is_first = are_channels_first(sides, spec.image_size, is_first=images.is_first)

    def embed(values: Any) -> Any:
        values = tf.cast(tf.transpose(values, _TO_LAST) if is_first else values, tf.float32)
        return then(mean_of_tensors(pool_tensor(values, spec.pool), spec.views))

    element_type = images.model.output().get_element_type().to_dtype()
    result = tf.TensorSpec([images.batch_size, *sides[1:]], tf.as_dtype(element_type), name=_RESULT)
    return _convert(embed, result, output=ONNX_OUTPUT, opset=opset)


def _raise_opset(model: Any, least: int) -> int:
    """Convert a model to a later version of ONNX's operators where it has an earlier one; return its version."""
    import onnx

    version = max(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    if version < least:
        model.CopyFrom(onnx.version_converter.convert_version(model, least))
    return max(int(version), least)


def _join(first: Any, second: Any, names: tuple[str, str], part: str) -> Any:
    """Join two models at an output of the first and an input of the second; `part` is the one that is ours."""
    import onnx

    ours, other = (first, second) if part == "before" else (second, first)
    _raise_opset(ours, _raise_opset(other, 0))
    _replace(other.opset_import, [*(one for one in other.opset_import if one.domain), *ours.opset_import])
    first.ir_version = second.ir_version = max(first.ir_version, second.ir_version)
    ours.CopyFrom(onnx.compose.add_prefix(ours, f"{part}/", rename_inputs=False, rename_outputs=False))
    joined = onnx.compose.merge_models(first, second, io_map=[names])
    _replace(joined.opset_import, list({one.domain: one for one in joined.opset_import}.values()))
    return joined


def _replace(field: Any, values: list[Any]) -> None:
    """Replace the content of a repeated field."""
    copies = [type(value)() for value in values]
    for one, value in zip(copies, values, strict=True):
        one.CopyFrom(value)
    del field[:]
    field.extend(copies)
