"""The page's box for words in a real Chromium."""

import pytest

import frieze
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def opened(browser, served, text_world, tmp_path_factory):
    """The page of an index whose backbone has a text tower, opened."""
    thumbnails = tmp_path_factory.mktemp("cache") / "thumbnails.sqlite"
    collection = open_collection(text_world / "text.index", None, thumbnails, find_duplicates=find_copies)
    with served(collection) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#hits .tile")
        yield page
        page.close()


def ids(page):
    """Return the ids of the hits."""
    return page.eval_on_selector_all("#hits .tile", "tiles => tiles.map((tile) => tile.title)")


def test_words(opened, text_world):
    """Words are looked for, M on a hit looks for what is like it, and back returns to the words."""
    opened.fill("#text", "a red bird|-blue")
    opened.press("#text", "Enter")
    opened.wait_for_function("() => /most similar/.test(document.querySelector('#hits-title').textContent)")
    (expected,) = frieze.search(text_world / "text.index", "text:a red bird|-blue", k=48)["queries"]
    assert ids(opened) == [hit["id"] for hit in expected["hits"]]
    assert opened.is_hidden("#query-image")
    first = ids(opened)[0]
    opened.focus("#hits .tile")
    opened.keyboard.press("m")
    opened.wait_for_function("(id) => document.querySelector('#query-name').textContent === id", arg=first)
    assert opened.input_value("#text") == ""
    opened.go_back()
    opened.wait_for_function("() => document.querySelector('#query-name').textContent === 'a red bird|-blue'")
    assert opened.input_value("#text") == "a red bird|-blue"


def test_id_after_words(opened):
    """An id that is typed after a search by words replaces it."""
    opened.fill("#text", "green")
    opened.press("#text", "Enter")
    opened.wait_for_function("() => document.querySelector('#query-name').textContent === 'green'")
    opened.fill("#name", "red/2.png")
    opened.press("#name", "Enter")
    opened.wait_for_function("() => document.querySelector('#query-name').textContent === 'red/2.png'")
    assert opened.input_value("#text") == ""
