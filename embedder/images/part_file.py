"""The file of a part of an image: a PPM, with the part's size where its pixels are a fraction of it."""

import re

from PIL import Image

_FULL_SIZE = re.compile(rb"P6 #(\d{1,9})x(\d{1,9})\n")


def pack_part(image: Image.Image, size: tuple[int, int]) -> bytes:
    r"""Return an RGB image as a PPM, which has one form only: equal pixels give equal bytes.

    Args:
        image: The pixels.
        size: Width and height of the part in pixels of its image; stated where the pixels are fewer.

    >>> pack_part(Image.new("RGB", (1, 1)), (2, 2))
    b'P6 #2x2\n1 1 255\n\x00\x00\x00'
    """
    stated = b"" if image.size == size else b"#%dx%d\n" % size
    return b"P6 %b%d %d 255\n" % (stated, *image.size) + image.tobytes()


def read_full_size(data: bytes) -> tuple[int, int] | None:
    r"""Return the size that a part states; None for any other file.

    >>> read_full_size(b"P6 #2x2\n1 1 255\n\0\0\0"), read_full_size(b"P6 1 1 255\n\0\0\0")
    ((2, 2), None)
    """
    match = _FULL_SIZE.match(data)
    return (int(match[1]), int(match[2])) if match else None
