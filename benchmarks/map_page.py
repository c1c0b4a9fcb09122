"""The page's map in Chromium without a graphics card: frames a second, and how long a lasso takes.

Usage: python -m benchmarks.map_page INDEX ...   prints the table of docs/benchmarks.md
"""

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from benchmarks.tables import show
from benchmarks.web import ADDRESS, serve

N_FRAMES = 60
SHARE = 0.15
"""Of the height of the map that the lasso is wide and high."""
DRAG = """async (n) => {
    const canvas = document.querySelector("#canvas");
    const box = canvas.getBoundingClientRect();
    const [clientX, clientY] = [box.x + box.width / 2, box.y + box.height / 2];
    const began = performance.now();
    for (let frame = 0; frame < n; frame += 1) {
      const deltaY = frame % 20 < 10 ? -30 : 30;
      canvas.dispatchEvent(new WheelEvent("wheel", { deltaY, clientX, clientY, bubbles: true, cancelable: true }));
      await new Promise(requestAnimationFrame);
    }
    return (1000 * n) / (performance.now() - began);
}"""
WATCH = """() => {
    window.times = {};
    document.querySelector("#canvas").addEventListener("pointerup", () => {
      times.began = performance.now();
      requestAnimationFrame(() => requestAnimationFrame(() => { times.painted = performance.now() - times.began; }));
    }, { capture: true, once: true });
    new MutationObserver(() => { times.listed ??= performance.now() - times.began; })
      .observe(document.querySelector("#chosen-grid"), { childList: true });
}"""


def open_map(page: Page) -> None:
    """Open the map laid out by PCA, which is quick."""
    page.goto(ADDRESS)
    page.wait_for_selector("#hits .tile")
    page.evaluate("() => { document.querySelector('#method').value = 'pca'; }")
    page.click("nav a[href='#map']")
    page.wait_for_selector("#legend li", timeout=300_000)
    page.wait_for_timeout(500)


def draw_lasso(page: Page) -> str:
    """Draw a lasso around the middle; return how many images are inside."""
    box = page.locator("#canvas").bounding_box() or {}
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    across = up = SHARE * box["height"] / 2
    page.check("#lasso")
    page.mouse.move(x - across, y - up)
    page.mouse.down()
    for left, top in ((across, -up), (across, up), (-across, up), (-across, -up)):
        page.mouse.move(x + left, y + top, steps=8)
    page.mouse.up()
    page.wait_for_function("() => times.listed && times.painted")
    return str(page.text_content("#chosen-title"))


def measure(page: Page) -> list[object]:
    """Return a row of the table."""
    open_map(page)
    n = str(page.text_content("#map-words")).split()[0]
    frames = page.evaluate(DRAG, N_FRAMES)
    page.click("#whole")
    page.evaluate(WATCH)
    inside = draw_lasso(page)
    times = page.evaluate("() => times")
    return [n, f"{frames:.0f}", inside.split()[0], f"{times['painted']:.0f}", f"{times['listed']:.0f}"]


def main() -> None:
    """Print the table."""
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for index in map(Path, sys.argv[1:]):
            server, _ = serve(index)
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            rows.append(measure(page))
            page.close()
            server.terminate()
            server.wait()
        browser.close()
    header = "points | frames a second | inside the lasso | milliseconds until it is painted | until they are listed"
    show("map page", header, rows)


if __name__ == "__main__":
    main()
