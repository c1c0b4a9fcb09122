"""The page in a real Chromium: what a person does, and sees."""

import itertools
import json
import re
import shutil

import pytest

import frieze
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def hostile(world, tmp_path_factory):
    """The world's photographs, with a copy under names that are markup; its index, head and duplicates."""
    folder = tmp_path_factory.mktemp("hostile")
    photos = shutil.copytree(world / "photos", folder / "photos")
    (photos / HOSTILE).mkdir()
    for number in range(5):
        shutil.copy(photos / "red" / f"{number}.png", photos / HOSTILE / f"{number}'\".png")
    frieze.embed(photos, out=folder / "f")
    frieze.index(folder / "f", out=folder / "photos.index")
    frieze.train(folder / "f", out=folder / "head")
    return folder


@pytest.fixture(scope="module")
def address(hostile, served):
    """Where the page is served, on a port of its own."""
    collection = open_collection(
        hostile / "photos.index", hostile / "head", hostile / "thumbnails.sqlite", find_duplicates=find_copies
    )
    with served(collection) as address:
        yield address


@pytest.fixture
def page(browser, address):
    """The page, opened; whatever it logs, asks elsewhere or lets run fails the test."""
    opened = browser.new_page()
    complaints = []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
    opened.on(
        "request",
        lambda request: None if request.url.startswith((address, "blob:")) else complaints.append(request.url),
    )
    opened.goto(address)
    opened.wait_for_selector("#hits .tile")
    yield opened
    assert [one for one in complaints if "400" not in one and "404" not in one] == []
    opened.close()


def ids(page, grid="#hits"):
    """Return the ids of a grid's tiles."""
    return page.eval_on_selector_all(f"{grid} .tile", "tiles => tiles.map((tile) => tile.title)")


def wait_for_text(page, selector, pattern):
    """Wait until an element's text matches; return it."""
    page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent)",
        arg=[selector, pattern],
    )
    return page.text_content(selector)


