"""Pictures made by number: photographs with local detail, and kinds of pictures that are alike without being copies.

The same number makes the same picture. Two numbers of one kind of LOOK_ALIKES make two pictures that people call
different, however near their vectors are: no two of them belong in one group of duplicates.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.search.edits import Rng, draw_window, pseudo_words

SIZE = (384, 288)
PAGE = (420, 560)
SKIN = ((236, 188, 160), (198, 140, 104), (120, 80, 58))
Pixels = npt.NDArray[np.float64]


def photograph(number: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw coloured shapes over a sky and a ground, all with the texture of natural images (1/f noise)."""
    rng = np.random.default_rng(number)
    painted = _gradient(rng.uniform(40, 230, 3), rng.uniform(40, 230, 3), size)
    _draw_shapes(ImageDraw.Draw(painted), rng, size, n_shapes=36)
    shade = 1 + 0.18 * _pink_noise(rng, size, 1.4)[..., None]
    pixels = np.asarray(painted, float) * shade + 14 * _pink_noise(rng, size, 0.7)[..., None]
    return _to_image(pixels).filter(ImageFilter.GaussianBlur(0.6))


def dark_photograph(number: int) -> Image.Image:
    """Draw a photograph that is almost black: at most 5 % of the light, and the noise of a sensor."""
    return _to_image(np.asarray(photograph(number), float) * 0.05 + _sensor_noise(number, SIZE, 3.0))


def page_of_text(number: int) -> Image.Image:
    """Draw a page with a headline and three paragraphs: the same lines in the same places, other words."""
    rng, page = np.random.default_rng(number), Image.new("RGB", PAGE, (252, 252, 250))
    draw = ImageDraw.Draw(page)
    draw.text((40, 36), pseudo_words(rng, 3)[:26], (20, 20, 20), ImageFont.load_default(22))
    for paragraph in range(3):
        for line in range(9):
            end = 340 if line < 8 else 180
            _draw_line(draw, rng, (40, 84 + paragraph * 156 + line * 16), end)
    return page


def noise_texture(number: int) -> Image.Image:
    """Draw 1/f noise in shades of sand: one spectrum, other phases."""
    noise = _pink_noise(np.random.default_rng(number), SIZE, 1.0)[..., None]
    return _to_image(np.array((168, 148, 116)) + 30 * noise)


def grating(number: int) -> Image.Image:
    """Draw stripes of one width and direction: another phase, and the noise of a sensor."""
    x, y = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    stripes = np.sin((x + 0.4 * y) / 4 + 2.4 * number)[..., None]
    return _to_image(128 + 80 * stripes + _sensor_noise(number, SIZE, 2.0))


def checkerboard(number: int) -> Image.Image:
    """Draw a board of 24 x 18 squares, each a little lighter or darker than the others of its colour."""
    rng = np.random.default_rng(number)
    rows, columns = np.indices((18, 24))
    squares = np.where((rows + columns) % 2, 60, 190)[..., None] + rng.normal(0, 18, (18, 24, 1)) + np.zeros(3)
    return _to_image(squares).resize(SIZE, Image.Resampling.NEAREST)


def program_screen(number: int) -> Image.Image:
    """Draw the window of one program, always the same, with a table of other words and figures in it."""
    screen, (left, top, right, bottom) = draw_window(np.random.default_rng(2))
    rng, draw = np.random.default_rng(number), ImageDraw.Draw(screen)
    draw.rectangle((left, top, right, bottom), (255, 255, 255))
    for y in range(top + 10, bottom - 20, 24):
        draw.line((left, y + 20, right, y + 20), (225, 225, 225))
        _draw_line(draw, rng, (left + 12, y), left + int(rng.integers(160, 400)))
        draw.text((right - 220, y), f"{rng.integers(10_000):,}", (30, 30, 30), ImageFont.load_default(13))
        draw.text((right - 110, y), f"{rng.uniform(0, 100):.1f} %", (30, 30, 30), ImageFont.load_default(13))
    return screen


def still_camera_frame(number: int) -> Image.Image:
    """Draw a street in front of which a car drives, seen by a camera that stands still; each frame has its noise."""
    frame = photograph(1_000)
    x = 10 + (number * 97) % 250
    _draw_car(ImageDraw.Draw(frame), x, 190)
    return _to_image(np.asarray(frame, float) + _sensor_noise(number, SIZE, 4.0))


