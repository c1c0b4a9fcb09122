"""Finds how a graph scales its input before the first real layer, by running three grey images through it."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from frieze.core import import_tensorflow
from frieze.embedder.backbones.pixel_range import infer_pixel_range

_PROBES = (0.0, 127.5, 255.0)
_IMAGES_RANK, _COLOURS = 4, 3
_ROUNDING = 0.01  # of the whole change: some graphs compute in float16
_ANY_SIDE_PX = 64  # for graphs that take any size

_RANDOM = ("Random", "StatelessRandom", "StatefulRandom", "Multinomial", "StatelessMultinomial")
_WRITES = ("Assign", "ResourceApply", "ResourceScatter", "ResourceSparseApply", "ResourceStridedSliceAssign")
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_SHAPES = {"Shape", "ShapeN", "Size", "Rank"}
"""Operations that depend on an image's size only."""

_AFFINE = frozenset(
    {
        "Add",
        "AddV2",
        "BiasAdd",
        "Cast",
        "ConcatV2",
        "CropAndResize",
        "Div",
        "ExpandDims",
        "GatherV2",
        "Identity",
        "IdentityN",
        "MirrorPad",
        "Mul",
        "Neg",
        "Pack",
        "Pad",
        "PadV2",
        "RealDiv",
        "Reciprocal",
        "Reshape",
        "ResizeArea",
        "ResizeBicubic",
        "ResizeBilinear",
        "ResizeNearestNeighbor",
        "ReverseV2",
        "ScaleAndTranslate",
        "Slice",
        "Split",
        "SplitV",
        "Squeeze",
        "StopGradient",
        "StridedSlice",
        "Sub",
        "Transpose",
        "Unpack",
    }
)
"""Operations that may move, scale or shift values; the three images show whether they do."""

_NUMBERS = _AFFINE | {
    "AddN",
    "Exp",
    "Fill",
    "Max",
    "Maximum",
    "Mean",
    "Min",
    "Minimum",
    "Pow",
    "Prod",
    "Range",
    "ReadVariableOp",
    "Rsqrt",
    "Select",
    "SelectV2",
    "Shape",
    "Sqrt",
    "Square",
    "Sum",
}
"""Operations that compute numbers combined with pixels; none has side effects."""


class GraphTraits(NamedTuple):
    """Properties of a network's graph.

    Attributes:
        pixels: The range that it was trained on, a key of `PIXELS`; None if the graph does not show it.
        is_random: Whether its outputs are random, such as with augmentation layers that Keras exported.
        writes_variables: Whether a call changes its variables, as batch norm in training mode does.
    """

    pixels: str | None
    is_random: bool
    writes_variables: bool


def trace_graph(call: Callable[[Any], Any], images: Any) -> GraphTraits:
    """Trace a network's graph and return its properties.

    Args:
        call: Takes a batch of images.
        images: TensorSpec of a batch, [B, H, W, C] or [B, C, H, W].
    """
    tf = import_tensorflow()
    try:
        graph = tf.function(call, autograph=False).get_concrete_function(images).graph
        walk = _follow_greys(graph, images)
    except (ValueError, TypeError, tf.errors.OpError):  # it takes no such images: the next call raises the error
        return GraphTraits(None, is_random=False, writes_variables=False)
    known = {"is_random": walk.is_random, "writes_variables": _writes_variables(graph)}
    if not images.dtype.is_floating:
        return GraphTraits("0..255" if images.dtype == tf.uint8 else None, **known)
    ranges = {_range_before(values) for values in walk.entries}
    return GraphTraits(ranges.pop() if len(ranges) == 1 else None, **known)


def _writes_variables(graph: Any) -> bool:
    """Return whether a graph, or a function that it calls, writes to variables."""
    definition = graph.as_graph_def()
    nodes = itertools.chain(definition.node, *(function.node_def for function in definition.library.function))
    return any(node.op.startswith(_WRITES) for node in nodes)


def _follow_greys(graph: Any, images: Any) -> "_Walk":
    """Run three grey images through a graph."""
    tf = import_tensorflow()
    sides = [side or _ANY_SIDE_PX for side in images.shape[1:]]
    greys = np.broadcast_to(np.reshape(_PROBES, (-1, 1, 1, 1)), (len(_PROBES), *sides))
    probes = tf.cast(greys, images.dtype)
    walk = _Walk()
    captured = {id(inner): outer for outer, inner in graph.captures}
    walk.run(graph, [_Pixels(probes) if id(one) not in captured else captured[id(one)] for one in graph.inputs])
    return walk


