"""The student's architecture, shared by PyTorch (training) and Keras (the exported file)."""

from typing import Any, NamedTuple, Protocol

WIDTH = 256
"""Width of the embeddings."""

STEM = 32
LAST = 480
"""Channels after the last block, before global average pooling."""


class Block(NamedTuple):
    """One residual block.

    Attributes:
        channels: Of its output.
        stride: 2 where height and width are halved.
        is_narrow: Whether it is a bottleneck: 1 x 1, 3 x 3 on half the channels, 1 x 1.
        is_read: Whether its pooled maps feed the embedding too: colour and texture are early features.
    """

    channels: int
    stride: int = 1
    is_narrow: bool = False
    is_read: bool = False


BLOCKS = (
    Block(32),
    Block(64, stride=2),
    Block(64),
    Block(64, is_narrow=True, is_read=True),
    Block(128, stride=2),
    Block(128, is_narrow=True),
    Block(128, is_narrow=True),
    Block(128, is_narrow=True, is_read=True),
    Block(256, stride=2, is_narrow=True),
    Block(256, is_narrow=True),
)


class LayerFactory(Protocol):
    """The operations that a library provides; each convolution includes its batch norm and has a unique name."""

    def convolve(self, maps: Any, name: str, shape: tuple[int, int, int, int]) -> Any:
        """Convolve; `shape` is (channels in, channels out, kernel, stride)."""

    def relu(self, maps: Any) -> Any:
        """Clip at 0."""

    def add(self, one: Any, other: Any) -> Any:
        """Add two maps."""

    def embed(self, maps: list[Any], name: str, n_in: int) -> Any:
        """Pool each of the maps over height and width, and join them by one dense layer."""


def network(images: Any, layers: LayerFactory) -> Any:
    """Compute the embeddings [B, 256] of images [B, 128, 128, 3] in [0, 1]."""
    maps = layers.relu(layers.convolve(images, "stem", (3, STEM, 4, 4)))
    channels, read, n_read = STEM, [], 0
    for number, block in enumerate(BLOCKS):
        maps = _block(maps, layers, f"block{number}", channels, block)
        channels = block.channels
        if block.is_read:
            read.append(maps)
            n_read += channels
    maps = layers.relu(layers.convolve(maps, "last", (channels, LAST, 1, 1)))
    return layers.embed([maps, *read], "embedding", LAST + n_read)


def _block(maps: Any, layers: LayerFactory, name: str, channels: int, block: Block) -> Any:
    out, stride = block.channels, block.stride
    middle = out // 2
    shapes = (
        [(channels, middle, 1, 1), (middle, middle, 3, stride), (middle, out, 1, 1)]
        if block.is_narrow
        else [(channels, out, 3, stride), (out, out, 3, 1)]
    )
    inner = maps
    for number, shape in enumerate(shapes):
        inner = layers.convolve(inner if number == 0 else layers.relu(inner), f"{name}_conv{number}", shape)
    is_same = stride == 1 and channels == out
    shortcut = maps if is_same else layers.convolve(maps, f"{name}_shortcut", (channels, out, 1, stride))
    return layers.relu(layers.add(inner, shortcut))
