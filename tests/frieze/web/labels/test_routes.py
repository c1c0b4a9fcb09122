"""The routes of labels and tags: what they store, who may write, and what they refuse."""

import csv

import pytest
from fastapi.testclient import TestClient

from frieze.api.confirming import find_copies
from frieze.web.app import make_app
from frieze.web.collection import open_collection

KEY = "secret"
TOKEN = {"x-frieze-token": KEY}
IDS = ["red/0.png", "red/1.png"]
SET = {"ids": IDS, "label": "cat", "session": "me"}


@pytest.fixture
def serve(world, tmp_path):
    """Open the world's index with a file of labels for a page whose token is `secret`."""
    opened = []

    def start(**options):
        options = {"labels": tmp_path / "labels.parquet"} | options
        index, thumbnails = world / "photos.index", tmp_path / "thumbnails"
        opened.append(open_collection(index, None, thumbnails, find_duplicates=find_copies, **options))
        return TestClient(make_app(opened[-1], token=KEY), base_url="http://localhost:8501")

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def page(serve):
    """Such a page."""
    return serve()


def post(page, **document):
    """Change labels; return the answer's document."""
    answer = page.post("/labels", json=document, headers=TOKEN)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_stored(page, serve):
    """Labels and tags are told as they were stored, also after a restart."""
    changed = post(page, **SET, add=["far"])
    assert [(one["id"], one["labels"], one["tags"]) for one in changed["images"]] == [
        (image, {"label": "cat"}, ["far"]) for image in IDS
    ]
    document = serve().get("/labels?session=me").json()
    assert document == changed
    assert (document["columns"], document["tags"]) == ({"label": {"cat": 2}}, {"far": 2})
    assert (document["is_writable"], document["can_undo"], document["can_redo"]) == (True, True, False)


def test_undo_and_redo(page):
    """Undo and redo return the images that they changed; an image without labels any more is told as such."""
    post(page, **SET)
    undone = post(page, action="undo", session="me")
    assert [(one["labels"], one["when"]) for one in undone["images"]] == [({}, None)] * 2
    assert (undone["can_undo"], undone["can_redo"]) == (False, True)
    assert post(page, action="redo", session="me")["columns"] == {"label": {"cat": 2}}


def test_some_held_out(page):
    """Images of which some are held out are labelled by one change, which one undo takes back."""
    post(page, **SET, held_out=IDS[1:])
    assert [one["held_out"] for one in page.get("/labels").json()["images"]] == [[], ["label"]]
    assert post(page, action="undo", session="me")["columns"] == {}


def test_taken_back(page):
    """A label of null takes a label back to the table's; a label that is left out stays."""
    post(page, **SET)
    post(page, ids=IDS[:1], label=None)
    post(page, ids=IDS, add=["far"])
    assert [one["labels"] for one in page.get("/labels").json()["images"]] == [{}, {"label": "cat"}]


def test_csv(page):
    """The file comes as CSV, lists as JSON."""
    post(page, ids=IDS[:1], label='a "cat", white', add=["far", "night"])
    rows = list(csv.DictReader(page.get("/labels.csv").text.splitlines()))
    assert [(row["id"], row["label"], row["tags"]) for row in rows] == [(IDS[0], 'a "cat", white', '["far", "night"]')]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-frieze-token": "secre"},
        TOKEN | {"origin": "https://evil.example"},
        TOKEN | {"sec-fetch-site": "cross-site"},
    ],
)
def test_who_may_write(page, headers):
    """Nobody writes without the token, and no other site does with it."""
    assert page.post("/labels", json=SET, headers=headers).status_code == 403
    assert page.get("/labels").json()["images"] == []


def test_read_only(serve, tmp_path):
    """A read-only page stores neither labels nor decisions, and says so."""
    page = serve(is_read_only=True)
    decision = {"id": IDS[0], "other": IDS[1], "keep": "id"}
    for path, document in (("/labels", SET), ("/decisions", decision)):
        answer = page.post(path, json=document, headers=TOKEN)
        assert (answer.status_code, answer.json()["detail"]) == (403, "This page is read-only.")
    assert page.get("/labels").json()["is_writable"] is page.get("/decisions").json()["is_writable"] is False
    assert not (tmp_path / "labels.parquet").exists()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"label": "cat"}, "nothing to change"),
        ({"ids": IDS}, "nothing to change"),
        ({"ids": [*IDS, "/etc/passwd"], "label": "cat"}, "has the id /etc/passwd"),
        (SET | {"column": "tags"}, "No column of labels can have the name 'tags'"),
        (SET | {"label": ""}, "label: "),
        (SET | {"label": "x" * 5000}, "label: "),
        (SET | {"add": [""]}, "at least 1 character"),
        ({"action": "undo", "session": "nobody"}, "nothing to undo"),
        ({"action": "import", "changes": []}, "action: "),
    ],
)
def test_what_is_refused(page, document, message):
    """What is no change of images of the collection is refused, and not stored."""
    answer = page.post("/labels", json=document, headers=TOKEN)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]
    assert page.get("/labels").json()["images"] == []


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/labels", SET | {"lable": "dog"}),
        ("/teach", {"columns": "label"}),
        ("/heads", {"name": "a", "force": True}),
        ("/decisions", {"id": IDS[0], "other": IDS[1], "keep": "id", "why": "sharper"}),
    ],
)
def test_unknown_fields(page, path, document):
    """A field that there is not is refused by its name, and nothing of its request is stored."""
    answer = page.post(path, json=document, headers=TOKEN)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(next(name for name in reversed(document)))
    assert page.get("/labels").json()["images"] == page.get("/decisions").json()["decisions"] == []


def test_without_a_file(serve):
    """A page without a file of labels says how to start it with one."""
    page = serve(labels=None)
    for answer in (page.get("/labels"), page.post("/labels", json=SET, headers=TOKEN), page.get("/labels.csv")):
        assert answer.status_code == 400
        assert answer.json()["mend"] == "Start the page with: frieze serve INDEX --labels FILE"
