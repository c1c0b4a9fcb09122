"""The views of labels in a real Chromium: select, label, undo, teach, answer, keep, and predict with the head."""

import re

import pyarrow.parquet as pq
import pytest

import frieze
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
KEY = "secret"


@pytest.fixture
def address(world, labels, served):
    """Where the page is served, with a file of labels."""
    index, thumbnails = world / "photos.index", labels.with_name("thumbnails")
    collection = open_collection(index, None, thumbnails, find_duplicates=find_copies, labels=labels)
    collection.train_head = frieze.train
    with served(collection, token=KEY) as address:
        yield address


@pytest.fixture
def page(browser, watched, address):
    """The page, opened from the printed address; whatever fails in it fails the test."""
    with watched(browser, f"{address}#token={KEY}") as opened:
        opened.wait_for_selector("#hits .tile")
        yield opened


def stored(labels, column="label"):
    """Return id -> label of a column of the file."""
    rows = pq.read_table(labels).to_pylist()
    return {row["id"]: row[column] for row in rows if row.get(column) is not None}


def tile(image, grid="#hits"):
    """Return the selector of an image's tile."""
    return f'{grid} .tile[title="{image}"]'


def wait_for(page, selector, pattern):
    """Wait until an element's text matches."""
    page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent)",
        arg=[selector, pattern],
    )


def test_select_and_label(page, labels):
    """Ctrl and Shift select, a label is stored and shown, undo takes it back, redo gives it again, also by key."""
    page.click(tile("blue/1.png"), modifiers=["Control"])
    page.click(tile("blue/4.png"), modifiers=["Shift"])
    wait_for(page, "#selected-count", "^4 images selected$")
    page.fill("#label-name", "sky")
    page.press("#label-name", "Enter")
    page.wait_for_selector(f"{tile('blue/4.png')} .given:text('sky')")
    assert stored(labels) == {f"blue/{number}.png": "sky" for number in range(1, 5)}
    page.click("#undo")
    wait_for(page, f"{tile('blue/4.png')} .given", "^$")
    assert stored(labels) == {}
    page.focus(tile("red/0.png"))
    page.keyboard.press("Control+Shift+z")
    wait_for(page, f"{tile('blue/4.png')} .given", "^sky$")
    assert len(stored(labels)) == 4


