"""JPEGs that are decoded outside Python's lock: Pillow alone is the judge."""

import io

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from frieze.core import ImageError
from frieze.embedder.images import jpeg
from frieze.embedder.images.decode import decoded
from frieze.embedder.images.decode_memory import DECODE_MEMORY
from frieze.embedder.images.resize import fit_image

RNG = np.random.default_rng(3)
SIDE_PX = 32


def picture(width, height):
    """Return a picture with detail of every size, made of seeded noise."""
    noise = [Image.fromarray(RNG.integers(0, 256, (n, n, 3), np.uint8)) for n in (5, 40)]
    return Image.blend(*(one.resize((width, height), Image.Resampling.BICUBIC) for one in noise), 0.4)


def encode(image, **options):
    """Return a JPEG's bytes."""
    out = io.BytesIO()
    image.save(out, options.pop("kind", "JPEG"), **{"quality": 90} | options)
    return out.getvalue()


def exif(orientation, **tags):
    """Return EXIF data."""
    made = Image.Exif()
    made[ExifTags.Base.Orientation] = orientation
    made[ExifTags.Base.Make] = "a camera"
    return made


def read(data, **options):
    """Decode and resize; the failure as (reason, message) where there is one."""
    try:
        with decoded(data, side_px=SIDE_PX, **options) as image:
            return fit_image(image.image, fit="squash", image_size=(SIDE_PX, SIDE_PX)), image.size, image.traits
    except ImageError as error:
        return error.reason, error.message


def read_by_pillow(data, monkeypatch, **options):
    """Decode as `read` does, by Pillow alone."""
    with monkeypatch.context() as patch:
        patch.setattr(jpeg, "SIGNATURE", b"none begins so")
        return read(data, **options)


def assert_same(data, monkeypatch, **options):
    """Both ways give the same pixels, size and traits, or the same failure."""
    ours, pillows = read(data, **options), read_by_pillow(data, monkeypatch, **options)
    assert len(ours) == len(pillows)
    for one, other in zip(ours, pillows, strict=True):
        assert np.array_equal(one, other)


SAVED = {
    "4:2:0": {"subsampling": "4:2:0"},
    "4:2:2": {"subsampling": "4:2:2"},
    "4:4:4": {"subsampling": "4:4:4"},
    "4:1:1": {"subsampling": "4:1:1"},
    "progressive": {"progressive": True},
    "RGB inside": {"keep_rgb": True},
    "restart markers": {"restart_marker_blocks": 3},
    "comment": {"comment": b"Orientation"},
    "orientation 6": {"exif": exif(6)},
    "orientation 3, 4:2:0": {"exif": exif(3), "subsampling": "4:2:0"},
    "colour profile": {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()},
}
"""What is special -> how a file is saved."""


@pytest.mark.parametrize("size", [(1, 1), (37, 61), (500, 375), (1810, 1801), (3000, 900)], ids=str)
@pytest.mark.parametrize("special", SAVED)
def test_pixels_are_pillows(special, size, monkeypatch):
    """A usual JPEG never reaches Pillow's decoder, and its pixels, size and traits are the same."""
    data = encode(picture(*size), **SAVED[special])
    assert jpeg.read_header(data) is not None
    assert_same(data, monkeypatch)


@pytest.mark.parametrize("side", [900, 1792, 3600, 7300])
def test_fraction_is_pillows(side, monkeypatch):
    """The sides of 1, 1/2, 1/4 and 1/8 are those of Pillow's draft mode, also where a side is no multiple of 8."""
    data = encode(picture(8, 8).resize((side, side + 3)), subsampling="4:2:0")
    assert_same(data, monkeypatch)
    assert_same(data, monkeypatch, decoding="pillow-draft-bilinear-1")


def test_grey(monkeypatch):
    """A grey JPEG is the same grey in three channels."""
    data = encode(picture(200, 100).convert("L"))
    assert jpeg.read_header(data) is not None
    assert_same(data, monkeypatch)


def test_second_picture_behind_the_first(monkeypatch):
    """Of a file with two pictures (MPO) the first is read."""
    first, second = picture(90, 60), picture(60, 60)
    data = encode(first, kind="MPO", save_all=True, append_images=[second])
    assert jpeg.read_header(data) is not None
    assert_same(data, monkeypatch)


def with_segment(data, marker, body):
    """Insert a segment before all others."""
    return data[:2] + bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


