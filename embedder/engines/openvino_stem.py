"""The first layers of a graph on their own: low precision hurts there most, and costs little to do without."""

import math
from collections.abc import Iterator
from typing import Any

_WEIGHTED = {"Convolution", "GroupConvolution", "MatMul"}
_LAYERS = 4
"""The cut lies behind one of so many layers with weights. Measured on MobileNets: the first two to three carry most of
what bfloat16 does to the neighbours, since the layers behind them add up over more channels."""


def split_stem(model: Any) -> list[Any]:
    """Cut an OpenVINO model behind its first layers, where the least has to be handed on.

    Args:
        model: With one input and one output; taken apart.

    Returns:
        Two models, the output of the first being the input of the second.

    Raises:
        RuntimeError: There is no place through which all goes.
    """
    import openvino
    from openvino import opset13

    places = [output for output in _early(model) if _is_cut(model, output)]
    if not places:
        raise RuntimeError("its first layers can't be told from the rest")
    cut = min(
        reversed(places), key=lambda output: math.prod(output.get_shape())
    )  # of equals the last: an activation is in
    entry = opset13.parameter(cut.get_partial_shape(), cut.get_element_type())
    for consumer in cut.get_target_inputs():
        consumer.replace_source_output(entry.output(0))
    stem = openvino.Model([cut], model.get_parameters(), "stem")
    return [stem, openvino.Model(model.get_results(), [entry], "rest")]


def _early(model: Any) -> Iterator[Any]:
    """Give what comes out behind the first layer, up to the one that is too late."""
    n_layers = 0
    for op in model.get_ordered_ops():
        n_layers += op.get_type_name() in _WEIGHTED
        if n_layers > _LAYERS:
            return
        if n_layers and op.get_output_size() == 1 and op.get_type_name() not in ("Constant", "Result"):
            yield op.output(0)


def _is_cut(model: Any, output: Any) -> bool:
    """Tell whether nothing reaches the end but through an output."""
    entry, seen = output.get_node().get_name(), set[str]()
    behind = [result.get_name() for result in model.get_results()]
    nodes = {op.get_name(): op for op in model.get_ordered_ops()}
    while behind:
        name = behind.pop()
        if name == entry or name in seen:
            continue
        seen.add(name)
        if nodes[name].get_type_name() == "Parameter":
            return False
        behind += [source.get_node().get_name() for source in nodes[name].input_values()]
    return True
