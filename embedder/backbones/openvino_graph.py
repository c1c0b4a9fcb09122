"""Completes a network that OpenVINO has read: from pixels, uint8 [B, H, W, 3], to embeddings, float32 [B, D]."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, ModelError, import_openvino
from frieze.embedder.backbones.base import OpenVINOGraph
from frieze.embedder.backbones.batch_dependence import probe_network
from frieze.embedder.backbones.pixel_range import infer_pixel_range
from frieze.embedder.backbones.pooling import Operations, pool_values
from frieze.embedder.backbones.views import mean_of_views, stack_views
from frieze.embedder.images.resize import PIXELS

_IMAGES_RANK, _COLOURS, _BYTES = 4, 3, 255
_LAST, _FIRST = 3, 1
"""Axis of the colours: of [B, H, W, 3] and of [B, 3, H, W]."""
_TRIED_SIDE = 224
_TO_FIRST, _TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
"""Axes of [B, H, W, C] as [B, C, H, W], and back."""


@dataclasses.dataclass(frozen=True)
class Images:
    """A network and how it takes images.

    Attributes:
        model: An OpenVINO model of one input and one output.
        axis: Axis of the colours in its input.
        size: Height and width that it is fixed to; None for any.
        batch_size: Images that it is fixed to; None for any.
    """

    model: Any
    axis: int
    size: tuple[int, int] | None
    batch_size: int | None

    @property
    def is_first(self) -> bool:
        """Whether the colours are the first axis of an image: [B, 3, H, W]."""
        return self.axis == _FIRST

    def output_sides(self, size: tuple[int, int]) -> tuple[int | None, ...]:
        """Return the shape of the output for images of H and W pixels; None for a side that is not known."""
        model = self.model.clone()
        sides = (_COLOURS, *size) if self.is_first else (*size, _COLOURS)
        model.reshape([self.batch_size or -1, *sides])
        return sides_of(model.output().get_partial_shape())


def find_images(model: Any, *, name: str) -> Images:
    """Find out how a network takes images.

    Raises:
        ModelError: Its input is no batch of RGB images, or it can't be known which axis is that of the colours.
    """
    shape = model.input().get_partial_shape()
    sides = sides_of(shape)
    axes = [axis for axis in (_FIRST, _LAST) if len(sides) == _IMAGES_RANK and sides[axis] in (None, _COLOURS)]
    stated = [axis for axis in axes if sides[axis] == _COLOURS]
    axes = stated if len(stated) == 1 else [axis for axis in axes if _takes(model, axis, sides)]
    if len(axes) != 1:
        raise ModelError(
            f"{name} takes inputs of the shape {shape}; images are [B, 3, H, W] or [B, H, W, 3], and this one is"
            f" {'either' if axes else 'neither'}.",
            hint="Export it with an input of one of these shapes, where 3 is fixed.",
        )
    (axis,) = axes
    height, width = sides[1:3] if axis == _LAST else sides[2:4]
    size = None if height is None and width is None else (height or width or 0, width or height or 0)
    return Images(model, axis, size, sides[0])


def sides_of(shape: Any) -> tuple[int | None, ...]:
    """Return a partial shape's sides, None for any; empty where not even their number is known."""
    return () if shape.rank.is_dynamic else tuple(side.get_length() if side.is_static else None for side in shape)


def _takes(model: Any, axis: int, sides: tuple[int | None, ...]) -> bool:
    """Return whether the layers of a network of open axes fit images with their colours along an axis."""
    shape = [side or _TRIED_SIDE for side in sides]
    shape[0], shape[axis] = sides[0] or 1, _COLOURS
    with contextlib.suppress(RuntimeError):
        model.clone().reshape(shape)
        return True
    return False


def infer_pixels(images: Images) -> str | None:
    """Infer the pixel range of a network from the numbers of its first operations, up to one that mixes pixels.

    Returns:
        `0..1`, `-1..1` or `0..255`; None where they show none.
    """
    if takes_bytes(images):
        return "0..255"
    steps = list(_first_scalings(images.model.input()))
    scale, offset = np.ones(1), np.zeros(1)
    for factor, summand in steps:
        scale, offset = factor * scale, factor * offset + summand
    return infer_pixel_range(scale, offset) if steps else None


