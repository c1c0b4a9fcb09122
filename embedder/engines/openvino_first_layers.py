"""Split the first layers off an OpenVINO graph, to keep them in float32: low precision hurts there most."""

import math
from collections.abc import Iterator
from typing import Any

from frieze.core import import_openvino

WEIGHTED = {"Convolution", "GroupConvolution", "MatMul"}
"""Types of operations with weights."""
_LAYERS = 4
"""The cut lies behind one of so many layers with weights. Measured on MobileNets: the first two to three cause most of
the drift of bfloat16, since later layers sum over more channels."""


def has_weights(layer: Any) -> bool:
    """Return whether an operation multiplies by constants, unlike attention, which multiplies activations."""
    pending = [layer.input_value(1).get_node()]
    while pending:
        node = pending.pop()
        if node.get_type_name() == "Parameter":
            return False
        pending += [value.get_node() for value in node.input_values()]
    return True


def split_first_layers(model: Any) -> list[Any]:
    """Cut an OpenVINO model behind its first layers, at the smallest tensor.

    Args:
        model: Has one input and one output; is taken apart.

    Returns:
        Two models; the output of the first is the input of the second.

    Raises:
        RuntimeError: No early tensor carries everything that later layers use.
    """
    openvino = import_openvino()
    from openvino import opset13

    cuts = [output for output in _early_outputs(model) if _is_cut(model, output)]
    if not cuts:
        raise RuntimeError("its first layers can't be split from the rest")
    # Of equals the last one: the cut then lies behind an activation.
    cut = min(reversed(cuts), key=lambda output: math.prod(output.get_shape()))
    entry = opset13.parameter(cut.get_partial_shape(), cut.get_element_type())
    for consumer in cut.get_target_inputs():
        consumer.replace_source_output(entry.output(0))
    first_layers = openvino.Model([cut], model.get_parameters(), "first_layers")
    return [first_layers, openvino.Model(model.get_results(), [entry], "rest")]


def _early_outputs(model: Any) -> Iterator[Any]:
    """Yield the outputs behind the first layer with weights, up to the last one allowed."""
    n_layers = 0
    for op in model.get_ordered_ops():
        n_layers += op.get_type_name() in WEIGHTED
        if n_layers > _LAYERS:
            return
        if n_layers and op.get_output_size() == 1 and op.get_type_name() not in ("Constant", "Result"):
            yield op.output(0)


def _is_cut(model: Any, output: Any) -> bool:
    """Check that every path from the input to the result passes through an output."""
    entry, visited = output.get_node().get_name(), set[str]()
    pending = [result.get_name() for result in model.get_results()]
    nodes = {op.get_name(): op for op in model.get_ordered_ops()}
    while pending:
        name = pending.pop()
        if name == entry or name in visited:
            continue
        visited.add(name)
        if nodes[name].get_type_name() == "Parameter":
            return False
        pending += [source.get_node().get_name() for source in nodes[name].input_values()]
    return True