def moving_camera_frame(number: int) -> Image.Image:
    """Draw a scene of three distances seen by a camera that moves, up to number 12: nearer things shift further."""
    wide = (SIZE[0] * 2, SIZE[1])
    frame = photograph(2_000, wide).crop(_window(6 * number))
    for layer, (speed, seed) in enumerate(((16, 2_001), (32, 2_002))):
        near = photograph(seed, wide).crop(_window(speed * number))
        mask = Image.new("L", wide, 0)
        rng, draw = np.random.default_rng(seed), ImageDraw.Draw(mask)
        for x in range(0, wide[0], 110):
            width, height = rng.integers(30, 70), rng.integers(60, 150 - 30 * layer)
            draw.rectangle((x, SIZE[1] - height, x + width, SIZE[1]), 255)
        frame.paste(near, (0, 0), mask.crop(_window(speed * number)))
    return _to_image(np.asarray(frame, float) + _sensor_noise(number, SIZE, 4.0))


def product_on_white(number: int) -> Image.Image:
    """Draw a bottle on white: one shape of one size in one of three colours, each with another label."""
    rng, image = np.random.default_rng(number), Image.new("RGB", (320, 320), (255, 255, 255))
    draw, fill = ImageDraw.Draw(image), ((40, 110, 70), (150, 90, 40), (60, 80, 140))[number % 3]
    draw.rounded_rectangle((105, 100, 215, 300), 22, fill)
    draw.polygon(((120, 106), (142, 60), (178, 60), (200, 106)), fill)
    draw.rectangle((142, 30, 178, 62), fill)
    draw.rectangle((138, 18, 182, 34), (30, 30, 30))
    draw.rectangle((107, 150, 213, 260), tuple(rng.integers(200, 250, 3).tolist()))
    draw.text((114, 156), pseudo_words(rng, 1)[:8], (30, 20, 20), ImageFont.load_default(22))
    centre, radius = rng.uniform((135, 195), (185, 215)), rng.uniform(10, 20)
    draw.regular_polygon((*centre, radius), int(rng.integers(3, 8)), fill=tuple(rng.integers(20, 200, 3).tolist()))
    _draw_line(draw, rng, (114, 238), 208)
    return image.filter(ImageFilter.GaussianBlur(0.5))


