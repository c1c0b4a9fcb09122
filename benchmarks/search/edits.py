"""Eleven edits that leave a picture the same picture; each is a copy that `frieze duplicates` shall confirm.

Every edit takes an RGB image and a generator, from which it draws what may vary, and returns a new image.
"""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

Rng = np.random.Generator
SYLLABLES = ["ba", "co", "den", "fi", "gar", "hu", "jo", "kel", "li", "mon", "nu", "quo", "ras", "sel", "ti", "zo"]
LIGHT, DARK = ((246, 246, 248), (210, 212, 218), (40, 42, 48)), ((36, 38, 44), (62, 66, 76), (222, 224, 230))
SCREEN = (960, 600)
TITLE_PX, BAR_PX, PAD_PX = 34, 190, 12


def half_size(image: Image.Image, _rng: Rng) -> Image.Image:
    """Return the image at half its width and height."""
    return image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)


def compress(image: Image.Image, _rng: Rng) -> Image.Image:
    """Return the image after JPEG of quality 30."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=30)
    return Image.open(file).convert("RGB")


def crop(image: Image.Image, share: float) -> Image.Image:
    """Return the middle of the image: `share` of its width and of its height is taken off, half on each side."""
    x, y = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


def crop_5(image: Image.Image, _rng: Rng) -> Image.Image:
    """Return the image without 2.5 % on each side: 90 % of its area."""
    return crop(image, 0.05)


def crop_20(image: Image.Image, _rng: Rng) -> Image.Image:
    """Return the image without 10 % on each side: 64 % of its area."""
    return crop(image, 0.2)


def mirror(image: Image.Image, _rng: Rng) -> Image.Image:
    """Return the image with left and right exchanged."""
    return ImageOps.mirror(image)


def quarter_turn(image: Image.Image, rng: Rng) -> Image.Image:
    """Return the image turned by 90 degrees, to the left or to the right."""
    turns = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
    return image.transpose(turns[rng.integers(2)])


def white_border(image: Image.Image, _rng: Rng) -> Image.Image:
    """Return the image in a white border of 6 % of its longer side."""
    return ImageOps.expand(image, max(1, round(0.06 * max(image.size))), "white")


def text_over(image: Image.Image, rng: Rng) -> Image.Image:
    """Return the image with two lines of white, black-edged text over its upper or lower part."""
    edited = image.copy()
    size = max(8, round(min(image.size) / 11))
    top = round(image.height * rng.choice([0.06, 0.68]))
    for line in range(2):
        place = (round(0.05 * image.width), top + round(1.25 * size * line))
        text, font = pseudo_words(rng, 12), ImageFont.load_default(size)
        ImageDraw.Draw(edited).text(
            place, text, (255, 255, 255), font, stroke_width=max(1, size // 12), stroke_fill=(0, 0, 0)
        )
    return edited


def colour(image: Image.Image, rng: Rng) -> Image.Image:
    """Return the image with its hue turned by 10 to 25 degrees, saturation x .6 or 1.5, brightness x .85 or 1.15."""
    hue, saturation, value = image.convert("HSV").split()
    turn = int(rng.integers(7, 19) * rng.choice([-1, 1]))  # of 256
    turned = Image.merge("HSV", (hue.point(lambda angle: (angle + turn) % 256), saturation, value)).convert("RGB")
    saturated = ImageEnhance.Color(turned).enhance(rng.choice([0.6, 1.5]))
    return ImageEnhance.Brightness(saturated).enhance(rng.choice([0.85, 1.15]))


def grey(image: Image.Image, _rng: Rng) -> Image.Image:
    """Return the image in shades of grey, in one channel."""
    return ImageOps.grayscale(image)


def screenshot(image: Image.Image, rng: Rng) -> Image.Image:
    """Return a screen of 960 x 600 pixels with the image as large as fits into a program's window."""
    screen, (left, top, right, bottom) = draw_window(rng)
    fitted = ImageOps.contain(image, (right - left, bottom - top), Image.Resampling.BICUBIC)
    screen.paste(fitted, ((left + right - fitted.width) // 2, (top + bottom - fitted.height) // 2))
    return screen


def draw_window(rng: Rng) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Draw a program's window: a title bar with buttons, and a bar of icons and text at its side or bottom.

    Returns:
        The screen, 960 x 600 pixels, and the box (left, top, right, bottom) for the window's content.
    """
    page, bar, ink = (LIGHT, DARK)[rng.integers(2)]
    screen = Image.new("RGB", SCREEN, page)
    draw, (width, height) = ImageDraw.Draw(screen), SCREEN
    draw.rectangle((0, 0, width, TITLE_PX), bar)
    draw.text((14, 8), pseudo_words(rng, 4), ink, ImageFont.load_default(16))
    for number, fill in enumerate(((226, 92, 84), (232, 190, 80), (98, 190, 100))):
        x = width - 30 - 28 * number
        draw.ellipse((x, 9, x + 16, 25), fill)
    if rng.integers(2):
        _draw_side_bar(draw, rng, bar, ink)
        return screen, (BAR_PX + PAD_PX, TITLE_PX + PAD_PX, width - PAD_PX, height - PAD_PX)
    _draw_bottom_bar(draw, rng, bar, ink)
    return screen, (PAD_PX, TITLE_PX + PAD_PX, width - PAD_PX, height - 48 - PAD_PX)


def _draw_side_bar(draw: ImageDraw.ImageDraw, rng: Rng, bar: tuple[int, ...], ink: tuple[int, ...]) -> None:
    draw.rectangle((0, TITLE_PX, BAR_PX, SCREEN[1]), bar)
    for y in range(TITLE_PX + 18, SCREEN[1] - 30, 32):
        draw.rectangle((14, y, 30, y + 16), tuple(rng.integers(60, 220, 3).tolist()))
        draw.text((40, y), pseudo_words(rng, 2), ink, ImageFont.load_default(14))


def _draw_bottom_bar(draw: ImageDraw.ImageDraw, rng: Rng, bar: tuple[int, ...], ink: tuple[int, ...]) -> None:
    top = SCREEN[1] - 48
    draw.rectangle((0, top, *SCREEN), bar)
    for x in range(16, 420, 50):
        draw.rounded_rectangle((x, top + 8, x + 32, top + 40), 6, tuple(rng.integers(60, 220, 3).tolist()))
    draw.text((SCREEN[0] - 250, top + 15), pseudo_words(rng, 4), ink, ImageFont.load_default(15))


def pseudo_words(rng: Rng, n_words: int) -> str:
    """Return words of one to three random syllables with blanks between them."""
    return " ".join("".join(rng.choice(SYLLABLES, rng.integers(1, 4))) for _ in range(n_words))


@dataclasses.dataclass(frozen=True)
class Edit:
    """One edit.

    Attributes:
        apply: Returns the edited image.
        kind: What `frieze duplicates` names such a copy.
        quality: Of its JPEG; None for a PNG.
    """

    apply: Callable[[Image.Image, Rng], Image.Image]
    kind: str
    quality: int | None = 90

    def write(self, image: Image.Image, rng: Rng, path: Path) -> Path:
        """Write the edited image to `path` with the suffix of its format; return the file."""
        file = path.with_name(f"{path.name}.{'jpg' if self.quality else 'png'}")
        self.apply(image, rng).save(file, **({"quality": self.quality} if self.quality else {}))
        return file


EDITS = {
    "half size": Edit(half_size, "re-encoded"),
    "JPEG 30": Edit(compress, "re-encoded", quality=30),
    "crop 5 %": Edit(crop_5, "cropped"),
    "crop 20 %": Edit(crop_20, "cropped"),
    "mirror": Edit(mirror, "mirrored"),
    "quarter turn": Edit(quarter_turn, "turned"),
    "white border": Edit(white_border, "framed"),
    "text over it": Edit(text_over, "overlaid"),
    "colour": Edit(colour, "recoloured"),
    "grey": Edit(grey, "grey"),
    "screenshot": Edit(screenshot, "framed", quality=None),
}