def takes_bytes(images: Images) -> bool:
    """Return whether a network takes integers, which can be nothing but levels from 0 to 255."""
    return bool(images.model.input().get_element_type().is_integral())


def _first_scalings(images: Any) -> Iterator[tuple[Any, Any]]:
    """Yield factor and summand, a number or one a colour, of each operation that scales or shifts the pixels alone."""
    values = images
    while len(targets := values.get_target_inputs()) == 1:
        (target,) = targets
        node, kind = target.get_node(), target.get_node().get_type_name()
        if kind in _SCALINGS:
            numbers = _constant(node.input_value(1 - target.get_index()))
            is_reversed = target.get_index() == 1 and kind in ("Subtract", "Divide")  # a number minus pixels
            if numbers is None or numbers.size not in (1, _COLOURS) or is_reversed or not numbers.all():
                return
            yield _SCALINGS[kind](numbers)
        elif kind not in ("Convert", "Transpose"):
            return
        values = node.output(0)


_SCALINGS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "Multiply": lambda numbers: (numbers, 0.0),
    "Divide": lambda numbers: (1 / numbers, 0.0),
    "Add": lambda numbers: (1.0, numbers),
    "Subtract": lambda numbers: (1.0, -numbers),
}
"""Operation with a constant -> its factor and its summand."""


def _constant(output: Any) -> Any:
    """Return the numbers of a constant, also of one stored in a lower precision; None for what is computed."""
    node = output.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.data, np.float64).ravel() if node.get_type_name() == "Constant" else None


def complete_graph(
    images: Images, size: tuple[int, int], pixels: str, pool: str | None, *, views: str | None, name: str
) -> OpenVINOGraph:
    """Complete a network: cast, range of pixels and order of axes before it, pooling behind it.

    It is tried on noise: alone and between other images.

    Args:
        images: The network.
        size: H and W in pixels.
        pixels: A key of `PIXELS`, the range that it was trained on.
        pool: A key of `POOLS`; None for the mean of maps.
        views: A key of `VIEWS`, whose unit vectors are averaged; None for the image alone.
        name: Its name, for messages.

    Raises:
        ModelError: It does not take this size, or an image's embedding depends on the other images of its batch.
        InputError: `pool` does not fit the output, or it takes one image at a time and `views` are several.
    """
    try:
        model = _complete(images, size, pixels, pool, views=views)
        return OpenVINOGraph(model.clone, _try_out(model, size, name))
    except (ModelError, RuntimeError) as error:
        if images.batch_size != 1:
            raise _to_model_error(error, images, size, name) from error
    if views is not None:
        raise InputError(
            f"{name} takes one image at a time, and `views={views!r}` gives it several.",
            hint="Leave `views` out, or export it with a free number of images (docs/howto.md).",
        )
    try:
        model = _complete(images, size, pixels, pool, batch_size=1)
        return OpenVINOGraph(model.clone, int(model.output().get_partial_shape()[-1].get_length()), batch_size=1)
    except RuntimeError as error:
        raise _to_model_error(error, images, size, name) from error


def _to_model_error(error: ModelError | RuntimeError, images: Images, size: tuple[int, int], name: str) -> ModelError:
    if isinstance(error, ModelError):
        return error
    fixed = "" if images.size is None else "It was made for {} x {}. ".format(*images.size)
    many = "" if images.batch_size is None else f"It takes {images.batch_size} images at once. "
    return ModelError(
        f"{name} can't embed images of {size[0]} x {size[1]} pixels: {str(error).strip().splitlines()[-1].strip()}",
        hint=f"{fixed}{many}Set the size that it was made for with `image_size`; or export it with a free number of"
        " images (docs/howto.md).",
    )


