"""Picture formats that are not read, or were not once: how to recognize them, and what to do about them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from frieze.embedder.images.bit_depth import NO_RANGE
from frieze.embedder.images.signatures import (
    can_read_avif,
    can_read_heic,
    can_read_jpeg_xl,
    can_read_raw,
    unsupported_error,
)
from frieze.embedder.images.tiff_bands import MANY_BANDS, can_read_bands

_CONVERT = "convert them to PNG or JPEG"
_NAMED_FORMATS = 20
"""Number of formats that are counted separately; the others are counted together."""

OTHER, NO_SUFFIX = "other", "no suffix"


def _never() -> bool:
    return False


def _always() -> bool:
    return True


class UnsupportedFormat(NamedTuple):
    """One picture format.

    Attributes:
        name: Its name in messages.
        suffixes: Extensions of its files, in lower case.
        message: Beginning of the failure message of such an image.
        hint: How to make the images readable.
        is_read: Whether the format can be read now, because an optional package is installed.
    """

    name: str
    suffixes: tuple[str, ...]
    message: str
    hint: str = _CONVERT
    is_read: Callable[[], bool] = _never


FORMATS = (
    UnsupportedFormat(
        "HEIC",
        (".heic", ".heif", ".heics", ".heifs", ".hif"),
        "a HEIC image",
        "pip install 'frieze[heic]'",
        can_read_heic,
    ),
    UnsupportedFormat(
        "AVIF",
        (".avif", ".avifs"),
        "an AVIF image",
        "pip install --upgrade --force-reinstall pillow",
        can_read_avif,
    ),
    UnsupportedFormat(
        "RAW",
        (
            *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc"),
            *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
            *(".srw", ".x3f"),
        ),
        "a camera's RAW file",
        "pip install 'frieze[formats]'",
        can_read_raw,
    ),
    UnsupportedFormat("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpf", ".jpx"), "JPEG 2000 is not read", is_read=_always),
    UnsupportedFormat("JPEG XL", (".jxl",), "a JPEG XL image", "pip install 'frieze[formats]'", can_read_jpeg_xl),
    UnsupportedFormat("JPEG XR", (".jxr", ".wdp", ".hdp"), "JPEG XR is not read"),
    UnsupportedFormat("Photoshop", (".psd",), "Photoshop is not read", is_read=_always),
    UnsupportedFormat("large Photoshop", (".psb",), "a Photoshop file that is large"),
    UnsupportedFormat("OpenEXR", (".exr",), "OpenEXR is not read"),
    UnsupportedFormat("Radiance HDR", (".hdr",), "Radiance HDR is not read"),
    UnsupportedFormat("SVG", (".svg", ".svgz"), "SVG is not read", "rsvg-convert FILE.svg -o FILE.png"),
    UnsupportedFormat("DICOM", (".dcm", ".dicom"), "DICOM is not read"),
    UnsupportedFormat("FITS", (".fits", ".fit", ".fts"), "FITS is not read"),
    UnsupportedFormat("Netpbm", (".pbm", ".pgm", ".ppm", ".pnm", ".pfm"), "Netpbm is not read", is_read=_always),
    UnsupportedFormat("PAM", (".pam",), "PAM is not read"),
    UnsupportedFormat("icon of Windows", (".ico",), "an icon of Windows is not read", is_read=_always),
    UnsupportedFormat("ICNS or CUR", (".cur", ".icns"), "ICNS and CUR are not read"),
    UnsupportedFormat("TGA", (".tga",), "TGA is not read", is_read=_always),
    UnsupportedFormat("DDS", (".dds",), "DDS is not read"),
    UnsupportedFormat("PCX", (".pcx",), "PCX is not read"),
    UnsupportedFormat(
        "scientific TIFF", (), "a scientific TIFF; to read it", "pip install 'frieze[formats]'", can_read_bands
    ),
    UnsupportedFormat("TIFF of many bands", (), MANY_BANDS, "choose three bands with --bands 4,3,2"),
    UnsupportedFormat("TIFF of no fixed range", (), NO_RANGE, "state black and white with --scale 0..1"),
    UnsupportedFormat("GIMP", (".xcf",), "GIMP is not read"),
)
"""All known formats; one that can be read now (`is_read`) is treated like any other image."""

_BY_NAME = {one.name: one for one in FORMATS}
_BY_SUFFIX = {suffix: one for one in FORMATS for suffix in one.suffixes}


def suffix_of(name: str) -> str:
    """Return the extension of a path in lower case, as `posixpath.splitext` gives it in three times the time.

    >>> suffix_of("a.b/c.JPG"), suffix_of("a.b/..jpg"), suffix_of("a.b/c")
    ('.jpg', '', '')
    """
    stem, dot, ending = name[name.rfind("/") + 1 :].rpartition(".")
    return dot + ending.lower() if stem.strip(".") else ""


def is_optional_format(suffix: str) -> bool:
    """Return whether an extension is that of an optional format whose package is installed."""
    known = _BY_SUFFIX.get(suffix)
    return known is not None and known.is_read()


def format_of(name: str, head: bytes = b"") -> str:
    """Return the format of an ignored file: an unsupported picture format, or its extension.

    Args:
        name: Name of the file, which decides if the first bytes do not.
        head: Its first `HEAD_BYTES` bytes, if they were read.

    >>> format_of("a.jpg", b"....ftypheic"), format_of("b.CR3"), format_of("c.TXT"), format_of("Makefile")
    ('HEIC', 'RAW', '.txt', 'no suffix')
    """
    suffix = suffix_of(name)
    known = _named_in(unsupported_error(head).message) or _BY_SUFFIX.get(suffix)
    return known.name if known is not None else suffix or NO_SUFFIX


def count_formats(formats: Mapping[str, int]) -> dict[str, int]:
    """Sort counts of formats, pictures first, then by frequency; rare formats are merged.

    >>> count_formats({".txt": 9, "HEIC": 2})
    {'HEIC': 2, '.txt': 9}
    """
    ordered = sorted(formats.items(), key=lambda one: (one[0] not in _BY_NAME, -one[1], one[0]))
    named, rest = ordered[:_NAMED_FORMATS], ordered[_NAMED_FORMATS:]
    return dict(named) | ({OTHER: sum(n for _, n in rest)} if rest else {})


def count_unread(ignored: Mapping[str, int], messages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Count the pictures of unsupported formats, with a hint for each.

    Args:
        ignored: Format -> number of ignored files of the source.
        messages: Messages of the failures of files with image extensions.

    >>> count_unread({"HEIC": 8, ".txt": 3}, ["a HEIC image, as iPhones write them"])
    {'HEIC': {'images': 9, 'hint': "pip install 'frieze[heic]'"}}
    """
    failed = Counter(known.name for message in messages if (known := _named_in(message)) is not None)
    total = Counter({name: n for name, n in ignored.items() if name in _BY_NAME}) + failed
    return {name: {"images": n, "hint": _BY_NAME[name].hint} for name, n in total.most_common()}


def are_readable_now(messages: pa.ChunkedArray) -> pa.Array:
    """Return a mask of the failure messages whose format can be read now."""
    formats = [_named_in(message) for message in messages.to_pylist()]
    return pa.array([known is not None and known.is_read() for known in formats], pa.bool_())


def _named_in(message: str) -> UnsupportedFormat | None:
    return next((one for one in FORMATS if message.startswith(one.message)), None)
