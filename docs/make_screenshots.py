"""Take the screenshots of docs/page.md: each view of the page, over scikit-learn's digits and some copies of them.

Usage: .venv/bin/python docs/make_screenshots.py   after `make check`'s installation; needs Debian's chromium.
"""

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps
from playwright.sync_api import Page, sync_playwright

import frieze

DOCS = Path(__file__).parent
sys.path.append(str(DOCS.parent / "examples"))

PORT = 8598
ADDRESS = f"http://127.0.0.1:{PORT}/"
LOOKS = {"light": ("light", 1200, 760), "dark": ("dark", 1200, 760), "phone": ("dark", 390, 760)}


def make_collection(folder: Path) -> tuple[Path, Path]:
    """Embed, index and label the digits, eight of them also as smaller, brighter and turned copies."""
    from demo import write_digits

    images = write_digits(folder / "digits")
    for path in sorted(images.rglob("*.png"))[::230]:
        with Image.open(path) as image:
            image.resize((40, 40)).save(path.with_name(f"{path.stem}-small.jpg"), quality=80)
            ImageOps.autocontrast(image.rotate(4)).save(path.with_name(f"{path.stem}-turned.png"))
    frieze.embed(images, out=folder / "digits.features")
    frieze.index(folder / "digits.features", out=folder / "digits.index")
    frieze.train(folder / "digits.features", out=folder / "digits.head")
    return folder / "digits.index", folder / "digits.head"


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


VIEWS: dict[str, Callable[[Page, Path], None]] = {
    "search": search,
    "classes": open_view("classes", "#class-grid .tile img"),
    "mistakes": open_view("mistakes", "#mistakes-grid .tile img"),
    "duplicates": open_view("duplicates", "#groups .tile img"),
    "pair": pair,
    "map": map_,
}


def shoot(browser: Any, look: str, view: str, image: Path) -> None:
    """Write one screenshot."""
    scheme, width, height = LOOKS[look]
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": height})
    page.goto(ADDRESS)
    page.wait_for_selector("#hits .tile img")
    VIEWS[view](page, image)
    page.wait_for_load_state("networkidle")
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").save(DOCS / "page" / f"{view}-{look}.webp", quality=80, method=6)
    page.close()


def main() -> None:
    """Take all screenshots."""
    (DOCS / "page").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="frieze-page-") as scratch:
        index, head = make_collection(Path(scratch))
        image = Path(scratch) / "yours.png"
        shutil.copy(next((Path(scratch) / "digits" / "0").glob("*.png")), image)
        command = [Path(sys.executable).with_name("frieze"), "serve", index, "--head", head, "--port", str(PORT)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
            (server.stderr or io.StringIO()).readline()  # its address, once it answers
            try:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                for look in LOOKS:
                    for view in VIEWS:
                        shoot(browser, look, view, image)
                browser.close()
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
