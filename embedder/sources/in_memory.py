"""Images in memory: arrays, PIL images, bytes, and iterables of them, from a Python program."""

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
from frieze.embedder.sources.boxes.crop import read_part
from frieze.embedder.sources.files import read_uri, to_uri
from frieze.embedder.sources.listing import ImageRecord, ListedImages, build_listing
from frieze.embedder.sources.tables.column_names import pop_label, pop_text
from frieze.features import Failure

NAME = "python objects"
"""The source in features.json: another call may pass other objects for the same table."""

_STACK_AXES = (3, 4)  # [N, H, W] or [N, H, W, channels]
_CHANNELS = (1, 2, 3, 4)  # grey, colour, and both with alpha
_COLOURS = (3, 4)
_KEPT_MODES = frozenset(("1", "L", "LA", "RGB", "RGBA", "CMYK", "I", "I;16", "F"))
"""Modes that TIFF stores unchanged; `decode` handles each as in any file."""
_WITH_ALPHA = ("LA", "RGBA")
_HINT = (
    "Pass a list of uint8 arrays [H, W, 3], PIL images, bytes or paths; each alone, as (id, image), or as"
    " {'image': ..., 'id': ...}. For a dict of images by id pass images.items()."
)
_NOT_IMAGE_BY_IMAGE = (bytes, bytearray, memoryview, Mapping)
"""Iterables that do not yield images: a dict yields its keys."""


class _Item(NamedTuple):
    """One element: an image with its id, label and columns."""

    id: str
    uri: str
    label: str | None
    image: Any
    columns: dict[str, Any]
    label_from: str | None


def open_in_memory(objects: Any, options: SourceOptions) -> Source:
    """List images in memory.

    Args:
        objects: A uint8 array [N, H, W, 3], with 1 or 4 channels too, or [N, H, W] unless N is 3 or 4, which may be one
            image with its channels first. Or a sequence or other iterable whose elements are images (uint8 array, PIL
            image, bytes of a file, path), pairs `(id, image)`, or dicts with `image` and optionally `id`, `label` and
            any other columns. An iterator is read once, into a temporary file; a sequence stays in memory.
        options: Only `labels` and `max_bytes` apply.

    Returns:
        The images. The default id is the number of the element, the default label null. An element that is no image
        is a failure when it is read.

    Raises:
        InputError: `objects` is none of these.
    """
    if not isinstance(objects, Iterable) or isinstance(objects, _NOT_IMAGE_BY_IMAGE):
        raise InputError(f"{type(objects).__name__} is no source of images.", hint=_HINT)
    _check_axes(objects)
    if isinstance(objects, np.ndarray):
        _check_stack(objects)
    if isinstance(objects, np.ndarray | Sequence):
        items = [_item(element, number, options) for number, element in enumerate(objects)]
        listed = build_listing(_to_record(item, number) for number, item in enumerate(items))
        return _source(listed, lambda row: encode(items[int(listed.offsets[row])].image, options.max_bytes))
    return _open_iterator(objects, options)


def as_images(images: Any) -> Any:
    """Return a single image in memory as a list of one; return anything else unchanged.

    Raises:
        InputError: The array may have its channels first.
    """
    _check_axes(images)
    is_file_or_picture = isinstance(images, bytes | bytearray | memoryview | Image.Image)
    is_one = isinstance(images, np.ndarray) and images.dtype == np.uint8 and _is_one(images)
    return [images] if is_file_or_picture or is_one else images


def _is_one(images: np.ndarray[Any, Any]) -> bool:
    """Return whether an array has the shape of one image, [H, W] or [H, W, channels]."""
    return images.ndim == 2 or (images.ndim == min(_STACK_AXES) and images.shape[-1] in _CHANNELS)  # noqa: PLR2004


def _check_axes(images: Any) -> None:
    """Reject an array of any library that may have its channels first: each channel would become an image."""
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
        hint="One image: numpy.moveaxis(image, 0, -1), which has its channels last; grey images: images[..., None]",
    )


def _check_stack(images: np.ndarray[Any, Any]) -> None:
    if images.ndim not in _STACK_AXES or _is_one(images) or images.dtype != np.uint8:
        raise InputError(
            f"The array has shape {list(images.shape)} and type {images.dtype}; expected is [N, H, W, 3] of uint8.",
            hint="One image is images[None]; values in [0, 1] are (images * 255).round().astype('uint8').",
        )


