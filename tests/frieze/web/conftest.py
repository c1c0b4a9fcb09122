"""The page over the small world, asked without a browser."""

import contextlib
import shutil
import threading

import pytest
import uvicorn
from fastapi.testclient import TestClient

import frieze
from frieze.api.confirming import find_copies
from frieze.web.app import make_app
from frieze.web.collection import open_collection

WRONG = {"blue/0.png": "red", "green/1.png": "blue"}


@contextlib.contextmanager
def serve_page(collection, **options):
    """Serve the page of a collection on a port of its own, and close both afterwards; yield the address."""
    server = uvicorn.Server(uvicorn.Config(make_app(collection, **options), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)  # leaves the processor to the server
    try:
        yield f"http://localhost:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:  # else the thread of a test that failed keeps the process
        server.should_exit = True
        thread.join()
        collection.close()


@pytest.fixture(scope="session")
def served():
    """Return `serve_page`, a context manager for tests that open the page in a browser."""
    return serve_page


@contextlib.contextmanager
def open_watched(browser, address, **options):
    """Open an address in a context of its own; whatever fails in the page fails the test."""
    context = browser.new_context(**options)
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.goto(address)
    yield opened
    assert complaints == []
    context.close()


@pytest.fixture(scope="session")
def watched():
    """Return `open_watched`, a context manager for tests of the page in a browser."""
    return open_watched


@pytest.fixture
def labels(tmp_path):
    """Where the labels are stored."""
    return tmp_path / "labels.parquet"


@pytest.fixture(scope="session")
def collection(world, tmp_path_factory):
    """The world's index and head, opened for the page."""
    thumbnails = tmp_path_factory.mktemp("cache") / "thumbnails.sqlite"
    opened = open_collection(world / "photos.index", world / "photos.head", thumbnails, find_duplicates=find_copies)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def noisy(world, tmp_path_factory):
    """An index of the world's photographs with two wrong labels."""
    folder = tmp_path_factory.mktemp("noisy")
    table = frieze.open_features(world / "photos.features")
    rows = [f"{name},{WRONG.get(name, label)}" for name, label in zip(table.ids, table.labels, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["id,label", *rows]))
    frieze.embed(world / "photos", out=folder / "f", labels=folder / "labels.csv")
    frieze.index(folder / "f", out=folder / "photos.index")
    return folder / "photos.index"


@pytest.fixture(scope="session")
def page(collection):
    """Ask the page: `page.get("/search?...")`; an error of ours is an answer, not an exception here."""
    return TestClient(make_app(collection), base_url="http://localhost:8501", raise_server_exceptions=False)


@pytest.fixture
def later(page):
    """Ask until what is made in the background is there."""

    def ask(path):
        while (answer := page.get(path)).status_code == 202:
            pass
        return answer

    return ask


@pytest.fixture(scope="module")  # its event loop must not outlast it
def browser():
    """Debian's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium: apt install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield chromium
        chromium.close()
