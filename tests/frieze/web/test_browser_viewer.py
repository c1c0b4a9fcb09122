"""The viewer in a real Chromium: open, walk, zoom, label, search on, close."""

import itertools

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import frieze
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
KEY = "secret"
TITLES = "tiles => tiles.map((tile) => tile.title)"


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Where the labels are stored, of all tests: one of them labels."""
    return tmp_path_factory.mktemp("labels") / "labels.parquet"


@pytest.fixture(scope="module")
def address(served, world, labels):
    """Where the page over the world's photographs is served, with a file of labels."""
    thumbnails = labels.with_name("thumbnails")
    collection = open_collection(world / "photos.index", None, thumbnails, find_duplicates=find_copies, labels=labels)
    with served(collection, token=KEY) as address:
        yield address


@pytest.fixture
def page(browser, watched, address):
    """The page; whatever fails in it fails the test."""
    with watched(browser, f"{address}#token={KEY}", viewport={"width": 1200, "height": 800}) as opened:
        opened.wait_for_selector("#hits .tile")
        yield opened


def wait_for(page, selector, text):
    """Wait until an element has a text."""
    script = "([selector, text]) => document.querySelector(selector)?.textContent === text"
    page.wait_for_function(script, arg=[selector, text])


def open_viewer(page, image):
    """Click an image, and wait until it is shown."""
    page.click(f'#hits .tile[title="{image}"]')
    wait_for(page, "#viewer-title", image)
    page.wait_for_function(
        "() => { const one = document.querySelector('#viewer-image'); return one.complete && one.naturalWidth > 1; }"
    )


def is_open(page):
    """Return whether the viewer is open."""
    return page.evaluate("document.querySelector('#viewer').open")


def test_what_it_shows(page, world):
    """A click opens the image in full, with its columns, its nearest neighbours and its place in the list."""
    open_viewer(page, "blue/3.png")
    wait_for(page, "#viewer-place", "4 of 30")
    assert page.eval_on_selector("#viewer-image", "one => [one.naturalWidth, one.naturalHeight]") == [64, 48]
    page.wait_for_selector("#viewer-neighbours .tile")
    hits = frieze.search(world / "photos.index", "id:blue/3.png", k=9)["queries"][0]["hits"]
    assert page.eval_on_selector_all("#viewer-neighbours .tile", TITLES) == [hit["id"] for hit in hits[1:]]
    names = page.locator("#viewer-columns dt").all_text_contents()
    assert {"id", "label", "uri", "width", "height"} <= set(names)


def test_walk_and_close(page):
    """Arrows walk the list and stop at its ends; Escape closes, and the last one has the focus."""
    page.focus('#hits .tile[title="blue/0.png"]')
    page.keyboard.press("Enter")
    wait_for(page, "#viewer-title", "blue/0.png")
    page.keyboard.press("ArrowLeft")
    wait_for(page, "#viewer-place", "The first of 30 images")
    page.keyboard.press("ArrowRight")
    wait_for(page, "#viewer-title", "blue/1.png")
    page.keyboard.press("ArrowRight")
    wait_for(page, "#viewer-title", "blue/2.png")
    page.keyboard.press("Escape")
    page.wait_for_function("() => document.activeElement.title === 'blue/2.png'")
    assert not is_open(page)


def test_the_list_grows(page):
    """Behind the last image that is listed the next ones are fetched."""
    page.route("**/images?*n=60*", lambda route: route.continue_(url=route.request.url.replace("n=60", "n=4")))
    page.click("text=Classes")
    page.wait_for_function("() => document.querySelectorAll('#class-grid .tile').length === 8")
    page.click('#class-grid .tile[title="blue/7.png"]')
    wait_for(page, "#viewer-place", "8 of 10")
    page.keyboard.press("ArrowRight")
    wait_for(page, "#viewer-title", "blue/8.png")


def test_neighbours_and_back(page):
    """A click on a neighbour shows it; the browser's Back returns to the image before, and then to the page."""
    open_viewer(page, "red/0.png")
    page.wait_for_selector("#viewer-neighbours .tile")
    name = page.get_attribute("#viewer-neighbours .tile >> nth=1", "title")
    page.click("#viewer-neighbours .tile >> nth=1")
    wait_for(page, "#viewer-title", name)
    wait_for(page, "#viewer-place", "2 of 8 most similar to red/0.png")
    page.go_back()
    wait_for(page, "#viewer-title", "red/0.png")
    page.go_back()
    page.wait_for_function("() => document.activeElement.title === 'red/0.png'")
    assert not is_open(page)


