"""The page's map in a real Chromium: drawn, coloured, and one selection with the search."""

import io

import numpy as np
import pytest
from PIL import Image

import frieze
from frieze.api.confirming import find_copies
from frieze.web.collection import open_collection

pytestmark = pytest.mark.slow
COLOURS = {"blue": (30, 40, 220), "green": (40, 190, 60), "red": (220, 40, 40)}


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """The index of 60 small pictures in three colours."""
    folder, rng = tmp_path_factory.mktemp("map"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.clip(rng.normal(colour, 25, (32, 32, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number:02}.png")
    frieze.embed(folder / "photos", out=folder / "f")
    frieze.index(folder / "f", out=folder / "i")
    return folder / "i"


@pytest.fixture
def address(index, served, labels, tmp_path):
    """Where the page is served, with a file of labels and its token."""
    collection = open_collection(index, None, tmp_path / "t", find_duplicates=find_copies, labels=labels)
    with served(collection, token="t") as address:  # noqa: S106  of a test
        yield address


@pytest.fixture
def page(browser, address, watched):
    """The map, laid out."""
    with watched(browser, f"{address}#token=t", viewport={"width": 1000, "height": 1300}) as page:
        page.wait_for_selector("#hits .tile")
        page.click("nav a[href='#map']")
        wait_for(page, "#map-words", "^60 images by t-SNE")
        page.wait_for_selector("#legend button")
        yield page


def wait_for(page, selector, pattern):
    """Wait until an element's text matches; return it."""
    page.wait_for_function(
        "([selector, pattern]) => new RegExp(pattern).test(document.querySelector(selector)?.textContent)",
        arg=[selector, pattern],
    )
    return page.text_content(selector)


def draw_lasso(page, share=0.98):
    """Draw a lasso around the middle of the map, as wide as a share of it."""
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    across, up = share * box["width"] / 2, share * box["height"] / 2
    page.check("#lasso")
    page.mouse.move(x - across, y - up)
    page.mouse.down()
    for left, top in ((across, -up), (across, up), (-across, up), (-across, -up)):
        page.mouse.move(x + left, y + top, steps=5)
    page.mouse.up()


def pixels(page):
    """Return what is seen of the map, uint8 [h, w, 3]."""
    with Image.open(io.BytesIO(page.locator(".plane").screenshot())) as picture:
        return np.asarray(picture.convert("RGB"))


def colours_seen(page):
    """Return whether each colour of the legend is seen on the map."""
    fills = page.eval_on_selector_all("#legend circle", "all => all.map((one) => one.getAttribute('fill'))")
    seen = pixels(page)
    return [bool((seen == [int(value) for value in fill[4:-1].split(",")]).all(axis=2).any()) for fill in fills]


def test_points_have_the_colours_of_the_legend(page):
    """Points have the colours of the legend; coloured by nothing they are grey."""
    assert colours_seen(page) == [True] * 3
    before = pixels(page)
    page.select_option("#colour", "")
    page.wait_for_function("() => !document.querySelector('#legend li')")
    assert (pixels(page) != before).any()


def test_a_card_draws_by_webgl(browser, address, watched):
    """Where WebGL does not say that it is software, it draws the points, with what passes no filter faint."""
    with watched(browser, "about:blank") as page:
        page.add_init_script("WebGL2RenderingContext.prototype.getParameter = () => 'A card';")
        page.goto(f"{address}#map")
        page.wait_for_selector("#legend button")
        assert page.evaluate("() => document.querySelector('#points').getContext('webgl2') !== null")
        assert colours_seen(page) == [True] * 3
        page.click("#legend button:has-text('green')")
        wait_for(page, "#map-count", "^20 images shown")
        page.wait_for_function("() => document.querySelector('#legend [aria-pressed=true]')")
        assert sum(colours_seen(page)) == 1


def test_regions_are_named(page):
    """A value's name stands where most of the points are its own, and nowhere where it is always among others."""
    names = page.evaluate(
        """async () => {
        const { nameRegions } = await import('/static/region_names.js');
        const spread = (x, y, codes) => codes.map((code, n) => [x + 0.001 * n, y, code]);
        const [low, high] = [spread(0.2, 0.2, [0, 0, 0, 0, 2]), spread(0.8, 0.7, [1, 1, 1, 1, 1, 2, 2])];
        const all = [...low, ...high, ...spread(0.5, 0.9, [0])];
        const xy = Float32Array.from(all.flatMap(([x, y]) => [x, y]));
        return nameRegions(xy, Uint8Array.from(all.map(([, , code]) => code)), 3);
        }"""
    )
    assert [(one["code"], round(one["x"], 1), round(one["y"], 1)) for one in names] == [(0, 0.2, 0.2), (1, 0.8, 0.7)]


def test_a_lasso_is_shared(page):
    """A lasso and a click in the legend filter map, grid and facets, by the address; each is removed by its chip."""
    draw_lasso(page)
    wait_for(page, "#chosen-title", "^60 images inside")
    page.click("#legend button:has-text('green')")
    wait_for(page, "#chosen-title", "^20 images inside")
    wait_for(page, "#map-count", "^20 images shown")
    page.click("text=Show in the search")
    wait_for(page, "#hits-title", "^20 of 20 images")
    wait_for(page, "#facets-words", "^20 of 60 images")
    assert page.input_value("#where") == "label = 'green'"
    page.click("#hits-lasso .chip")
    page.wait_for_function("() => !location.hash.includes('lasso')")
    page.go_back()
    page.click("nav a:has-text('Map')")
    wait_for(page, "#chosen-title", "^20 images inside")
    page.click("#map-filter .chip >> nth=0")
    wait_for(page, "#chosen-title", "^60 images inside")
    page.click("#map-filter .chip")
    page.wait_for_function("() => document.querySelector('#chosen').hidden && location.hash === '#map'")


def test_what_is_inside_is_labelled(page):
    """All images inside are selected, also those that are not listed, and get a label."""
    page.click("#legend button:has-text('red')")
    draw_lasso(page)
    wait_for(page, "#chosen-title", "^20 images inside")
    page.click("#copy-chosen")
    wait_for(page, "#selected-count", "^20 images selected")
    page.fill("#label-name", "warm")
    page.press("#label-name", "Enter")
    wait_for(page, "#selected-count", "^Nothing selected")
    counts = page.evaluate("async () => (await (await fetch('/labels')).json()).columns.label")
    assert counts == {"warm": 20}


def test_near_points_are_pictures(page):
    """Where few points are in view they are pictures: the colours of the photographs are seen."""
    page.wait_for_function(
        """() => { const canvas = document.querySelector('#canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return data.filter((value, at) => at % 4 === 3 && value === 255).length > 6000; }"""
    )
    seen = pixels(page).reshape(-1, 3).astype(int)
    for colour in COLOURS.values():
        assert (np.abs(seen - colour).max(axis=1) < 30).sum() > 500
