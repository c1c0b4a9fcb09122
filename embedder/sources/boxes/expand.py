"""Makes a row of each box: expands the listing of a source, and reads each image once for its boxes in a batch."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from frieze.core import ImageError, InputError, Rows, counted
from frieze.embedder.sources.base import Content, Source
from frieze.embedder.sources.boxes.crop import Corner, crop_all, name_part
from frieze.embedder.sources.boxes.read import Box, BoxFile
from frieze.embedder.sources.listing import deduplicate_ids, infer_array
from frieze.embedder.sources.tables.name_matching import match_by_name
from frieze.embedder.sources.unicode_text import match_normalized
from frieze.features import free_names, user_columns

_HINT = "Boxes name images by their path below the source, or by a file name that only one image has."


def with_boxes(source: Source, file: BoxFile) -> Source:
    """Replace each image of a source by its boxes.

    Args:
        source: The images.
        file: From `read_boxes`.

    Returns:
        A row a box, in the order of the images: its id is `IMAGE#x,y,w,h`, its label the box's; columns `image` (the
        image's id), `box` (left, top, width, height) and the file's own follow. Images without a box are left out.

    Raises:
        InputError: No box belongs to an image of the source.
    """
    images = source.listing.images
    owners = _find_images(images["id"], file)
    known = [(owner, box) for owner, box in zip(owners, file.boxes, strict=True) if owner is not None]
    known.sort(key=lambda pair: pair[0])
    rows, boxes = np.array([owner for owner, _ in known], np.int64), [box for _, box in known]
    corners = [box.corner for box in boxes]
    table = _to_rows(images.take(rows), boxes)
    kept, repeated = deduplicate_ids(table)
    n_without = len(images) - len(np.unique(rows))
    notes = [f"Boxes of {file.uri}: {len(kept):,} in {counted(len(np.unique(rows)), 'image', 'images')}."]
    if n_without:
        notes.append(f"Images without a box, which are left out: {n_without:,}.")
    if len(known) < len(owners):
        notes.append(f"Boxes of images that the source does not have: {len(owners) - len(known):,}.")
    if repeated:
        notes.append(f"Boxes that occur twice in one image, of which the first is taken: {len(repeated):,}.")
    listing = dataclasses.replace(source.listing, images=table.take(kept))
    reader = _Reader(source, rows[kept], [corners[row] for row in kept.tolist()])
    return dataclasses.replace(source, listing=listing, read=reader.read, notes=(*source.notes, *file.notes, *notes))


def _find_images(ids: pa.ChunkedArray, file: BoxFile) -> list[int | None]:
    """Return the row of each box's image; None where the source does not have it."""
    names = pa.chunked_array([list(dict.fromkeys(box.image for box in file.boxes))], pa.string())
    at, _ = match_normalized(names, ids)
    if not any(one.is_valid for one in at):
        matched = match_by_name(names, ids, uri=file.uri, hint=_HINT)
        if matched is None:
            raise InputError(
                f"{file.uri} has no box of an image of the source: it names {names[0]}, the source {ids[0]}.",
                hint=_HINT,
            )
        at = matched[0]
    rows = dict(zip(names.to_pylist(), at.to_pylist(), strict=True))
    return [rows[box.image] for box in file.boxes]


def _to_rows(images: pa.Table, boxes: Sequence[Box]) -> pa.Table:
    corners = [box.corner for box in boxes]
    columns = {name: images[name] for name in images.column_names}
    for name in ("id", "uri"):
        columns[name] = pa.array(map(name_part, images[name].to_pylist(), corners), pa.string())
    labels = zip((box.label for box in boxes), images["label"].to_pylist(), strict=True)
    columns["label"] = pa.array([of_image if label is None else label for label, of_image in labels], pa.string())
    columns |= {"image": images["id"], "box": pa.array(map(list, corners), pa.list_(pa.int64()))}
    names = list(dict.fromkeys(itertools.chain.from_iterable(box.columns for box in boxes)))
    free = free_names(user_columns(names), list(columns)).values()
    for name, stored_as in zip(names, free, strict=True):
        columns[stored_as] = infer_array([box.columns.get(name) for box in boxes])
    return pa.table(columns)


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Reads boxes: those of one image that follow each other share its bytes and its pixels."""

    source: Source
    owners: Rows
    corners: Sequence[Corner]

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each box, as `Source.read` does."""
        images = np.unique(self.owners[rows])
        by_image = itertools.groupby(rows.tolist(), key=lambda row: int(self.owners[row]))
        for content, (_, of_image) in zip(self.source.read(images), by_image, strict=True):
            boxes = [self.corners[row] for row in of_image]
            yield from [content] * len(boxes) if isinstance(content, ImageError) else crop_all(content, boxes)