def test_more_like_this(page):
    """The second action, button or M, searches for what is like it; Back returns to the list in one step."""
    open_viewer(page, "red/0.png")
    page.keyboard.press("m")
    wait_for(page, "#query-name", "red/0.png")
    assert not is_open(page)
    page.go_back()
    page.wait_for_function("() => /choose one/.test(document.querySelector('#hits-title').textContent)")


def test_zoom(page, world):
    """Keys and the wheel zoom; then all pixels are loaded from the file, and it is moved by dragging."""
    open_viewer(page, "red/0.png")
    with page.expect_response("**/original?id=red%2F0.png") as answer:
        page.keyboard.press("+")
    assert answer.value.body() == (world / "photos" / "red" / "0.png").read_bytes()
    page.wait_for_function("() => document.querySelector('#viewer-image').src.includes('/original')")
    page.hover("#viewer-stage")
    page.mouse.wheel(0, -800)
    transform = "document.querySelector('#viewer-image').style.transform"
    page.wait_for_function(f"() => /scale\\(1[0-9]/.test({transform})")
    before = page.evaluate(transform)
    page.mouse.down()
    page.mouse.move(300, 200)
    page.mouse.up()
    assert page.evaluate(transform) != before
    page.keyboard.press("0")
    assert page.evaluate(transform) == "translate(0px, 0px) scale(1)"


def test_labels_and_tags(page, labels):
    """A digit gives the label and goes on; a label and a tag can be typed, taken away, and undone."""
    open_viewer(page, "red/0.png")
    wait_for(page, "#viewer-label-words", "red (the table's)")
    page.fill("#viewer-label-name", "rose")
    page.press("#viewer-label-name", "Enter")
    wait_for(page, "#viewer-label-words", "rose")
    page.fill("#viewer-tag-name", "far")
    page.press("#viewer-tag-name", "Enter")
    page.wait_for_selector("#viewer-tags button")
    page.focus("#viewer-title")
    page.keyboard.press("ArrowRight")
    wait_for(page, "#viewer-title", "red/1.png")
    page.keyboard.press("4")
    wait_for(page, "#viewer-title", "red/2.png")
    rows = {row["id"]: (row["label"], row["tags"]) for row in pq.read_table(labels).to_pylist()}
    assert rows == {"red/0.png": ("rose", ["far"]), "red/1.png": ("rose", [])}
    page.keyboard.press("Control+z")
    page.keyboard.press("ArrowLeft")
    wait_for(page, "#viewer-label-words", "red (the table's)")


def test_where_a_click_selects(page):
    """Where a click selects, V, Enter and the tile's own button view the image."""
    page.check("#click-selects")
    page.click('#hits .tile[title="red/0.png"]')
    wait_for(page, "#selected-count", "1 image selected")
    for open_it in (
        lambda: page.keyboard.press("v"),
        lambda: page.keyboard.press("Enter"),
        lambda: page.click('.cell:has(.tile[title="red/0.png"]) .view'),
    ):
        open_it()
        page.wait_for_selector("#viewer[open]")
        page.keyboard.press("Escape")
        page.wait_for_selector("#viewer:not([open])", state="attached")
    wait_for(page, "#selected-count", "1 image selected")


def test_what_cannot_be_shown(page, labels, photos):
    """An image whose file is broken by now is named inside the viewer."""
    page.route(
        "**/picture?id=red*", lambda route: route.fulfill(status=200, body=b"no image", content_type="image/jpeg")
    )
    page.click('#hits .tile[title="red/0.png"]')
    wait_for(page, "#viewer .message", "red/0.png cannot be shown.")


def test_names_for_those_who_do_not_see(page):
    """The viewer, its buttons and its picture have names."""
    open_viewer(page, "red/0.png")
    assert page.get_by_role("dialog", name="red/0.png").count() == 1
    assert page.locator("#viewer-stage").get_by_role("img", name="red/0.png").count() == 1
    for name in ("Previous image", "Next image", "Zoom in", "Zoom out", "More like this M", "Close Esc"):
        assert page.get_by_role("button", name=name).count() == 1, name


