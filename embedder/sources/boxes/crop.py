"""The pixels of a box of an image: `IMAGE#x,y,w,h` names the part, in pixels of the upright image."""

import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence

from PIL import Image

from frieze.core import ImageError, is_remote
from frieze.embedder.images.decode import (
    MIN_DRAFT_PX,
    VERSION,
    DecodeOptions,
    current_decoding,
    decode_as,
    least_draft_px,
)
from frieze.embedder.images.part_file import pack_part
from frieze.embedder.images.sample_range import STRETCH
from frieze.embedder.images.upright_size import Size, read_jpeg_size
from frieze.embedder.sources.boxes.box import Corner, from_edges
from frieze.embedder.sources.files import to_path
from frieze.features import BOX_PATTERN

_NAME = re.compile(rf"(?P<image>.+)(?P<box>{BOX_PATTERN})")
WHOLE_PX = 1 << 20
"""No fraction of a JPEG has such sides, so that it is decoded in full."""
WHOLE = DecodeOptions(WHOLE_PX)
"""Decodes images in full."""
_DENOMINATORS = (8, 4, 2)
_OLD = "pillow-draft-bilinear-2"
_LEAST_DRAFT_PX = min(MIN_DRAFT_PX.values())
_DECODINGS = tuple(f"{one}{stretch}" for one in (VERSION, _OLD) for stretch in ("", STRETCH))
"""Versions of decoding whose pixels may differ."""


def in_full(decoding: str) -> DecodeOptions:
    """Return how images of a table are decoded in full today, with its bands and its range of samples.

    Args:
        decoding: The version of decoding, as stored with the table; empty for the current one.
    """
    return WHOLE._replace(decoding=current_decoding(decoding))


def name_part(image: str, box: Corner) -> str:
    """Return the name of a part: `IMAGE#x,y,w,h`."""
    return f"{image}#{','.join(map(str, box))}"


def split_part(name: str) -> tuple[str, Corner] | None:
    """Split the name of a part into that of its image and the box; None for the name of a whole image.

    >>> split_part("a.jpg#10,20,30,40"), split_part("a#b.jpg")
    (('a.jpg', (10, 20, 30, 40)), None)
    """
    match = _NAME.fullmatch(name)
    if match is None or (not is_remote(name) and os.path.lexists(to_path(name))):  # a file may be named so
        return None
    x, y, width, height = map(int, match["box"].removeprefix("#").split(","))
    return match["image"], (x, y, width, height)


def read_part(name: str, read: Callable[[str], bytes], *, options: DecodeOptions = WHOLE, sha256: str = "") -> bytes:
    """Read an image, or the part of it that a name asks for.

    Args:
        name: A URI or path, perhaps with a box.
        read: Reads a whole image.
        options: How an image is decoded that has the part; by default in full.
        sha256: Of a part as a table has it, hexadecimal: where `options` give another one, the part is decoded as for
            that table, if its image is the same. Empty for none.

    Raises:
        ImageError: The image can't be read, or the box holds no pixel of it.
    """
    part = split_part(name)
    if part is None:
        return read(name)
    image, box = part
    data = read(image)
    (content,) = crop_all(data, [box], options)
    if isinstance(content, ImageError):
        raise content
    return content if not sha256 or _has(content, sha256) else _as_stored(data, box, options, sha256) or content


def _has(content: bytes | ImageError, sha256: str) -> bool:
    return not isinstance(content, ImageError) and hashlib.sha256(content).hexdigest() == sha256


def _as_stored(data: bytes, box: Corner, options: DecodeOptions, sha256: str) -> bytes | None:
    """Return a part as the table decoded it: at a fraction, stretched, or by an older version; None for no match."""
    for decoding, denominator in itertools.product(_DECODINGS, (1, *_DENOMINATORS)):
        if denominator > 1 and denominator * _LEAST_DRAFT_PX > min(box[2:]):
            continue
        as_stored = options._replace(side_px=WHOLE_PX, decoding=decoding)
        (content,) = crop_all(data, [box], as_stored, denominator=denominator)
        if _has(content, sha256) and isinstance(content, bytes):
            return content
    return None


def crop_all(
    data: bytes, boxes: Sequence[Corner], options: DecodeOptions = WHOLE, *, denominator: int | None = None
) -> Iterator[bytes | ImageError]:
    """Decode an image once, and yield each box of it as the bytes of a file, or why there is none.

    A box of a JPEG that is larger than the network needs is cut from a fraction of the image, as whole images are
    decoded at one; others are cut from all pixels. What a box is depends on no other box.

    Args:
        data: The bytes of the image file.
        boxes: Of the upright image; what lies outside of it is cut off.
        options: How to decode it.
        denominator: The fraction of a JPEG, 1, 2, 4 or 8; by default as large as the network allows.
    """
    size, least_px = read_jpeg_size(data), least_draft_px(options.decoding, side_px=options.side_px)
    images: dict[int, Image.Image | ImageError] = {}
    for box in boxes:
        n = (denominator or _choose_fraction(_clip(box, size), least_px)) if size else 1
        if n not in images:
            images[n] = _decode(data, options, size, n)
        image = images[n]
        yield image if isinstance(image, ImageError) else _crop(image, box, size or image.size)


def _choose_fraction(edges: Corner, least_px: int) -> int:
    side_px = min(edges[2] - edges[0], edges[3] - edges[1])
    return next((n for n in _DENOMINATORS if side_px >= n * least_px), 1)


def _decode(data: bytes, options: DecodeOptions, size: Size | None, denominator: int) -> Image.Image | ImageError:
    side_px = WHOLE_PX if size is None or denominator == 1 else min(size) // denominator // 2
    try:
        return decode_as(data, options._replace(side_px=side_px))[0]
    except ImageError as error:
        return error


def _clip(box: Corner, size: Size) -> Corner:
    """Return the edges of a box inside an image: left, top, right, bottom."""
    x, y, width, height = box
    return max(x, 0), max(y, 0), min(x + width, size[0]), min(y + height, size[1])


def _crop(image: Image.Image, box: Corner, size: Size) -> bytes | ImageError:
    """Cut a box from an image, whose pixels may be a fraction of those that its size counts."""
    left, top, right, bottom = _clip(box, size)
    if box[2] <= 0 or box[3] <= 0:
        return ImageError("decode", "empty box", f"the box is {box[2]} x {box[3]} pixels")
    if right <= left or bottom <= top:
        pixels = f"{size[0]} x {size[1]} pixels"
        return ImageError("decode", "outside", f"the box lies outside of the image, which has {pixels}")
    across, down = image.width / size[0], image.height / size[1]
    x, y, width, height = from_edges(left * across, top * down, right * across, bottom * down)
    part = image.crop((x, y, min(x + width, image.width), min(y + height, image.height)))
    return pack_part(part, (right - left, bottom - top))
