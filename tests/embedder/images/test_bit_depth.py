import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
from frieze.embedder.images.decode import VERSION, decoded
from frieze.embedder.images.decoding_tally import DecodingTally, Traits, describe_tally
from frieze.embedder.images.prepare import decode_for
from frieze.embedder.images.sample_range import STRETCH
from frieze.features import BackboneSpec

GREY = np.linspace(0, 255, 64 * 48).reshape(48, 64).round().astype(np.uint16)
"""A ramp of all levels of 8 bits."""


def chunk(name, body):
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def deep_png(values, *extra):
    """Write values [h, w] or [h, w, 3] as a PNG of 16 bits a channel, with chunks before the pixels."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 0, 3: 2}[values.ndim], 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def tiff(body, size, tags, order="<"):
    """Write one strip as a TIFF: tags are short or long numbers."""
    width, height = size
    tags = {256: width, 257: height, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(body)} | tags
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, 4 if tag in (273, 279) else 3, 1)
        + (struct.pack(f"{order}I", value) if tag in (273, 279) else struct.pack(f"{order}HH", value, 0))
        for tag, value in sorted(tags.items())
    )
    head = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    return head + struct.pack(f"{order}I", 8 + len(body)) + body + directory


def twelve_bits(values):
    """Pack values two by two into three bytes."""
    left, right = values[:, ::2], values[:, 1::2]
    return np.stack([left >> 4, (left & 15) << 4 | right >> 8, right & 255], -1).astype(np.uint8).tobytes()


def levels_of(data, *, stretches=False):
    """Decode to int [h, w, 3]."""
    with decoded(data, side_px=64, decoding=VERSION + STRETCH * stretches) as actual:
        return np.asarray(actual.image, int)


def n_levels_of(data, *, stretches=False):
    """Decode, and return the reported number of levels."""
    with decoded(data, side_px=64, decoding=VERSION + STRETCH * stretches) as actual:
        return actual.traits.n_levels


def off_by(levels, expected):
    """Return the largest difference of a grey picture to levels [h, w]."""
    return np.abs(levels - np.asarray(expected, int)[..., None]).max()


@pytest.mark.parametrize("photometric", [0, 1])
def test_twelve_bits(photometric):
    """White of 12 bits is 4095, or 0 where zero is white."""
    values = np.rint(GREY * (4095 / 255)).astype(np.uint16)
    stored = values if photometric else 4095 - values
    assert off_by(levels_of(tiff(twelve_bits(stored), (64, 48), {258: 12, 262: photometric})), GREY) == 0


@pytest.mark.parametrize("order", ["<", ">"])
def test_inverted_sixteen_bits(order):
    """Where zero is white, grey of 16 bits is turned over in either byte order, as that of 8 bits is."""
    body = (65535 - GREY * 257).astype(f"{order}u2").tobytes()
    assert off_by(levels_of(tiff(body, (64, 48), {258: 16, 262: 0}, order)), GREY) == 0


@pytest.mark.parametrize("tag", [281, 341])
def test_range_stated_in_a_tiff(tag):
    """MaxSampleValue and SMaxSampleValue are white, unless a pixel is beyond them."""
    body = (GREY * 4).astype("<u2").tobytes()
    assert off_by(levels_of(tiff(body, (64, 48), {258: 16, tag: 1020})), GREY) == 0
    contradicted = levels_of(tiff(body, (64, 48), {258: 16, tag: 500}))
    assert contradicted.max() == 4  # 1020 of 65535


def test_signed_eight_bits():
    """White of 8 signed bits is 127; values below 0 are rejected, unless the image's own range is requested."""
    values = np.array([[0, 1, 64, 127]], np.int8)
    tags = {258: 8, 339: 2}
    assert levels_of(tiff(values.tobytes(), (4, 1), tags))[0, :, 0].tolist() == [0, 2, 129, 255]
    below = tiff((values - 64).astype(np.int8).tobytes(), (4, 1), tags)
    with pytest.raises(ImageError, match=r"or below 0; --scale LOW\.\.HIGH states it, --stretch"):
        levels_of(below)
    assert levels_of(below, stretches=True)[0, :, 0].tolist() == [0, 2, 129, 255]


def test_signed_sixteen_bits():
    """White of 16 signed bits is 32767."""
    body = (GREY * (32767 / 255)).round().astype("<i2").tobytes()
    assert off_by(levels_of(tiff(body, (64, 48), {258: 16, 339: 2})), GREY) <= 1


