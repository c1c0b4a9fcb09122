"""Colour spaces other than sRGB: ICC profiles are converted to it; cICP, nclx, EXIF and gamma are only detected."""

import functools
import io
import struct
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

from frieze.embedder.images import png_chunks
from frieze.embedder.images.resize import Pixels

_NEAR_LEVELS = 2
"""Most levels by which makers' versions of sRGB, and gamma 2.2, move a colour. Gamma 2.4 moves one by 10, Apple's gamma
1.8 by 19, Display P3 and Adobe RGB by 64, ProPhoto by 128."""

_INTENT, _FLAGS = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
"""As browsers and viewers convert photographs; the profiles of screens and cameras have no other intent."""

_INPUT_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space of a profile -> mode of the images that it describes."""
_INKS = "CMYK"
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")

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


class Colours(NamedTuple):
    """The colour space of an image.

    Attributes:
        name: For messages; None for sRGB and what looks the same.
        transform: Converts an image of the profile's mode to sRGB; None where there is nothing to convert.
        mode: The mode that it takes.
        is_unusable: Whether the ICC profile is broken, or describes images of another mode.
    """

    name: str | None = None
    transform: Any = None
    mode: str = ""
    is_unusable: bool = False

    def inks_to_srgb(self, image: Image.Image) -> Image.Image:
        """Convert an image of inks (CMYK) that has a profile; others are returned as they are."""
        if self.transform is None or self.mode != _INKS or image.mode != _INKS:
            return image
        return self.transform.apply(image)  # type: ignore[no-any-return]

    def image_to_srgb(self, image: Image.Image) -> Image.Image:
        """Convert an image of mode RGB or RGBX to sRGB; one of inks is converted already."""
        if self.transform is None or self.mode == _INKS:
            return image
        return self.transform.apply(image.convert("RGB").convert(self.mode))  # type: ignore[no-any-return]

    def to_srgb(self, pixels: Pixels) -> Pixels:
        """Convert pixels, uint8 [H, W, 3], to sRGB: after resizing, which costs little and gives the same vectors."""
        if self.transform is None or self.mode == _INKS:
            return pixels
        return np.asarray(self.image_to_srgb(Image.fromarray(pixels)))


SRGB = Colours()


def read_colours(image: Image.Image, data: bytes) -> Colours:
    """Read the colour space of an image file.

    Args:
        image: The image as opened from `data`.
        data: The file, or the embedded file that is the picture.
    """
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and profile:
        return profile_colours(profile, image.mode)
    return Colours(_name_code(image, data) or _name_exif(image) or _name_gamma(image))


def profile_colours(profile: bytes, mode: str) -> Colours:
    """Return the colour space of an image with an ICC profile; sRGB if the profile is unusable, as viewers do.

    Args:
        profile: Its bytes.
        mode: Of the image. A profile of colours holds for grey, too; no other profile for an image of another mode.
    """
    colours = _read_profile(profile)
    is_inks, is_grey = mode == _INKS, mode in _GREY_MODES or mode.startswith("I;16")
    fits = {"L": is_grey, _INKS: is_inks, "RGB": not is_inks}.get(colours.mode, False)
    return colours if fits else Colours(colours.name, is_unusable=True)


@functools.lru_cache(maxsize=_MOST_PROFILES)
def _read_profile(profile: bytes) -> Colours:
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
        name = " ".join(ImageCms.getProfileDescription(opened).split())[:_LONGEST_NAME] or "a profile without a name"
        mode = _INPUT_MODES.get(space)
        if mode is None:
            return Colours(name, is_unusable=True)
        srgb = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(opened, srgb, mode, "RGB", _INTENT, _FLAGS)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return Colours(is_unusable=True)
    probe = _PROBES.get(space)
    is_near = probe is not None and _levels_moved(probe, transform) <= _NEAR_LEVELS
    return Colours(mode=mode) if is_near else Colours(name, transform, mode)


def _levels_moved(probe: Image.Image, transform: Any) -> int:
    converted = np.asarray(transform.apply(probe), np.int64)
    return int(np.abs(converted - np.asarray(probe.convert("RGB"), np.int64)).max())


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
