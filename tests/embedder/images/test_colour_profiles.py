import dataclasses
import io
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageCms

from frieze.embedder.images.decode import VERSION, DecodeOptions, decode, decoded
from frieze.embedder.images.prepare import decode_for, prepare, prepare_for_all
from frieze.embedder.images.sample_range import STRETCH
from frieze.embedder.sources.boxes.crop import crop_all
from frieze.features import BackboneSpec

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


def test_near_srgb(image):
    """A profile near sRGB is not reported, whatever its name."""
    assert reported_profile(image, icc_profile=profile("Camera RGB", 2.2, SRGB)) is None
    assert reported_profile(image, icc_profile=profile("sRGB", 2.4, SRGB)) == "sRGB"
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
    with decoded(saved(image, icc_profile=b"none"), side_px=32) as actual:
        assert actual.traits.has_unusable_profile
        assert actual.traits.profile is None
        assert np.array_equal(actual.colours.to_srgb(np.asarray(actual.image)), np.asarray(image))


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


SPEC = BackboneSpec(name="", handle="", fingerprint="", dim=1, image_size=(30, 40), decoding=VERSION)
OLD = dataclasses.replace(SPEC, decoding="pillow-draft-bilinear-2")


def saved(image, kind="PNG", **options):
    """Return the bytes of an image file."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def converted(image, icc_profile):
    """Convert a whole image with lcms2, as a viewer does."""
    there, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile)), ImageCms.createProfile("sRGB")
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    return np.asarray(ImageCms.profileToProfile(image, there, srgb, 1, "RGB", flags=flags), int)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(("gamma", "primaries"), [(2.2, P3), (2.2, ADOBE), (1.8, PROPHOTO), (1.8, SRGB)])
def test_converted(kind, gamma, primaries, image):
    """Pixels with a profile become those of the image in sRGB."""
    icc = profile("other", gamma, primaries)
    result = prepare(saved(image, kind, icc_profile=icc, lossless=True), SPEC)
    assert np.array_equal(result.pixels, converted(image, icc))
    assert result.traits.is_converted
    assert not np.array_equal(result.pixels, np.asarray(image))


def test_a_usual_jpeg(photo):
    """So do those of a JPEG that is decoded at a fraction, to two levels of a conversion before it is resized."""
    icc, large = profile("P3", 2.2, P3), photo(1, 60, 45).resize((2000, 1500), Image.Resampling.BICUBIC)
    data = saved(large, "JPEG", quality=95, icc_profile=icc)
    full = converted(Image.open(io.BytesIO(data)).convert("RGB"), icc).astype(np.uint8)
    expected = np.asarray(Image.fromarray(full).resize((40, 30), Image.Resampling.BILINEAR), int)
    assert np.abs(decode_for(data, SPEC)[0] - expected).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_grey_is_converted(kind, image):
    """A profile of grey holds for grey images, and one of colours does, too."""
    grey = image.convert("L")
    for icc in (profile("dots", 1.6), profile("ROMM", 1.8, PROPHOTO)):
        data = saved(grey, kind, icc_profile=icc)
        stored = Image.open(io.BytesIO(data))
        expected = converted(stored if icc[16:20] == b"GRAY" else stored.convert("RGB"), icc)
        assert np.array_equal(decode_for(data, SPEC)[0], expected)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_of_another_kind_of_pixels(kind, image):
    """A profile of grey in an image of colours, and one of Lab, is ignored and counted."""
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for icc in (profile("dots", 1.6), lab):
        data = saved(image, kind, icc_profile=icc)
        assert prepare(data, SPEC).traits.has_unusable_profile
        assert np.array_equal(decode_for(data, SPEC)[0], np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_older_versions(image):
    """Older versions of decoding, with `--stretch` or without, take the colours as they are stored."""
    data = saved(image, icc_profile=profile("P3", 2.2, P3))
    new, old, stretched = prepare_for_all(data, [SPEC, OLD, dataclasses.replace(OLD, decoding=OLD.decoding + STRETCH)])
    assert np.array_equal(old.pixels, np.asarray(image))
    assert np.array_equal(stretched.pixels, old.pixels)
    assert (old.traits.profile, old.traits.is_converted) == ("P3", False)
    assert np.array_equal(new.pixels, decode_for(data, SPEC)[0])
    assert not np.array_equal(new.pixels, old.pixels)


def test_a_decoded_image(image):
    """`decode`, which draws thumbnails, converts too."""
    icc = profile("P3", 2.2, P3)
    assert np.array_equal(np.asarray(decode(saved(image, icc_profile=icc), side_px=8)[0]), converted(image, icc))


def test_in_threads(photo):
    """Threads convert by the same profile at once."""
    icc, images = profile("P3", 2.2, P3), [photo(number, 40, 30) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda one: decode_for(saved(one, icc_profile=icc), SPEC)[0], images * 20))
    assert all(np.array_equal(one, converted(image, icc)) for one, image in zip(results, images * 20, strict=True))


def inks_profile():
    """Return a profile of four inks: a table of two points an ink, to Lab."""
    grid = np.stack(np.meshgrid(*[[0, 1]] * 4, indexing="ij"), -1).reshape(-1, 4)
    lightness = (1 - grid[:, :3].mean(axis=1)) * (1 - grid[:, 3])
    lab = np.stack([lightness * 65280, 32768 + 9000 * (grid[:, 1] - grid[:, 0]), 32768 + 9000 * grid[:, 2]], 1)
    line = struct.pack(">2H", 0, 65535)
    lut = b"mft2" + bytes(4) + bytes([4, 3, 2, 0]) + b"".join(map(fixed, (1, 0, 0, 0, 1, 0, 0, 0, 1)))
    lut += struct.pack(">2H", 2, 2) + line * 4 + lab.astype(">u2").tobytes() + line * 3
    whole = bytearray(profile("inks", 1, None))
    whole[12:24] = b"prtrCMYKLab "
    start = len(whole) + 12
    shifted = bytearray(whole[:128]) + struct.pack(">I", struct.unpack_from(">I", whole, 128)[0] + 1)
    for at in range(132, 132 + 12 * struct.unpack_from(">I", whole, 128)[0], 12):
        name, offset, size = struct.unpack_from(">4sII", whole, at)
        shifted += struct.pack(">4sII", name, offset + 12, size)
    shifted += struct.pack(">4sII", b"A2B0", start, len(lut))
    shifted += whole[132 + 12 * struct.unpack_from(">I", whole, 128)[0] :] + lut
    shifted[:4] = struct.pack(">I", len(shifted))
    return bytes(shifted)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_inks(kind, image):
    """Inks (CMYK) with a profile are converted by it; those without one as before."""
    icc, inks = inks_profile(), image.convert("CMYK")
    data = saved(inks, kind, icc_profile=icc)
    stored = Image.open(io.BytesIO(data))
    assert np.array_equal(decode_for(data, SPEC)[0], converted(stored, icc))
    assert prepare(data, SPEC).traits.profile == "inks"
    assert np.array_equal(decode_for(saved(inks, kind), SPEC)[0], np.asarray(stored.convert("RGB")))


def test_parts_of_older_tables():
    """Parts of images are cut from colours as they are stored for an older table, and from sRGB for a newer one."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 90, 60)).save(file, "PNG", icc_profile=profile("Display P3", 2.2, P3))
    for decoding, is_kept in (("pillow-draft-bilinear-2", True), (VERSION, False)):
        (content,) = crop_all(file.getvalue(), [(0, 0, 4, 4)], DecodeOptions(224, decoding=decoding))
        assert (Image.open(io.BytesIO(content)).getpixel((1, 1)) == (200, 90, 60)) is is_kept