def face(number: int) -> Image.Image:
    """Draw a face in front of a plain wall: the same places of eyes, nose and mouth, other features."""
    rng = np.random.default_rng(number)
    image = _gradient(rng.uniform(150, 200, 3), rng.uniform(110, 160, 3), (288, 336))
    draw, skin = ImageDraw.Draw(image), np.array(SKIN[number % 3]) + rng.normal(0, 8, 3)
    hair, wide, tall = _colour(rng, 10, 120), rng.integers(62, 76), rng.integers(86, 102)
    draw.ellipse((144 - wide - 14, 60 - rng.integers(0, 20), 144 + wide + 14, 190 + rng.integers(0, 80)), hair)
    draw.rectangle((118, 230, 170, 300), tuple((0.9 * skin).astype(int).tolist()))
    draw.rounded_rectangle((50, 278, 238, 360), 30, _colour(rng, 20, 230))
    draw.ellipse((144 - wide, 160 - tall, 144 + wide, 160 + tall), tuple(skin.astype(int).tolist()))
    draw.chord((144 - wide, 62, 144 + wide, 62 + rng.integers(40, 110)), 180, 360, hair)
    for x in (144 - int(rng.integers(26, 34)), 144 + int(rng.integers(26, 34))):
        half, height = rng.integers(9, 14), rng.integers(4, 8)
        draw.ellipse((x - half, 144 - height, x + half, 144 + height), (245, 245, 245))
        draw.ellipse((x - 5, 139, x + 5, 149), _colour(rng, 20, 120))
        draw.line((x - 14, 128 - rng.integers(0, 6), x + 14, 128 - rng.integers(0, 6)), hair, int(rng.integers(2, 7)))
    nose, mouth = rng.integers(6, 14), rng.integers(16, 32)
    draw.line(((144, 150), (144 - nose, 182), (144 + nose // 2, 184)), _colour(rng, 60, 110), 2)
    draw.chord((144 - mouth, 196, 144 + mouth, 206 + rng.integers(6, 22)), 0, 180, (168, 70, 72))
    shade = 1 + 0.04 * _pink_noise(rng, image.size, 1.3)[..., None]
    return _to_image(np.asarray(image, float) * shade).filter(ImageFilter.GaussianBlur(0.8))


def sky(number: int) -> Image.Image:
    """Draw a clear sky: a gradient from one blue to another, and the noise of a sensor."""
    rng = np.random.default_rng(number)
    top, bottom = np.array((70, 120, 200)) + rng.normal(0, 12, 3), np.array((190, 215, 240)) + rng.normal(0, 10, 3)
    return _to_image(np.asarray(_gradient(top, bottom, SIZE), float) + _sensor_noise(number, SIZE, 1.5))


LOOK_ALIKES: dict[str, Callable[[int], Image.Image]] = {
    "dark photographs": dark_photograph,
    "pages of text": page_of_text,
    "noise textures": noise_texture,
    "gratings": grating,
    "checkerboards": checkerboard,
    "screens of one program": program_screen,
    "frames of a still camera": still_camera_frame,
    "frames of a moving camera": moving_camera_frame,
    "products on white": product_on_white,
    "faces": face,
    "skies": sky,
}


def _gradient(top: npt.ArrayLike, bottom: npt.ArrayLike, size: tuple[int, int]) -> Image.Image:
    """Return a vertical gradient between two colours."""
    share = np.linspace(0, 1, size[1])[:, None, None] + np.zeros((1, size[0], 1))
    return _to_image((1 - share) * np.asarray(top) + share * np.asarray(bottom))


def _pink_noise(rng: Rng, size: tuple[int, int], power: float) -> Pixels:
    """Return noise [h, w] whose amplitude falls as 1 / frequency ** power, of mean 0 and deviation 1."""
    width, height = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / frequency**power, (height, width))
    return np.asarray(noise / noise.std())


def _sensor_noise(number: int, size: tuple[int, int], deviation: float) -> Pixels:
    return np.random.default_rng((7, number)).normal(0, deviation, (size[1], size[0], 3))


def _draw_shapes(draw: ImageDraw.ImageDraw, rng: Rng, size: tuple[int, int], *, n_shapes: int) -> None:
    """Draw ellipses, polygons and lines of random colours, the later the smaller."""
    for number in range(n_shapes):
        reach = min(size) * rng.uniform(0.04, 0.3) * (1 - 0.6 * number / n_shapes)
        x, y = rng.uniform((0, 0), size)
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
        corners = [(x + reach * np.cos(angle), y + reach * np.sin(angle)) for angle in angles]
        fill = _colour(rng, 10, 245)
        if number % 3 == 0:
            draw.ellipse((x - reach, y - 0.7 * reach, x + reach, y + 0.7 * reach), fill)
        elif number % 3 == 1:
            draw.polygon(corners, fill)
        else:
            draw.line(corners, fill, int(rng.integers(1, 6)))


def _draw_line(draw: ImageDraw.ImageDraw, rng: Rng, place: tuple[int, int], end: int) -> None:
    """Draw small words from `place` on, as many as end before the column `end`."""
    font, text = ImageFont.load_default(13), pseudo_words(rng, 1)
    while draw.textlength(longer := f"{text} {pseudo_words(rng, 1)}", font) < end - place[0]:
        text = longer
    draw.text(place, text, (30, 30, 30), font)


def _draw_car(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    draw.rounded_rectangle((x, y, x + 110, y + 38), 10, (190, 30, 36))
    draw.polygon(((x + 20, y + 4), (x + 36, y - 24), (x + 80, y - 24), (x + 96, y + 4)), (150, 190, 220))
    for wheel in (x + 16, x + 74):
        draw.ellipse((wheel, y + 26, wheel + 24, y + 50), (25, 25, 25))


def _window(x: int) -> tuple[int, int, int, int]:
    """Return the box of a picture's size in one twice as wide, `x` pixels from its left."""
    return (x, 0, x + SIZE[0], SIZE[1])


def _colour(rng: Rng, low: int, high: int) -> tuple[int, ...]:
    return tuple(rng.integers(low, high, 3).tolist())


def _to_image(pixels: npt.NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
