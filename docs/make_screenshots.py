"""Take the screenshots of docs/page.md: search, viewer and facets over photographs, duplicates, others over digits.

Usage: .venv/bin/python docs/make_screenshots.py   after `make check`'s installation; needs Debian's chromium and
lomiri-wallpapers-16.04, of whose photographs those that may be shown with their authors' names are taken.
"""

import contextlib
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from playwright.sync_api import Page, sync_playwright

import frieze

DOCS = Path(__file__).parent
sys.path.append(str(DOCS.parent / "examples"))

PORT = 8598
ADDRESS = f"http://127.0.0.1:{PORT}/"
PHOTOGRAPHS = Path("/usr/share/backgrounds")
SHOWN = ("*_by_Aitzol_Berasategi", "*_by_freespace", "Wine_by_*", "seeding_by_*")
"""CC BY 4.0 (Aitzol Berasategi, Trevor Freespace, Jakub Mede) and CC0 (Clemens Engelhardt)."""
QUERY = "picosdeeuropa_by_Aitzol_Berasategi.jpg"
LOOKS = {"light": ("light", 1200, 760), "dark": ("dark", 1200, 760), "phone": ("dark", 390, 760)}


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "small": lambda image: image.reduce(2),
    "detail": lambda image: ImageOps.crop(image, 60),
    "mirrored": ImageOps.mirror,
    "grey": ImageOps.grayscale,
    "turned": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "framed": lambda image: ImageOps.expand(image, 40, "white"),
}


def make_digits(folder: Path) -> list[str | Path]:
    """Embed, index and label the digits; return the options of `frieze serve`."""
    from demo import write_digits

    digits = write_digits(folder / "digits")
    shutil.copy(next((digits / "0").glob("*.png")), folder / "yours.png")
    frieze.embed(digits, out=folder / "digits.features")
    frieze.index(folder / "digits.features", out=folder / "digits.index")
    frieze.train(folder / "digits.features", out=folder / "digits.head")
    return [folder / "digits.index", "--head", folder / "digits.head"]


def make_tiles(folder: Path) -> list[str | Path]:
    """Embed and index parts of photographs, and cut `yours.png` from one, across them; return the options."""
    (folder / "photographs").mkdir()
    for pattern in SHOWN:
        for path in sorted(PHOTOGRAPHS.glob(f"{pattern}.jpg")):
            image = Image.open(path)
            image.thumbnail((1600, 1600))
            image.save(folder / "photographs" / f"{path.stem.split('_by_')[0].lower()}.jpg", quality=90)
            if path.name == QUERY:
                ImageOps.fit(image, (360, 270), centering=(0.6, 0.35), bleed=0.2).save(folder / "yours.png")
    frieze.embed(folder / "photographs", out=folder / "tiles.features", tiles="4x3")
    frieze.index(folder / "tiles.features", out=folder / "tiles.index")
    return [folder / "tiles.index"]


def make_photos(folder: Path) -> list[str | Path]:
    """Embed and index scikit-learn's photographs with edits of each; return the options of `frieze serve`."""
    from sklearn.datasets import load_sample_images

    (folder / "photos").mkdir()
    for name, pixels in zip(("temple", "flower"), load_sample_images().images, strict=True):
        image = Image.fromarray(pixels)
        image.save(folder / "photos" / f"{name}.png")
        for edit, change in EDITS.items():
            change(image).save(folder / "photos" / f"{name}-{edit}.jpg", quality=80)
    frieze.embed(folder / "photos", out=folder / "photos.features")
    frieze.index(folder / "photos.features", out=folder / "photos.index")
    return [folder / "photos.index"]


def search(page: Page, image: Path) -> None:
    """Upload an image that is not in the collection."""
    page.set_input_files("#file", image)
    page.wait_for_selector("#query-crop:not([hidden])", timeout=60_000)


