"""Makes a row of each box: expands the listing of a source, and reads each image once for its boxes in a batch."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import ImageError, InputError, Rows, counted
from frieze.embedder.images.decode import DecodeOptions
from frieze.embedder.images.decode_processes import TIMEOUT
from frieze.embedder.images.limits import USUAL_LIMITS, Limits
from frieze.embedder.sources.base import Content, Source
from frieze.embedder.sources.boxes.box import Box, BoxFile, Corner, Shares
from frieze.embedder.sources.boxes.crop import WHOLE_PX, crop_all, name_part
from frieze.embedder.sources.boxes.crop_process import CropProcess
from frieze.embedder.sources.boxes.sizes import read_sizes
from frieze.embedder.sources.files import to_uri
from frieze.embedder.sources.listing import deduplicate_ids, infer_array
from frieze.embedder.sources.tables.name_matching import match_by_name
from frieze.embedder.sources.unicode_text import match_normalized
from frieze.features import Failure, free_names, user_columns

_HINT = "Boxes name images by their path below the source, or by a file name that only one image has."
_IMAGE_FOLDERS = ("images", "labels", "..")
"""Folders of YOLO's data sets that tell images from labels, and the way from one to the other."""


def with_boxes(source: Source, file: BoxFile, *, limits: Limits = USUAL_LIMITS) -> Source:
    """Replace each image of a source by its boxes.

    Args:
        source: The images.
        file: From `read_boxes`.
        limits: Which images are refused.

    Returns:
        A row a box, in the order of the images: its id is `IMAGE#x,y,w,h`, its label the box's; columns `image` (the
        image's id), `box` (left, top, width, height) and the file's own follow. Images without a box are left out. A
        box without four numbers is a failure.

    Raises:
        InputError: No box belongs to an image of the source.
    """
    owners = _find_images(source.listing.images, file)
    known = [(owner, box) for owner, box in zip(owners, file.boxes, strict=True) if owner is not None]
    failures = _failures_without_numbers(source.listing.images, known, file.uri)
    source = dataclasses.replace(
        source, listing=dataclasses.replace(source.listing, failures=(*source.listing.failures, *failures))
    )
    with_numbers = [(owner, box) for owner, box in known if box.corner is not None]
    expanded = expand(source, with_numbers, what=f"Boxes of {file.uri}", limits=limits)
    notes = [*file.notes]
    if len(known) < len(owners):
        notes.append(f"Boxes of images that the source does not have: {len(owners) - len(known):,}.")
    return dataclasses.replace(expanded, notes=(*expanded.notes, *notes))


def _failures_without_numbers(images: pa.Table, known: Sequence[tuple[int, Box]], uri: str) -> list[Failure]:
    failed = [(owner, box) for owner, box in known if box.corner is None]
    rows = images.take(pa.array([owner for owner, _ in failed], pa.int64())).to_pylist()
    return [
        Failure(row["id"], row["uri"], "list", "no box", f"{box.place} of {uri} has no box of four numbers")
        for row, (_, box) in zip(rows, failed, strict=True)
    ]


def expand(source: Source, known: Sequence[tuple[int, Box]], *, what: str, limits: Limits = USUAL_LIMITS) -> Source:
    """Replace the images of a source by boxes of known rows, as `with_boxes` does.

    Args:
        source: The images.
        known: The row of each box's image, and the box, which has numbers.
        what: What the boxes are, for the notes.
        limits: Which images are refused.
    """
    images = source.listing.images
    known = sorted(known, key=lambda pair: pair[0])
    n_without = len(images) - len({row for row, _ in known})
    placed, failures = _place(source, known, limits.max_pixels)
    rows, boxes, corners = (list(column) for column in zip(*placed, strict=True)) if placed else ([], [], [])
    table = _to_rows(images.take(pa.array(rows, pa.int64())), boxes, corners)
    kept, repeated = deduplicate_ids(table)
    notes = [f"{what}: {len(kept):,} in {counted(len(set(rows)), 'image', 'images')}."]
    if n_without:
        notes.append(f"Images without a box, which are left out: {n_without:,}.")
    if repeated:
        notes.append(f"Boxes that occur twice in one image, of which the first is taken: {len(repeated):,}.")
    listing = dataclasses.replace(
        source.listing, images=table.take(kept), failures=(*source.listing.failures, *failures)
    )
    whole = DecodeOptions(WHOLE_PX, limits.max_pixels)
    crop = crop_all if limits.image_timeout is None else CropProcess(limits).crop_all
    reader = _Reader(source, np.array(rows, np.int64)[kept], [corners[row] for row in kept.tolist()], whole, crop)
    return dataclasses.replace(
        source, listing=listing, read=reader.read, read_as=reader.read_as, notes=(*source.notes, *notes)
    )


