"""RAW files of cameras, made here as DNGs: LibRaw develops them, or their preview is read."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
from frieze.embedder import decode
from frieze.embedder.images import camera_raw

pytest.importorskip("rawpy")
SIZE = (192, 128)


def rationals(*values):
    """Return signed fractions as TIFF has them."""
    return struct.pack(f"<{2 * len(values)}i", *(number for one in values for number in (round(one * 10_000), 10_000)))


def mosaic(image):
    """Return what a sensor with red, green and blue cells measures of a picture, uint16 [H, W]."""
    light = (np.asarray(image, float) / 255) ** 2.2 * 65_535
    cells = light[..., 1].copy()
    cells[::2, ::2], cells[1::2, 1::2] = light[::2, ::2, 0], light[1::2, 1::2, 2]
    return cells.astype("<u2")


def dng(image, orientation=1):
    """Write a DNG of a picture: what the sensor measured, and nothing else."""
    cells = mosaic(image)
    to_camera = rationals(3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)  # from XYZ
    tags = [
        *((254, 4, 0), (256, 4, cells.shape[1]), (257, 4, cells.shape[0]), (258, 3, 16), (259, 3, 1), (262, 3, 32803)),
        *((271, 2, b"Made\0"), (272, 2, b"Here\0"), (273, 4, None), (274, 3, orientation), (277, 3, 1)),
        *(
            (278, 4, cells.shape[0]),
            (279, 4, cells.nbytes),
            (33421, 3, struct.pack("<2H", 2, 2)),
            (33422, 1, b"\0\1\1\2"),
        ),
        *((50706, 1, b"\1\4\0\0"), (50708, 2, b"Made Here\0"), (50717, 4, 65_535), (50721, 10, to_camera)),
        *((50728, 5, rationals(1, 1, 1)), (50778, 3, 21)),
    ]
    start, body, entries = 8 + 2 + 12 * len(tags) + 4, b"", b""
    values = {tag: value if isinstance(value, bytes) else struct.pack("<I", value or 0) for tag, _, value in tags}
    end = start + sum(len(value) + len(value) % 2 for value in values.values() if len(value) > 4)
    values[273] = struct.pack("<I", end)
    for tag, kind, value in tags:
        n_bytes = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 10: 8}[kind]
        count = len(value) // n_bytes if isinstance(value, bytes) else 1
        data = values[tag]
        entries += struct.pack("<HHI", tag, kind, count)
        entries += data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", start + len(body))
        body += data + bytes(len(data) % 2) if len(data) > 4 else b""
    return struct.pack("<4sIH", b"II*\0", 8, len(tags)) + entries + bytes(4) + body + cells.tobytes()


def correlation(image, expected):
    """Return the correlation of two pictures' pixels at the size of the first."""
    values = (np.asarray(one, float).ravel() for one in (image, expected.resize(image.size)))
    return np.corrcoef(*values)[0, 1]


@pytest.mark.parametrize(
    ("orientation", "turn"), [(1, None), (6, Image.Transpose.ROTATE_270), (3, Image.Transpose.ROTATE_180)]
)
def test_developed(orientation, turn, photo):
    """What a sensor measured becomes the picture in its colours, upright."""
    picture = photo(1, *SIZE)
    expected = picture if turn is None else picture.transpose(turn)
    image, size = decode(dng(picture, orientation), side_px=32)
    assert size == image.size == expected.size
    assert correlation(image, expected) > 0.97


def test_half_size(photo):
    """A file of twice the pixels that are needed is developed at half its size."""
    data = dng(photo(1, *SIZE))
    assert camera_raw.develop(data, least_px=64).size == (96, 64)
    assert camera_raw.develop(data, least_px=65).size == SIZE


class FakeRaw:
    """What LibRaw says of a file of 192 x 128 pixels with a preview."""

    def __init__(self, preview, flip):
        import rawpy

        self.sizes = rawpy.ImageSizes(*(0, 0, 128, 192), *(0,) * 4, 1.0, flip, *(0,) * 4)
        self._preview = preview

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def extract_thumb(self):
        """Return the preview."""
        import rawpy

        return rawpy.Thumbnail(rawpy.ThumbFormat.JPEG, self._preview)


@pytest.mark.parametrize(
    ("size", "flip", "tagged", "expected"),
    [
        ((192, 128), 0, None, 1),
        ((96, 64), 6, None, 6),
        ((96, 64), 5, None, 8),
        ((96, 64), 6, 6, None),
        ((90, 60), 0, None, "too small"),
        ((192, 108), 0, None, "another shape"),
    ],
)
def test_preview(size, flip, tagged, expected, photo, monkeypatch):
    """A preview is taken that is large enough and shows the whole picture; it is turned once."""
    data, exif = io.BytesIO(), Image.Exif()
    if tagged:
        exif[274] = tagged
    photo(1, *size).save(data, "JPEG", exif=exif)
    monkeypatch.setattr(camera_raw, "_opened", lambda _: FakeRaw(data.getvalue(), flip))
    raw = camera_raw.read_raw(b"", least_px=64)
    assert raw.size == (SIZE[::-1] if flip in (5, 6) else SIZE)
    if isinstance(expected, str):
        assert raw.preview == b""
    else:
        assert (raw.preview, raw.orientation) == (data.getvalue(), expected)


def test_too_large(photo):
    """A RAW file of too many pixels is refused by the size of its picture."""
    with pytest.raises(ImageError, match="192 x 128 pixels; the limit is 20000"):
        decode(dng(photo(1, *SIZE)), side_px=32, max_pixels=20_000)


@pytest.mark.parametrize("data", [b"IIRO" + bytes(100), b"FUJIFILMCCD-RAW 0201" + bytes(200)])
def test_damaged(data):
    """What LibRaw can't read is a failure that says so."""
    with pytest.raises(ImageError, match="LibRaw can't read this RAW file") as caught:
        decode(data, side_px=32)
    assert caught.value.reason == "damaged"
