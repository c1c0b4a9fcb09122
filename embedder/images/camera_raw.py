"""RAW files of cameras: their preview where it is large enough, else developed by LibRaw (extra `formats`)."""

import io
from typing import Any, NamedTuple

from PIL import ExifTags, Image

from frieze.core import ImageError

_SAME_SHAPE = 0.03
"""A preview may differ so much from the picture in its ratio of width to height: some are cut, or have bars."""
_TURNED = {3: 3, 5: 8, 6: 6}
"""LibRaw's `flip` -> EXIF orientation."""
_SIDEWAYS = (5, 6)


class Raw(NamedTuple):
    """A RAW file, before its pixels.

    Attributes:
        size: Width and height of the whole picture as displayed.
        preview: A JPEG of it; empty for none that is large enough.
        orientation: EXIF orientation of a preview that has none of its own; None for one that has.
    """

    size: tuple[int, int]
    preview: bytes
    orientation: int | None


def read_raw(data: bytes, *, least_px: int) -> Raw:
    """Read what a RAW file says of its picture.

    Args:
        data: The file.
        least_px: Neither side of the preview may be smaller, unless the picture is.

    Raises:
        ImageError: LibRaw can't read it.
    """
    with _opened(data) as raw:
        sizes, flip = raw.sizes, raw.sizes.flip
        size = (sizes.height, sizes.width) if flip in _SIDEWAYS else (sizes.width, sizes.height)
        preview = _preview(raw)
    if not preview:
        return Raw(size, b"", None)
    with Image.open(io.BytesIO(preview), formats=("JPEG",)) as image:
        has_own = ExifTags.Base.Orientation in image.getexif()
        stored, shown = image.size, (sizes.width, sizes.height)
    is_large = min(stored) >= min(least_px, *shown)
    has_shape = abs(stored[0] * shown[1] / (stored[1] * shown[0]) - 1) <= _SAME_SHAPE
    return Raw(size, preview if is_large and has_shape else b"", None if has_own else _TURNED.get(flip, 1))


def develop(data: bytes, *, least_px: int) -> Image.Image:
    """Develop a RAW file, with the white balance of the camera; upright.

    Args:
        data: The file.
        least_px: At half its size, which is four times as fast, where neither side gets smaller than this.

    Raises:
        ImageError: LibRaw can't read it.
    """
    with _opened(data) as raw:
        is_half = min(raw.sizes.width, raw.sizes.height) >= 2 * least_px
        return Image.fromarray(_try(lambda: raw.postprocess(half_size=is_half, use_camera_wb=True)))


def _opened(data: bytes) -> Any:
    import rawpy

    return _try(lambda: rawpy.imread(io.BytesIO(data)))


def _preview(raw: Any) -> bytes:
    """Return the JPEG in a RAW file; empty for none."""
    import rawpy

    try:
        preview = raw.extract_thumb()
    except rawpy.LibRawError:
        return b""
    return bytes(preview.data) if preview.format == rawpy.ThumbFormat.JPEG else b""


def _try(read: Any) -> Any:
    import rawpy

    try:
        return read()
    except (rawpy.LibRawError, ValueError) as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise ImageError("decode", "damaged", f"LibRaw can't read this RAW file: {reason}") from error