def map_(page: Page, _: Path) -> None:
    """Open the map, and hover over a point near its middle."""
    open_view("map", "#legend li")(page, _)
    page.wait_for_timeout(1000)
    box = page.locator("#canvas").bounding_box() or {}
    for step in range(12):  # until a point is under the pointer
        page.mouse.move(box["x"] + box["width"] * (0.4 + 0.02 * step), box["y"] + box["height"] * (0.4 + 0.015 * step))
        page.wait_for_timeout(150)
        if page.locator("#hover").is_visible():
            break


def pair(page: Page, image: Path) -> None:
    """Open a copy beside the image to keep."""
    open_view("duplicates", "#groups .tile img")(page, image)
    page.locator("#groups .tile").nth(1).click()
    page.wait_for_selector("#pair small")


def open_view(name: str, selector: str) -> Callable[[Page, Path], None]:
    """Return a function that opens a view and waits for its content."""

    def look(page: Page, _: Path) -> None:
        page.goto(f"{ADDRESS}#{name}")
        page.wait_for_selector(selector, timeout=60_000)

    return look


def viewer(page: Page, _: Path) -> None:
    """Open a part of a photograph in full."""
    page.locator("#hits .tile").nth(5).click()
    page.wait_for_selector("#viewer-neighbours .tile img")


def facets(page: Page, _: Path) -> None:
    """Choose two photographs and a range by clicking in the panel."""
    if page.locator("#facets:not([open])").count():
        page.click("#facets > summary")
    for number in (1, 2):
        page.locator('[data-column="image"] li button').nth(number).click()
        page.wait_for_function(
            "(n) => document.querySelectorAll('[data-column=image] [aria-pressed=true]').length === n", arg=number
        )
    page.evaluate("document.querySelector('#facets').scrollIntoView()")


def queue(page: Page, image: Path) -> None:
    """Open the queue of the head's mistakes."""
    open_view("mistakes", "#queue:not([hidden]) #queue-neighbours img")(page, image)


def make_labelled_digits(folder: Path) -> list[str | Path]:
    """Return the options of `frieze serve` over the digits that are there, with a file of labels."""
    return [folder / "digits.index", "--head", folder / "digits.head", "--labels", folder / "digits.labels.parquet"]


TILE_VIEWS: dict[str, Callable[[Page, Path], None]] = {"search": search, "viewer": viewer, "facets": facets}
LABEL_VIEWS: dict[str, Callable[[Page, Path], None]] = {"queue": queue}
VIEWS: dict[str, Callable[[Page, Path], None]] = {
    "classes": open_view("classes", "#class-grid .tile img"),
    "mistakes": open_view("mistakes", "#mistakes-grid .tile img"),
    "map": map_,
}
PHOTO_VIEWS: dict[str, Callable[[Page, Path], None]] = {
    "duplicates": open_view("duplicates", "#groups .tile img"),
    "pair": pair,
}


COLLECTIONS = (
    (make_tiles, TILE_VIEWS),
    (make_digits, VIEWS),
    (make_labelled_digits, LABEL_VIEWS),
    (make_photos, PHOTO_VIEWS),
)


def shoot(browser: Any, look: str, view: str, open_it: Callable[[Page, Path], None], image: Path) -> None:
    """Write one screenshot."""
    scheme, width, height = LOOKS[look]
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
    page.goto(ADDRESS)
    page.wait_for_selector("#hits .tile img")
    open_it(page, image)
    page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(DOCS / "page" / f"{view}-{look}.webp", quality=80, method=6)
    page.close()


@contextlib.contextmanager
def serving(options: list[str | Path]) -> Iterator[None]:
    """Serve a page until the block ends."""
    command = [Path(sys.executable).with_name("frieze"), "serve", *options, "--port", str(PORT)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        (server.stderr or io.StringIO()).readline()  # its address, once it answers
        try:
            yield
        finally:
            server.terminate()


def main() -> None:
    """Take all screenshots."""
    (DOCS / "page").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="frieze-page-") as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for make, views in COLLECTIONS:
            with serving(make(Path(scratch))):
                for look in LOOKS:
                    for view, open_it in views.items():
                        shoot(browser, look, view, open_it, Path(scratch) / "yours.png")
        browser.close()


if __name__ == "__main__":
    main()
