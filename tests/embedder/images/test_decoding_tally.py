import io

import pytest
from PIL import Image

from frieze.embedder.images.decode import decoded
from frieze.embedder.images.decoding_tally import DecodingTally, Traits, describe_tally

ANIMATED = ("GIF", "WEBP", "PNG", "AVIF", "TIFF")


def is_first_of_several(data):
    """Decode a file, and return whether it is reported as the first of several."""
    with decoded(data, side_px=32) as actual:
        return actual.traits.is_first_of_several


def save(images, kind):
    """Write one image, or several into one file."""
    data = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:]} if len(images) > 1 else {}
    images[0].save(data, kind, **more)
    return data.getvalue()


@pytest.fixture
def images(photo):
    """Three pictures of one size."""
    return [photo(number, 40, 30) for number in range(3)]


@pytest.mark.parametrize("kind", ANIMATED)
def test_several(kind, images):
    """Animations and files of several pages are reported, and those of one picture are not."""
    assert is_first_of_several(save(images, kind))
    assert not is_first_of_several(save(images[:1], kind))


def test_views_of_one_photograph(images):
    """What a phone's JPEG holds besides its picture (MPO) belongs to it."""
    assert not is_first_of_several(save(images, "MPO"))


def test_broken_after_the_first(images):
    """What is broken after the first picture does not spoil it."""
    data, alone = save(images, "GIF"), save(images[:1], "GIF")
    with decoded(alone, side_px=32) as first:
        for n_more in (0, 30, 300):
            with decoded(data[: len(alone) + n_more], side_px=32) as actual:
                assert actual.image.tobytes() == first.image.tobytes()


def test_of_a_file_only(images):
    """To look for more changes no pixel of the first picture."""
    palette = [one.quantize(16) for one in images]
    with decoded(save(palette, "GIF"), side_px=32) as actual, Image.open(io.BytesIO(save(palette, "GIF"))) as plain:
        assert actual.image.tobytes() == plain.convert("RGB").tobytes()


def is_cleared(image, kind="PNG", **options):
    """Decode an image, and return whether it is reported as white by transparency."""
    data = io.BytesIO()
    image.save(data, kind, **options)
    with decoded(data.getvalue(), side_px=32) as actual:
        return actual.traits.is_cleared


def test_white_by_transparency(photo):
    """A white drawing on nothing, and a picture that is wholly transparent, are reported, in whatever mode."""
    drawing, wholly = Image.new("RGBA", (40, 30), "white"), photo(1, 40, 30).convert("RGBA")
    drawing.putalpha(photo(1, 40, 30).convert("L"))
    wholly.putalpha(0)
    assert is_cleared(drawing)
    assert all(is_cleared(wholly, kind) for kind in ("PNG", "WEBP", "TIFF"))
    assert is_cleared(wholly.convert("LA"))
    assert is_cleared(Image.new("P", (40, 30)), "GIF", transparency=0)


def test_otherwise_white(photo):
    """What is white of itself, and what is seen over white, is not."""
    some = photo(1, 40, 30).convert("RGBA")
    some.putalpha(photo(2, 40, 30).convert("L"))
    assert not is_cleared(some)
    assert not is_cleared(Image.new("RGBA", (40, 30), "white"))
    assert not is_cleared(Image.new("L", (40, 30), 255), transparency=0)
    assert not is_cleared(Image.new("RGBA", (40, 30), (255, 0, 0, 100)))


def test_merged():
    """What several workers counted is counted together, the widest range and the commonest profile first."""
    tally = DecodingTally()
    dark, bright = (
        Traits(7, is_first_of_several=True),
        Traits(profile="ROMM", is_first_of_several=True, is_cleared=True),
    )
    other = Traits(profile="iMac", is_converted=True), Traits(has_unusable_profile=True)
    for traits in ([Traits(5), Traits(profile="Display P3"), *other], [dark, bright] * 2, other):
        one = DecodingTally()
        for each in traits:
            one.add(each)
        tally.merge(one)
    document = tally.to_json()
    assert document == {
        "narrow_range": {"images": 3, "levels": 7},
        "first_of_several": 4,
        "colour_profiles": {"ROMM": 2, "Display P3": 1},
        "converted_profiles": {"iMac": 2},
        "unusable_profiles": 2,
        "white_by_transparency": 2,
    }
    assert list(document["colour_profiles"]) == ["ROMM", "Display P3"]


def test_nothing_to_report():
    """Of plain images nothing is said."""
    tally = DecodingTally()
    tally.add(Traits())
    plain = {"narrow_range": None, "first_of_several": 0, "colour_profiles": {}, "white_by_transparency": 0}
    assert tally.to_json() == plain | {"converted_profiles": {}, "unusable_profiles": 0}
    assert list(describe_tally(tally.to_json())) == []


def test_many_profiles():
    """Twenty profiles are named, five of them in the sentence; the others are counted together."""
    tally = DecodingTally()
    for number in range(30):
        tally.add(Traits(profile=f"p{number}"))
    document = tally.to_json()["colour_profiles"]
    assert (len(document), document["p0"], document["other"]) == (21, 1, 10)
    (line,) = describe_tally(tally.to_json())
    assert line.startswith("30 images have colours other than sRGB (p0 1, p1 1, p2 1, p3 1, p4 1 and 16 more)")


def test_one_of_each():
    """The sentence for one image is in the singular."""
    document = {"narrow_range": {"images": 1, "levels": 5}, "first_of_several": 2, "colour_profiles": {"ROMM": 1}}
    document |= {"white_by_transparency": 1, "unusable_profiles": 1}
    assert list(describe_tally(document, hint="stretch it")) == [
        "1 16-bit image uses 5 of 256 levels: stretch it.",
        "2 images are animations or have several pages: their first picture alone is read.",
        "1 image has colours other than sRGB (ROMM 1): it is read as sRGB.",
        "1 image has a colour profile that is broken, or of another kind of pixels: it is read as sRGB.",
        "1 image is all white: transparency is laid over white, and nothing else is left of it.",
    ]
