"""Views: a random crop of every image at the student's input size, drawn once and stored."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

import frieze

SIDE_PX = 128
_LEAST_AREA = 0.25
_WIDEST = 4 / 3
_THREADS = 2
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def list_images(folder: Path) -> list[Path]:
    """List the images below a folder, sorted.

    Raises:
        InputError: There are none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise frieze.InputError(f"There are no images in {folder}.", hint="Give a folder of .jpg, .png or .webp files.")
    return paths


def view_file(work: Path, number: int) -> Path:
    """Name the file of a view: uint8 [N, 128, 128, 3]."""
    return work / f"view-{number:03d}.npy"


def draw_views(paths: list[Path], work: Path, *, n_views: int, seed: int) -> Iterator[Path]:
    """Draw the missing views: the first shows whole images, the others random crops.

    Args:
        paths: The images.
        work: Folder of the views.
        n_views: Number of views.
        seed: Of the crops, which do not depend on earlier draws.

    Yields:
        The file of each view, once it is complete.
    """
    for number in range(n_views):
        file = view_file(work, number)
        if not file.exists():
            _draw(paths, file, number=number, seed=seed)
        yield file


def _draw(paths: list[Path], file: Path, *, number: int, seed: int) -> None:
    partial = file.with_suffix(".partial")
    pixels = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(paths), SIDE_PX, SIDE_PX, 3))

    def draw(row: int) -> None:
        with open_image(paths[row]) as image:
            box = None if number == 0 else _box(image.size, np.random.default_rng([seed, number, row]))
            pixels[row] = image.convert("RGB").resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR, box)

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(draw, range(len(paths))))
    pixels.flush()
    partial.rename(file)


@contextlib.contextmanager
def open_image(image: Path | BinaryIO) -> Iterator[Image.Image]:
    """Open an image.

    Raises:
        InputError: It can't be read.
    """
    try:
        with Image.open(image) as opened:
            yield opened
    except OSError as error:
        name = image if isinstance(image, Path) else "An image to judge by"
        raise frieze.InputError(f"{name} can't be read: {error}.", hint="Take it out of the folder.") from error


def _box(size: tuple[int, int], random: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw a crop: its share of the area uniform in [.25, 1], its shape up to 4:3 either way of the image's own."""
    stretch = _WIDEST ** random.uniform(-0.5, 0.5)
    scale = np.sqrt(random.uniform(_LEAST_AREA, 1))
    width, height = (side * min(1.0, scale * by) for side, by in zip(size, (stretch, 1 / stretch), strict=True))
    left, top = random.uniform(0, size[0] - width), random.uniform(0, size[1] - height)
    return left, top, left + width, top + height