def _range_before(values: Any) -> str | None:
    """Infer the range from the three images at the input of the first layer."""
    if values.shape.rank != _IMAGES_RANK:
        return None
    pixels = np.asarray(values, np.float64)
    if pixels.shape[1] == _COLOURS != pixels.shape[-1]:
        pixels = np.moveaxis(pixels, 1, -1)
    low, middle, high = pixels[:, pixels.shape[1] // 2, pixels.shape[2] // 2]  # [C], away from padded edges
    change = np.abs(high - low)
    if (np.abs(middle - (low + high) / 2) > _ROUNDING * change).any():
        return None
    return infer_pixel_range((high - low) / (_PROBES[-1] - _PROBES[0]), low)


@dataclasses.dataclass(frozen=True)
class _Pixels:
    """Values of the three images at a tensor."""

    values: Any


class _Beyond:
    """An output of a layer, or an unknown value."""


@dataclasses.dataclass(frozen=True)
class _Number:
    """A value independent of pixels, computed when an operation combines it with pixels."""

    operation: Any
    output: int
    known: "dict[str, _State]"


_State = Any
"""`_Pixels`, `_Beyond`, `_Number`, or a TensorFlow value."""


class _Walk:
    """A walk through a graph and the functions that it calls.

    Attributes:
        entries: Values of the three images at the input of each first layer.
        is_random: Whether an operation on the way to the outputs is random.
    """

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.is_random = False

    def run(self, graph: Any, inputs: list[_State]) -> list[_State]:
        """Follow the images through a graph and return the states of its outputs."""
        known: dict[str, _State] = {one.name: state for one, state in zip(graph.inputs, inputs, strict=True)}
        for operation in _needed(graph):
            if operation.outputs and operation.outputs[0].name not in known:
                states = self._follow(operation, [known[one.name] for one in operation.inputs], known)
                known |= {one.name: state for one, state in zip(operation.outputs, states, strict=True)}
        return [known[one.name] for one in graph.outputs]

    def _follow(self, operation: Any, inputs: list[_State], known: dict[str, _State]) -> list[_State]:
        n_outputs = len(operation.outputs)
        self.is_random |= operation.type.startswith(_RANDOM)
        if operation.type in _CALLS:
            return self.run(_body(operation), inputs)
        pixels = [one for one in inputs if isinstance(one, _Pixels)]
        if operation.type in _SHAPES and pixels:
            outputs = _execute(operation, [_value(one) for one in inputs])
        elif any(isinstance(one, _Beyond) for one in inputs):
            outputs = None
        elif not pixels:
            return [_Number(operation, output, known) for output in range(n_outputs)]
        else:
            outputs = _apply_affine(operation, inputs)
            if outputs is not None:
                return [_Pixels(one) for one in outputs]
        if outputs is None:
            self.entries += [one.values for one in pixels]
            return [_Beyond()] * n_outputs
        return outputs


def _apply_affine(operation: Any, inputs: list[_State]) -> list[Any] | None:
    """Apply an operation to the images; None if it does more than move, scale or shift them."""
    if operation.type not in _AFFINE:
        return None
    values = [_value(one) for one in inputs]
    return None if any(one is None for one in values) else _execute(operation, values)


def _value(state: _State) -> Any:
    """Compute a state; None if it depends on more than numbers."""
    tf = import_tensorflow()
    if isinstance(state, _Pixels):
        return state.values
    if not isinstance(state, _Number):
        return state
    operation = state.operation
    if operation.type == "Const":
        return tf.constant(tf.make_ndarray(operation.get_attr("value")))
    if operation.type not in _NUMBERS:
        return None
    values = [_value(state.known[one.name]) for one in operation.inputs]
    return None if any(one is None for one in values) else _execute(operation, values)[state.output]


def _execute(operation: Any, values: list[Any]) -> list[Any]:
    """Run an operation of a graph eagerly on these inputs."""
    from tensorflow.python.eager import context, execute

    attributes: list[Any] = []
    for one in operation.op_def.attr:
        attributes += [one.name, _plain(operation.get_attr(one.name))]
    n_outputs, name = len(operation.outputs), operation.type.encode()
    return list(execute.execute(name, n_outputs, values, tuple(attributes), context.context()))


def _plain(attribute: Any) -> Any:
    """Convert types to their enum numbers."""
    if isinstance(attribute, list):
        return [_plain(one) for one in attribute]
    return getattr(attribute, "as_datatype_enum", attribute)


def _body(operation: Any) -> Any:
    """Return the graph of the function that an operation calls."""
    name = operation.get_attr("f").name
    return operation.graph._get_function(name).graph  # noqa: SLF001  TensorFlow has no other way to ask


def _needed(graph: Any) -> Iterator[Any]:
    """Yield the operations that the outputs depend on, in topological order."""
    needed: set[str] = set()
    ahead = [one.op for one in graph.outputs]
    while ahead:
        operation = ahead.pop()
        if operation.name not in needed:
            needed.add(operation.name)
            ahead += [one.op for one in operation.inputs]
    return (one for one in graph.get_operations() if one.name in needed)
