"""The pixels of a box of an image: `IMAGE#x,y,w,h` names the part, in pixels of the upright image."""

import os
import re
from collections.abc import Callable, Iterator, Sequence

from PIL import Image

from frieze.core import ImageError, is_remote
from frieze.embedder.images.decode import decode
from frieze.embedder.sources.boxes.box import Corner
from frieze.embedder.sources.files import to_path

_NAME = re.compile(r"(?P<image>.+)#(?P<box>-?\d+,-?\d+,-?\d+,-?\d+)")
_WHOLE_PX = 1 << 20  # no fraction of a JPEG has such sides, so that it is decoded in full


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
    x, y, width, height = map(int, match["box"].split(","))
    return match["image"], (x, y, width, height)


def read_part(name: str, read: Callable[[str], bytes]) -> bytes:
    """Read an image, or the part of it that a name asks for.

    Args:
        name: A URI or path, perhaps with a box.
        read: Reads a whole image.

    Raises:
        ImageError: The image can't be read, or the box holds no pixel of it.
    """
    part = split_part(name)
    if part is None:
        return read(name)
    image, box = part
    (content,) = crop_all(read(image), [box])
    if isinstance(content, ImageError):
        raise content
    return content


def crop_all(data: bytes, boxes: Sequence[Corner]) -> Iterator[bytes | ImageError]:
    """Decode an image once, in full, and yield each box of it as the bytes of a PPM file, or why there is none.

    PPM is lossless and has one form only: equal pixels give equal bytes.

    Args:
        data: The bytes of the image file.
        boxes: Of the upright image; what lies outside of it is cut off.
    """
    try:
        image, _ = decode(data, side_px=_WHOLE_PX)
    except ImageError as error:
        yield from [error] * len(boxes)
        return
    for box in boxes:
        yield _crop(image, box)


def _crop(image: Image.Image, box: Corner) -> bytes | ImageError:
    x, y, width, height = box
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, image.width), min(y + height, image.height)
    if width <= 0 or height <= 0:
        return ImageError("decode", "empty box", f"the box is {width} x {height} pixels")
    if right <= left or bottom <= top:
        size = f"{image.width} x {image.height} pixels"
        return ImageError("decode", "outside", f"the box lies outside of the image, which has {size}")
    part = image.crop((left, top, right, bottom))
    return b"P6 %d %d 255\n" % part.size + part.tobytes()