def test_an_image_is_dropped(page, hostile):
    """A dropped image shows the right neighbours, its crop and the head's label."""
    path = hostile / "photos" / "green" / "4.png"
    page.evaluate(
        """async (bytes) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "mine.png", { type: "image/png" }));
            document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        list(path.read_bytes()),
    )
    wait_for_text(page, "#hits-title", r"\d+ most similar")
    expected = frieze.search(hostile / "photos.index", path, k=48)["queries"][0]["hits"]
    assert ids(page) == [hit["id"] for hit in expected]
    assert wait_for_text(page, "#query-prediction", "green").startswith("green, ")
    page.wait_for_function("() => document.querySelector('#crop-image').naturalWidth === 128")


def test_a_chosen_file(page, hostile):
    """A file may be chosen as well."""
    page.set_input_files("#file", hostile / "photos" / "blue" / "1.png")
    wait_for_text(page, "#hits-title", "most similar")
    assert ids(page)[0] == "blue/1.png"


def like(page, image, grid="#hits"):
    """Press "More like this" on the tile of an image."""
    cell = page.locator(f"{grid} .cell").nth(ids(page, grid).index(image))
    cell.hover()
    cell.locator(".like").click()


def test_click_through(page):
    """What is like an image is shown by its second action, and back goes back."""
    like(page, "red/2.png")
    wait_for_text(page, "#query-name", "red/2.png")
    wait_for_text(page, "#hits-title", "most similar")
    first = ids(page)[0]
    like(page, first)
    wait_for_text(page, "#query-name", re.escape(first))
    page.go_back()
    wait_for_text(page, "#query-name", r"^red/2\.png$")
    page.go_back()
    wait_for_text(page, "#hits-title", "of 35 images: choose one")
    assert page.is_hidden("#query")


def test_a_click_shows_the_best_first(page):
    """Whoever clicks far down sees the new results from their beginning."""
    page.set_viewport_size({"width": 390, "height": 400})
    like(page, ids(page)[-1])
    wait_for_text(page, "#hits-title", "most similar")
    page.wait_for_function("() => scrollY === 0")


def test_back_to_an_uploaded_image(page, hostile):
    """Back returns to an uploaded image, too, and Search starts again."""
    page.set_input_files("#file", hostile / "photos" / "blue" / "1.png")
    wait_for_text(page, "#hits-title", "most similar")
    like(page, "blue/2.png")
    wait_for_text(page, "#query-name", r"^blue/2\.png$")
    page.go_back()
    wait_for_text(page, "#query-name", r"^1\.png$")
    page.click('nav a[href="#search"]')
    wait_for_text(page, "#hits-title", "choose one")


def test_filter(page, hostile):
    """A filter leaves what passes; one that can't be read says what is wrong."""
    page.fill("#name", "red/2.png")
    page.fill("#where", "label = 'blue'")
    page.press("#where", "Enter")
    wait_for_text(page, "#hits-title", "10 most similar")
    assert {one.split("/")[0] for one in ids(page)} == {"blue"}
    page.fill("#where", "colour = 3")
    page.press("#where", "Enter")
    assert "colour" in wait_for_text(page, "#message", "colour")
    assert ids(page) == []


def test_filter_alone(page):
    """Without an image a filter chooses what is shown; one that can't be read shows nothing."""
    page.fill("#where", "label = 'blue'")
    page.press("#where", "Enter")
    wait_for_text(page, "#hits-title", "10 of 10 images")
    page.fill("#where", "label = 'pink'")
    page.press("#where", "Enter")
    wait_for_text(page, "#hits-title", "No image passes")
    page.fill("#where", "colour = 3")
    page.press("#where", "Enter")
    wait_for_text(page, "#hits-title", "Nothing found")
    assert ids(page) == []


def test_least_score(page):
    """The slider leaves out what is less alike."""
    page.fill("#name", "red/2.png")
    page.press("#name", "Enter")
    wait_for_text(page, "#hits-title", "34 most similar")
    scores = [float(text) for text in page.locator("#hits .score").all_text_contents()]
    edges = [number / 100 for number in range(-99, 100) if scores[-1] < number / 100 < scores[0]]
    least = next(edge for edge in edges if all(abs(score - edge) > 0.001 for score in scores))  # they are told rounded
    page.evaluate(f"document.querySelector('#least').value = {least}")
    page.dispatch_event("#least", "change")
    wait_for_text(page, "#hits-title", f"^{sum(score >= least for score in scores)} most similar")


@pytest.mark.parametrize("path", ["picture?id=blue/4.png", "#search?id=blue%2F4.png"])
def test_an_address_of_the_page(page, address, path):
    """The address of an image of this page, or of a search, is as good as its id."""
    page.fill("#name", f"{address}{path}")
    page.press("#name", "Enter")
    wait_for_text(page, "#query-name", r"^blue/4\.png$")


def test_broken_upload(page, hostile):
    """What is no image gets a clear message, and the page resumes."""
    page.set_input_files("#file", hostile / "photos" / "broken.jpg")
    assert "not an image" in wait_for_text(page, "#message", "can't be used")
    page.set_input_files("#file", hostile / "photos" / "red" / "0.png")
    wait_for_text(page, "#hits-title", "most similar")
    assert page.is_hidden("#message")


def test_names_are_no_markup(page):
    """A label and an id that are markup are shown as they are."""
    page.click("text=Classes")
    page.select_option("#label", HOSTILE)
    wait_for_text(page, "#label-count", "5 images")
    assert ids(page, "#class-grid") == [f"{HOSTILE}/{number}'\".png" for number in range(5)]
    page.focus("#class-grid .tile")
    page.keyboard.press("m")
    wait_for_text(page, "#query-name", "onerror")
    wait_for_text(page, "#hits-title", "most similar")


def test_classes(page):
    """Each class shows its images."""
    page.click("text=Classes")
    page.select_option("#label", "green")
    wait_for_text(page, "#label-count", "10 images")
    assert ids(page, "#class-grid") == [f"green/{number}.png" for number in range(10)]


def test_a_late_response_changes_no_count(page):
    """The count stays that of the class chosen last, when the images of the one before it come later."""
    held = []

    def hold(route):
        held.append(route)

    late = re.compile(r"/images\?.*label=(?!green)")
    page.route(late, hold)
    with page.expect_request(late):
        page.click("text=Classes")
    page.select_option("#label", "green")
    wait_for_text(page, "#label-count", "10 images")
    with page.expect_response(late):
        held[-1].continue_()
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert page.text_content("#label-count") == "10 images"


def test_duplicates(page, hostile):
    """Groups stand side by side, the one to keep marked, and the list can be fetched."""
    page.click("text=Duplicates")
    wait_for_text(page, "#duplicates-words", "groups among 35 images")
    expected = frieze.duplicates(hostile / "photos.index")["groups"]
    assert ids(page, "#groups") == [one for group in expected for one in group["ids"]]
    assert page.locator("#groups .keep").count() == len(expected)
    with page.expect_download() as download:
        page.click("#duplicates-list")
    lines = download.value.path().read_text().splitlines()
    assert lines[0] == "group,id,kind,overlap,advice"
    assert len(lines) == 1 + sum(len(group["ids"]) for group in expected)


def test_map(page, address):
    """The map shows every image; hovering shows one, a lasso lists those inside."""
    page.click("text=Map")
    wait_for_text(page, "#map-words", "35 images")
    page.check("#lasso")
    box = page.locator("#canvas").bounding_box()
    corners = [(2, 2), (box["width"] - 2, 2), (box["width"] - 2, box["height"] - 2), (2, box["height"] - 2)]
    page.mouse.move(box["x"] + 2, box["y"] + 2)
    page.mouse.down()
    for left, top in [*corners, corners[0]]:
        page.mouse.move(box["x"] + left, box["y"] + top, steps=4)
    page.mouse.up()
    wait_for_text(page, "#chosen-title", "35 images inside")
    assert len(ids(page, "#chosen-grid")) == 35
    points = page.request.get(f"{address}map").json()
    across, up = (max(2 * abs(place - 0.5) for place in points[axis]) for axis in "xy")  # they fill the plane
    side = 0.94 * min(box["width"] / across, box["height"] / up)
    left, top = box["width"] / 2 + (points["x"][7] - 0.5) * side, box["height"] / 2 - (points["y"][7] - 0.5) * side
    page.mouse.move(box["x"] + left, box["y"] + top)
    wait_for_text(page, "#hover figcaption", re.escape(points["ids"][7]))


def test_a_map_without_a_server(browser, hostile, tmp_path):
    """The page of `frieze map` works from its file: points, thumbnails and the list, and it loads nothing else."""
    frieze.map(hostile / "f", out=tmp_path / "map.html")
    opened, problems = browser.new_page(), []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
    opened.goto((tmp_path / "map.html").as_uri())
    wait_for_text(opened, "#map-words", "35 images by PCA; the plane keeps")
    opened.click("#list")
    wait_for_text(opened, "#chosen-title", "35 images inside")
    opened.wait_for_function("() => document.querySelector('#chosen-grid img').naturalWidth > 0")
    assert (len(ids(opened, "#chosen-grid")), problems) == (35, [])
    opened.close()


def test_a_stale_index(browser, served, hostile, tmp_path):
    """Where the table has changed since the index was made, a line of the page says so, in every view."""
    table = shutil.copytree(hostile / "f", tmp_path / "f")
    frieze.index(table, out=tmp_path / "i")
    shutil.rmtree(table)
    frieze.embed(hostile / "photos" / "red", out=table)
    with served(open_collection(tmp_path / "i", None, tmp_path / "t", find_duplicates=find_copies)) as address:
        opened = browser.new_page()
        opened.goto(address)
        opened.wait_for_selector("#hits .tile")
        for view in ("classes", "search"):
            opened.click(f'nav a[href="#{view}"]')
            assert "from an older state of its table" in opened.text_content("#stale")
            assert opened.is_visible("#stale")
        opened.close()


def test_mistakes(page):
    """The head's mistakes are reported, or that there are none."""
    page.click("text=Mistakes")
    wait_for_text(page, "#mistakes-words", r"images? that the head takes for another|takes every image")


def test_keyboard(page):
    """All of it works without a mouse: the first image is reached by keys, and M on it finds more like it."""
    page.focus("#hits .tile")
    first = ids(page)[0]
    page.keyboard.press("m")
    wait_for_text(page, "#query-name", re.escape(first))
    page.wait_for_function("() => document.activeElement.id === 'hits-title'")
    second = ids(page)[0]
    for key in ("Tab", "Tab", "Tab", "m"):  # past the two copies
        page.keyboard.press(key)
    wait_for_text(page, "#query-name", re.escape(second))


def test_map_by_keys(page):
    """On the map keys show the image in the middle, open it, and list what is in view."""
    page.click("text=Map")
    wait_for_text(page, "#map-words", "35 images")
    page.focus("#list")
    page.keyboard.press("Enter")
    wait_for_text(page, "#chosen-title", "^35 images inside")
    page.focus("#canvas")
    page.keyboard.press("+")
    shown = wait_for_text(page, "#hover figcaption", "png$").split(": ")[1]
    page.keyboard.press("Enter")
    wait_for_text(page, "#viewer-title", re.escape(shown))
    page.keyboard.press("m")
    wait_for_text(page, "#query-name", re.escape(shown))


def test_pinch(page):
    """Two fingers zoom into the map."""
    page.click("text=Map")
    wait_for_text(page, "#map-words", "35 images")
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)
    for kind, apart in [("touchStart", 10), ("touchMove", 40), ("touchMove", 160)]:
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.click("#list")
    assert int(wait_for_text(page, "#chosen-title", "inside").split()[0]) < 35


