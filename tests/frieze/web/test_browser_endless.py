"""The endless grid in a real Chromium: a million images scroll, and few of them are in the page."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
N = 1_000_000
MOST = 600 + 60


@pytest.fixture
def page(browser, served, world, tmp_path):
    """The page of a million images, which this test invents."""

    def answer(route):
        asked_for = parse_qs(urlsplit(route.request.url).query)
        start, n = int(asked_for.get("start", ["0"])[0]), int(asked_for["n"][0])
        images = [{"id": f"{number}", "label": None, "uri": ""} for number in range(start, min(start + n, N))]
        route.fulfill(body=json.dumps({"total": N, "start": start, "images": images}), content_type="application/json")

    with served(
        open_collection(world / "photos.index", None, tmp_path / "thumbnails", find_duplicates=find_copies)
    ) as address:
        opened = browser.new_page(viewport={"width": 1200, "height": 800})
        opened.route(re.compile(r"/images\?"), answer)
        opened.route(re.compile("/thumbnail|/picture"), lambda route: route.fulfill(path=world / "photos/red/0.png"))
        opened.goto(address)
        opened.wait_for_selector("#hits .tile")
        yield opened
        opened.close()


def numbers(page):
    """Return the numbers of the images in the grid."""
    return [int(title) for title in page.eval_on_selector_all("#hits .tile", "all => all.map((one) => one.title)")]


def scroll(page, end):
    """Scroll until an image is in the grid."""
    for _ in range(1000):  # on a busy machine images come late
        if end in numbers(page):
            return
        page.mouse.wheel(0, 3000 if end > numbers(page)[-1] else -3000)
        page.wait_for_timeout(30)
    raise AssertionError(f"{end} was not reached")


def test_scrolls_without_end(page):
    """Down and up again: images come in their order, none twice, and few are held at once."""
    page.hover("#hits")
    scroll(page, 800)
    shown = numbers(page)
    assert len(shown) <= MOST
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert shown[0] > 0
    scroll(page, 0)
    shown = numbers(page)
    assert (shown, len(shown) <= MOST) == (list(range(len(shown))), True)


def test_what_is_seen_stays(page):
    """Where tiles far above are dropped, those that are seen stay where they are."""
    page.hover("#hits")
    scroll(page, 590)
    page.wait_for_function(  # the wheel has come to rest
        "() => { const [before, now] = [window.before, scrollY]; window.before = now; return before === now; }",
        polling=300,
    )
    before = page.evaluate("document.elementFromPoint(700, 400).closest('.tile').title")
    page.evaluate("document.querySelector('#more-hits').click()")
    page.wait_for_function("() => document.querySelector('#hits .tile').title !== '0'")
    assert page.evaluate("document.elementFromPoint(700, 400).closest('.tile').title") == before


def test_go_to(page):
    """A number leads anywhere; the viewer counts in the whole list, and walks both ways beyond what is held."""
    page.fill("#go-to", "700000")
    page.press("#go-to", "Enter")
    page.focus("#hits .tile[title='699999']")  # by its name: those before it are loaded meanwhile
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#viewer-place').textContent === '700,000 of 1,000,000'")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function("() => document.querySelector('#viewer-place').textContent === '699,999 of 1,000,000'")