def test_nothing_sticks_out(page):
    """On a phone as on a desk the picture and its buttons are on the screen, nothing wider than it."""
    open_viewer(page, "red/0.png")
    page.wait_for_selector("#viewer-neighbours .tile")
    for scheme, width in itertools.product(("light", "dark"), (360, 1200)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.querySelector('#viewer').scrollWidth") <= width
        box = page.eval_on_selector("#viewer-close", "one => one.getBoundingClientRect().toJSON()")
        assert (box["right"] <= width, box["bottom"] <= 700) == (True, True)


def test_photographs(browser, served, tmp_path, data_dir):
    """A photograph of a camera shows what the camera wrote, upright."""
    exif = Image.Exif()
    exif.update({0x010F: "Canon", 0x0110: "Canon EOS 5D", 0x0112: 6})
    folder = tmp_path / "photos"
    folder.mkdir()
    source = next((data_dir / "images" / "flowers_ccby_200" / "daisy").glob("*.jpg"))
    for number in range(12):
        with Image.open(source) as image:
            image.crop((0, 0, 200, 100 + number)).save(folder / f"{number}.jpg", exif=exif)
    frieze.embed(folder, out=tmp_path / "f")
    frieze.index(tmp_path / "f", out=tmp_path / "i")
    with served(open_collection(tmp_path / "i", None, tmp_path / "thumbnails", find_duplicates=find_copies)) as address:
        page = browser.new_page()
        page.goto(address)
        page.click('.tile[title="3.jpg"]')
        page.wait_for_function("() => document.querySelectorAll('#viewer-exif dd').length === 2")
        assert page.locator("#viewer-exif dd").all_text_contents() == ["Canon EOS 5D", "turned by 90 degrees"]
        page.wait_for_function("() => document.querySelector('#viewer-image').naturalHeight === 200")
        assert page.locator("#viewer-labels").count() == 0
        page.close()


PIXELS = """async () => {
    const image = document.querySelector("#query-image");
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return [canvas.width, canvas.height, [...context.getImageData(0, 0, canvas.width, canvas.height).data]];
}"""


def test_a_part_by_key(page, photos):
    """P draws a box in the middle, arrows move it, Shift and arrows size it, Enter searches for just its pixels."""
    open_viewer(page, "blue/3.png")
    for key in ("p", "ArrowLeft", "ArrowLeft", "Shift+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    wait_for(page, "#query-name", "part of 3.png.png")
    page.wait_for_selector("#query-crop:not([hidden])")
    width, height, pixels = page.evaluate(PIXELS)
    assert (width, height) == (31, 24)
    with Image.open(photos / "blue" / "3.png") as image:
        left = (0.25 - 2 * 0.02) * 64
        inner = image.convert("RGBA").crop((round(left) + 1, 12, round(left) + 29, 36))
    columns = np.array(pixels).reshape(24, 31, 4)[:, 1:-2].astype(int)
    assert np.abs(columns - np.array(inner).astype(int)).mean() < 12
    assert page.is_hidden("#copy-command")
    assert page.eval_on_selector_all("#hits .tile", TITLES)[0].startswith("blue/")


def test_a_part_by_dragging(page):
    """Shift and dragging draws a box, Escape takes it away and leaves the viewer open; then a drag draws none."""
    open_viewer(page, "blue/3.png")
    stage = page.locator("#viewer-stage").bounding_box()
    middle = (stage["x"] + stage["width"] / 2, stage["y"] + stage["height"] / 2)

    def drag():
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 90, middle[1] + 60, steps=3)
        page.mouse.up()

    page.keyboard.down("Shift")
    drag()
    page.keyboard.up("Shift")
    box = page.locator(".viewer-part").bounding_box()
    assert (box["width"], box["height"]) == (pytest.approx(90, abs=3), pytest.approx(60, abs=3))
    page.keyboard.press("Escape")
    page.wait_for_selector(".viewer-part", state="hidden")
    assert is_open(page)
    drag()
    assert page.is_hidden(".viewer-part")
    page.keyboard.press("p")
    page.keyboard.press("ArrowRight")
    page.click("#viewer-search-part")
    wait_for(page, "#query-name", "part of 3.png.png")
    assert not is_open(page)


def test_the_keys(page):
    """`?` shows the keys of all views, also above the viewer; not while one types."""
    page.keyboard.press("?")
    page.wait_for_selector("#help[open] :text('give the label of that number')")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    open_viewer(page, "blue/3.png")
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("Escape")
    assert is_open(page)
    page.keyboard.press("Escape")
    page.wait_for_function("() => !document.querySelector('#viewer').open")
    page.click("#where")
    page.keyboard.type("id = '?'")
    assert page.is_hidden("#help")
    assert page.is_hidden("#message")