def test_copies(page, browser, hostile):
    """A search can be copied as JSON and as a command line."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.fill("#name", "red/2.png")
    page.fill("#where", "label = 'blue'")
    page.press("#where", "Enter")
    wait_for_text(page, "#hits-title", "10 most similar")
    page.click("#copy-command")
    wait_for_text(page, "#copy-command", "Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    assert (
        command == f"frieze search '{hostile / 'photos.index'}' 'id:red/2.png' -k 48 --where 'label = '\\''blue'\\'''"
    )
    page.click("#copy-json")
    wait_for_text(page, "#copy-json", "Copied")
    document = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert document == frieze.search(hostile / "photos.index", "id:red/2.png", k=48, where="label = 'blue'")


SHOWN = {
    "search": "#hits .tile",
    "classes": "#class-grid .tile",
    "mistakes": "#mistakes-words:text('image')",
    "duplicates": "#groups .tile",
    "map": "#map-words:text('35 images')",
}
"""View -> the selector of what is there once it is shown."""


@pytest.mark.parametrize("view", SHOWN)
def test_nothing_sticks_out(page, view):
    """On a phone as on a desk, in both themes, nothing is wider than the screen."""
    page.click(f'nav a[href="#{view}"]')
    page.wait_for_selector(SHOWN[view])
    for scheme, width in itertools.product(("light", "dark"), (360, 1200)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_picture_has_words(page):
    """Every picture has an alternative text, and every field a label."""
    assert page.evaluate("[...document.querySelectorAll('.tile img')].every((one) => one.alt)")
    assert page.evaluate("[...document.querySelectorAll('input, select')].every((one) => one.labels.length)")


def test_picture_in_another_size(page, address):
    """An image of the collection is given larger, as a JPEG."""
    answer = page.request.get(f"{address}picture?id=red/0.png", headers={"origin": address.rstrip("/")})
    assert answer.headers["content-type"] == "image/jpeg"
