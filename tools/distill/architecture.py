"""The student's architecture, written once: PyTorch trains what is said here, Keras ships it."""

from typing import Any, NamedTuple, Protocol

WIDTH = 256
"""Of the embeddings."""

STEM = 32
LAST = 480
"""Channels behind the last block, before they are averaged."""


class Block(NamedTuple):
    """One residual block.

    Attributes:
        channels: Of its output.
        stride: 2 where height and width are halved.
        is_narrow: Whether its 3 x 3 convolution works on half the channels, between two of 1 x 1.
        is_read: Whether the average over its maps is handed to the embedding too: colour and texture live early.
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


class Maker(Protocol):
    """What a library does for the student; each convolution comes with its batch norm, under a name of its own."""

    def convolve(self, maps: Any, name: str, shape: tuple[int, int, int, int]) -> Any:
        """Convolve; `shape` is (channels in, channels out, kernel, stride)."""

    def relu(self, maps: Any) -> Any:
        """Clip at 0."""

    def add(self, one: Any, other: Any) -> Any:
        """Add two maps."""

    def embed(self, maps: list[Any], name: str, n_in: int) -> Any:
        """Average each of the maps over height and width, and join them by one dense layer."""


def network(images: Any, maker: Maker) -> Any:
    """Give the embeddings [B, 256] of images [B, 128, 128, 3] in [0, 1]."""
    maps = maker.relu(maker.convolve(images, "stem", (3, STEM, 4, 4)))
    channels, read, n_read = STEM, [], 0
    for number, block in enumerate(BLOCKS):
        maps = _block(maps, maker, f"block{number}", channels, block)
        channels = block.channels
        if block.is_read:
            read.append(maps)
            n_read += channels
    maps = maker.relu(maker.convolve(maps, "last", (channels, LAST, 1, 1)))
    return maker.embed([maps, *read], "embedding", LAST + n_read)


def _block(maps: Any, maker: Maker, name: str, channels: int, block: Block) -> Any:
    out, stride = block.channels, block.stride
    middle = out // 2
    shapes = (
        [(channels, middle, 1, 1), (middle, middle, 3, stride), (middle, out, 1, 1)]
        if block.is_narrow
        else [(channels, out, 3, stride), (out, out, 3, 1)]
    )
    inner = maps
    for number, shape in enumerate(shapes):
        inner = maker.convolve(inner if number == 0 else maker.relu(inner), f"{name}_conv{number}", shape)
    is_same = stride == 1 and channels == out
    shortcut = maps if is_same else maker.convolve(maps, f"{name}_shortcut", (channels, out, 1, stride))
    return maker.relu(maker.add(inner, shortcut))
