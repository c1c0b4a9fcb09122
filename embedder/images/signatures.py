"""File signatures: whether the first bytes are those of a supported image, an unsupported one, or none."""

import functools
import importlib.util
import io
import re
import struct

from PIL import Image, features

from frieze.core import ImageError
from frieze.embedder.images import tiff_pages

HEAD_BYTES = 64
"""Number of first bytes that `is_image` needs."""

_BMP_BYTES = 18  # up to and including the size of its second header
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_JPEG_2000 = (b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")
_PHOTOSHOP = b"8BPS\x00\x01"
_SIGNATURES = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"),
    *(*tiff_pages.SIGNATURES, *_JPEG_2000, _PHOTOSHOP),
)
_NETPBM = re.compile(rb"P[1-6Ff]\s(#[^\n]*\n|\s)*(\d+\s+-?\d|#)")
"""Letter and number, comments, and a number: text may begin with the first two."""
_ICON, _ICON_BYTES, _MOST_ICONS = b"\x00\x00\x01\x00", 22, 256
_TGA_BYTES, _TGA_KINDS, _TGA_PALETTES, _TGA_DEPTHS = 18, (1, 2, 3, 9, 10, 11), (15, 16, 24, 32), (8, 15, 16, 24, 32)
"""Truevision TGA 2.0, "Image type", "Color map entry size", "Pixel depth"; it has no signature at its start."""

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
    b"II\xbc": "JPEG XR",
    b"8BPS": "a Photoshop file that is large (PSB), or has more than 8 bits a channel,",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"%PDF": "PDF",
}
"""Signature of an unsupported picture -> its format."""
_SVG = re.compile(rb"(\xef\xbb\xbf)?\s*(<svg|(<\?xml|<!--|<!DOCTYPE svg).*?<svg[\s>])", re.DOTALL)
_SVG_WITHIN = 1 << 14


def is_image(head: bytes) -> bool:
    """Return whether the first bytes are the signature of a supported image format.

    Args:
        head: The first `HEAD_BYTES` bytes.

    >>> is_image(b"GIF89a"), is_image(b"BMW prices went up"), is_image(b"")
    (True, False, False)
    """
    if head.startswith(_SIGNATURES):  # most files
        return True
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"BM"):  # two letters are too few: the size of the next header must match as well
        return len(head) >= _BMP_BYTES and struct.unpack("<I", head[14:18])[0] in _BMP_HEADERS
    if is_heic(head):
        return can_read_heic()
    if _NETPBM.match(head) is not None or _is_icon(head) or is_tga(head):
        return True
    by_extra = (is_jpeg_xl(head) and can_read_jpeg_xl()) or (raw_name(head) is not None and can_read_raw())
    return by_extra or (is_avif(head) and can_read_avif())


def _is_icon(head: bytes) -> bool:
    """Return whether a file is an icon of Windows: a list of images, each entry with a zero as its fourth byte."""
    if not head.startswith(_ICON) or len(head) < _ICON_BYTES:
        return False
    n_icons, reserved, planes = struct.unpack("<H3xBH", head[4:12])
    return 0 < n_icons <= _MOST_ICONS and not reserved and planes <= 1


def is_tga(head: bytes) -> bool:
    """Return whether the fields of a file's header are those of a TGA."""
    if len(head) < _TGA_BYTES:
        return False
    palette, kind, first, n_colours, bits, width, height, depth, flags = struct.unpack(
        "<xBBHHB4xHHBB", head[:_TGA_BYTES]
    )
    is_plain = palette == 0 and kind not in (1, 9) and (first, n_colours, bits) == (0, 0, 0)
    has_palette = palette == 1 and kind in (1, 9) and 0 < n_colours <= 256 and bits in _TGA_PALETTES  # noqa: PLR2004
    return bool(
        (is_plain or has_palette) and kind in _TGA_KINDS and width and height and depth in _TGA_DEPTHS and flags < 64  # noqa: PLR2004
    )


def is_jpeg_xl(head: bytes) -> bool:
    """Return whether a file is a JPEG XL, in a container or bare."""
    return head.startswith((b"\x00\x00\x00\x0cJXL \r\n\x87\n", b"\xff\x0a"))


@functools.cache
def can_read_jpeg_xl() -> bool:
    """Return whether the extra that reads JPEG XL is installed."""
    return importlib.util.find_spec("pillow_jxl") is not None


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


def is_avif(head: bytes) -> bool:
    """Return whether a file is an AVIF by its first bytes."""
    return bool(_brands(head) & _AVIF)


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


def raw_name(head: bytes) -> str | None:
    """Return the format of a camera's RAW file by its first bytes; None for others, and for one that is a TIFF."""
    if _brands(head) & _CANON_RAW:
        return "Canon CR3"
    return next((name for start, name in _RAW.items() if head.startswith(start)), None)


@functools.cache
def can_read_raw() -> bool:
    """Return whether the extra that reads RAW files is installed."""
    return importlib.util.find_spec("rawpy") is not None


def unsupported_error(head: bytes) -> ImageError:
    """Return the failure of a file that is no supported image; it names the format if known.

    >>> unsupported_error(b"....ftypheic").message
    "a HEIC image, as iPhones write them; to read it: pip install 'frieze[heic]'"
    >>> unsupported_error(b"IIRO").message.partition(";")[0]
    "a camera's RAW file (Olympus ORF)"
    """
    raw, message = raw_name(head), _message(head)
    if raw is not None:
        return tiff_pages.raw_error(raw)
    if message is not None:
        return ImageError("decode", "unsupported", message)
    return ImageError("decode", "not an image", "the bytes are no image of a supported format")


def _message(head: bytes) -> str | None:
    """Return what to do about a format that is known, and not read here; None for any other file."""
    if is_heic(head):
        return "a HEIC image, as iPhones write them; to read it: pip install 'frieze[heic]'"
    if is_jpeg_xl(head):
        return "a JPEG XL image; to read it: pip install 'frieze[formats]'"
    if is_avif(head):
        return "an AVIF image; to read it: pip install --upgrade --force-reinstall pillow"
    if _SVG.match(head[:_SVG_WITHIN]):
        return "SVG is not read, it has no pixels; convert it to PNG: rsvg-convert FILE.svg -o FILE.png"
    other = next((name for start, name in _OTHERS.items() if head.startswith(start)), None)
    return other and f"{other} is not read; convert it to PNG or JPEG"
