"""Decisions on the pixels: edits of a photograph are copies of it, and pictures that are alike are not."""

import dataclasses
import io
import itertools
import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from benchmarks.search.edits import EDITS, pseudo_words
from benchmarks.search.made_images import LOOK_ALIKES, photograph
from frieze.indexing.duplicates.alignment import Picture
from frieze.indexing.duplicates.compare import Match, compare
from frieze.indexing.duplicates.decide import LARGE_PX, SMALL_PX, one_library_thread

OVERLAPS = {"crop 5 %": 0.9, "crop 20 %": 0.64}
"""Shares of the photograph that these edits show; the others show all of it."""


def picture_of(image, side_px):
    """Return an image in small, as a thumbnail of it is kept."""
    small, file = image.convert("RGB"), io.BytesIO()
    small.thumbnail((side_px, side_px))
    small.save(file, "JPEG", quality=80)
    return Picture(np.asarray(Image.open(file)))


def compare_images(image, other, *, by_features=True):
    """Compare two images as `Confirmer` does."""

    def details():
        return picture_of(image, LARGE_PX), picture_of(other, LARGE_PX)

    with one_library_thread():
        small = [picture_of(one, SMALL_PX) for one in (image, other)]
        return compare(*small, details, by_features=by_features)


def edited(edit, image, folder, *, seed=0):
    """Return an edit of an image, read from its file."""
    with Image.open(EDITS[edit].write(image, np.random.default_rng(seed), folder / "edited")) as file:
        return file.convert("RGB")


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("edit", EDITS)
def test_edits_are_confirmed(edit, number, tmp_path):
    """Each edit of a photograph is a copy of it, of the right kind, with the share of it that is left."""
    image = photograph(number)
    match = compare_images(image, edited(edit, image, tmp_path, seed=number))
    assert match is not None
    assert match.kind() == EDITS[edit].kind
    assert match.shares[0] == pytest.approx(OVERLAPS.get(edit, 1.0), abs=0.02)


@pytest.mark.parametrize("edit", EDITS)
def test_either_may_be_the_first(edit, tmp_path):
    """The edit compared with the photograph matches as the photograph with the edit; which one was made is told."""
    image = photograph(2)
    one = edited(edit, image, tmp_path)
    match, reverse = compare_images(image, one), compare_images(one, image)
    assert reverse.swapped().kind() == match.kind()
    is_told = edit not in {"half size", "JPEG 30", "mirror", "quarter turn", "colour"}
    assert (match.derived(), reverse.derived()) == ((1, 0) if is_told else (None, None))


def test_two_edits_at_once(tmp_path):
    """A copy of several kinds has all their names."""
    image = photograph(3)
    mirrored = edited("mirror", edited("crop 20 %", image, tmp_path), tmp_path)
    assert compare_images(image, mirrored).kind() == "cropped+mirrored"
    assert compare_images(mirrored, image).kind() == "uncropped+mirrored"


def test_crops_need_features(tmp_path):
    """Without local features a crop is not found, and a smaller one is."""
    image = photograph(0)
    assert compare_images(image, edited("crop 20 %", image, tmp_path), by_features=False) is None
    assert compare_images(image, edited("half size", image, tmp_path), by_features=False).kind() == "re-encoded"


def test_a_text_needs_more_pixels(tmp_path):
    """Where the larger pictures can't be read, a text over a photograph is not confirmed."""
    image = photograph(0)
    small = [picture_of(one, SMALL_PX) for one in (image, edited("text over it", image, tmp_path))]
    assert compare(*small, lambda: None, by_features=True) is None


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_look_alikes_are_no_copies(kind):
    """No two of four pictures of a kind are copies of each other."""
    images = [LOOK_ALIKES[kind](number) for number in range(4)]
    pairs = list(itertools.combinations(range(4), 2))
    assert [pair for pair in pairs if compare_images(*(images[number] for number in pair)) is not None] == []