XMP = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
UNUSUAL = {
    "orientation in XMP": lambda data: with_segment(data, 0xE1, XMP),
    "two EXIF blocks": lambda data: with_segment(with_segment(data, 0xE1, b"Exif\0\0II*\0"), 0xE1, b"Exif\0\0MM"),
    "EXIF cut short": lambda data: with_segment(data, 0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\0"),
    "EXIF of no byte order": lambda data: with_segment(data, 0xE1, b"Exif\0\0nothing at all"),
    "orientation as a long": lambda data: with_segment(
        data, 0xE1, b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x04\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    ),
    "EXIF value beyond the block": lambda data: with_segment(
        data,
        0xE1,
        b"Exif\0\0II*\0\x08\0\0\0\x02\0\x0f\x01\x02\0\x40\0\0\0\xff\xff\0\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0",
    ),
    "JFIF too short": lambda data: with_segment(data, 0xE0, b"JFIF\0\1"),
    "Adobe too short": lambda data: with_segment(data, 0xEE, b"Adobe\0"),
    "fill bytes": lambda data: data[:2] + b"\xff\xff\xff" + data[2:],
    "no pixels": lambda data: data[: data.index(b"\xff\xda")],
    "signature alone": lambda data: data[:3],
}
"""What is unusual -> how a usual JPEG gets it."""


@pytest.mark.parametrize("unusual", UNUSUAL)
def test_unusual_files_are_left_to_pillow(unusual, monkeypatch):
    """Where Pillow could read something else, Pillow reads."""
    data = UNUSUAL[unusual](encode(picture(80, 50)))
    assert jpeg.read_header(data) is None
    assert_same(data, monkeypatch)


def test_orientation_of_exif_goes_before_that_of_xmp(monkeypatch):
    """With both, EXIF decides, as in Pillow."""
    data = with_segment(encode(picture(80, 50), exif=exif(8)), 0xE1, XMP)
    assert jpeg.read_header(data).orientation == 8
    assert_same(data, monkeypatch)


def test_cmyk_is_left_to_pillow(monkeypatch):
    """Four components are Pillow's."""
    data = encode(picture(80, 50).convert("CMYK"))
    assert jpeg.read_header(data) is None
    assert_same(data, monkeypatch)


def test_memory_of_a_large_damaged_file(monkeypatch):
    """A large file that Pillow has to decode as well reserves its memory once, not twice, and waits for nobody."""
    whole = encode(picture(8, 8).resize((3500, 3500)), progressive=True)
    taken = []
    monkeypatch.setattr(DECODE_MEMORY, "_free", lambda: taken.append(DECODE_MEMORY._taken) or 1 << 20)
    assert read(whole[:-1000])[0] == "truncated"
    assert taken == [0, 0]


def test_broken_profile_counts_as_none(monkeypatch):
    """A profile of which a part is missing is ignored, as by Pillow."""
    assert_same(with_segment(encode(picture(80, 50)), 0xE2, b"ICC_PROFILE\0\x01\x02half of it"), monkeypatch)


def test_too_many_pixels(monkeypatch):
    """The limit of pixels holds, and is said in the same words."""
    data = encode(picture(80, 50))
    assert read(data, max_pixels=3999)[0] == "too large"
    assert_same(data, monkeypatch, max_pixels=3999)
    assert_same(data, monkeypatch, max_pixels=4000)


@pytest.mark.parametrize("special", ["4:2:0", "progressive", "orientation 6"])
def test_damaged_files(special, monkeypatch):
    """Bytes flipped or cut anywhere: the same pixels or the same failure."""
    whole, chance = encode(picture(64, 48), **SAVED[special]), np.random.default_rng(5)
    for _ in range(150):
        data = bytearray(whole)
        for at in chance.integers(len(whole), size=chance.integers(1, 4)):
            data[at] = chance.integers(256)
        n_bytes = len(whole) if chance.random() < 0.5 else chance.integers(len(whole))
        assert_same(bytes(data[:n_bytes]), monkeypatch)


@pytest.mark.slow
def test_photographs(data_dir, monkeypatch):
    """Real photographs, also large and progressive ones, have Pillow's pixels; nearly all are usual JPEGs."""
    sets = [
        sorted((data_dir / "images" / name).rglob("*.jp*g"))[:300]
        for name in ("imagenette_val", "neardup_ccby", "large_photos")
    ]
    files = [path.read_bytes() for paths in sets for path in paths]
    assert sum(jpeg.read_header(file) is not None for file in files) >= 0.95 * len(files) > 500
    for file in files:
        assert_same(file, monkeypatch)


NO_MORE_THAN_PIXELS = {"4:2:0", "4:2:2", "4:4:4", "4:1:1", "progressive", "restart markers"}
LITTLE_MORE = {
    "JFIF with a small picture": lambda data: with_segment(data[:2] + data[20:], 0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1abc"),
    "cut short": lambda data: data[:-20],
    "something behind it": lambda data: data + b"more",
    "no JPEG": lambda data: b"BM" + data,
}
"""What else a file has, or lacks -> how a usual JPEG gets it."""


@pytest.mark.parametrize("special", SAVED)
def test_small_jpegs(special):
    """A file is a small JPEG where neither side is longer than the limit and nothing but pixels is in it."""
    data = encode(picture(40, 90), **SAVED[special])
    assert jpeg.is_small_jpeg(data, 90) == (special in NO_MORE_THAN_PIXELS)
    assert not jpeg.is_small_jpeg(data, 89)


@pytest.mark.parametrize("special", LITTLE_MORE)
def test_files_with_little_more(special):
    """A file that says more than its pixels, or is not whole, is no small JPEG."""
    data = encode(picture(40, 90))
    assert jpeg.is_small_jpeg(data, 90)
    assert not jpeg.is_small_jpeg(LITTLE_MORE[special](data), 90)