def _place(
    source: Source, known: Sequence[tuple[int, Box]], max_pixels: int
) -> tuple[list[tuple[int, Box, Corner]], list[Failure]]:
    """Return each box with its row and its place in pixels, and a failure for each image whose size can't be read."""
    in_shares = np.unique([row for row, box in known if isinstance(box.corner, Shares)]).astype(np.int64)
    sizes = read_sizes(source, in_shares, max_pixels=max_pixels)
    placed = []
    for row, box in known:
        size = sizes.get(row)
        if isinstance(box.corner, Shares):
            if isinstance(size, tuple):
                placed.append((row, box, box.corner.to_corner(size)))
        elif box.corner is not None:
            placed.append((row, box, box.corner))
    failed = [(row, size) for row, size in sizes.items() if isinstance(size, ImageError)]
    images = source.listing.images.take(pa.array([row for row, _ in failed], pa.int64())).to_pylist()
    return placed, [_failure(image, error) for image, (_, error) in zip(images, failed, strict=True)]


def _failure(image: dict[str, object], error: ImageError) -> Failure:
    """Return the failure of an image without a size; one that can't be read now may still have stored rows."""
    stage = "list" if error.stage == "read" else error.stage
    return Failure(str(image["id"]), str(image["uri"]), stage, error.reason, error.message)


def _find_images(images: pa.Table, file: BoxFile) -> list[int | None]:
    """Return the row of each box's image; None where the source does not have it."""
    names = pa.chunked_array([list(dict.fromkeys(box.image for box in file.boxes))], pa.string())
    at = _match_paths(names, images, file) or _match_ids(names, images["id"], file)
    rows = dict(zip(names.to_pylist(), at.to_pylist(), strict=True))
    return [rows[box.image] for box in file.boxes]


def _match_ids(names: pa.ChunkedArray, ids: pa.ChunkedArray, file: BoxFile) -> pa.ChunkedArray:
    at, _ = match_normalized(names, ids)
    if at.null_count < len(at):
        return at
    matched = match_by_name(names, ids, uri=file.uri, hint=_HINT)
    if matched is None:
        raise InputError(
            f"{file.uri} has no box of an image of the source: it names {names[0]}, the source {ids[0]}.", hint=_HINT
        )
    return matched[0]


def _match_paths(names: pa.ChunkedArray, images: pa.Table, file: BoxFile) -> pa.ChunkedArray | None:
    """Match absolute paths without extension with those of images, else below the two folders; None for no match."""
    if file.folder is None:
        return None
    paths = names.to_pylist()
    below = [_without_folders(os.path.relpath(path, file.folder)) for path in paths]
    ids = [_without_folders(one) for one in _without_extension(images["id"]).to_pylist()]
    keys = (([to_uri(path) for path in paths], _without_extension(images["uri"])), (below, pa.array(ids, pa.string())))
    for stems, others in keys:
        at = pc.index_in(pa.chunked_array([stems], pa.string()), others)
        if at.null_count < len(at):
            return at
    return None


def _without_extension(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring_regex(paths, r"\.[^./]*$", "")


def _without_folders(path: str) -> str:
    """Drop the folders that tell images from labels.

    >>> _without_folders("images/train/1"), _without_folders("train/labels/1")
    ('train/1', 'train/1')
    """
    return "/".join(name for name in path.split("/") if name not in _IMAGE_FOLDERS)


def _to_rows(images: pa.Table, boxes: Sequence[Box], corners: Sequence[Corner]) -> pa.Table:
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


_Crop = Callable[[bytes, Sequence[Corner], DecodeOptions], Iterable[Content]]


class _Reader:
    """Reads boxes: those of one image that follow each other share its bytes and, in a batch, its pixels.

    Args:
        source: The images.
        owners: int64 [n], the row of each box's image.
        corners: Where each box lies.
        options: How images are decoded.
        crop: Cuts the parts, as `crop_all` does.
    """

    def __init__(
        self,
        source: Source,
        owners: Rows,
        corners: Sequence[Corner],
        options: DecodeOptions,
        crop: _Crop,
    ) -> None:
        self._source = source
        self._owners = owners
        self._corners = corners
        self._options = options
        self._last: tuple[int, Content] | None = None
        self._crop = crop

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_last": None}

    def read_as(self, options: DecodeOptions) -> Callable[[Rows], Iterator[Content]]:
        """Return `read` for a way of decoding."""
        return _Reader(self._source, self._owners, self._corners, options, self._crop).read

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each box, as `Source.read` does."""
        by_image = itertools.groupby(rows.tolist(), key=lambda row: int(self._owners[row]))
        for content, (_, of_image) in zip(self._read_images(np.unique(self._owners[rows])), by_image, strict=True):
            boxes = [self._corners[row] for row in of_image]
            if isinstance(content, ImageError):
                yield from [content] * len(boxes)
            else:
                for part in self._crop(content, boxes, self._options):
                    if part is TIMEOUT and self._last is not None:
                        self._last = self._last[0], TIMEOUT  # nor does it wait for its boxes in the next batch
                    yield part

    def _read_images(self, images: Rows) -> Iterator[Content]:
        """Yield images; the first one may be the last one of the batch before, whose other boxes these are."""
        last = self._last
        if last is not None and len(images) and last[0] == images[0]:
            yield last[1]
            images = images[1:]
        for image, content in zip(images.tolist(), self._source.read(images) if len(images) else (), strict=True):
            self._last = image, content
            yield content
