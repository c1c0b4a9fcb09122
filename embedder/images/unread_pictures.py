"""Pictures that are known and not read: how to tell them, and what to do with them."""

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from frieze.embedder.images.picture_formats import reads_avif, reads_heic, refusal

_CONVERT = "convert them to PNG or JPEG"
_NAMED_FORMATS = 20
"""How many formats are counted apart; the rest of a folder of anything is counted together."""

OTHER, NO_SUFFIX = "other", "no suffix"


def _never() -> bool:
    return False


class UnreadFormat(NamedTuple):
    """One format of pictures.

    Attributes:
        name: For people.
        suffixes: What names of such files end in, in small letters.
        message: How the failure of such an image begins.
        hint: What to do to have them read.
        is_read: Whether they are read here, now that something may have been installed.
    """

    name: str
    suffixes: tuple[str, ...]
    message: str
    hint: str = _CONVERT
    is_read: Callable[[], bool] = _never


FORMATS = (
    UnreadFormat(
        "HEIC", (".heic", ".heif", ".heics", ".heifs", ".hif"), "a HEIC image", "pip install 'frieze[heic]'", reads_heic
    ),
    UnreadFormat(
        "AVIF",
        (".avif", ".avifs"),
        "an AVIF image",
        "pip install --upgrade --force-reinstall pillow",
        reads_avif,
    ),
    UnreadFormat(
        "RAW",
        (
            *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc"),
            *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
            *(".srw", ".x3f"),
        ),
        "a camera's RAW file",
        "develop them, for example with: darktable-cli FILE FILE.jpg",
    ),
    UnreadFormat("JPEG 2000", (".jp2", ".j2k", ".j2c", ".jpf", ".jpx"), "JPEG 2000 is not read"),
    UnreadFormat("JPEG XL", (".jxl",), "JPEG XL is not read"),
    UnreadFormat("JPEG XR", (".jxr", ".wdp", ".hdp"), "JPEG XR is not read"),
    UnreadFormat("Photoshop", (".psd", ".psb"), "Photoshop is not read"),
    UnreadFormat("OpenEXR", (".exr",), "OpenEXR is not read"),
    UnreadFormat("Radiance HDR", (".hdr",), "Radiance HDR is not read"),
    UnreadFormat("SVG", (".svg", ".svgz"), "SVG is not read"),
    UnreadFormat("DICOM", (".dcm", ".dicom"), "DICOM is not read"),
    UnreadFormat("FITS", (".fits", ".fit", ".fts"), "FITS is not read"),
    UnreadFormat("Netpbm", (".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".pfm"), "Netpbm is not read"),
    UnreadFormat("icon", (".ico", ".cur", ".icns"), "icon is not read"),
    UnreadFormat("TGA", (".tga",), "TGA is not read"),
    UnreadFormat("DDS", (".dds",), "DDS is not read"),
    UnreadFormat("PCX", (".pcx",), "PCX is not read"),
    UnreadFormat("GIMP", (".xcf",), "GIMP is not read"),
)
"""All that are known; what is here and read by now (`is_read`) is an image like any other."""

_BY_NAME = {one.name: one for one in FORMATS}
_BY_SUFFIX = {suffix: one for one in FORMATS for suffix in one.suffixes}


def is_read_by_name(name: str) -> bool:
    """Tell whether a file's name is that of a format that is read here because something was installed."""
    found = _BY_SUFFIX.get(posixpath.splitext(name)[1].lower())
    return found is not None and found.is_read()


def format_of(name: str, head: bytes = b"") -> str:
    """Name the format of a file that is no image that is read: a picture's, else what its name ends in.

    Args:
        name: Its name; where the first bytes say nothing it decides.
        head: Its first `HEAD_BYTES` bytes, where they were looked at.

    >>> format_of("a.jpg", b"....ftypheic"), format_of("b.CR3"), format_of("c.TXT"), format_of("Makefile")
    ('HEIC', 'RAW', '.txt', 'no suffix')
    """
    suffix = posixpath.splitext(name)[1].lower()
    found = _named_in(refusal(head).message) or _BY_SUFFIX.get(suffix)
    return found.name if found is not None else suffix or NO_SUFFIX


def count_formats(formats: Mapping[str, int]) -> dict[str, int]:
    """Order counts of formats, pictures first, then the most frequent; the rare ones of many are one.

    >>> count_formats({".txt": 9, "HEIC": 2})
    {'HEIC': 2, '.txt': 9}
    """
    ordered = sorted(formats.items(), key=lambda one: (one[0] not in _BY_NAME, -one[1], one[0]))
    named, rest = ordered[:_NAMED_FORMATS], ordered[_NAMED_FORMATS:]
    return dict(named) | ({OTHER: sum(n for _, n in rest)} if rest else {})


def count_unread(ignored: Mapping[str, int], messages: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Count the pictures that are not read, and say what to do.

    Args:
        ignored: Format -> files of the source that are ignored.
        messages: Of the failures of those that claim to be images.

    >>> count_unread({"HEIC": 8, ".txt": 3}, ["a HEIC image, as iPhones write them"])
    {'HEIC': {'images': 9, 'hint': "pip install 'frieze[heic]'"}}
    """
    failed = Counter(found.name for message in messages if (found := _named_in(message)) is not None)
    total = Counter({name: n for name, n in ignored.items() if name in _BY_NAME}) + failed
    return {name: {"images": n, "hint": _BY_NAME[name].hint} for name, n in total.most_common()}


def are_read_now(messages: pa.ChunkedArray) -> pa.Array:
    """Mark the messages of failures that are of a format that is read by now."""
    found = [_named_in(message) for message in messages.to_pylist()]
    return pa.array([one is not None and one.is_read() for one in found], pa.bool_())


def _named_in(message: str) -> UnreadFormat | None:
    return next((one for one in FORMATS if message.startswith(one.message)), None)
