"""The queue of mistakes in a real Chromium: accept, keep, skip, undo, retrain, and keep the head."""

import contextlib
import itertools

import pyarrow.parquet as pq
import pytest

import frieze
from frieze.api.auditing import audit
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
KEY = "secret"


@contextlib.contextmanager
def open_queue(browser, served, watched, noisy, labels):
    """Open the mistakes of the index with wrong labels; whatever fails in the page fails the test."""
    thumbnails = labels.with_name("thumbnails")
    collection = open_collection(noisy, None, thumbnails, find_duplicates=find_copies, labels=labels)
    collection.train_head, collection.mistakes.run_audit = frieze.train, audit
    size = {"width": 1200, "height": 900}
    with (
        served(collection, token=KEY) as address,
        watched(browser, f"{address}#token={KEY}", viewport=size) as opened,
    ):
        opened.click("nav a[href='#mistakes']")
        opened.wait_for_selector("#queue:not([hidden])")
        yield opened


@pytest.fixture
def page(browser, served, watched, noisy, labels):
    """The mistakes, with a file of labels of their own."""
    with open_queue(browser, served, watched, noisy, labels) as opened:
        yield opened


@pytest.fixture(scope="module")
def undecided(browser, served, watched, noisy, tmp_path_factory):
    """The mistakes, for all tests that decide nothing."""
    with open_queue(browser, served, watched, noisy, tmp_path_factory.mktemp("queue") / "labels.parquet") as opened:
        yield opened


def stored(labels):
    """Return id -> label of the file."""
    return {row["id"]: row["label"] for row in pq.read_table(labels).to_pylist()}


def wait_for(page, selector, pattern):
    """Wait until an element's text matches; return it."""
    page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent)",
        arg=[selector, pattern],
    )
    return page.text_content(selector)


def press(page, key):
    """Press a key, and wait until the queue shows another image, or none."""
    text = "document.querySelector('#queue-place').textContent + document.querySelector('#queue-words').textContent"
    before = page.evaluate(text)
    page.keyboard.press(key)
    page.wait_for_function(f"(before) => document.querySelector('#queue').hidden || {text} !== before", arg=before)


def shown(page):
    """Return the image that the queue shows."""
    return page.get_attribute("#queue-image", "alt")


def test_decide_and_undo(page, labels):
    """The keys accept, keep and skip; undo returns to the last image that was decided; digits give other labels."""
    first = shown(page)
    suggested, given = page.text_content("#queue-suggested"), page.text_content("#queue-given")
    press(page, "a")
    assert stored(labels) == {first: suggested}
    press(page, "u")
    assert (shown(page), stored(labels)) == (first, {})
    press(page, "k")
    assert stored(labels) == {first: given}
    second = shown(page)
    assert second != first
    press(page, "u")
    press(page, "s")
    assert (shown(page), stored(labels)) == (second, {})
    press(page, "1")
    assert stored(labels) == {second: "blue"}


def test_retrain_shows_what_changed(page, labels):
    """The wrong labels are corrected from the queue, heads are retrained in place, and the accuracy has grown."""
    page.click("#retrain")
    wait_for(page, "#retrained-words", "^0 labels corrected, 0 kept")
    wait_for(page, "#mistakes-words", "^2 images that the retrained heads")
    page.wait_for_selector("#queue:not([hidden])")
    page.wait_for_function("() => document.querySelector('#queue-place').textContent.startsWith('1 of 2')")
    press(page, "a")
    press(page, "a")
    wait_for(page, "#mistakes-words", "^2 decided, and no image is left")
    assert stored(labels) == {"blue/0.png": "blue", "green/1.png": "green"}
    page.click("#retrain")
    summary = wait_for(page, "#retrained-words", "^2 labels corrected, 0 kept")
    assert "as they are now: 100.0" in summary
    wait_for(page, "#mistakes-words", "^The retrained heads agree")


def test_keep_the_head(page, labels, photos):
    """The head on the corrected labels is kept, and predicts."""
    press(page, "a")
    page.click("#corrected-keep")
    wait_for(page, "#corrected-command", r"^frieze train \S+ .*--label label$")
    document = frieze.predict(labels.with_name("corrected.head"), photos / "blue" / "9.png")
    assert document["predictions"][0]["prediction"] == "blue"


def test_what_is_decided_stays_decided(page):
    """After a reload the queue goes on behind what was decided."""
    first = shown(page)
    press(page, "k")
    page.reload()
    page.wait_for_selector("#queue:not([hidden])")
    assert shown(page) != first


def test_view(undecided):
    """V and a click on the picture view it in full; keys of the viewer decide nothing."""
    page, first = undecided, shown(undecided)
    page.keyboard.press("v")
    wait_for(page, "#viewer-title", f"^{first}$")
    page.keyboard.press("a")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer:not([open])", state="attached")
    assert shown(page) == first
    page.click("#queue-view")
    wait_for(page, "#viewer-title", f"^{first}$")
    page.keyboard.press("Escape")
    page.wait_for_selector("#viewer:not([open])", state="attached")


@pytest.mark.parametrize(("scheme", "width"), [*itertools.product(("light", "dark"), (360, 1200))])
def test_nothing_sticks_out(undecided, scheme, width):
    """On a phone as on a desk picture and buttons are on the screen, nothing wider than it."""
    undecided.set_viewport_size({"width": width, "height": 800})
    undecided.emulate_media(color_scheme=scheme)
    undecided.wait_for_function("() => document.querySelector('#queue-image').complete")
    assert undecided.evaluate("document.documentElement.scrollWidth") <= width
    undecided.wait_for_function(  # more may come below it
        """() => {
            document.querySelector('#queue').scrollIntoView();
            return document.querySelector('#queue [data-key="u"]').getBoundingClientRect().bottom <= 800;
        }"""
    )


def test_names_for_those_who_do_not_see(undecided):
    """The queue's buttons say what they do."""
    page = undecided
    suggested, given = page.text_content("#queue-suggested"), page.text_content("#queue-given")
    for name in (f"Accept {suggested} A", f"Keep {given} K", "Skip S", "Undo U", "View this image in full", "Retrain"):
        assert page.get_by_role("button", name=name, exact=True).count() == 1, name