@pytest.mark.parametrize("edit", ["screenshot", "white border", "text over it"])
def test_the_same_edit_makes_no_copies(edit, tmp_path):
    """Two photographs in the same window or border, or under the same text, are no copies."""
    first, second = (edited(edit, photograph(number), tmp_path) for number in (4, 5))
    assert compare_images(first, second) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_plain_images_are_no_copies(level):
    """An image that shows nothing is no copy, not even of an equal one: nothing can be compared."""
    plain = Image.new("RGB", (320, 240), (level,) * 3)
    assert compare_images(plain, plain.copy()) is None
    assert compare_images(plain, photograph(0)) is None


MATCH = Match((0.64, 1.0), framed=(False, True), mirrored=True, degrees=90.0, grey=(False, True), overlaid=1)


def test_a_match_is_swapped():
    """Swapped, all that is said of the first image is said of the second; twice is as before."""
    swapped = MATCH.swapped()
    assert (swapped.shares, swapped.framed, swapped.grey) == ((1.0, 0.64), (True, False), (True, False))
    assert (swapped.overlaid, swapped.mirrored, swapped.degrees) == (0, True, 90.0)
    assert swapped.swapped() == MATCH
    assert Match((1.0, 1.0)).swapped() == Match((1.0, 1.0))


def test_a_match_is_stored_as_json():
    """A match is the same after it was stored."""
    assert Match.from_json(json.loads(json.dumps(MATCH.to_json()))) == MATCH


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "re-encoded"),
        ({"shares": (0.9, 1.0)}, "cropped"),
        ({"shares": (1.0, 0.9)}, "uncropped"),
        ({"shares": (0.98, 0.99)}, "cropped"),
        ({"shares": (1.0, 0.5), "framed": (False, True)}, "framed"),
        ({"shares": (0.5, 1.0), "framed": (True, False)}, "unframed"),
        ({"shares": (0.6, 0.5), "framed": (True, True)}, "framed"),
        ({"shares": (0.9, 0.95), "degrees": 10.0}, "turned"),
        ({"shares": (0.9, 1.0), "degrees": 89.0, "mirrored": True}, "cropped+mirrored+turned"),
        ({"degrees": 1.9}, "re-encoded"),
        ({"grey": (False, True), "recoloured": True}, "grey"),
        ({"grey": (True, False), "recoloured": True}, "recoloured"),
        ({"overlaid": 0}, "overlaid"),
    ],
)
def test_kinds(fields, kind):
    """A kind is named by what the second image has and the first has not; corners cut by a turn are no crop."""
    assert dataclasses.replace(Match((1.0, 1.0)), **fields).kind() == kind


@pytest.mark.parametrize(
    ("fields", "derived"),
    [
        ({}, None),
        ({"mirrored": True, "degrees": 180.0, "recoloured": True}, None),
        ({"shares": (0.64, 1.0)}, 1),
        ({"shares": (1.0, 0.64)}, 0),
        ({"shares": (1.0, 0.64), "framed": (False, True)}, 1),
        ({"grey": (True, False)}, 0),
        ({"grey": (True, False), "overlaid": 1}, 1),
        ({"shares": (0.96, 0.94), "degrees": 5.0}, None),
    ],
)
def test_what_was_made_of_what(fields, derived):
    """Crops, framed, grey and overlaid images were made of the other one; of other changes that can't be told."""
    assert dataclasses.replace(Match((1.0, 1.0)), **fields).derived() == derived


