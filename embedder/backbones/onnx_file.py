"""`.onnx` files: any network with one image input, read by OpenVINO.

Nothing of a file runs as code: an operator is one of OpenVINO's own, or the file is refused.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from frieze.core import InputError, ModelError, import_openvino
from frieze.embedder.backbones.base import LAYERS, Network, OpenVINOGraph, StatedPixels, no_tensorflow_error
from frieze.embedder.backbones.onnx_files import hash_model, read_onnx
from frieze.embedder.backbones.openvino_graph import Images, complete_graph, find_images, infer_pixels, takes_bytes
from frieze.embedder.backbones.request import BackboneRequest

_PREFERRED = ("image_embeds", "pooler_output")
"""Names of the one output among several that is an image's embedding. Source: the vision models of Hugging Face's
transformers, whose exports name their outputs so."""
_MOST_SHOWN = 5


class OnnxNetwork(NamedTuple):
    """The part of an ONNX file that embeds images.

    Attributes:
        images: It as an OpenVINO model, and how it takes images.
        output_names: Names that its output has in the file.
    """

    images: Images
    output_names: frozenset[str]


def open_onnx_file(request: BackboneRequest) -> Network:
    """Read an ONNX file, and find its image input and the output to take.

    Raises:
        ModelError: The file, its input or its output can't be used.
        InputError: The size does not fit it, or OpenVINO is not installed.
    """
    path = Path(request.handle).absolute()
    fingerprint = hash_model(path)
    images = find_network(path, request.layer).images
    _check_size(images, request, path.stem)
    _check_pixels(images, request, path.stem)

    def refuse(_: Any) -> Any:
        raise no_tensorflow_error(path.stem)

    def complete(size: tuple[int, int], pixels: str) -> OpenVINOGraph:
        return complete_graph(images, size, pixels, request.pool, views=request.views, name=path.stem)

    return Network(
        name=path.stem,
        handle=str(path),
        fingerprint=fingerprint,
        image_size=images.size,
        read_pixels=lambda: StatedPixels(infer_pixels(images), LAYERS),
        call=refuse,
        to_openvino=complete,
    )


def find_network(path: Path, layer: str | None) -> OnnxNetwork:
    """Find the image input of an ONNX file, and the output to take.

    Args:
        path: The file.
        layer: The output or inner tensor to take; None for the only output, or one named like embeddings.

    Raises:
        ModelError: The file, its input or its output can't be used.
        InputError: OpenVINO is not installed.
    """
    output = _choose_output(read_onnx(path), layer, path.stem)
    return OnnxNetwork(find_images(_cut(output, path.stem), name=path.stem), frozenset(output.get_names()))


def _choose_output(model: Any, layer: str | None, name: str) -> Any:
    """Return the output, or inner tensor, that is named; by default the only output, or one named like embeddings.

    Raises:
        ModelError: There is none of this name, or several outputs and no name.
    """
    if layer is not None:
        return _find_tensor(model, layer, name)
    if len(model.outputs) == 1:
        return _source(model.outputs[0])
    for preferred in _PREFERRED:
        for output in model.outputs:
            if preferred in output.get_names():
                return _source(output)
    listed = "; ".join(f"{_any_name(output)} {_to_text(output)}" for output in model.outputs)
    raise ModelError(f"{name} has several outputs: {listed}.", hint="Choose one with `layer='NAME'`.")


def _source(output: Any) -> Any:
    """Return the tensor that becomes an output of the model."""
    return output.get_node().input_value(0)


def _find_tensor(model: Any, layer: str, name: str) -> Any:
    for output in model.outputs:
        if layer in output.get_names():
            return _source(output)
    tensors = _inner_tensors(model)
    if layer in tensors:
        return tensors[layer]
    raise ModelError(f"{name} has no output or tensor {layer}.", hint=f"Similar names: {_similar(layer, tensors)}.")


def _inner_tensors(model: Any) -> dict[str, Any]:
    """Return each computed tensor by its names and, where a node has one output, by the node's name."""
    tensors: dict[str, Any] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("Constant", "Parameter", "Result"):
            continue
        for output in node.outputs():
            names = [*output.get_names(), *([node.get_friendly_name()] if node.get_output_size() == 1 else [])]
            tensors |= dict.fromkeys(names, output)
    return tensors


def _any_name(output: Any) -> str:
    names = sorted(output.get_names())
    return names[0] if names else str(_source(output).get_node().get_friendly_name())


def _similar(layer: str, tensors: Mapping[str, Any]) -> str:
    """List tensors whose names contain a text, the last ones first; else those of the most similar names."""
    by_tensor = {(one.get_node().get_name(), one.get_index()): name for name, one in tensors.items()}  # a name each
    names = list(reversed(by_tensor.values()))
    near = [name for name in names if layer.lower() in name.lower()] or difflib.get_close_matches(
        layer, names, n=_MOST_SHOWN, cutoff=0.3
    )
    return ", ".join(f"{name} {_to_text(tensors[name])}" for name in (near or names)[:_MOST_SHOWN])


def _to_text(output: Any) -> str:
    return str(output.get_partial_shape())


def _cut(output: Any, name: str) -> Any:
    """Return the part of a model from its only input to a tensor.

    Raises:
        ModelError: The tensor needs other inputs than one, as of a model that takes images and text.
    """
    openvino = import_openvino()
    from openvino import opset13

    inputs = _inputs_of(output)
    if len(inputs) != 1:
        listed = "; ".join(f"{one.get_friendly_name()} {one.get_partial_shape()}" for one in inputs) or "none"
        raise ModelError(
            f"{name} takes other inputs than images for this output: {listed}.",
            hint="Export the vision part alone, with one input for images; or choose an output that needs only these"
            " with `layer='NAME'`.",
        )
    return openvino.Model([opset13.result(output)], inputs, name)


def _inputs_of(output: Any) -> list[Any]:
    """Return the inputs of the model that a tensor is computed from, sorted by name."""
    inputs, visited, pending = [], set[str](), [output.get_node()]
    while pending:
        node = pending.pop()
        if node.get_name() in visited:
            continue
        visited.add(node.get_name())
        if node.get_type_name() == "Parameter":
            inputs.append(node)
        pending += [value.get_node() for value in node.input_values()]
    return sorted(inputs, key=lambda node: str(node.get_friendly_name()))


def _check_size(images: Images, request: BackboneRequest, name: str) -> None:
    if request.size is not None and images.size is not None and request.size != images.size:
        height, width = images.size
        raise InputError(
            f"{name} takes images of {height} x {width} pixels, and no others.",
            hint="Leave `image_size` out, or export the network for another size.",
        )


def _check_pixels(images: Images, request: BackboneRequest, name: str) -> None:
    if request.pixels not in (None, "0..255") and takes_bytes(images):
        raise InputError(
            f"{name} takes integers, which are levels from 0 to 255, and no range of pixels.",
            hint="Leave `pixels` out.",
        )
