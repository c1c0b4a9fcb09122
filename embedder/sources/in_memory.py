"""Arrays, PIL images and what yields them, from a Python program."""

import array
import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from frieze.core import ImageError, InputError, Rows
from frieze.embedder.sources.base import Content, Listing, Source, SourceOptions
from frieze.embedder.sources.files import read_place, to_uri
from frieze.embedder.sources.listing import Collected, ImageRecord, build_listing
from frieze.embedder.sources.tables.column_names import take_label, take_text
from frieze.features import Failure

NAME = "python objects"
"""Stands for the source in features.json: another call may bring other objects for the same table."""

_STACK_AXES = (3, 4)  # [N, H, W] or [N, H, W, channels]
_CHANNELS = (1, 2, 3, 4)  # grey, colour, and both with alpha
_COLOURS = (3, 4)
_KEPT_MODES = frozenset(("1", "L", "LA", "RGB", "RGBA", "CMYK", "I", "I;16", "F"))
"""Modes that TIFF keeps as they are; what `decode` makes of each is its own matter."""
_WITH_ALPHA = ("LA", "RGBA")
_MEND = (
    "Give a list of uint8 arrays [H, W, 3], PIL images, bytes or paths; each alone, as (id, image), or as"
    " {'image': ..., 'id': ...}. Of a dict of images by their ids give images.items()."
)
_NO_SOURCES = (bytes, bytearray, memoryview, Mapping)
"""What can be iterated over, but not image by image: a dict yields its keys."""


class _Item(NamedTuple):
    """One object as it was given."""

    id: str
    uri: str
    label: str | None
    image: Any
    columns: dict[str, Any]
    label_from: str | None


def open_objects(objects: Any, options: SourceOptions) -> Source:
    """List images that a program holds.

    Args:
        objects: A uint8 array [N, H, W, 3], also with 4 channels or 1; without that axis too, but for three or four
            images, which may be one with its channels first. Or a sequence, or anything that yields, of which each
            element is an image (uint8 array, PIL image, bytes of a file, path), a pair `(id, image)`, or a dict with
            `image` and, where wanted, `id`, `label` and any other columns. What yields is read once, into a temporary
            file; a sequence stays where it is.
        options: Only `labels` and `max_bytes` matter.

    Returns:
        The images; an id that is not given is the number of the element, also of a path, and a label that is not given
        is unknown. What is no image is a failure when it is read.

    Raises:
        InputError: It is none of these.
    """
    if not isinstance(objects, Iterable) or isinstance(objects, _NO_SOURCES):
        raise InputError(f"{type(objects).__name__} is no source of images.", hint=_MEND)
    _check_axes(objects)
    if isinstance(objects, np.ndarray):
        _check_stack(objects)
    if isinstance(objects, np.ndarray | Sequence):
        items = [_item(one, number, options) for number, one in enumerate(objects)]
        collected = build_listing(_found(item, number) for number, item in enumerate(items))
        return _source(collected, lambda row: encode(items[int(collected.offsets[row])].image, options.max_bytes))
    return _spooled(objects, options)


def as_images(images: Any) -> Any:
    """Return a list of the image where it is a single one in memory; all else as it is.

    Raises:
        InputError: It is an array that may have its channels first.
    """
    _check_axes(images)
    is_file_or_picture = isinstance(images, bytes | bytearray | memoryview | Image.Image)
    is_one = isinstance(images, np.ndarray) and images.dtype == np.uint8 and _is_one(images)
    return [images] if is_file_or_picture or is_one else images


def _is_one(images: np.ndarray[Any, Any]) -> bool:
    """Tell whether an array has the shape of one image, [H, W] or [H, W, channels]."""
    return images.ndim == 2 or (images.ndim == min(_STACK_AXES) and images.shape[-1] in _CHANNELS)  # noqa: PLR2004


def _check_axes(images: Any) -> None:
    """Refuse an array, of whatever library, that may have its channels first: each would be an image of its own."""
    shape = tuple(images.shape) if hasattr(images, "__array__") else ()
    if len(shape) not in _STACK_AXES or shape[-1] in _CHANNELS or shape[-3] not in _COLOURS:
        return
    if len(shape) == max(_STACK_AXES):
        raise InputError(
            f"The array has shape {list(shape)}: its channels come before height and width.",
            hint="Put them last: numpy.moveaxis(images, 1, -1)",
        )
    raise InputError(
        f"The array has shape {list(shape)}: it may be an image with its channels first, or {shape[0]} grey images.",
        hint="Of one image: numpy.moveaxis(image, 0, -1), which has its channels last; of grey ones: images[..., None]",
    )


