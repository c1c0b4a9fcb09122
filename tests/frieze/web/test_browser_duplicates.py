"""The view of duplicates in a real Chromium: pairs, blink, difference, decisions by key."""

import io
import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
KEY = "secret"
DOCUMENT = {
    "groups": [
        {
            "ids": ["red/0.png", "red/1.png", "red/2.png", "red/3.png"],
            "uris": [],
            "keep": "red/0.png",
            "exact": False,
            "min_score": 0.7,
            "members": [
                {"id": "red/1.png", "uri": "", "kind": "re-encoded", "score": 0.97, "overlap": 1.0},
                {"id": "red/2.png", "uri": "", "kind": "mirrored+cropped", "score": 0.8, "overlap": 0.8},
                {"id": "red/3.png", "uri": "", "kind": "grey", "score": None, "overlap": 1.0},
            ],
        }
    ],
    "look_alikes": [
        {"ids": ["blue/0.png", "blue/1.png", "blue/2.png"], "uris": [], "min_score": 0.75},
        {"ids": ["green/0.png", "green/1.png"], "uris": [], "min_score": 0.6},
    ],
    "rows": 30,
    "min_score": 0.6,
    "n_duplicates": 3,
    "notes": ["One image could not be read."],
}


@pytest.fixture
def folder(world, tmp_path):
    """A folder with an index of its own."""
    shutil.copytree(world / "photos.index", tmp_path / "photos.index")
    return tmp_path


