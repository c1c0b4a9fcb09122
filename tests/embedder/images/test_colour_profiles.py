import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from frieze.embedder.images.decode import decoded

SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
PROPHOTO = ((0.7977, 0.2880, 0), (0.1352, 0.7119, 0), (0.0313, 0.0001, 0.8249))
"""Where red, green and blue lie: XYZ as seen in the light of D50."""


def fixed(number):
    """Write a number as ICC does."""
    return struct.pack(">i", round(number * 65536))


def profile(name, gamma, primaries=None):
    """Create an ICC profile of a screen, or of grey where there are no primaries."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    colours = [
        (letter + b"XYZ", b"XYZ " + bytes(4) + b"".join(map(fixed, one)))
        for letter, one in zip((b"r", b"g", b"b"), primaries or (), strict=False)
    ]
    curves = [(letter + b"TRC", curve) for letter in ((b"r", b"g", b"b") if primaries else (b"k",))]
    description = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name.encode() + bytes(79)
    white = b"XYZ " + bytes(4) + b"".join(map(fixed, (0.9642, 1, 0.8249)))
    tags = [(b"wtpt", white), *colours, *curves, (b"desc", description), (b"cprt", b"text" + bytes(8))]
    table, body, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for tag, data in tags:
        table += tag + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI", start + len(body), b"lcms", 0x02100000) + b"mntr" + (b"RGB " if primaries else b"GRAY")
    head += b"XYZ " + struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp"
    return head.ljust(68, b"\0") + white[8:] + bytes(48) + table + body


def reported_profile(image, kind="PNG", **saved):
    """Save an image and return its reported colour space."""
    data = io.BytesIO()
    image.save(data, kind, **saved)
    return reported_profile_of(data.getvalue())


def reported_profile_of(data):
    """Return the reported colour space of a file."""
    with decoded(data, side_px=32) as actual:
        return actual.traits.profile


@pytest.fixture
def image(photo):
    """A picture."""
    return photo(1, 40, 30)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(
    ("name", "gamma", "primaries"),
    [("Display P3", 2.2, P3), ("Adobe RGB (1998)", 2.2, ADOBE), ("ROMM", 1.8, PROPHOTO), ("Old Mac", 1.8, SRGB)],
)
def test_other_colours(kind, name, gamma, primaries, image):
    """A profile that differs from sRGB is reported by its name, in every format with profiles."""
    assert reported_profile(image, kind, icc_profile=profile(name, gamma, primaries)) == name


@pytest.mark.parametrize("gamma", [2.2, 2.4])
def test_near_srgb(gamma, image):
    """A profile near sRGB is not reported, whatever its name."""
    assert reported_profile(image, icc_profile=profile("Camera RGB", gamma, SRGB)) is None
    assert (
        reported_profile(image, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) is None
    )
    assert reported_profile(image) is None


def test_grey(image):
    """A profile of grey is reported where its gamma is not about a screen's."""
    grey = image.convert("L")
    assert reported_profile(grey, icc_profile=profile("Gray Gamma 2.2", 2.2)) is None
    assert reported_profile(grey, icc_profile=profile("Dot Gain", 1.6)) == "Dot Gain"


def test_profile_without_a_name(image):
    """A profile without a name is reported nevertheless, and one of many words is cut."""
    assert reported_profile(image, icc_profile=profile("", 1.8, PROPHOTO)) == "a profile without a name"
    assert reported_profile(image, icc_profile=profile("wide\n" * 40, 1.8, PROPHOTO)) == ("wide " * 12).strip() + " "


def test_broken(image):
    """A broken profile makes no image worse: none is heeded, and none ends a run."""
    rng, whole = np.random.default_rng(0), profile("ROMM", 1.8, PROPHOTO)
    for _ in range(300):
        spoilt = bytearray(whole[: rng.integers(1, len(whole) + 1)])
        for at in rng.integers(len(spoilt), size=3):
            spoilt[at] = rng.integers(256)
        assert isinstance(reported_profile(image, icc_profile=bytes(spoilt)), str | None)
    assert reported_profile(image, icc_profile=b"none") is None


def test_exif(image):
    """A camera that was set to Adobe RGB says so in Exif alone."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    assert reported_profile(image, "JPEG", exif=exif) == "Adobe RGB"
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    assert reported_profile(image, "JPEG", exif=exif) is None


def with_chunk(image, name, body):
    """Write a PNG with one more chunk behind its header; nobody checks the checksums of such."""
    import zlib

    data = io.BytesIO()
    image.save(data, "PNG")
    png = data.getvalue()
    return png[:33] + struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) + png[33:]


@pytest.mark.parametrize(
    ("name", "body", "expected"),
    [
        (b"cICP", bytes([9, 16, 0, 1]), "BT.2020 PQ"),
        (b"cICP", bytes([12, 13, 0, 1]), "Display P3"),
        (b"cICP", bytes([1, 13, 0, 1]), None),
        (b"cICP", b"\x09", None),
        (b"gAMA", struct.pack(">I", 100_000), "gamma 1.0"),
        (b"gAMA", struct.pack(">I", 45_455), None),
        (b"gAMA", bytes(4), None),
    ],
)
def test_png(name, body, expected, image):
    """A PNG tells its colours by numbers, or by a gamma alone."""
    assert reported_profile_of(with_chunk(image, name, body)) == expected


def test_avif(image):
    """An AVIF tells its colours by numbers, too."""
    data = io.BytesIO()
    image.save(data, "AVIF")
    plain = data.getvalue()
    at = plain.index(b"colrnclx") + 8
    assert reported_profile_of(plain) is None
    assert reported_profile_of(plain[:at] + struct.pack(">HH", 9, 16) + plain[at + 4 :]) == "BT.2020 PQ"