def test_significant_bits_of_a_png():
    """Values left unscaled under sBIT are scaled by it; those that were scaled up, as the standard wants, are not."""
    twelve = np.rint(GREY * (4095 / 255)).astype(np.uint16)
    significant = (b"sBIT", b"\x0c")
    for stored in (twelve, twelve << 4 | twelve >> 8):
        assert off_by(levels_of(deep_png(stored, significant)), GREY) <= 1


def test_transparent_grey():
    """The transparent value of a 16-bit grey PNG is white, as of an 8-bit one; its neighbours are not."""
    values = GREY * 257
    values[:5] = 300
    values[5] = 301
    levels = levels_of(deep_png(values, (b"tRNS", struct.pack(">H", 300))))
    assert (levels[:5] == 255).all()
    assert (levels[5] == 1).all()


def test_transparent_colour():
    """The transparent colour of a 16-bit RGB PNG is white to the last bit of 16."""
    values = np.stack([GREY * 257] * 3, -1)
    values[:5] = (1, 2, 300)
    values[5] = (1, 2, 301)
    levels = levels_of(deep_png(values, (b"tRNS", struct.pack(">HHH", 1, 2, 300))))
    assert (levels[:5] == 255).all()
    assert (levels[5] == (0, 0, 1)).all()


@pytest.mark.parametrize("n_channels", [1, 3])
def test_stretch(n_channels):
    """A narrow range is reported; stretched, it becomes the whole one."""
    values = 29_000 + GREY * 4
    data = deep_png(values if n_channels == 1 else np.stack([values] * 3, -1))
    assert n_levels_of(data) in (4, 5)
    assert off_by(levels_of(data, stretches=True), GREY) == 0
    assert n_levels_of(data, stretches=True) == 256


def test_stretch_leaves_out_the_transparent():
    """A transparent value is no part of the range that is stretched."""
    values = 29_000 + GREY * 4
    values[0] = 0
    levels = levels_of(deep_png(values, (b"tRNS", b"\0\0")), stretches=True)
    low = int(values[1:].min())
    expected = np.floor((values[1:] - low) * (255 / (30_020 - low)) + 0.5)
    assert off_by(levels[1:], expected) == 0


def test_stretch_of_floats():
    """Floating-point pixels, which have no fixed range, are taken with the range of each image."""
    data = io.BytesIO()
    Image.fromarray(GREY.astype(np.float32) / 7 - 3).save(data, "TIFF")
    assert off_by(levels_of(data.getvalue(), stretches=True), GREY) <= 1
    with pytest.raises(ImageError, match="--stretch"):
        levels_of(data.getvalue())


@pytest.mark.parametrize("stretches", [False, True])
def test_shallow_images_stay(stretches, photo):
    """An image of 8 bits a channel is never stretched, and has no count of levels."""
    data = io.BytesIO()
    photo(1).point(lambda value: value // 9).save(data, "PNG")
    expected = np.asarray(Image.open(data), int)
    assert np.array_equal(levels_of(data.getvalue(), stretches=stretches), expected)
    assert n_levels_of(data.getvalue()) is None


def test_one_colour_is_not_narrow():
    """An image of one value has no range, and is not counted."""
    assert n_levels_of(deep_png(np.full((9, 9), 20_000, np.uint16))) is None


def test_every_sixteen_bit_value():
    """Without a stated range each value is rounded to the nearest of 256 levels."""
    values = np.arange(65_536).reshape(256, 256)
    assert off_by(levels_of(deep_png(values)), (values + 128) // 257) == 0


def test_a_spec_says_whether_to_stretch():
    """Pixels for a backbone are stretched where its spec says so: search, predict and verify go by it."""
    data = deep_png(29_000 + GREY * 4)
    spec = {"name": "x", "handle": "x", "fingerprint": "x", "dim": 1, "image_size": (48, 64)}
    spread = [np.ptp(decode_for(data, BackboneSpec(**spec, decoding=one))[0]) for one in (VERSION, VERSION + STRETCH)]
    assert spread[0] <= 4
    assert spread[1] == 255


def test_count_of_narrow_images():
    """Images that reach over a third of the levels or fewer are counted, with the widest of them."""
    tally = DecodingTally()
    for n_levels in (None, 256, 86, 85, 5):
        tally.add(Traits(n_levels))
    assert tally.to_json()["narrow_range"] == {"images": 2, "levels": 85}
    assert DecodingTally().to_json()["narrow_range"] is None
    assert list(describe_tally(tally.to_json())) == ["2 16-bit images use at most 85 of 256 levels."]