def _item(element: Any, number: int, options: SourceOptions) -> _Item:
    """Split an element into image, id, label and other columns."""
    columns: dict[str, Any] = {}
    if isinstance(element, Mapping):
        columns = dict(element)
    elif isinstance(element, tuple) and len(element) == 2:  # noqa: PLR2004  a pair
        columns = {"id": element[0], "image": element[1]}
    else:
        columns = {"image": element}
    image = columns.pop("image", None)
    name = pop_text(columns, ["id"])
    label, label_from = pop_label(columns, None, ["label"])
    name = str(number) if name is None else name
    uri = to_uri(os.path.abspath(image)) if isinstance(image, str | Path) else f"memory:{name}"
    return _Item(name, uri, None if options.labels == "none" else label, image, columns, label_from)


def _to_record(item: _Item, offset: int) -> ImageRecord:
    return ImageRecord(
        item.id, item.uri, item.label, None, None, offset=offset, columns=item.columns, label_from=item.label_from
    )


def _source(listed: ListedImages, read_one: Callable[[int], bytes], failures: Sequence[Failure] = ()) -> Source:
    def read(rows: Rows) -> Iterator[Content]:
        for row in rows:
            try:
                yield read_one(int(row))
            except ImageError as error:
                yield error

    return Source(Listing(NAME, listed.images, (*failures, *listed.duplicates)), read)


def _open_iterator(objects: Iterable[Any], options: SourceOptions) -> Source:
    spool = _Spool()
    failures: list[Failure] = []
    listed = build_listing(_write(objects, spool, failures, options))
    return _source(listed, lambda row: spool.read(int(listed.offsets[row])), failures)


def _write(
    objects: Iterable[Any], spool: "_Spool", failures: list[Failure], options: SourceOptions
) -> Iterator[ImageRecord]:
    for number, element in enumerate(objects):
        item = _item(element, number, options)
        try:
            yield _to_record(item, spool.add(encode(item.image, options.max_bytes)))
        except ImageError as error:
            failures.append(Failure(item.id, item.uri, error.stage, error.reason, error.message))


class _Spool:
    """A temporary file of concatenated images, deleted with the object."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="frieze-")  # noqa: SIM115  closed with the object
        self._starts = array.array("q", [0])

    def __del__(self) -> None:
        self._file.close()

    def add(self, data: bytes) -> int:
        """Write an image; return its number."""
        self._file.write(data)
        self._starts.append(self._starts[-1] + len(data))
        return len(self._starts) - 2

    def read(self, number: int) -> bytes:
        """Return the bytes of an image; threads may call this in parallel once all images are written."""
        self._file.flush()
        start, end = self._starts[number : number + 2]
        return os.pread(self._file.fileno(), end - start, start)


def encode(image: Any, max_bytes: int) -> bytes:
    """Encode an image losslessly as the bytes of a file.

    Raises:
        ImageError: The object is no image of a supported type, or has more than `max_bytes`.
    """
    if isinstance(image, str | Path):
        uri = to_uri(os.path.abspath(image))
        return read_part(uri, lambda whole: read_uri(whole, max_bytes=max_bytes))
    data = bytes(image) if isinstance(image, bytes | bytearray | memoryview) else _to_tiff(image)
    if len(data) > max_bytes:
        raise ImageError("read", "too large", f"the image has {len(data)} bytes; the limit is {max_bytes}")
    return data


def _to_tiff(image: Any) -> bytes:
    try:
        picture = image if isinstance(image, Image.Image) else _from_array(image)
        file = io.BytesIO()
        _upright(picture).save(file, "TIFF")
    except (OSError, ValueError, TypeError, SyntaxError) as error:
        raise ImageError("decode", "not an image", f"{type(image).__name__}: {error}") from error
    return file.getvalue()


def _from_array(values: Any) -> Image.Image:
    values = np.asarray(values)
    if values.dtype != np.uint8 or values.ndim not in (2, 3):
        raise ValueError(f"shape {list(values.shape)}, type {values.dtype}; expected is [H, W, 3] of uint8")
    if values.ndim == 3 and values.shape[0] in _CHANNELS and values.shape[2] not in _CHANNELS:  # noqa: PLR2004
        first = f"shape {list(values.shape)}: its channels come first"
        raise ValueError(f"{first}; put them last: numpy.moveaxis(image, 0, -1)")
    return Image.fromarray(values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values)  # noqa: PLR2004


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture upright, in a mode that TIFF can store."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _KEPT_MODES and not (picture.has_transparency_data and picture.mode not in _WITH_ALPHA):
        return picture
    return picture.convert("RGBA" if picture.has_transparency_data else "RGB")
