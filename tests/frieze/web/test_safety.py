"""Security of the page: hostile pages, names and files."""

import asyncio
import io
import struct
import threading
import types
import zlib

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from frieze.web.app import make_app
from frieze.web.inference import MAX_BYTES
from frieze.web.middleware import Guard


def test_every_answer_is_guarded(page):
    """Every answer carries a policy that lets nothing of others run."""
    for path in ("/", "/collection", "/static/app.js", "/thumbnail?id=red/0.png", "/nowhere", "/search"):
        headers = page.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8501", "localhost.evil.example", "", "127.0.0.1.evil.example"]
)
def test_foreign_host(page, host):
    """A name that is made to point here is not answered (DNS rebinding)."""
    assert page.get("/collection", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("host", ["localhost:8501", "LOCALHOST:1", "127.0.0.1:8501", "[::1]:8501", "192.168.1.5:8501"])
def test_hosts_of_the_server(page, host):
    """Loopback's names are answered, and so is an address in numbers, which nobody can make point elsewhere."""
    assert page.get("/collection", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:9999", "null", "http://localhost:8501.evil.example"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_foreign_origin(page, method, origin):
    """What another site's page sends is refused."""
    assert page.request(method, "/search?id=red/0.png", headers={"origin": origin}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_foreign_site(page, site):
    """So is what it embeds, such as a picture; a link to the page is followed."""
    headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
    assert page.get("/thumbnail?id=red/0.png", headers=headers).status_code == 403
    assert page.get("/", headers=headers | {"sec-fetch-mode": "navigate"}).status_code == 200


def test_the_same_origin(page):
    """The page's own requests are answered."""
    headers = {"origin": "http://localhost:8501", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    assert page.get("/search?id=red/0.png", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "file:///etc/passwd",
        "red/../../notes.txt",
        "notes.txt",
        "\x00",
        "red/0.png\x00.jpg",
    ],
)
@pytest.mark.parametrize("call", ["thumbnail", "picture", "image", "search"])
def test_paths_are_no_ids(page, call, name):
    """Only images of the index are given: a path is an id that is not there."""
    answer = page.get(f"/{call}", params={"id": name})
    assert answer.status_code == 400
    assert "root:" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/app.py", "/docs"],
)
def test_files_of_ours_alone(page, path):
    """Nothing but the page's files lies below /static."""
    assert page.get(path).status_code == 404


def bomb():
    """Return a PNG of 30,000 x 30,000 pixels in a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_bomb(page):
    """An image that would unfold to gigabytes is refused before a pixel is decoded."""
    answer = page.post("/search", content=bomb())
    assert (answer.status_code, "too large" in answer.json()["detail"]) == (400, True)


def test_too_many_bytes(page):
    """A body beyond the limit is refused by its stated length, and where none is stated while it comes in."""
    assert page.post("/search", content=b"0" * (MAX_BYTES + 1)).status_code == 413
    assert page.post("/search", content=iter([b"0" * (1 << 20)] * ((MAX_BYTES >> 20) + 2))).status_code == 413


@pytest.mark.parametrize(
    "kind", ["text/html", "multipart/form-data; boundary=x", "image/svg+xml", "application/json", ""]
)
def test_content_types(page, kind):
    """What a body is called does not matter: it is an image or it is refused."""
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "PNG")
    assert page.post("/crop", content=file.getvalue(), headers={"content-type": kind}).status_code == 200
    assert page.post("/crop", content=b"<svg onload=alert(1)>", headers={"content-type": kind}).status_code == 400


def test_busy(collection):
    """Where too many wait, the next one is reported so at once; those that wait are answered."""
    page = TestClient(make_app(collection), base_url="http://localhost")
    gate = threading.Event()
    blocker = threading.Thread(target=collection.inference._run_queued, args=(gate.wait,))
    blocker.start()
    for _ in range(7):
        threading.Thread(target=collection.inference._run_queued, args=(lambda: None,), daemon=True).start()
    while collection.inference._queue_slots._value:
        pass
    answer = page.post("/search", content=b"anything")
    gate.set()
    blocker.join()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    while page.post("/search", content=b"anything").status_code == 503:
        pass


def test_no_traces(collection, monkeypatch):
    """A bug of ours is answered without a word of our code."""
    monkeypatch.setattr(collection, "describe", lambda: 1 / 0)
    page = TestClient(make_app(collection), base_url="http://localhost", raise_server_exceptions=False)
    answer = page.get("/collection")
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")


UPLOAD = {
    "type": "http",
    "method": "POST",
    "path": "/search",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"content-length", b"1000")],
}


def test_an_upload_that_is_broken_off(collection):
    """Who goes away while an image is sent leaves no trace of an error."""
    coming = iter([{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive():
        return next(coming)

    async def send(message):
        sent.append(message)

    asyncio.run(make_app(collection)(UPLOAD, receive, send))
    assert sent[0]["status"] == 400


def test_the_server_ends(collection):
    """A request that the server's end breaks off is answered so, and leaves no trace of an error either."""
    sent = []

    async def receive():
        task.cancel()
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def ask():
        nonlocal task
        task = asyncio.create_task(make_app(collection)(UPLOAD, receive, send))
        await task

    task = None
    asyncio.run(ask())
    assert sent[0]["status"] == 503


def test_an_upload_that_stops(collection, monkeypatch):
    """A stalled upload is aborted, and its slot is free for the next one."""
    monkeypatch.setattr("frieze.web.middleware._GRACE_S", 0.01)
    coming = iter([{"type": "http.request", "body": b"half", "more_body": True}])
    sent = []

    async def receive():
        message = next(coming, None)
        return message or await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    app = make_app(collection)
    for _ in range(12):
        asyncio.run(app(UPLOAD, receive, send))
    answers = [message for message in sent if message["type"] == "http.response.start"]
    assert [message["status"] for message in answers] == [408] * 12
    assert (b"connection", b"close") in answers[0]["headers"]


def test_an_upload_that_is_slow_but_comes(collection, monkeypatch):
    """What comes at a fair pace has all the time it needs: each byte that came allows more of it."""
    monkeypatch.setattr("frieze.web.middleware._GRACE_S", 0.0)
    monkeypatch.setattr("frieze.web.middleware._SLOWEST", 1e-3)
    coming = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.request", "body": b"half"}]
    sent = []
    clock = types.SimpleNamespace(monotonic=iter([0.0, -1.0, 3999.0]).__next__)
    monkeypatch.setattr("frieze.web.middleware.time", clock)

    async def receive():
        return coming.pop(0)

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(_take_whole, hosts=frozenset(), max_bytes=1000)(UPLOAD, receive, send))
    assert [message["body"] for message in sent] == [b"halfhalf"]


async def _take_whole(_, receive, send):
    """Answer with the uploaded bytes."""
    body = b"".join([(await receive())["body"] for _ in range(2)])
    await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ([], 503),
        ([(b"content-type", b"application/json"), (b"content-length", b"2000000")], 503),
        ([(b"content-type", b"application/json"), (b"content-length", b"40")], None),
    ],
)
def test_many_slow_uploads(collection, more, status):
    """Only a limited number of slow uploads is held, and the next one is refused; small documents go on."""
    sent = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    async def ask():
        app = make_app(collection)
        slow = [asyncio.create_task(app(UPLOAD, receive, lambda _: None)) for _ in range(10)]
        await asyncio.sleep(0)
        last = asyncio.create_task(app({**UPLOAD, "headers": [*UPLOAD["headers"], *more]}, receive, send))
        await asyncio.sleep(0)
        statuses.extend(message["status"] for message in sent if "status" in message)
        for task in [*slow, last]:
            task.cancel()
        await asyncio.gather(*slow, last, return_exceptions=True)

    statuses = []
    asyncio.run(ask())
    assert statuses == ([] if status is None else [status])
