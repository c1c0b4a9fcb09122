"""Detects colour spaces other than sRGB (ICC profile, cICP, nclx, EXIF, gamma); pixels are not converted."""

import functools
import io
import struct
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from frieze.embedder.images import png_chunks

_NEAR_LEVELS = 12
"""Most levels by which profiles near sRGB move a colour: 2 with gamma 2.2, 10 with 2.4. Apple's gamma 1.8 moves one by
19, Display P3 and Adobe RGB by 64, ProPhoto by 128."""

_STEPS = (64, 128, 192)
_COLOURS = Image.fromarray(np.array([[(r, g, b) for r in _STEPS for g in _STEPS for b in _STEPS]], np.uint8))
_GREYS = Image.fromarray(np.array([_STEPS], np.uint8))
_PROBES = {"RGB": _COLOURS, "GRAY": _GREYS}
"""Colour space of a profile -> test colours."""

_INTEROPERABILITY, _INDEX = 0xA005, 1
ADOBE_INDEX = b"R03"
"""Interoperability index of a camera set to Adobe RGB (Exif 2.3, 4.6.7)."""
_SCREEN_GAMMA, _GAMMA_TOLERANCE = 2.2, 0.2

_PRIMARIES = {1: "BT.709", 9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_TRANSFERS = {8: "linear", 16: "PQ", 18: "HLG"}
_PLAIN_PRIMARIES, _PLAIN_TRANSFERS = (1, 2, 5, 6), (1, 2, 4, 5, 6, 13, 14, 15)
"""Numbers of ITU-T H.273; the plain ones are unspecified, sRGB, or television standards near sRGB."""

_NCLX, _NCLX_WITHIN = b"colrnclx", 1 << 16  # AVIF and HEIC: the header of a file is no longer
_LONGEST_NAME, _MOST_PROFILES = 60, 32


def non_srgb_profile(image: Image.Image, data: bytes) -> str | None:
    """Return the name of a file's colour space; None for sRGB or one that looks the same.

    Args:
        image: The image as opened from `data`.
        data: The file, or the embedded file that is the picture.
    """
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return name_profile(profile)
    return _name_code(image, data) or _name_exif(image) or _name_gamma(image)


@functools.lru_cache(maxsize=_MOST_PROFILES)
def name_profile(profile: bytes) -> str | None:
    """Return the name of an ICC profile that differs from sRGB; None for a broken one, which viewers ignore."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        probe = _PROBES.get(opened.profile.xcolor_space.strip())
        if probe is not None and _levels_moved(probe, opened) <= _NEAR_LEVELS:
            return None
        name = ImageCms.getProfileDescription(opened)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
    return " ".join(name.split())[:_LONGEST_NAME] or "a profile without a name"


def _levels_moved(probe: Image.Image, profile: Any) -> int:
    converted = ImageCms.profileToProfile(probe, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return int(np.abs(np.asarray(converted, np.int64) - np.asarray(probe.convert("RGB"), np.int64)).max())


def _name_code(image: Image.Image, data: bytes) -> str | None:
    """Return the colour space of a PNG's chunk cICP, or of the box nclx of AVIF and HEIC."""
    code, letters = b"", ">HH"
    if image.format == "PNG":
        code, letters = png_chunks.read_body(data, b"cICP"), "BB"
    elif image.format in ("AVIF", "HEIF"):
        code = data[:_NCLX_WITHIN].partition(_NCLX)[2]
    if len(code) < struct.calcsize(letters):
        return None
    primaries, transfer = struct.unpack_from(letters, code)
    if primaries in _PLAIN_PRIMARIES and transfer in _PLAIN_TRANSFERS:
        return None
    return f"{_PRIMARIES.get(primaries, f'primaries {primaries}')} {_TRANSFERS.get(transfer, '')}".strip()


def _name_exif(image: Image.Image) -> str | None:
    exif = image.info.get("exif")  # None for a HEIC without EXIF
    if not isinstance(exif, bytes) or ADOBE_INDEX not in exif:
        return None
    try:
        index = image.getexif().get_ifd(_INTEROPERABILITY).get(_INDEX)
    except Exception:  # noqa: BLE001  broken EXIF data does not make the pixels worse
        return None
    return "Adobe RGB" if str(index).strip("\0 ") == ADOBE_INDEX.decode() else None


def _name_gamma(image: Image.Image) -> str | None:
    """Return the gamma of a PNG, unless it is near that of screens."""
    gamma = image.info.get("gamma")
    if "srgb" in image.info or not isinstance(gamma, float) or gamma <= 0:
        return None
    return None if abs(1 / gamma - _SCREEN_GAMMA) <= _GAMMA_TOLERANCE else f"gamma {1 / gamma:.1f}"
