"""Pooling: one vector of each image from maps [B, h, w, D] or tokens [B, T, D].

TensorFlow, Keras and OpenVINO share one table of kinds: each brings the few operations that these take.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from frieze.core import InputError, ModelError, import_keras, import_tensorflow

_ROWS, _TOKENS, _MAPS = 2, 3, 4  # ranks of [B, D], [B, T, D] and [B, h, w, D]
_POWER, _SMALLEST = 3.0, 1e-6  # source: Radenovic et al., Fine-tuning CNN image retrieval, 2018, section 3.2
_TOKENS_HINT = (
    "Choose one with `pool`: `cls` takes the first token (DINO, CLIP and most vision transformers were trained for"
    " it), `avg` the mean of all; or choose an output of shape [B, D] with `layer='NAME'`."
)


class PoolError(ModelError):
    """A pooling does not fit the output of a network; `compare` then leaves it to the network's own."""


class Operations(NamedTuple):
    """The operations of a library that pooling takes.

    Attributes:
        mean: (values, axes) -> the mean over these axes, which are dropped.
        max: (values, axes) -> likewise the maximum.
        maximum: (values, number) -> the larger one of each value and a number.
        power: (values, number) -> each value to that power.
        first: [B, T, D] -> [B, D], the first token.
        flatten: (values, width) -> [B, width].
    """

    mean: Callable[[Any, tuple[int, ...]], Any]
    max: Callable[[Any, tuple[int, ...]], Any]
    maximum: Callable[[Any, np.float32], Any]
    power: Callable[[Any, np.float32], Any]
    first: Callable[[Any], Any]
    flatten: Callable[[Any, int], Any]


@dataclasses.dataclass(frozen=True)
class _Values:
    """Maps or tokens, with the axes between batch and width."""

    values: Any
    shape: tuple[int | None, ...]
    ops: Operations

    @property
    def axes(self) -> tuple[int, ...]:
        return tuple(range(1, len(self.shape) - 1))


def _generalized_mean(one: _Values) -> Any:
    ops = one.ops
    powers = ops.power(ops.maximum(one.values, np.float32(_SMALLEST)), np.float32(_POWER))
    return ops.power(ops.mean(powers, one.axes), np.float32(1 / _POWER))


def _flatten(one: _Values) -> Any:
    sides = [side for side in one.shape[1:] if side is not None]
    if len(sides) < len(one.shape) - 1:
        raise ModelError(
            f"The backbone's output has the shape {_to_text(one.shape)}, whose size is not known before it runs.",
            hint="Choose another `pool` than `none`.",
        )
    return one.ops.flatten(one.values, math.prod(sides))


POOLS: dict[str, Callable[[_Values], Any]] = {
    "avg": lambda one: one.ops.mean(one.values, one.axes),
    "max": lambda one: one.ops.max(one.values, one.axes),
    "gem": _generalized_mean,
    "cls": lambda one: one.ops.first(one.values),
    "none": _flatten,
}
"""`pool` -> maps [B, h, w, D] or tokens [B, T, D] to [B, D]: their mean, maximum, generalized mean (of values above
0, with p = 3), the first token, or all numbers as they are."""

DEFAULT = "avg"
"""That of maps; tokens have none."""


def pool_values(values: Any, shape: tuple[int | None, ...], pool: str | None, ops: Operations) -> Any:
    """Make one vector of each image.

    Args:
        values: [B, D] stays; maps [B, h, w, D] or tokens [B, T, D].
        shape: Their shape; None for a side that is not known.
        pool: A key of `POOLS`; None for the mean of maps.
        ops: The operations of the library that `values` belong to.

    Returns:
        [B, D].

    Raises:
        PoolError: `pool` does not fit the values.
        InputError: Tokens are not pooled by themselves.
        ModelError: The values have another rank, or none are there.
    """
    rank = len(shape)
    if rank not in (_ROWS, _TOKENS, _MAPS):
        raise ModelError(
            f"The backbone's output has the shape {_to_text(shape)}; expected is [B, D], [B, T, D] or [B, h, w, D].",
            hint="Choose another output with `layer='NAME'`.",
        )
    if 0 in shape[1:]:
        raise ModelError(
            f"The backbone's output has the shape {_to_text(shape)}: there are no numbers in it.",
            hint="Choose another output with `layer='NAME'`.",
        )
    if rank == _ROWS:
        _check_absent(pool)
        return values
    if rank == _TOKENS and pool is None:
        raise InputError(
            f"The backbone's output has the shape {_to_text(shape)}: a vector of each part of the image, in place of"
            " one of the image.",
            hint=_TOKENS_HINT,
        )
    if rank == _MAPS and pool == "cls":
        raise PoolError(
            f"`pool='cls'` takes the first token, and the backbone's output has the shape {_to_text(shape)}: maps.",
            hint="Use `avg`, `max`, `gem` or `none`.",
        )
    return POOLS[pool or DEFAULT](_Values(values, shape, ops))


def _check_absent(pool: str | None) -> None:
    if pool is not None:
        raise PoolError(
            f"`pool={pool!r}` has nothing to pool: the backbone's output is one vector of each image.",
            hint="Leave `pool` out, or choose an earlier output with `layer='NAME'`.",
        )


def _to_text(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join(['B', *('?' if side is None else str(side) for side in shape[1:])])}]"


def pool_tensor(values: Any, pool: str | None) -> Any:
    """Make one vector of each image of a TensorFlow tensor, as `pool_values` does."""
    tf = import_tensorflow()
    ops = Operations(
        tf.reduce_mean,
        tf.reduce_max,
        tf.maximum,
        tf.pow,
        lambda tokens: tokens[:, 0],
        lambda maps, width: tf.reshape(maps, [-1, width]),
    )
    shape = () if values.shape.rank is None else tuple(values.shape)
    return pool_values(values, shape, pool, ops)


def pool_keras_tensor(values: Any, pool: str | None) -> Any:
    """Make one vector of each image of an eager or symbolic tensor of Keras, as `pool_values` does."""
    ops = import_keras().ops
    operations = Operations(
        ops.mean,
        ops.max,
        ops.maximum,
        ops.power,
        lambda tokens: tokens[:, 0],
        lambda maps, width: ops.reshape(maps, (-1, width)),
    )
    return pool_values(values, tuple(values.shape), pool, operations)