def _complete(
    images: Images,
    size: tuple[int, int],
    pixels: str,
    pool: str | None,
    *,
    batch_size: int | None = None,
    views: str | None = None,
) -> Any:
    """Return the completed model: uint8 [B, H, W, 3] -> float32 [B, D]; `batch_size` is B, None for any."""
    openvino = import_openvino()
    from openvino import opset13

    model = images.model.clone()
    (entry,) = model.get_parameters()
    parameter = opset13.parameter([batch_size or -1, *size, _COLOURS], np.uint8, name="pixels")
    colours = opset13.convert(parameter, "f32") / np.array([_BYTES], np.float32)
    values = _to_input(stack_views(colours, size, views), pixels, images.axis, entry.get_element_type())
    for consumer in entry.output(0).get_target_inputs():
        consumer.replace_source_output(values.output(0))
    output = model.get_results()[0].input_value(0)
    whole = openvino.Model([opset13.result(output)], [parameter], "network")
    whole.validate_nodes_and_infer_types()
    rows = _to_rows(whole.get_results()[0].input_value(0), pool, size, is_first=images.is_first)
    if batch_size is None and rows.get_output_partial_shape(0)[0].is_static:
        raise ModelError(
            f"The output of {model.friendly_name} has the shape {rows.get_output_partial_shape(0)}, however many images"
            " there are.",
            hint="Export the network with a free number of images.",
        )
    rows = mean_of_views(rows, views, dim=rows.get_output_partial_shape(0)[1].get_length()) if views else rows
    return openvino.Model([opset13.result(rows)], [parameter], "embeddings")


def _to_input(values: Any, pixels: str, axis: int, element_type: Any) -> Any:
    """Convert float32 [B, H, W, 3] in [0, 1] to what the network takes."""
    from openvino import opset13

    range_ = PIXELS[pixels]
    if range_.is_bgr:
        values = opset13.gather(values, np.arange(_COLOURS)[::-1].copy(), np.int64(_LAST))
    values = range_.scale(values)
    if element_type.is_integral():
        values = opset13.round(values, "half_to_even")
    if axis == _FIRST:
        values = opset13.transpose(values, np.array(_TO_FIRST))
    return opset13.convert(values, element_type.to_string())


def _to_rows(output: Any, pool: str | None, size: tuple[int, int], *, is_first: bool) -> Any:
    """Convert the network's output to float32 [B, D]."""
    from openvino import opset13

    values = opset13.convert(output, "f32")
    sides = sides_of(output.get_partial_shape())
    if are_channels_first(sides, size, is_first=is_first):
        values = opset13.transpose(values, np.array(_TO_LAST))
        sides = tuple(sides[axis] for axis in _TO_LAST)
    return pool_values(values, sides, pool, _operations())


def are_channels_first(sides: tuple[int | None, ...], size: tuple[int, int], *, is_first: bool) -> bool:
    """Return whether an output is maps [B, D, h, w]: h / w is about H / W; if that shows nothing, as its input is.

    Args:
        sides: The output's shape, of any rank; None for any side.
        size: H and W of the images.
        is_first: Whether the network takes images [B, 3, H, W].
    """
    if len(sides) != _IMAGES_RANK:
        return False
    if None in sides[1:]:
        return is_first
    first, middle, last = (math.log(side or 1) for side in sides[1:])
    aspect = math.log(size[0] / size[1])
    as_first, as_last = abs(middle - last - aspect), abs(first - middle - aspect)
    return is_first if math.isclose(as_first, as_last, abs_tol=1e-9) else as_first < as_last


def _operations() -> Operations:
    """Return OpenVINO's operations for pooling."""
    from openvino import opset13

    return Operations(
        mean=lambda values, axes: opset13.reduce_mean(values, np.array(axes), keep_dims=False),
        max=lambda values, axes: opset13.reduce_max(values, np.array(axes), keep_dims=False),
        maximum=lambda values, number: opset13.maximum(values, np.array(number)),
        power=lambda values, number: opset13.power(values, np.array(number)),
        first=lambda tokens: opset13.gather(tokens, np.int64(0), np.int64(1)),
        flatten=lambda values, width: opset13.reshape(values, np.array([-1, width]), special_zero=False),
    )


def _try_out(model: Any, size: tuple[int, int], name: str) -> int:
    """Embed noise, and return the width of an embedding; `probe_network` has the errors."""
    openvino = import_openvino()
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def embed(images: Floats) -> Floats:
        embeddings: Floats = compiled((images * np.float32(_BYTES)).astype(np.uint8))[0]
        return embeddings

    return probe_network(embed, size, name=name, is_known=False)
