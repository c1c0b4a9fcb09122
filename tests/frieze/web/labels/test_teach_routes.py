"""The routes that learn: ranking, questions, and heads that are kept."""

import shlex

import numpy as np
import pytest
from fastapi.testclient import TestClient

import frieze
from frieze.api.confirming import find_copies
from frieze.web.app import make_app
from frieze.web.collection import open_collection

KEY = "secret"
TOKEN = {"x-frieze-token": KEY}


@pytest.fixture
def collection(world, tmp_path):
    """The world's index with a file of labels, and `frieze.train` to keep heads."""
    labels, thumbnails = tmp_path / "labels.parquet", tmp_path / "thumbnails"
    opened = open_collection(world / "photos.index", None, thumbnails, find_duplicates=find_copies, labels=labels)
    opened.train_head = frieze.train
    yield opened
    opened.close()


@pytest.fixture
def page(collection):
    """Its page, whose token is `secret`."""
    return TestClient(make_app(collection, token=KEY), base_url="http://localhost:8501")


def answer(page, label, ids, **fields):
    """Answer questions of the column `blue?`."""
    document = {"ids": ids, "label": label, "column": "blue?"} | fields
    assert page.post("/labels", json=document, headers=TOKEN).status_code == 200


@pytest.fixture
def answered(page):
    """The page after a few answers on whether an image is blue."""
    answer(page, "blue", [f"blue/{number}.png" for number in range(4)])
    answer(page, "other", [f"{colour}/{number}.png" for colour in ("red", "green") for number in range(3)])
    return page


def teach(page, **fields):
    """Return the document of /teach."""
    response = page.post("/teach", json={"column": "blue?"} | fields)
    assert response.status_code == 200, response.text
    return response.json()


def test_ranks(answered):
    """Images are ranked by the label that is asked for; counts are those of the answers and of the whole index."""
    document = teach(answered, of="blue", n=10)
    assert {one["id"].split("/")[0] for one in document["ranked"]} == {"blue"}
    assert [one["answer"] for one in document["ranked"]].count("blue") == 4
    assert [(one["label"], one["n_answers"]) for one in document["classes"]] == [("blue", 4), ("other", 6)]
    assert document["n_unsure"] + sum(one["n_sure"] for one in document["classes"]) == 30
    assert teach(answered, of="blue", start=4, n=2)["ranked"] == document["ranked"][4:6]


def test_asks(answered):
    """Questions name images without an answer; those at random are held out and measure the head once answered."""
    questions = teach(answered, ask=10)["questions"]
    at_random = [one["id"] for one in questions if one["held_out"]]
    assert (len({one["id"] for one in questions}), len(at_random)) == (10, 4)
    for name in at_random:
        answer(answered, "blue" if name.startswith("blue") else "other", [name], held_out=True)
    held_out = teach(answered)["held_out"]
    assert (held_out["n"], held_out["n_right"], held_out["accuracy"]) == (4, 4, 1.0)
    assert held_out["interval"][0] < held_out["accuracy"]


def test_nothing_answered(page):
    """Before the first answer there are questions, and no ranking."""
    document = teach(page, ask=5)
    assert (document["classes"], document["of"], document["ranked"], document["n_unsure"]) == ([], None, [], 30)
    assert len(document["questions"]) == 5


def test_unknown_label(answered):
    """A label that no image has is refused with those that there are."""
    response = answered.post("/teach", json={"column": "blue?", "of": "green"})
    assert response.status_code == 400
    assert "There are: blue, other." in response.json()["mend"]


def test_held_out_alone(answered):
    """To a label that only held-out images have the head is not fitted, and the message says so."""
    answer(answered, "green", ["green/9.png"], held_out=True)
    response = answered.post("/teach", json={"column": "blue?", "of": "green"})
    assert (response.status_code, "but for held-out ones" in response.json()["detail"]) == (400, True)


def test_images_that_are_gone(answered, collection):
    """Labels of images that the index does not have are left out."""
    file = collection.labels
    file.log_path.write_bytes(file.log_path.read_bytes().replace(b"blue/0.png", b"blue/x.png"))
    file.path.unlink()  # it is made of the log again
    file.__init__(file.path)
    assert teach(answered)["classes"][0]["n_answers"] == 3


def test_kept_head(answered, world, tmp_path):
    """A kept head lies beside the file of labels, and its command trains the same one."""
    response = answered.post("/heads", json={"column": "blue?", "name": "is blue"}, headers=TOKEN)
    assert response.status_code == 200, response.text
    document = response.json()
    assert document["out"] == str(tmp_path / "is blue.head")
    command = shlex.split(document["command"])
    assert command[:3] == ["frieze", "train", str(world / "photos.features")]
    options = dict(zip((one.lstrip("-") for one in command[3::2]), command[4::2], strict=True))
    second = frieze.train(command[2], **options | {"out": tmp_path / "second.head"})
    assert second["accuracy"] == document["accuracy"]
    vectors = np.eye(frieze.open_features(world / "photos.features").spec.dim, dtype="f4")
    first, same = (frieze.open_head(tmp_path / name) for name in ("is blue.head", "second.head"))
    np.testing.assert_array_equal(first.predict(vectors)[1], same.predict(vectors)[1])


def files_near(folder):
    """Return all paths in a folder, and what lies beside it."""
    return sorted([*folder.rglob("*"), *folder.parent.iterdir()])


@pytest.mark.parametrize(
    ("name", "status"),
    [("../escaped", 400), ("a/b", 400), (".hidden", 400), ("", 400), ("x" * 101, 400), ("..", 400)],
)
def test_names_of_heads(answered, tmp_path, name, status):
    """A head is kept beside the file of labels, nowhere else."""
    before = files_near(tmp_path)
    response = answered.post("/heads", json={"column": "blue?", "name": name}, headers=TOKEN)
    assert response.status_code == status
    assert files_near(tmp_path) == before


def test_no_head_is_replaced(answered):
    """A head of that name stays."""
    keep = {"column": "blue?", "name": "blue"}
    assert answered.post("/heads", json=keep, headers=TOKEN).status_code == 200
    response = answered.post("/heads", json=keep, headers=TOKEN)
    assert (response.status_code, "already exists" in response.json()["detail"]) == (400, True)


def test_who_may_keep(answered, tmp_path):
    """Nobody keeps a head without the token."""
    assert answered.post("/heads", json={"column": "blue?", "name": "blue"}).status_code == 403
    assert not (tmp_path / "blue.head").exists()


def test_curve(answered):
    """The curve is in the order of the answers, and ends with what /teach says of the held-out ones."""
    answer(answered, "blue", ["blue/7.png"], held_out=True)
    answer(answered, "other", ["red/7.png"], held_out=True)
    curve, held_out = answered.get("/curve?column=blue?").json(), teach(answered)["held_out"]
    assert [point["n_answers"] for point in curve["points"]] == [5, 6, 7, 8, 9, 10]  # the first four are of one label
    last = curve["points"][-1]
    assert (last["n_right"], curve["n_held_out"]) == (held_out["n_right"], held_out["n"])
    assert (last["accuracy"], last["interval"]) == (held_out["accuracy"], held_out["interval"])


@pytest.mark.parametrize("path", ["/curve?column=tags", "/curve?column="])
def test_curve_refused(page, path):
    """A column that there can't be is refused."""
    assert page.get(path).status_code == 400
