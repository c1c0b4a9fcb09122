"""Decisions on duplicates: the log, and the routes over it."""

import json
import os
import resource
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

import frieze
from frieze.api.confirming import find_copies
from frieze.core import FeatureFileError, InputError
from frieze.web.app import make_app
from frieze.web.collection import open_collection
from frieze.web.decisions import DecisionLog
from frieze.web.schemas import Decision

NO_HASHES = (None, None)
KEY = "secret"
TOKEN = {"x-frieze-token": KEY}
PAIR = {"id": "red/0.png", "other": "red/1.png"}


@pytest.fixture
def log(tmp_path):
    """A log that nobody has written to."""
    return DecisionLog(tmp_path / "log.jsonl")


def decide(log, id, other, keep):  # noqa: A002  as everywhere
    """Append a decision."""
    log.append(Decision(id=id, other=other, keep=keep), NO_HASHES)


def read(log):
    """Read the decisions as tuples."""
    return [(one.id, one.other, one.keep) for one in log.read()]


def test_the_last_one_holds(log):
    """Of several decisions on a pair the last one holds, in whichever order its images are named."""
    for decision in [("a", "b", "id"), ("a", "c", "both"), ("b", "a", "other")]:
        decide(log, *decision)
    assert read(log) == [("a", "c", "both"), ("b", "a", "other")]


def test_undone(log):
    """A decision that is taken back is none."""
    decide(log, "a", "b", "id")
    decide(log, "b", "a", None)
    assert read(log) == []


@pytest.mark.parametrize("n_bytes", [1, 20, -1])
def test_a_torn_line(log, n_bytes):
    """A line that was cut off in the middle is ignored, and the next decision does not hang on to it."""
    decide(log, "a", "b", "id")
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + whole.replace(b'"id":"a"', b'"id":"z"')[:n_bytes])
    assert read(log) == [("a", "b", "id")]
    decide(log, "a", "c", "both")
    assert {("a", "b", "id"), ("a", "c", "both")} <= set(read(log))


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b'{"id": "a"}', b'{"id":"a","other":"b","keep":"maybe"}', b""])
def test_what_is_no_decision(log, line):
    """A line that is no decision, or one of a later version, is passed over."""
    log.path.write_bytes(line + b"\n")
    decide(log, "a", "b", "id")
    assert read(log) == [("a", "b", "id")]


def test_several_writers(log):
    """Writers that append at once lose and mix nothing."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: decide(DecisionLog(log.path), f"{n}", "x" * 3000, "id"), range(40)))
    assert sorted(int(id) for id, _, _ in read(log)) == list(range(40))  # noqa: A001  as everywhere


def test_on_disk(log, monkeypatch):
    """A decision is synced before it is answered, and so is the folder's entry of a new file."""
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_ino) or sync(file))
    decide(log, "a", "b", "id")
    decide(log, "a", "b", "both")
    file, folder = log.path.stat().st_ino, log.path.parent.stat().st_ino
    assert synced == [file, folder, file]


def test_a_full_disk(log):
    """A decision for which there is no room is refused, and not read as half a decision."""
    decide(log, "a", "b", "id")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.path.stat().st_size + 10, limits[1]))
    try:
        with pytest.raises(FeatureFileError, match="can't be written: No space left"):
            decide(log, "a", "b", "both")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read(log) == [("a", "b", "id")]


def test_no_file(log):
    """A path that can't be written, or read, is told."""
    log.path.mkdir()
    with pytest.raises(InputError, match=f"{log.path} can't be read"):
        log.read()
    with pytest.raises(FeatureFileError, match=f"{log.path} can't be written"):
        decide(log, "a", "b", "id")


@pytest.fixture
def index(world, tmp_path):
    """An index of its own."""
    return shutil.copytree(world / "photos.index", tmp_path / "photos.index")


