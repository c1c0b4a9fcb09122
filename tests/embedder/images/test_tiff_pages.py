import io
import itertools
import struct

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
from frieze.embedder import decode
from frieze.embedder.images.tiff_pages import has_several

FULL, SMALL = (96, 64), (24, 16)
CFA, RGB = 32803, 2


def page(image, **tags):
    """Describe a page: an image's bytes and its numbered tags."""
    return image, {int(name[1:]): value for name, value in tags.items()}


def write(pages, *, below=(), order="<", start=8):
    """Write pages after each other as a TIFF, and pages below the first one (SubIFDs)."""
    body, places = bytearray(bytes(start)), []
    for image, tags in (*below, *pages):
        data = image if isinstance(image, bytes) else image.tobytes()
        at = len(body)
        body += data + bytes(len(data) % 2)
        size = FULL if isinstance(image, bytes) else image.size
        fields = {256: size[0], 257: size[1], 258: 8, 259: 1, 262: RGB, 273: at, 277: 3, 278: size[1], 279: len(data)}
        fields |= tags
        if below and image is pages[0][0]:
            fields[330] = places[0]
        places.append(len(body))
        entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(fields.items()))
        body += struct.pack(f"{order}H", len(fields)) + entries + bytes(4)
    following = places[len(below) :]
    for here, after in itertools.pairwise(following):
        (n_entries,) = struct.unpack_from(f"{order}H", body, here)
        struct.pack_into(f"{order}I", body, here + 2 + 12 * n_entries, after)
    body[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", following[0])
    return bytes(body)


@pytest.fixture
def full(photo):
    """The picture."""
    return photo(1, *FULL)


@pytest.fixture
def small(photo):
    """A thumbnail, which shows something else so that nobody takes it for the picture."""
    return photo(2, *SMALL)


def jpeg(image):
    """Return an image as a JPEG."""
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95, subsampling=0)
    return data.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("is_below", [True, False])
def test_thumbnail_first(full, small, order, is_below):
    """Where the first page is a smaller version, the picture is the full one, below it or after it."""
    thumbnail, picture = page(small, t254=1), page(full, t254=0)
    data = write([thumbnail], below=[picture], order=order) if is_below else write([thumbnail, picture], order=order)
    image, size = decode(data, side_px=32)
    assert size == FULL
    assert np.array_equal(image, full)


def test_old_mark_of_a_thumbnail(full, small):
    """SubfileType 2 marks a smaller version, too."""
    assert np.array_equal(decode(write([page(small, t255=2), page(full)]), side_px=32)[0], full)


def test_pages_of_a_document(full, small):
    """Of pages none of which is a smaller version the first is taken, also where another is larger."""
    assert np.array_equal(decode(write([page(small, t254=2), page(full, t254=2)]), side_px=32)[0], small)


def test_pyramid(full, small):
    """A full page with smaller versions below it is taken as it is."""
    assert np.array_equal(decode(write([page(full)], below=[page(small, t254=1)]), side_px=32)[0], full)


def test_several_pictures(full, small):
    """Pages that are pictures of their own are several; smaller versions, masks and what a camera adds are not."""
    sensor = page(bytes(FULL[0] * FULL[1]), t254=0, t262=CFA, t277=1)
    assert has_several(write([page(full), page(small)]))
    assert has_several(write([page(small, t254=1), page(full), page(full)], order=">"))
    assert not has_several(write([page(full)]))
    assert not has_several(write([page(full), page(small, t254=1), page(small, t255=2), page(small, t254=4)]))
    assert not has_several(write([page(full)], below=[page(small)]))
    assert not has_several(write([page(full), page(small)], below=[sensor])[:60])
    assert not has_several(write([page(full), page(small), sensor][::-1]))


def test_lone_thumbnail(small):
    """A file with nothing else than a page marked as a smaller version gives that one."""
    assert np.array_equal(decode(write([page(small, t254=1)]), side_px=32)[0], small)


