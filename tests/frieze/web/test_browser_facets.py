"""Facets in a real Chromium: a click adds a condition to the filter, and takes it away."""

import pytest

from frieze import indexing
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
BAR = '[data-column="size_bytes"] .bars button'


@pytest.fixture(scope="module")
def address(world, tmp_path_factory, served):
    """Where the page of the world's photographs is served."""
    thumbnails = tmp_path_factory.mktemp("cache") / "thumbnails"
    with served(open_collection(world / "photos.index", None, thumbnails, find_duplicates=find_copies)) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The page; whatever fails in it fails the test."""
    opened, complaints = browser.new_page(viewport={"width": 1200, "height": 900}), []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    opened.wait_for_selector(BAR)
    yield opened
    assert complaints == []
    opened.close()


def value(text, column="label"):
    """Return the selector of a value's button."""
    return f'[data-column="{column}"] button[title="{text}"]'


def wait_for(page, count, where):
    """Wait until the panel counts and the filter is as given."""
    script = "([words, where]) => document.querySelector('#facets-words').textContent === words"
    page.wait_for_function(f"{script} && document.querySelector('#where').value === where", arg=[count, where])


def test_values(page):
    """Clicks choose several values of a column, a second click takes one away, and "any" all of them."""
    assert page.text_content(value("blue")) == "blue10"
    page.click(value("blue"))
    wait_for(page, "10 of 30 images", "label = 'blue'")
    assert page.get_attribute(value("blue"), "aria-pressed") == "true"
    page.click(value("red"))
    wait_for(page, "20 of 30 images", "label in ('blue', 'red')")
    page.wait_for_function("() => /20 of 20 images/.test(document.querySelector('#hits-title').textContent)")
    page.click(value("blue"))
    wait_for(page, "10 of 30 images", "label = 'red'")
    page.go_back()
    wait_for(page, "20 of 30 images", "label in ('blue', 'red')")
    page.click('[data-column="label"] .plain')
    wait_for(page, "30 images", "")


def test_a_range(page, world):
    """A click on a bin keeps what is in it, dragging over several all of them, and a second click none of that."""
    page.click(f"{BAR} >> nth=1")
    page.wait_for_function("() => / of 30 images/.test(document.querySelector('#facets-words').textContent)")
    where = page.input_value("#where")
    assert where.startswith("size_bytes >= ")
    page.click(f"{BAR} >> nth=1")
    wait_for(page, "30 images", "")
    page.hover(f"{BAR} >> nth=1")
    page.mouse.down()
    page.hover(f"{BAR} >> nth=4")
    page.mouse.up()
    page.wait_for_function("() => document.querySelectorAll('.bars [aria-pressed=true]').length === 4")
    wider = page.input_value("#where")
    index = indexing.open_index(world / "photos.index")
    assert len(indexing.filter_rows(index, wider)) > len(indexing.filter_rows(index, where))
    page.click("#facets-none")
    wait_for(page, "30 images", "")


def test_with_a_search_and_a_typed_filter(page):
    """A click keeps the image that is searched by, and adds to what was typed; a filter that is wrong is told."""
    page.fill("#name", "red/2.png")
    page.fill("#where", "id like '%/2.png' or id like '%/3.png'")
    page.press("#where", "Enter")
    wait_for(page, "6 of 30 images", "id like '%/2.png' or id like '%/3.png'")
    page.click(value("green"))
    wait_for(page, "2 of 30 images", "(id like '%/2.png' or id like '%/3.png') and label = 'green'")
    assert page.text_content("#query-name") == "red/2.png"
    page.fill("#where", "colour = 3")
    page.press("#where", "Enter")
    wait_for(page, "The filter can't be used.", "colour = 3")


def test_by_key(page):
    """By keys: the button that was pressed keeps the focus, so that the next press takes it away."""
    page.focus(value("blue"))
    page.keyboard.press("Enter")
    wait_for(page, "10 of 30 images", "label = 'blue'")
    page.wait_for_function("() => document.activeElement.title === 'blue'")
    page.keyboard.press("Enter")
    wait_for(page, "30 images", "")


def test_on_a_phone(browser, address):
    """On a phone the panel is closed, counts nothing until it is opened, and nothing is wider than the screen."""
    page, requests = browser.new_page(viewport={"width": 360, "height": 700}), []
    page.on("request", lambda request: requests.append(request.url) if "/facets?" in request.url else None)
    page.on("request", lambda request: requests.append(request.url) if request.url.endswith("/facets") else None)
    page.goto(address)
    page.wait_for_selector("#hits .tile")
    assert requests == []
    page.click("#facets > summary")
    page.wait_for_selector(BAR)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_names_for_those_who_do_not_see(page):
    """Each bar of a histogram has a name with its range and count."""
    bars = page.get_by_role("group", name="Histogram of size_bytes").get_by_role("button")
    names = [bars.nth(number).get_attribute("aria-label") for number in range(bars.count())]
    assert sum(int(name.rsplit(": ", 1)[1].split()[0]) for name in names) == 30
    assert names[0].startswith("size_bytes below ")