def test_tags_and_keys(page, labels):
    """By keys alone: x selects, arrows move, a digit gives the label beside it; tags are added and removed."""
    page.focus(tile("blue/1.png"))
    page.keyboard.press("x")
    page.click("#label-bar summary")
    page.fill("#tag-name", "far")
    page.press("#tag-name", "Enter")
    wait_for(page, f"{tile('blue/1.png')} .given", "^#far$")
    page.focus(tile("blue/1.png"))
    page.keyboard.press("x")
    page.fill("#label-name", "sky")
    page.press("#label-name", "Enter")
    wait_for(page, "#label-keys", "1 blue2 green3 red4 sky")
    page.focus(tile("blue/1.png"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("4")
    wait_for(page, f"{tile('blue/2.png')} .given", "^sky$")
    page.click(tile("blue/1.png"), modifiers=["Control"])
    page.click("#label-back")
    wait_for(page, f"{tile('blue/1.png')} .given", "^#far$")
    assert stored(labels) == {"blue/2.png": "sky"}


def test_by_touch(page, labels):
    """Where a click selects, no other key is needed; all that is shown can be selected at once."""
    page.check("#click-selects")
    page.click(tile("blue/1.png"))
    wait_for(page, "#selected-count", "^1 image selected$")
    page.click("#select-all")
    wait_for(page, "#selected-count", "^30 images selected$")
    page.click("#select-none")
    page.uncheck("#click-selects")
    page.click(tile("blue/1.png"))
    wait_for(page, "#viewer-title", r"^blue/1\.png$")
    assert stored(labels) == {}


def test_two_tabs(page, address, labels):
    """What another tab changes is there when one comes back."""
    other = page.context.new_page()
    other.goto(address)
    other.wait_for_selector("#hits .tile")
    other.click(tile("red/1.png"), modifiers=["Control"])
    other.fill("#label-name", "rose")
    other.press("#label-name", "Enter")
    other.wait_for_selector(f"{tile('red/1.png')} .given:text('rose')")
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    wait_for(page, f"{tile('red/1.png')} .given", "^rose$")


def test_the_token_is_taken_at_once(browser, address):
    """Who clicks before the server has answered for the first time may still write: the address was read before."""
    context, held = browser.new_context(), []
    page = context.new_page()
    page.route("**/collection", lambda route: held.append(route))  # noqa: PLW0108  Playwright takes no built-in
    page.goto(f"{address}#token={KEY}", wait_until="domcontentloaded")
    page.click("nav a[href='#classes']")
    held[0].continue_()
    page.wait_for_selector("#classes:not([hidden])")
    assert page.evaluate("localStorage.getItem('token')") == KEY
    context.close()


def answer_questions(page):
    """Answer all questions of the panel by key: 1 for what is blue, 2 for the others."""
    page.wait_for_selector("#questions .tile")
    for name in page.eval_on_selector_all("#questions .tile", "tiles => tiles.map((tile) => tile.title)"):
        page.focus(tile(name, "#questions"))
        page.keyboard.press("1" if name.startswith("blue") else "2")
        page.wait_for_function(  # the last answer brings other questions
            """(name) => [...document.querySelectorAll("#questions .tile")]
                .every((tile) => tile.title !== name || tile.querySelector(".given"))""",
            arg=name,
        )


def test_teach_ask_keep_predict(page, labels, photos, tmp_path):
    """Name a concept, answer what is asked, see it ranked and measured, keep the head, and predict with it."""
    page.click("nav a[href='#teach']")
    page.fill("#teach-name", "blue")
    page.press("#teach-name", "Enter")
    answer_questions(page)
    wait_for(page, "#teach-counts", r"^blue: \d+ examples?, sure of \d+ images?\. not blue: ")
    wait_for(page, "#ranked-title", "^Ranked by blue$")
    page.wait_for_function("() => document.querySelectorAll('#ranked .tile').length === 30")
    ranked = page.eval_on_selector_all("#ranked .tile", "tiles => tiles.map((tile) => tile.title)")
    assert {name.split("/")[0] for name in ranked[:10]} == {"blue"}
    wait_for(page, "#teach-accuracy", r"^Right on \d of \d images drawn at random: \d+\s%, with 95 % confidence")
    page.wait_for_selector("#curve:not([hidden]) circle")
    page.wait_for_function(  # of all answers, not only of those that were given when it was asked for
        "(pattern) => new RegExp(pattern).test(document.querySelector('#curve svg').getAttribute('aria-label'))",
        arg=r"^Learning curve: after \d+ answers right on .*; after 10 answers right on \d of 2: ",
    )
    assert len(stored(labels, "blue")) == 12
    assert pq.read_table(labels)["held_out"].to_pylist().count(["blue"]) == 2
    page.click("#keep")
    wait_for(page, "#kept-command", "^frieze train ")
    command = page.text_content("#kept-command")
    assert re.search(r"--labels \S+labels\.parquet --label blue", command)
    document = frieze.predict(tmp_path / "blue.head", photos / "blue" / "9.png")
    assert document["predictions"][0]["prediction"] == "blue"


def test_the_ranking_stays_under_the_eyes(page, labels):
    """Who scrolled into the ranking keeps it after an answer, and can rank again; examples are selected there."""
    page.set_viewport_size({"width": 700, "height": 500})
    page.click(tile("blue/1.png"), modifiers=["Control"])
    page.evaluate("location.hash = '#teach?name=blue'")
    page.wait_for_selector("#questions .tile")
    page.keyboard.press("1")
    wait_for(page, "#ranked-title", "^Ranked by blue$")
    page.wait_for_function("() => document.querySelectorAll('#ranked .tile').length === 30")
    assert stored(labels, "blue") == {"blue/1.png": "blue"}
    before = page.eval_on_selector_all("#ranked .tile", "tiles => tiles.map((tile) => tile.title)")
    page.evaluate("document.querySelector('#ranked').lastElementChild.scrollIntoView()")
    page.click(tile(before[-1], "#ranked"))
    page.keyboard.press("2")
    wait_for(page, "#teach-counts", "not blue: 1 example")
    assert page.eval_on_selector_all("#ranked .tile", "tiles => tiles.map((tile) => tile.title)") == before
    assert page.text_content("#ranked .score") == "1.000"  # the cosine to the only example
    page.click("#rank-again")
    wait_for(page, "#ranked .score", r"^0\.")


def test_the_last_example_is_taken_back(page, address):
    """Where the label that images are ranked by has no example any more, the view goes on without it."""
    other = page.context.new_page()  # the console tells the refusal
    other.goto(address)
    other.click(tile("blue/1.png"), modifiers=["Control"])
    other.evaluate("location.hash = '#teach?name=blue'")
    other.wait_for_selector("#questions .tile")
    other.keyboard.press("2")
    wait_for(other, "#ranked-title", "^Ranked by not blue$")
    other.keyboard.press("Control+z")
    wait_for(other, "#ranked-title", "^Nothing to rank by yet")
    wait_for(other, "#teach-counts", "^Unsure: 30 images")


def test_names_for_those_who_do_not_see(page):
    """Every field and button of the bar and the panel has a name."""
    page.click("nav a[href='#teach']")
    page.fill("#teach-name", "blue")
    page.press("#teach-name", "Enter")
    page.wait_for_selector("#questions .tile")
    for role, name in [
        ("region", "Labels"),
        ("textbox", "What to teach"),
        ("button", "Ask me"),
        ("button", "Keep"),
        ("combobox", "Rank by"),
        ("button", "Undo"),
        ("checkbox", "Click selects"),
    ]:
        assert (
            page.get_by_role(role, name=name, exact=True).count() + page.get_by_label(name, exact=True).count() >= 1
        ), name
