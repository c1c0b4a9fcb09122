"""A box of an image, in pixels or in shares of the image's size."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from frieze.core import InputError

Corner = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""


class Shares(NamedTuple):
    """The edges of a box in shares of the width or height of the upright image."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> "Shares":
        """Return the box with a centre and a size.

        >>> Shares.around(0.5, 0.25, 0.5, 0.5)
        Shares(left=0.25, top=0.0, right=0.75, bottom=0.5)
        """
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def to_corner(self, size: tuple[int, int]) -> Corner:
        """Return the box in pixels of an image.

        Args:
            size: Width and height of the upright image in pixels.

        >>> Shares(0.25, 0.0, 0.75, 0.5).to_corner((100, 50))
        (25, 0, 50, 25)
        """
        width, height = size
        return from_edges(self.left * width, self.top * height, self.right * width, self.bottom * height)


@dataclasses.dataclass(frozen=True)
class Box:
    """A box of an image.

    Attributes:
        image: The image's path or name, as the file has it.
        corner: Left, top, width and height in pixels of the upright image, edges rounded to the nearest pixel; or its
            edges in shares; None where these are no four numbers.
        label: None where there is none.
        columns: What else the file says of the box.
        place: Where the file has it, for messages.
    """

    image: str
    corner: Corner | Shares | None
    label: str | None = None
    columns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    place: str = ""


@dataclasses.dataclass(frozen=True)
class BoxFile:
    """Boxes of a file or folder.

    Attributes:
        uri: Its path.
        boxes: In the file's order, at least one with numbers.
        notes: Sentences on what is not read, or read in a way the user may not expect.
        folder: Where boxes name images by their absolute paths without an extension, the folder that these begin with;
            else None.
    """

    uri: str
    boxes: tuple[Box, ...]
    notes: tuple[str, ...] = ()
    folder: str | None = None


def from_edges(left: float, top: float, right: float, bottom: float) -> Corner:
    """Round the edges of a box to the nearest pixels.

    Raises:
        OverflowError: An edge is infinite.
        ValueError: An edge is no number.

    >>> from_edges(0.4, 1.5, 10.6, 5)
    (0, 2, 11, 3)
    """
    x, y, x2, y2 = (math.floor(edge + 0.5) for edge in (left, top, right, bottom))
    return x, y, x2 - x, y2 - y


def check_one_choice(**options: str | None) -> None:
    """Refuse a second option that says which parts of images are rows.

    Raises:
        InputError: Two of them are given.
    """
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise InputError(
            f"`{given[0]}` and `{given[1]}` both say which parts of images are rows.",
            hint="Leave one of the two out.",
        )
