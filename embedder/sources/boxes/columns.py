"""Boxes in four columns of a table: which columns they are, and what their numbers mean."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from frieze.core import InputError
from frieze.embedder.sources.boxes.box import Corner, Shares, from_edges

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom."""

_MOST_SHARE = 1.01  # rounding may carry an edge beyond 1
_N_COLUMNS = 4
_PREFIX = re.compile(r"(b?box|rect)[_.]")
_SIZES = (
    *(("x", "y", "width", "height"), ("x", "y", "w", "h"), ("left", "top", "width", "height")),
    ("xmin", "ymin", "width", "height"),
)
_EDGES = (
    *(("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("x_min", "y_min", "x_max", "y_max")),
    *(("left", "top", "right", "bottom"), ("x0", "y0", "x1", "y1")),
)
_CENTRES = (
    *(("x_center", "y_center", "width", "height"), ("x_center", "y_center", "w", "h"), ("xc", "yc", "w", "h")),
    *(("center_x", "center_y", "width", "height"), ("cx", "cy", "w", "h"), ("cx", "cy", "width", "height")),
)


def _from_size(x: float, y: float, width: float, height: float) -> Edges:
    return x, y, x + width, y + height


def _from_edges(left: float, top: float, right: float, bottom: float) -> Edges:
    return left, top, right, bottom


def _from_centre(x: float, y: float, width: float, height: float) -> Edges:
    return tuple(Shares.around(x, y, width, height))  # type: ignore[return-value]  # four of them


_LAYOUTS: dict[tuple[str, ...], Callable[[float, float, float, float], Edges]] = {
    **dict.fromkeys(_SIZES, _from_size),
    **dict.fromkeys(_EDGES, _from_edges),
    **dict.fromkeys(_CENTRES, _from_centre),
}
"""Names of columns -> how their numbers become edges."""


class BoxColumns(NamedTuple):
    """Four columns of a table that hold boxes.

    Attributes:
        names: Their names, in the order of the layout.
        to_edges: Makes the edges of a box of its four numbers.
    """

    names: tuple[str, ...]
    to_edges: Callable[[float, float, float, float], Edges]

    def to_corners(self, rows: Sequence[Sequence[Any]]) -> tuple[list[Corner | Shares | None], bool]:
        """Return the box of each row, None where one of its numbers is missing or none; and whether they are shares.

        Args:
            rows: The four values of each.
        """
        numbers = [_to_numbers(row) for row in rows]
        known = [row for row in numbers if row is not None]
        are_shares = bool(known) and all(value <= _MOST_SHARE for row in known for value in row)
        return [None if row is None else self._to_corner(row, are_shares=are_shares) for row in numbers], are_shares

    def _to_corner(self, row: Sequence[float], *, are_shares: bool) -> Corner | Shares:
        edges = self.to_edges(*row)
        return Shares(*edges) if are_shares else from_edges(*edges)


def note_shares(uri: str) -> str:
    """Return the note on boxes that are taken as shares."""
    return f"No number of the boxes of {uri} is above 1: they are taken as shares of each image's width and height."


def _to_numbers(row: Sequence[Any]) -> list[float] | None:
    """Return finite numbers; None where one is missing or none."""
    try:
        numbers = [float(value) for value in row]
    except (TypeError, ValueError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def find_box_columns(names: Sequence[str]) -> BoxColumns | None:
    """Find the columns of boxes among a table's columns, by common names; None where there are none.

    >>> find_box_columns(["path", "Xmin", "ymin", "xmax", "ymax"]).names
    ('Xmin', 'ymin', 'xmax', 'ymax')
    """
    lower = {_plain(name): name for name in reversed(names)}
    for layout, to_edges in _LAYOUTS.items():
        if all(name in lower for name in layout):
            return BoxColumns(tuple(lower[name] for name in layout), to_edges)
    return None


def _plain(name: str) -> str:
    return _PREFIX.sub("", name.strip().lower())


def parse_box_columns(text: str) -> BoxColumns:
    """Parse the names of four columns, separated by commas; their endings say what the numbers mean.

    Raises:
        InputError: There are not four, or their meaning can't be told.

    >>> parse_box_columns("obj_xmin, obj_ymin, obj_xmax, obj_ymax").to_edges(1, 2, 3, 4)
    (1, 2, 3, 4)
    """
    names = tuple(name.strip() for name in text.split(","))
    for layout, to_edges in sorted(_LAYOUTS.items(), key=lambda one: -len(one[0][0])):
        if len(names) == _N_COLUMNS and all(
            name.lower().endswith(end) for name, end in zip(names, layout, strict=True)
        ):
            return BoxColumns(names, to_edges)
    raise InputError(
        f"`box_columns={text!r}` does not say what the numbers of a box mean.",
        hint="Name four columns that end like x,y,width,height, like xmin,ymin,xmax,ymax or x1,y1,x2,y2,"
        " or like x_center,y_center,width,height.",
    )
