"""Parts of images in a real Chromium: the part, and where it lies in its image."""

import pytest

import frieze
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parts(world, tmp_path_factory):
    """An index of the two halves of each photograph."""
    folder = tmp_path_factory.mktemp("parts")
    frieze.embed(world / "photos", tiles="1x2", out=folder / "parts.features")
    frieze.index(folder / "parts.features", out=folder / "parts.index")
    return folder


@pytest.fixture
def page(browser, served, parts):
    """The page of the halves; whatever fails in it fails the test."""
    index = frieze.open_index(parts / "parts.index")
    pair = {"ids": list(index.ids[:2]), "uris": [], "min_score": 0.5}
    document = {
        "groups": [],
        "look_alikes": [pair],
        "rows": len(index),
        "min_score": 0.5,
        "n_duplicates": 0,
        "notes": [],
    }
    collection = open_collection(index.path, None, parts / "thumbnails", find_duplicates=lambda _: document)
    with served(collection) as address:
        opened, complaints = browser.new_page(), []
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto(address)
        opened.wait_for_selector("#hits .tile")
        yield opened
        assert complaints == []
        opened.close()


def natural_size(page, selector):
    """Wait for a picture; return its width and height in pixels."""
    script = "(one) => document.querySelector(one)?.complete && document.querySelector(one).naturalWidth > 1"
    page.wait_for_function(script, arg=selector)  # complete: not the picture before it
    return page.eval_on_selector(selector, "(image) => [image.naturalWidth, image.naturalHeight]")


def test_query(page):
    """The query is the part, and beside it stands its image, twice as wide; hits are parts."""
    page.locator("#hits .tile").first.focus()
    page.keyboard.press("m")
    page.wait_for_selector("#query-whole:not([hidden])")
    width, height = natural_size(page, "#whole-image")
    part = natural_size(page, "#query-image")
    assert part[0] / part[1] == pytest.approx(width / height / 2, rel=0.05)
    assert natural_size(page, "#hits img") == part


def test_pair(page):
    """In a pair the key W shows both images with the parts outlined, and the parts again."""
    page.click("text=Duplicates")
    page.wait_for_selector("#which-sets", state="visible")
    page.select_option("#which-sets", "lookAlikes")
    page.locator("#groups .tile").last.click()
    page.wait_for_selector("#pair[open]")
    selector = "#pair-stage img"
    part = natural_size(page, selector)
    page.keyboard.press("w")
    page.wait_for_function("(one) => document.querySelector(one).src.includes('whole=true')", arg=selector)
    whole = natural_size(page, selector)
    assert part[0] / part[1] == pytest.approx(whole[0] / whole[1] / 2, rel=0.05)
    assert page.get_attribute('[data-key="w"]', "aria-pressed") == "true"
    page.keyboard.press("w")
    page.wait_for_function("(one) => !document.querySelector(one).src.includes('whole')", arg=selector)