def test_orientation_of_the_first_page(full, small):
    """An orientation that only the first page tells holds for the picture."""
    image, size = decode(write([page(small, t254=1, t274=6)], below=[page(full)]), side_px=32)
    assert size == FULL[::-1]
    assert np.array_equal(image, full.transpose(Image.Transpose.ROTATE_270))


@pytest.fixture
def no_libraw(monkeypatch):
    """An environment without the extra that develops RAW files."""
    monkeypatch.setattr("frieze.embedder.images.decode.can_read_raw", lambda: False)


@pytest.mark.parametrize("is_dng", [True, False])
def test_raw_with_a_thumbnail(small, is_dng, no_libraw):
    """A camera's raw file with only a thumbnail is named as such, with what to do, and never embedded by that."""
    sensor = page(bytes(FULL[0] * FULL[1]), t254=0, t262=CFA, t277=1)
    dng = {"t50706": 1025} if is_dng else {}
    with pytest.raises(
        ImageError, match=r"RAW file .*96 x 64 pixels with only a preview of 24 x 16; to read it"
    ) as caught:
        decode(write([page(small, t254=1, **dng)], below=[sensor]), side_px=32)
    assert caught.value.reason == "unsupported"


def test_raw_alone(no_libraw):
    """So is one that holds nothing but what the sensor measured."""
    with pytest.raises(ImageError, match=r"RAW file .* no developed picture"):
        decode(write([page(bytes(FULL[0] * FULL[1]), t262=CFA, t277=1)]), side_px=32)


@pytest.mark.parametrize("compression", [6, 7])
def test_raw_with_its_full_jpeg(full, small, compression):
    """A JPEG of the sensor's size in a raw file is the picture, turned as the file says; no tag needs its size."""
    sensor = page(bytes(FULL[0] * FULL[1]), t254=0, t262=CFA, t277=1)
    developed = page(jpeg(full), t254=1, t256=0, t257=0, t259=compression, t262=6)
    thumbnail = page(small, t254=1, t274=3)
    data = write([thumbnail, developed], below=[sensor])
    image, size = decode(data, side_px=32)
    assert size == FULL
    assert np.abs(np.asarray(image, int) - np.asarray(full.rotate(180), int)).mean() < 3


def test_canon(full, no_libraw):
    """A CR2, whose sensor's page tells no size, uses the size in its EXIF data."""
    for width, is_taken in ((FULL[0], True), (4 * FULL[0], False)):
        data = jpeg(full)
        first = page(data, t259=6, t262=6, t34665=0)
        whole = write([first], start=16)
        exif = struct.pack("<HHHIIHHIII", 2, 40962, 4, 1, width, 40963, 4, 1, width * FULL[1] // FULL[0], 0)
        at = whole.index(struct.pack("<HHII", 34665, 4, 1, 0))
        whole = whole[: at + 8] + struct.pack("<I", len(whole)) + whole[at + 12 :] + exif
        whole = whole[:8] + b"CR\x02\0" + whole[12:]
        if is_taken:
            assert decode(whole, side_px=32)[1] == FULL
        else:
            with pytest.raises(ImageError, match="CR2"):
                decode(whole, side_px=32)


def test_pages_in_a_circle(full, small):
    """Pages that lead back to themselves end."""
    data = bytearray(write([page(small, t254=1), page(full)]))
    (first,) = struct.unpack_from("<I", data, 4)
    (n_entries,) = struct.unpack_from("<H", data, first)
    (second,) = struct.unpack_from("<I", data, first + 2 + 12 * n_entries)
    struct.pack_into("<I", data, second + 2 + 12 * struct.unpack_from("<H", data, second)[0], first)
    assert decode(bytes(data), side_px=32)[1] == FULL


def test_unknown_pixels(full):
    """A TIFF of a kind of pixels that is not read says which."""
    with pytest.raises(ImageError, match="TIFF with 14 bits a pixel, photometric 2") as caught:
        decode(write([page(bytes(1000), t258=14, t262=2, t277=1)]), side_px=32)
    assert caught.value.reason == "unsupported"
