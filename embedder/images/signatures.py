"""File signatures: whether the first bytes are those of a supported image, an unsupported one, or none."""

import functools
import importlib.util
import io
import struct

from PIL import Image, features

from frieze.core import ImageError
from frieze.embedder.images import tiff_pages

HEAD_BYTES = 64
"""Number of first bytes that `is_image` needs."""

_BMP_BYTES = 18  # up to and including the size of its second header
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", *tiff_pages.SIGNATURES)

_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_CANON_RAW = {b"crx "}
"""Brands of files of boxes (ISO 14496-12, 23008-12)."""

_RAW = {
    b"FUJIFILMCCD-RAW": "Fujifilm RAF",
    b"IIRO": "Olympus ORF",
    b"IIRS": "Olympus ORF",
    b"MMOR": "Olympus ORF",
    b"IIU\x00": "Panasonic RW2",
    b"FOVb": "Sigma X3F",
    b"\x00MRM": "Minolta MRW",
}
_OTHERS = {
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": "JPEG XL",
    b"\xff\x0a": "JPEG XL",
    b"II\xbc": "JPEG XR",
    b"8BPS": "Photoshop",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"%PDF": "PDF",
    b"<svg": "SVG",
}
"""Signature of an unsupported picture -> its format."""


def is_image(head: bytes) -> bool:
    """Return whether the first bytes are the signature of a supported image format.

    Args:
        head: The first `HEAD_BYTES` bytes.

    >>> is_image(b"GIF89a"), is_image(b"BMW prices went up"), is_image(b"")
    (True, False, False)
    """
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"BM"):  # two letters are too few: the size of the next header must match as well
        return len(head) >= _BMP_BYTES and struct.unpack("<I", head[14:18])[0] in _BMP_HEADERS
    if is_heic(head):
        return can_read_heic()
    return head.startswith(_SIGNATURES) or (can_read_avif() and bool(_brands(head) & _AVIF))


def _brands(head: bytes) -> set[bytes]:
    """Return the brands in the `ftyp` box of a file."""
    if head[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(head[:4], "big"), len(head), HEAD_BYTES)
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}


def is_heic(head: bytes) -> bool:
    """Return whether a file is a HEIC by its first bytes; AVIF has some of the same brands."""
    brands = _brands(head)
    return bool(brands & _HEIC) and not brands & _AVIF


@functools.cache
def can_read_heic() -> bool:
    """Return whether the extra that reads HEIC is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


@functools.cache
def can_read_avif() -> bool:
    """Return whether Pillow was built with AVIF, as its wheels are."""
    return bool(features.check("avif"))


def open_heic(data: bytes) -> Image.Image:
    """Open a HEIC file without registering the format in Pillow for the whole process.

    Raises:
        ImageError: The extra is not installed.
    """
    if not can_read_heic():
        raise unsupported_error(data)
    from pillow_heif import HeifImageFile

    image: Image.Image = HeifImageFile(io.BytesIO(data))
    return image


def unsupported_error(head: bytes) -> ImageError:
    """Return the failure of a file that is no supported image; it names the format if known.

    >>> unsupported_error(b"....ftypheic").message
    "a HEIC image, as iPhones write them; to read it: pip install 'frieze[heic]'"
    >>> unsupported_error(b"IIRO").message.partition(";")[0]
    "a camera's RAW file (Olympus ORF)"
    """
    if is_heic(head):
        return _unsupported("a HEIC image, as iPhones write them; to read it: pip install 'frieze[heic]'")
    if _brands(head) & _AVIF:
        return _unsupported("an AVIF image; to read it: pip install --upgrade --force-reinstall pillow")
    if _brands(head) & _CANON_RAW:
        return tiff_pages.raw_error("Canon CR3")
    raw = next((name for start, name in _RAW.items() if head.startswith(start)), None)
    if raw is not None:
        return tiff_pages.raw_error(raw)
    other = next((name for start, name in _OTHERS.items() if head.startswith(start)), None)
    if other is not None:
        return _unsupported(f"{other} is not read; convert it to PNG or JPEG")
    return ImageError("decode", "not an image", "the bytes are no image of a supported format")


def _unsupported(message: str) -> ImageError:
    return ImageError("decode", "unsupported", message)