@pytest.fixture
def address(folder, served):
    """Where the page is served, on a port of its own, with pairs that are known."""
    index, thumbnails = folder / "photos.index", folder / "thumbnails"
    collection = open_collection(index, None, thumbnails, find_duplicates=lambda _: DOCUMENT)
    with served(collection, token=KEY) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The view, opened from the printed address; whatever fails in it fails the test."""
    context = browser.new_context()
    opened = context.new_page()
    complaints = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(f"{address}#token=secret")
    opened.wait_for_selector("#hits .tile")
    opened.click("text=Duplicates")
    opened.wait_for_selector("#groups .tile")
    yield opened
    assert complaints == []
    context.close()


def tiles(page):
    """Return the texts of the tiles, by id."""
    script = (
        "tiles => tiles.map((tile) => [tile.title, [...tile.querySelectorAll('small')].map((one) => one.textContent)])"
    )
    return dict(page.eval_on_selector_all("#groups .tile", script))


def wait_for_title(page, title):
    """Wait until the open pair has a title."""
    page.wait_for_function("(text) => document.querySelector('#pair-title').textContent === text", arg=title)


def open_pair(page, name):
    """Click a member."""
    page.click(f'#groups .tile[title="{name}"]')
    page.wait_for_selector("#pair[open]")


def wait_for_pictures(page):
    """Wait until both pictures of the pair are there."""
    page.wait_for_function(
        "() => [...document.querySelectorAll('#pair img')].every((one) => one.complete && one.naturalWidth > 1)"
    )


STORED = "() => document.querySelector('#duplicates .decisions-words').textContent === 'Every decision is stored.'"


def decide(page, key):
    """Press a key that decides, and wait until the decision is stored."""
    page.evaluate("document.querySelectorAll('.decisions-words').forEach((one) => { one.textContent = ''; })")
    page.keyboard.press(key)
    page.wait_for_function(STORED)


def choose_look_alikes(page):
    """Show the other list."""
    page.select_option("#which-sets", "lookAlikes")
    page.wait_for_selector('#groups .tile[title="blue/0.png"]')


def test_members(page):
    """Each copy tells how it differs from the framed one and what it shows of it; notes are told."""
    assert tiles(page) == {
        "red/0.png": ["keep", "red/0.png"],
        "red/1.png": ["re-encoded", "0.970", "red/1.png"],
        "red/2.png": ["mirrored+cropped, shows 80\u00a0% of it", "0.800", "red/2.png"],
        "red/3.png": ["grey", "none", "red/3.png"],
    }
    assert page.locator("#groups .tile.keep").get_attribute("title") == "red/0.png"
    assert page.text_content("#duplicates-notes") == "One image could not be read."


def test_look_alikes(page):
    """Look-alikes are a list of their own that advises nothing."""
    choose_look_alikes(page)
    names = ["blue/0.png", "blue/1.png", "blue/2.png", "green/0.png", "green/1.png"]
    assert tiles(page) == {name: [name] for name in names}
    assert page.locator("#groups .keep, #groups .kept, #groups .wrong").count() == 0


@pytest.mark.parametrize(("least", "names"), [(0.9, ["red/0.png", "red/1.png", "red/3.png"]), (0.7, None)])
def test_least_score(page, least, names):
    """The slider leaves out members below a score, never one without a score."""
    names = names or [f"red/{number}.png" for number in range(4)]
    page.evaluate(f"document.querySelector('#lowest').value = {least}")
    page.dispatch_event("#lowest", "change")
    page.wait_for_function("(n) => document.querySelectorAll('#groups .tile').length === n", arg=len(names))
    assert list(tiles(page)) == names


def test_least_score_of_look_alikes(page):
    """The slider leaves out sets of look-alikes below a score."""
    choose_look_alikes(page)
    page.evaluate("document.querySelector('#lowest').value = 0.7")
    page.dispatch_event("#lowest", "change")
    page.wait_for_function("() => document.querySelectorAll('#groups .tile').length === 3")
    assert list(tiles(page)) == ["blue/0.png", "blue/1.png", "blue/2.png"]


def test_a_pair(page, folder):
    """A pair shows both images with size, bytes, path and how the right one differs."""
    open_pair(page, "red/2.png")
    wait_for_title(page, "Pair 2 of 3: not decided")
    page.wait_for_function("() => document.querySelectorAll('#pair small').length === 6")
    left, right = page.eval_on_selector_all("#pair figcaption", "all => all.map((one) => one.innerText.split('\\n'))")
    assert left[0] == "red/0.png"
    assert right[0] == "red/2.png"
    assert right[1].startswith("64 x 48 pixels, ")
    assert right[2].endswith("photos/red/2.png")
    assert right[3] == "mirrored+cropped, shows 80\u00a0% of it, score 0.800"
    assert "id=red%2F0.png&other=red%2F2.png" in page.url


def test_blink(page):
    """B lays one over the other and alternates, B again sets them side by side."""
    open_pair(page, "red/1.png")
    page.keyboard.press("b")
    shown = "() => [...document.querySelectorAll('#pair figure')].map((one) => getComputedStyle(one).visibility).join()"
    for expected in ("visible,hidden", "hidden,visible", "visible,hidden"):
        page.wait_for_function(f"(expected) => ({shown})() === expected", arg=expected)
    wait_for_pictures(page)
    script = "all => all.map((one) => JSON.stringify(one.getBoundingClientRect()))"
    assert len(set(page.eval_on_selector_all("#pair figure", script))) == 1
    page.keyboard.press("B")
    assert page.evaluate(shown) == "visible,visible"


def test_blink_without_motion(page):
    """Where motion is to be reduced, each press alternates once, and nothing moves by itself."""
    page.emulate_media(reduced_motion="reduce")
    open_pair(page, "red/1.png")
    on_top = "document.querySelector('#pair-stage').className"
    classes = []
    for _ in range(3):
        page.keyboard.press("b")
        classes.append(page.evaluate(on_top))
    assert classes == ["stage blink", "stage blink right", "stage blink"]


def test_difference(page, address):
    """D shows the absolute difference of the two pictures, and says where these are not aligned."""
    open_pair(page, "red/1.png")
    page.keyboard.press("d")
    page.wait_for_selector("#pair-difference:not([hidden])")
    script = """() => {
        const { width, height } = document.querySelector("#pair-difference");
        const context = document.querySelector("#pair-difference").getContext("2d");
        return [width, height, ...context.getImageData(0, 0, width, height).data];
    }"""
    width, height, *values = page.evaluate(script)
    actual = np.array(values).reshape(height, width, 4)[..., :3]
    pictures = [page.request.get(f"{address}picture?id=red/{number}.png").body() for number in (0, 1)]
    left, right = (np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in pictures)
    assert np.abs(actual - np.abs(left - right)).mean() < 1
    assert "aligned" not in page.text_content("#pair-words")
    page.keyboard.press("n")
    wait_for_title(page, "Pair 2 of 3: not decided")
    assert page.is_hidden("#pair-difference")
    page.keyboard.press("d")
    page.wait_for_function(
        "() => document.querySelector('#pair-words').textContent.endsWith('The two are not aligned.')"
    )


def test_keys(page, address):
    """Keys decide, move on and take back; decisions are there after a reload, in both lists that can be fetched."""
    open_pair(page, "red/1.png")
    decide(page, "ArrowRight")
    wait_for_title(page, "Pair 2 of 3: not decided")
    decide(page, " ")
    wait_for_title(page, "Pair 3 of 3: not decided")
    decide(page, "1")
    wait_for_title(page, "Pair 3 of 3: left kept")
    decide(page, "u")
    wait_for_title(page, "Pair 3 of 3: not decided")
    page.keyboard.press("p")
    wait_for_title(page, "Pair 2 of 3: both kept")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.title === 'red/2.png'")
    page.reload()
    page.wait_for_selector("#groups .tile")
    assert [lines[-2] for lines in tiles(page).values()] == ["remove", "keep", "keep", "none"]
    with page.expect_download() as download:
        page.click("#duplicates-list")
    assert download.value.path().read_text() == (
        "group,id,kind,overlap,advice\n"
        '0,"red/0.png","",1,"remove"\n'
        '0,"red/1.png","re-encoded",1,"keep"\n'
        '0,"red/2.png","mirrored+cropped",0.8,"keep"\n'
        '0,"red/3.png","grey",1,"copy"\n'
    )
    with page.expect_download() as download:
        page.click("#decisions-list")
    expected = 'id,other,keep\n"red/0.png","red/1.png","other"\n"red/0.png","red/2.png","both"\n'
    assert download.value.path().read_text() == expected


def test_a_held_key(page):
    """A key that is held decides on one pair, not on all that follow."""
    open_pair(page, "red/1.png")
    for _ in range(3):
        page.keyboard.down("1")
    page.keyboard.up("1")
    wait_for_title(page, "Pair 2 of 3: not decided")


def test_undo_goes_back(page):
    """Undo returns to the pair that was decided last."""
    open_pair(page, "red/1.png")
    page.click("text=Keep left")
    wait_for_title(page, "Pair 2 of 3: not decided")
    page.keyboard.press("u")
    wait_for_title(page, "Pair 1 of 3: not decided")


def test_the_browsers_back(page):
    """Back closes a pair; its address opens it."""
    open_pair(page, "red/1.png")
    address = page.url
    page.go_back()
    page.wait_for_selector("#pair:not([open])", state="attached")
    page.goto(address)
    page.reload()
    wait_for_title(page, "Pair 1 of 3: not decided")


def test_look_alikes_by_key(page, address):
    """Look-alikes are gone through in the same way, opened by Enter."""
    choose_look_alikes(page)
    page.focus('#groups .tile[title="blue/2.png"]')
    page.keyboard.press("Enter")
    wait_for_title(page, "Pair 2 of 3: not decided")
    decide(page, "2")
    wait_for_title(page, "Pair 3 of 3: not decided")
    page.keyboard.press("Escape")
    page.wait_for_selector("#groups .kept")
    assert tiles(page)["blue/0.png"] == ["remove", "blue/0.png"]
    decisions = page.request.get(f"{address}decisions").json()["decisions"]
    assert decisions == [{"id": "blue/0.png", "other": "blue/2.png", "keep": "other"}]


def test_without_the_token(browser, address, folder):
    """Without the printed address decisions are kept in the tab, which says so, and can be fetched."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{address}#duplicates")
    page.wait_for_selector("#groups .tile")
    open_pair(page, "red/1.png")
    page.keyboard.press("1")
    page.wait_for_function(
        "() => /this tab only.*Open the address/.test(document.querySelector('#pair .decisions-words').textContent)"
    )
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.click("#decisions-list")
    assert download.value.path().read_text() == 'id,other,keep\n"red/0.png","red/1.png","id"\n'
    assert not (folder / "photos.index.decisions.jsonl").exists()
    page.evaluate("() => { location.hash = '#token=secret'; }")  # now it is opened
    page.wait_for_function("() => location.hash === ''")
    page.click("text=Duplicates")
    open_pair(page, "red/2.png")
    page.keyboard.press("3")
    page.wait_for_function(STORED)
    assert len(page.request.get(f"{address}decisions").json()["decisions"]) == 2
    context.close()


def test_two_tabs(page, address):
    """What one tab decides is shown in the other when one comes back to it."""
    other = page.context.new_page()
    other.goto(f"{address}#duplicates")
    other.wait_for_selector("#groups .tile")
    open_pair(other, "red/1.png")
    decide(other, "1")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#groups .wrong")
    assert tiles(page)["red/1.png"][-2] == "remove"
    other.close()


def test_a_pair_fits(page):
    """On a phone as on a desk a pair and its keys are on the screen, nothing wider than it."""
    open_pair(page, "red/1.png")
    wait_for_title(page, "Pair 1 of 3: not decided")
    page.wait_for_function("() => document.querySelectorAll('#pair small').length === 6")
    wait_for_pictures(page)
    script = "one => [one.scrollWidth, one.clientWidth, one.scrollHeight, one.clientHeight]"
    for scheme, side in itertools.product(("light", "dark"), (360, 1200)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": side, "height": 700})
        scroll_width, width, scroll_height, height = page.eval_on_selector("#pair", script)
        assert scroll_width <= width <= side
        assert scroll_height <= height
