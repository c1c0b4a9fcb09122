"""What the camera wrote into an image file: EXIF, as text."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

from PIL import ExifTags, UnidentifiedImageError

from frieze.core import ImageError

_MOST_CHARACTERS = 200
_TURNED = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "flipped",
    5: "mirrored and turned",
    6: "turned by 90 degrees",
    7: "mirrored and turned",
    8: "turned by 270 degrees",
}
_BROKEN = (ValueError, TypeError, KeyError, ZeroDivisionError, OverflowError, AttributeError, SyntaxError, OSError)
"""What Pillow raises on tags that are damaged."""


def read_exif(uri: str) -> dict[str, str]:
    """Return what the camera wrote: `camera`, `lens`, `taken`, `exposure`, and how its file is turned.

    Args:
        uri: The image's URI; of a part the tags are those of its image.

    Returns:
        Name -> text; nothing for an image without EXIF, or whose EXIF is damaged.

    Raises:
        ImageError: The image can't be read.
    """
    import frieze.embedder

    whole, _ = frieze.embedder.split_part(uri) or (uri, None)
    try:
        data = frieze.embedder.read_image(whole)
    except OSError as error:
        raise ImageError("read", "unreadable", str(error)) from error
    tags = _read_tags(data)
    texts = {}
    for name, describe in _FIELDS.items():
        with contextlib.suppress(*_BROKEN):
            texts[name] = _clean(describe(tags))
    return {name: text for name, text in texts.items() if text}


def _read_tags(data: bytes) -> dict[int, Any]:
    import frieze.embedder

    with contextlib.suppress(*_BROKEN, UnidentifiedImageError, ImageError), frieze.embedder.open_image(data) as image:
        tags = image.getexif()
        return {**tags.get_ifd(ExifTags.IFD.Exif), **tags}
    return {}


def _clean(text: str) -> str:
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[:_MOST_CHARACTERS]


def _camera(tags: dict[int, Any]) -> str:
    make, model = (str(tags.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return model if model.lower().startswith(make.lower()) else f"{make} {model}"


def _taken(tags: dict[int, Any]) -> str:
    day, _, time = str(tags.get(ExifTags.Base.DateTimeOriginal, "")).partition(" ")
    return f"{day.replace(':', '-')} {time} {tags.get(ExifTags.Base.OffsetTimeOriginal, '')}"


def _exposure(tags: dict[int, Any]) -> str:
    known = ((describe, float(tags[tag])) for tag, describe in _EXPOSURE.items() if tag in tags)
    return ", ".join(describe(value) for describe, value in known if math.isfinite(value))


def _shutter(seconds: float) -> str:
    """Return a time as cameras show it.

    >>> _shutter(0.004), _shutter(2.5)
    ('1/250', '2.5')
    """
    return f"1/{round(1 / seconds)}" if 0 < seconds < 1 / 2 else f"{seconds:g}"


_EXPOSURE: dict[int, Callable[[float], str]] = {
    ExifTags.Base.ExposureTime: lambda value: f"{_shutter(value)} s",
    ExifTags.Base.FNumber: lambda value: f"f/{value:g}",
    ExifTags.Base.ISOSpeedRatings: lambda value: f"ISO {value:g}",
    ExifTags.Base.FocalLength: lambda value: f"{value:g} mm",
}
_FIELDS: dict[str, Callable[[dict[int, Any]], str]] = {
    "camera": _camera,
    "lens": lambda tags: str(tags.get(ExifTags.Base.LensModel, "")),
    "taken": _taken,
    "exposure": _exposure,
    "orientation": lambda tags: _TURNED.get(int(tags.get(ExifTags.Base.Orientation, 1)), ""),
}