@pytest.fixture
def serve(index, tmp_path):
    """Open the index for a page whose token is `secret`; several times, as after a restart."""
    opened = []

    def start():
        opened.append(open_collection(index, None, tmp_path / "thumbnails", find_duplicates=find_copies))
        return TestClient(make_app(opened[-1], token=KEY), base_url="http://localhost:8501")

    yield start
    for one in opened:
        one.close()


def test_stored(serve, index):
    """A decision is stored beside the index, and there after a restart."""
    decision = PAIR | {"keep": "other"}
    assert serve().post("/decisions", json=decision, headers=TOKEN).json() == decision
    document = serve().get("/decisions").json()
    log = index.parent / "photos.index.decisions.jsonl"
    assert document == {"path": str(log), "is_writable": True, "decisions": [decision]}
    assert json.loads(log.read_text(encoding="utf-8")).items() >= decision.items()


def test_after_a_rebuild(serve, index, world):
    """A rebuild of the index leaves the decisions alone."""
    serve().post("/decisions", json=PAIR | {"keep": "both"}, headers=TOKEN)
    frieze.index(world / "photos.features", out=index, force=True)
    assert serve().get("/decisions").json()["decisions"] == [PAIR | {"keep": "both"}]


def test_another_image_of_the_name(serve, index):
    """A decision on other bytes than those that an image has now is not told, nor one on images that are gone."""
    page = serve()
    page.post("/decisions", json=PAIR | {"keep": "id"}, headers=TOKEN)
    log = index.parent / "photos.index.decisions.jsonl"
    line = log.read_text(encoding="utf-8")
    changed = json.loads(line) | {"sha256": ["0" * 64, None]}
    log.write_text(json.dumps(changed) + "\n" + line.replace("red/1", "gone"), encoding="utf-8")
    assert page.get("/decisions").json()["decisions"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-frieze-token": ""},
        {"x-frieze-token": "secre"},
        TOKEN | {"origin": "https://evil.example"},
        TOKEN | {"sec-fetch-site": "cross-site"},
    ],
)
def test_who_may_write(serve, index, headers):
    """Nobody writes without the token, and no other site does with it."""
    page = serve()
    assert page.post("/decisions", json=PAIR | {"keep": "id"}, headers=headers).status_code == 403
    assert not (index.parent / "photos.index.decisions.jsonl").exists()


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_no_key(collection, token):
    """A page without a token is written to by nobody, not by everybody."""
    page = TestClient(make_app(collection, token=token), base_url="http://localhost")
    headers = {"x-frieze-token": ""}
    assert page.post("/decisions", json=PAIR | {"keep": "id"}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (PAIR | {"keep": "left"}, "keep: "),
        (PAIR, "keep: "),
        (PAIR | {"keep": "id", "other": "/etc/passwd"}, "has the id /etc/passwd"),
        (PAIR | {"keep": "id", "other": "red/0.png"}, "A pair has two images"),
        (PAIR | {"keep": "id", "other": "x" * 5000}, "other: "),
        ([], "decision|body"),
    ],
)
def test_what_is_refused(serve, index, decision, message):
    """What is no decision on two images of the collection is refused, and not stored."""
    answer = serve().post("/decisions", json=decision, headers=TOKEN)
    assert answer.status_code == 400
    assert any(part in answer.json()["detail"] for part in message.split("|"))
    assert not (index.parent / "photos.index.decisions.jsonl").exists()


@pytest.mark.parametrize("body", [b"", b"[" * 100_000, b"\xff", b'{"id": "\\ud800", "other": "a", "keep": "id"}'])
def test_what_is_no_json(serve, body):
    """A body that is no JSON, or no text, is refused without a server error."""
    headers = TOKEN | {"content-type": "application/json"}
    assert serve().post("/decisions", content=body, headers=headers).status_code == 400


def test_not_writable(serve, monkeypatch):
    """Where the log can't be written, that is told before anybody decides."""
    monkeypatch.setattr("frieze.web.decisions.os.access", lambda *_: False)
    assert serve().get("/decisions").json()["is_writable"] is False
