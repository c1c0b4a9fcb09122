"""Boxes that a table of images holds itself: each row is a part of the image that it names."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from frieze.core import InputError, Rows
from frieze.embedder.images.limits import USUAL_LIMITS, Limits
from frieze.embedder.sources.base import Source
from frieze.embedder.sources.boxes.box import Box
from frieze.embedder.sources.boxes.columns import note_shares, parse_box_columns
from frieze.embedder.sources.boxes.expand import expand
from frieze.features import LISTING, Failure, user_columns


def with_column_boxes(
    source: Source, box_columns: str, *, has_labels: bool = True, limits: Limits = USUAL_LIMITS
) -> Source:
    """Make each row of a table the box in four of its columns; rows of one image share its bytes.

    Args:
        source: A table's images, a row a box.
        box_columns: The names of the four columns, as `parse_box_columns` takes them.
        has_labels: Whether the label of a row is its box's; else it is the image's.
        limits: Which images are refused.

    Returns:
        As `with_boxes`; a row without four numbers is a failure.

    Raises:
        InputError: A column is missing, no row has a box, or one id names two images.
    """
    columns, images = parse_box_columns(box_columns), source.listing.images
    _check_ids(images, source.listing.source)
    names = [_stored_name(name, images.column_names, source.listing.source) for name in columns.names]
    corners, are_shares = columns.to_corners(list(zip(*(images[name].to_pylist() for name in names), strict=True)))
    if corners and not any(corners):
        raise InputError(
            f"No row of {source.listing.source} has four numbers in {', '.join(columns.names)}.",
            hint="Name the columns of the boxes with `box_columns='x,y,width,height'`.",
        )
    first, owners = _number_images(images["uri"].to_pylist())
    rest = [name for name in images.column_names if name not in (*LISTING.names, *names)]
    rows = zip(owners, corners, images["label"].to_pylist(), images.select(rest).to_pylist(), strict=True)
    known = [
        (owner, Box("", corner, label if has_labels else None, values))
        for owner, corner, label, values in rows
        if corner is not None
    ]
    failed = [row for row, corner in enumerate(corners) if corner is None]
    failures = _failures(images.take(pa.array(failed, pa.int64())), failed, columns.names)
    whole = images.select(LISTING.names).take(first)
    whole = whole.set_column(2, "label", pa.nulls(len(whole), pa.string())) if has_labels else whole
    listed = dataclasses.replace(
        source.listing, images=whole, failures=tuple(dict.fromkeys((*source.listing.failures, *failures)))
    )
    notes = (*source.notes, *([note_shares(source.listing.source)] if are_shares else []))
    once = dataclasses.replace(source, listing=listed, notes=notes, read=lambda rows: source.read(first[rows]))
    return expand(once, known, what=f"Boxes of {source.listing.source}", limits=limits)


def _number_images(uris: Sequence[str]) -> tuple[Rows, list[int]]:
    """Return the first row of each image, int64 ascending, and for each row the number of its image."""
    numbers: dict[str, int] = {}
    owners = [numbers.setdefault(uri, len(numbers)) for uri in uris]
    first = np.unique(np.array(owners, np.int64), return_index=True)[1]
    return first, owners


def _check_ids(images: pa.Table, source: str) -> None:
    """Refuse an id of two images: its boxes would count as parts of one."""
    uris: dict[str, str] = {}
    for name, uri in zip(images["id"].to_pylist(), images["uri"].to_pylist(), strict=True):
        if uris.setdefault(name, uri) != uri:
            raise InputError(
                f"{source} names two images {name}: {uris[name]} and {uri}.",
                hint="Leave `id` out, so that images are named by their paths; the column is kept.",
            )


def _stored_name(name: str, names: Sequence[str], source: str) -> str:
    """Return the name that a column has in the listing, where names of ours get `source_` before them."""
    (stored,) = user_columns([name])
    while f"source_{stored}" in names and stored != name:
        stored = f"source_{stored}"
    if stored not in names:
        others = ", ".join(one for one in names if one not in LISTING.names)
        raise InputError(
            f"{source} has no column {name}; there are: {others or 'none'}.",
            hint="Name four columns with `box_columns='x,y,width,height'`.",
        )
    return stored


def _failures(images: pa.Table, rows: Sequence[int], names: Sequence[str]) -> list[Failure]:
    """Return a failure for each row without a box."""
    where = ", ".join(names)

    def to_failure(image: dict[str, Any], row: int) -> Failure:
        message = f"row {row + 1:,} has no four numbers in {where}"
        return Failure(image["id"], image["uri"], "list", "no box", message)

    return [to_failure(image, row) for image, row in zip(images.to_pylist(), rows, strict=True)]