@pytest.mark.parametrize(
    ("fields", "n_pixels", "is_needed"),
    [
        ({"shares": (0.5, 1.0)}, (1000, 1001), True),
        ({"shares": (0.5, 1.0)}, (1000, 1000), False),
        ({"shares": (1.0, 0.1)}, (1000, 1000), True),
        ({"shares": (1.0, 0.1)}, (0, 1000), False),
        ({"shares": (1.0, 0.99)}, (9000, 1000), False),
        ({"shares": (1.0, 0.1), "framed": (False, True)}, (1000, 1000), False),
        ({"shares": (0.9, 0.9), "degrees": 10.0}, (1000, 9000), False),
    ],
)
def test_sharper_crops(fields, n_pixels, is_needed):
    """A crop of more than twice the pixels for what both show is needed, unless the rest of the other is a frame."""
    assert dataclasses.replace(Match((1.0, 1.0)), **fields).is_mutual_loss(n_pixels) is is_needed


def test_a_contact_sheet_is_found_with_its_photographs():
    """A photograph lies on a sheet of four: it is a crop of it by its pixels, and by its size one that is needed."""
    sheet = Image.new("RGB", (384, 288))
    for number in range(4):
        sheet.paste(photograph(number).resize((192, 144)), (192 * (number % 2), 144 * (number // 2)))
    match = compare_images(sheet, photograph(1))
    assert match.kind() == "cropped"
    assert match.is_mutual_loss((384 * 288, 384 * 288))


@pytest.mark.parametrize(
    ("edit", "kind"),
    [
        (lambda image: image.rotate(8, Image.Resampling.BICUBIC), "turned"),
        (lambda image: image.rotate(180), "turned"),
        (lambda image: image.crop((100, 60, 300, 220)), "cropped"),
        (lambda image: image.resize((300, 288)), "re-encoded"),
        (lambda image: image.resize((64, 48)), "re-encoded"),
        (lambda image: ImageOps.expand(image, (0, 60), "black"), "framed"),
        (lambda image: ImageOps.expand(ImageOps.mirror(image), 20, "black"), "framed+mirrored"),
        (lambda image: ImageOps.grayscale(image.crop((30, 20, 350, 270))), "cropped+grey"),
        (lambda image: image.point(lambda level: int(255 * (level / 255) ** 1.6)), "recoloured"),
    ],
)
def test_other_edits_are_confirmed(edit, kind):
    """Copies by other edits than those of the benchmark, whose constants were not chosen by these."""
    image = photograph(6)
    assert compare_images(image, edit(image)).kind() == kind


def add_discs(image, _other):
    """Draw eight discs, thicker than strokes of letters."""
    for number in range(8):
        x, y = 20 + 90 * (number % 4), 60 + 120 * (number // 4)
        ImageDraw.Draw(image).ellipse((x, y, x + 40, y + 40), (240, 220, 40))


CHANGES = {
    "discs": add_discs,
    "another object": lambda image, other: image.paste(other.crop((100, 80, 200, 160)), (150, 100)),
    "a plain object": lambda image, _other: image.paste((200, 30, 30), (150, 100, 230, 160)),
    "another half": lambda image, other: image.paste(other.crop((0, 0, 192, 288)), (0, 0)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_photographs_are_no_copies(change):
    """A photograph in which something else is seen is no copy, though the rest is the same pixels."""
    image = photograph(6)
    CHANGES[change](image, photograph(7))
    assert compare_images(photograph(6), image) is None


@pytest.mark.parametrize("shift", [38, 192])
def test_pans_are_no_copies(shift):
    """Two views that overlap, of which each shows what the other does not, are no copies."""
    wide = photograph(8, (576, 288))
    assert compare_images(wide.crop((0, 0, 384, 288)), wide.crop((shift, 0, 384 + shift, 288))) is None


def test_a_thing_on_white_in_another_colour_is_another_thing():
    """On a plain ground another colour is another thing, and grey is a grey copy."""
    product = LOOK_ALIKES["products on white"](0)
    red, green, blue = product.split()
    assert compare_images(product, Image.merge("RGB", (blue, red, green))) is None
    assert compare_images(product, ImageOps.grayscale(product)).kind() == "grey"


def test_a_periodic_picture_has_copies():
    """A picture of stripes is a copy of itself in another size."""
    stripes = LOOK_ALIKES["gratings"](0)
    assert compare_images(stripes, stripes.resize((192, 144))).kind() == "re-encoded"


@pytest.mark.parametrize(("factor", "made_of_other"), [(1.5, 1), (0.7, None)])
def test_lost_lights_tell_which_was_made(factor, made_of_other):
    """A brighter copy that is white where the photograph has shades was made of it; a darker one may be either."""
    light = photograph(3).point(lambda level: 90 + level * 140 // 255)
    brighter = light.point(lambda level: min(255, round(level * factor)))
    match = compare_images(light, brighter)
    assert (match.kind(), match.derived()) == ("recoloured", made_of_other)


def test_lost_lights_are_no_ground():
    """A photograph whose brighter copy is white in its upper half is no thing on a plain ground."""
    levels = np.asarray(photograph(3), np.float32) / 255
    is_above = np.arange(len(levels))[:, None, None] < 0.48 * len(levels)
    light = np.where(is_above, 215 + 30 * levels, 40 + 120 * levels)
    image, brighter = (Image.fromarray(np.minimum(255, gain * light).astype(np.uint8)) for gain in (1, 1.2))
    assert compare_images(image, brighter).kind() == "recoloured"


def captioned(text):
    """Return a photograph with words on a bar below."""
    image = photograph(3, (640, 400))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 330, 640, 400), (20, 20, 20))
    draw.text((20, 345), text, "white", ImageFont.load_default(30))
    return image


def test_other_words_below_a_photograph_make_no_copies():
    """Slides and posters that share a photograph, but have other words on a bar, are no copies."""
    texts = ["review the market total", "invoice of my customers", "growth and risk by city"]
    pairs = itertools.combinations(map(captioned, texts), 2)
    assert [compare_images(*pair) for pair in pairs] == [None] * 3


def draw_board(number):
    """Draw a board of two colours with strokes at places that are drawn by chance."""
    squares = np.where((np.indices((8, 8)).sum(0) % 2)[..., None], (181, 136, 99), (240, 217, 181)).astype(np.uint8)
    image = Image.fromarray(squares).resize((800, 800), Image.Resampling.NEAREST)
    draw, rng = ImageDraw.Draw(image), np.random.default_rng(number)
    for x, y in rng.permutation(np.argwhere(np.ones((8, 8))))[: 8 + number] * 100:
        draw.text((x + 30, y + 10), "K", "black", ImageFont.load_default(60))
    return image


def test_other_positions_on_a_board_make_no_copies():
    """Of a drawing in few colours, strokes are the content, and not laid over it."""
    pairs = itertools.combinations(map(draw_board, range(0, 24, 4)), 2)
    assert [compare_images(*pair) for pair in pairs] == [None] * 15


@pytest.mark.parametrize("size", [(1, 1), (1, 192), (192, 1), (18, 192), (192, 2)])
def test_thin_images_are_compared(size):
    """An image too thin for local features is no copy of a photograph; nothing raises."""
    thin = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8))
    assert compare_images(thin, photograph(0)) is None


def draw_card(number):
    """Draw a card: a pale photograph that all have, the picture of a person, and some lines of text."""
    card = Image.eval(photograph(3, (640, 400)), lambda level: 150 + level // 3)
    card.paste(photograph(number, (160, 210)), (30, 90))
    rng, draw = np.random.default_rng(number), ImageDraw.Draw(card)
    for row in range(6):
        draw.text((220, 90 + 45 * row), pseudo_words(rng, 8), "black", ImageFont.load_default(22))
    return card


def test_cards_of_one_design_are_no_copies():
    """Nothing was laid over one of two cards: both have a text and a picture of their own."""
    pairs = itertools.combinations(map(draw_card, range(20, 26)), 2)
    assert [compare_images(*pair) for pair in pairs] == [None] * 15