def _check_stack(images: np.ndarray[Any, Any]) -> None:
    if images.ndim not in _STACK_AXES or _is_one(images) or images.dtype != np.uint8:
        raise InputError(
            f"The array has shape {list(images.shape)} and type {images.dtype}; wanted is [N, H, W, 3] of uint8.",
            hint="One image is images[None]; values in [0, 1] are (images * 255).round().astype('uint8').",
        )


def _item(one: Any, number: int, options: SourceOptions) -> _Item:
    """Take an element apart."""
    columns: dict[str, Any] = {}
    if isinstance(one, Mapping):
        columns = dict(one)
    elif isinstance(one, tuple) and len(one) == 2:  # noqa: PLR2004  a pair
        columns = {"id": one[0], "image": one[1]}
    else:
        columns = {"image": one}
    image = columns.pop("image", None)
    name = take_text(columns, ["id"])
    label, label_from = take_label(columns, ["label"])
    name = str(number) if name is None else name
    uri = to_uri(os.path.abspath(image)) if isinstance(image, str | Path) else f"memory:{name}"
    return _Item(name, uri, None if options.labels == "none" else label, image, columns, label_from)


def _found(item: _Item, at: int) -> ImageRecord:
    return ImageRecord(
        item.id, item.uri, item.label, None, None, offset=at, columns=item.columns, label_from=item.label_from
    )


def _source(collected: Collected, read_one: Callable[[int], bytes], failures: Sequence[Failure] = ()) -> Source:
    def read(rows: Rows) -> Iterator[Content]:
        for row in rows:
            try:
                yield read_one(int(row))
            except ImageError as error:
                yield error

    return Source(Listing(NAME, collected.images, (*failures, *collected.repeats)), read)


def _spooled(objects: Iterable[Any], options: SourceOptions) -> Source:
    spool = _Spool()
    failures: list[Failure] = []
    collected = build_listing(_write(objects, spool, failures, options))
    return _source(collected, lambda row: spool.read(int(collected.offsets[row])), failures)


def _write(
    objects: Iterable[Any], spool: "_Spool", failures: list[Failure], options: SourceOptions
) -> Iterator[ImageRecord]:
    for number, one in enumerate(objects):
        item = _item(one, number, options)
        try:
            yield _found(item, spool.add(encode(item.image, options.max_bytes)))
        except ImageError as error:
            failures.append(Failure(item.id, item.uri, error.stage, error.reason, error.message))


class _Spool:
    """A temporary file of images, one behind the other; it goes when nobody reads it any more."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="frieze-")  # noqa: SIM115  closed with the object
        self._starts = array.array("q", [0])

    def __del__(self) -> None:
        self._file.close()

    def add(self, data: bytes) -> int:
        """Write an image; gives its number."""
        self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))
        return len(self._starts) - 2

    def read(self, number: int) -> bytes:
        """Give an image's bytes; many threads may call this at once, when all are written."""
        self._file.flush()
        start, end = self._starts[number : number + 2]
        return os.pread(self._file.fileno(), end - start, start)


def encode(image: Any, max_bytes: int) -> bytes:
    """Give an image as the bytes of a file, without loss.

    Raises:
        ImageError: It is no image, or not of a kind that we take, or has more than `max_bytes`.
    """
    if isinstance(image, str | Path):
        return read_place(to_uri(os.path.abspath(image)), max_bytes=max_bytes)
    data = bytes(image) if isinstance(image, bytes | bytearray | memoryview) else _to_tiff(image)
    if len(data) > max_bytes:
        raise ImageError("read", "too large", f"the image has {len(data)} bytes; the limit is {max_bytes}")
    return data


def _to_tiff(image: Any) -> bytes:
    try:
        picture = image if isinstance(image, Image.Image) else _from_array(image)
        file = io.BytesIO()
        _plain(picture).save(file, "TIFF")
    except (OSError, ValueError, TypeError, SyntaxError) as error:
        raise ImageError("decode", "not an image", f"{type(image).__name__}: {error}") from error
    return file.getvalue()


def _from_array(values: Any) -> Image.Image:
    values = np.asarray(values)
    if values.dtype != np.uint8 or values.ndim not in (2, 3):
        raise ValueError(f"shape {list(values.shape)}, type {values.dtype}; wanted is [H, W, 3] of uint8")
    if values.ndim == 3 and values.shape[0] in _CHANNELS and values.shape[2] not in _CHANNELS:  # noqa: PLR2004
        first = f"shape {list(values.shape)}: its channels come first"
        raise ValueError(f"{first}; put them last: numpy.moveaxis(image, 0, -1)")
    return Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)  # noqa: PLR2004


def _plain(picture: Image.Image) -> Image.Image:
    """Turn a picture upright, in a mode that TIFF keeps."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _KEPT_MODES and not (picture.has_transparency_data and picture.mode not in _WITH_ALPHA):
        return picture
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
