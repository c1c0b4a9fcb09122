"""Width and height of an image as displayed, from what stands before its pixels."""

from PIL import TiffImagePlugin

from frieze.core import ImageError
from frieze.embedder.images import jpeg, jpeg_xl, tiff_bands
from frieze.embedder.images.camera_raw import read_raw
from frieze.embedder.images.decode import TRANSPOSED, decode, read_orientation, to_picture
from frieze.embedder.images.limits import MAX_PIXELS
from frieze.embedder.images.open_image import open_image
from frieze.embedder.images.signatures import can_read_raw, is_jpeg_xl
from frieze.embedder.images.tiff_pages import RawFileError

Size = tuple[int, int]
"""Width and height in pixels."""

_TURNING = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif", b"tEXtexif")
"""What may turn a PNG; where it stands behind the pixels, Pillow decodes these to find it."""


def read_jpeg_size(head: bytes) -> Size | None:
    """Read the size of a JPEG from its first bytes, in the header's orientation; None where they do not suffice."""
    header = jpeg.read_header(head) if head.startswith(jpeg.SIGNATURE) else None
    return None if header is None else _turn((header.width, header.height), header.orientation)


def read_upright_size(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Size:
    """Read the size that `decode` gives, without decoding pixels where the header has it.

    Args:
        data: The bytes of the file.
        max_pixels: Largest width times height of an image that has to be decoded for it.

    Raises:
        ImageError: It is no usable image.
    """
    try:
        return read_jpeg_size(data) or _read_size(data)
    except Exception:  # noqa: BLE001  `decode` reads it yet, or says what is wrong
        return decode(data, side_px=1, max_pixels=max_pixels)[1]


def _read_size(data: bytes) -> Size:
    if is_jpeg_xl(data):
        return _of_jpeg_xl(data)
    try:
        return _of_picture(data)
    except RawFileError:
        if not can_read_raw():
            raise
        return read_raw(data, least_px=1).size


def _of_jpeg_xl(data: bytes) -> Size:
    size = jpeg_xl.read_size(data)
    if size is None:
        raise ImageError("decode", "damaged", "the JPEG XL has no readable header")
    return _turn(size, jpeg_xl.read_orientation(data))


def _of_picture(data: bytes) -> Size:
    picture = to_picture(data, MAX_PIXELS)
    page = tiff_bands.page_for_tifffile(picture.data)
    if page is not None:  # Pillow may not read it
        return _turn(page.size, tiff_bands.read_orientation(picture, page))
    with open_image(picture.data) as image:
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow gives its size upright
            return _turn(image.size, picture.orientation)
        is_plain = image.format == "PNG" and not any(name in data for name in _TURNING)
        return _turn(image.size, None if is_plain else read_orientation(image))


def _turn(size: Size, orientation: int | None) -> Size:
    return size[::-1] if orientation in TRANSPOSED else size
