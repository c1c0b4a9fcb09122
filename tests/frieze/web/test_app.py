"""The page's routes: the judges are the commands of the same name."""

import io
import shutil

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import frieze
from frieze.api.confirming import find_copies
from frieze.core import InputError
from frieze.web.app import make_app
from frieze.web.background import BackgroundResult
from frieze.web.collection import open_collection


def test_search_by_id(page, world):
    """A search answers with the document of `search --json`."""
    answer = page.get("/search", params={"id": "red/3.png", "k": 5, "where": "label != 'blue'", "min_score": 0.1})
    options = {"k": 5, "where": "label != 'blue'", "min_score": 0.1}
    assert answer.json() == frieze.search(world / "photos.index", "id:red/3.png", **options)


def test_search_by_image(page, world):
    """An uploaded image finds what the command finds, with the head's prediction."""
    path = world / "photos" / "green" / "4.png"
    (actual,) = page.post("/search", params={"name": str(path), "k": 4}, content=path.read_bytes()).json()["queries"]
    (expected,) = frieze.search(world / "photos.index", path, k=4)["queries"]
    assert actual.pop("prediction")["label"] == "green"
    assert [hit["id"] for hit in actual["hits"]] == [hit["id"] for hit in expected["hits"]]
    scores = ([hit["score"] for hit in one["hits"]] for one in (actual, expected))
    assert next(scores) == pytest.approx(next(scores), abs=1e-5)


def test_crop(page, world):
    """The crop is what the backbone sees: its size, and the image's pixels."""
    path = world / "photos" / "red" / "0.png"
    crop = Image.open(io.BytesIO(page.post("/crop", content=path.read_bytes()).content))
    assert crop.size == (128, 128)
    assert np.asarray(crop).mean((0, 1)) == pytest.approx(np.asarray(Image.open(path)).mean((0, 1)), abs=2)


@pytest.mark.parametrize("path", ["/search", "/crop"])
@pytest.mark.parametrize(
    ("data", "message"), [(b"no image", "not an image"), (b"", "empty"), (b"\xff\xd8\xff\xe0", "")]
)
def test_what_is_no_image(page, path, data, message):
    """What is no image is refused with a reason and a hint."""
    answer = page.post(path, content=data)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]
    assert (
        answer.json()["mend"] == "Give an image file: JPEG, PNG, WebP, TIFF, HEIC or another format of docs/howto.md."
    )


def test_facts(page, world):
    """The page knows at once what it shows."""
    facts = page.get("/collection").json()
    assert (facts["rows"], facts["metric"], facts["backbone"], facts["stale"]) == (30, "cosine", "frieze-mini-3", None)
    assert facts["labels"] == [{"label": label, "images": 10} for label in ("blue", "green", "red")]
    assert facts["head"] == {"kind": "linear", "classes": ["blue", "green", "red"]}
    assert facts["index"] == str(world / "photos.index")


def test_browse(page):
    """Images are given in the order of the table, of a label or by a filter, a part at a time."""
    document = page.get("/images", params={"label": "red", "start": 8, "n": 5}).json()
    assert (document["total"], [one["id"] for one in document["images"]]) == (10, ["red/8.png", "red/9.png"])
    document = page.get("/images", params={"where": "id like 'green/%'", "n": 2}).json()
    assert (document["total"], [one["id"] for one in document["images"]]) == (10, ["green/0.png", "green/1.png"])
    assert page.get("/images", params={"label": ""}).json() == {"total": 0, "start": 0, "images": []}


def test_duplicates(later, world):
    """The groups are those of the command."""
    actual = later("/duplicates").json()
    expected = frieze.duplicates(world / "photos.index")
    assert actual == {name: expected[name] for name in actual}
    assert {"groups", "rows", "n_duplicates", "min_score"} <= set(actual)


def test_duplicates_of_the_contract(page, collection, monkeypatch):
    """Members and look-alikes reach the page as they were found."""
    member = {"id": "b", "uri": "/b", "kind": "mirrored+cropped", "score": None, "overlap": 0.8}
    group = {
        "ids": ["a", "b"],
        "uris": ["/a", "/b"],
        "keep": "a",
        "min_score": 0.9,
        "exact": False,
        "members": [member],
    }
    look_alikes = [{"ids": ["c", "d"], "uris": ["/c", "/d"], "min_score": 0.8}]
    document = {"groups": [group], "look_alikes": look_alikes, "rows": 30, "n_look_alikes": 2, "notes": ["A note."]}
    result = BackgroundResult(lambda: document)
    result.get()
    monkeypatch.setattr(collection, "_duplicates", result)
    assert page.get("/duplicates").json() == document


def test_mistakes(later, world, collection):
    """The mistakes are where the head's prediction is not the label, surest first."""
    document = later("/mistakes").json()
    table = frieze.open_features(world / "photos.features")
    labels, sure = collection.head.predict(table.embeddings())
    wrong = [row for row in range(len(table.ids)) if labels[row] != table.labels[row]]
    assert document["total"] == len(wrong)
    assert sorted(one["id"] for one in document["mistakes"]) == sorted(table.ids[row] for row in wrong)
    assert all(
        one["probability"] == pytest.approx(sure[list(table.ids).index(one["id"])]) for one in document["mistakes"]
    )


def test_mistakes_of_another_table(world, tmp_path):
    """Where the table is not the one that the index was made of any more, that is said: its images are others."""
    table = shutil.copytree(world / "photos.features", tmp_path / "f")
    frieze.index(table, out=tmp_path / "i")
    other = open_collection(tmp_path / "i", world / "photos.head", tmp_path / "cache", find_duplicates=find_copies)
    shutil.rmtree(table)
    frieze.embed(world / "photos" / "red", out=table)
    with pytest.raises(InputError, match="from an older state of its table") as error:
        other.mistakes.find("head").get()
    assert error.value.hint == "Then start the page again."


def test_map(later):
    """Every image is a point with its label, inside the unit square, and images of one colour lie together."""
    document = later("/map").json()
    assert len(document["ids"]) == len(document["x"]) == len(document["y"]) == len(document["codes"]) == 30
    places, labels = np.array([document["x"], document["y"]]).T, np.array(document["labels"])[document["codes"]]
    assert (places >= 0).all()
    assert (places <= 1).all()
    assert [one.split("/")[0] for one in document["ids"]] == labels.tolist()
    centres = {label: places[labels == label].mean(0) for label in document["labels"]}
    nearest = [min(centres, key=lambda label, at=at: np.linalg.norm(centres[label] - at)) for at in places]
    assert np.mean(np.array(nearest) == labels) > 0.9


def test_unknown_id(page):
    """An id that is not there is refused with those that are near."""
    answer = page.get("/search", params={"id": "red/33.png"})
    assert (answer.status_code, answer.json()["mend"].startswith("Did you mean: red/3")) == (400, True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/search?id=red/3.png&k=0", "k: "),
        ("/search?id=red/3.png&k=9999", "k: "),
        ("/search?id=red/3.png&min_score=nan", "min_score: "),
        ("/search?id=red/3.png&where=colour%20=%20'a'", "colour"),
        ("/search", "id: "),
        ("/images?start=-1", "start: "),
        ("/map?method=som", "method: "),
    ],
)
def test_bad_requests(page, path, message):
    """A request that can't be answered says what is wrong with it."""
    answer = page.get(path)
    assert answer.status_code == 400
    assert message in answer.json()["detail"]


def test_page(page):
    """The page itself names the index, and asks for nothing but this server's files."""
    answer = page.get("/")
    assert "photos.index" in answer.text
    assert "http" not in answer.text.replace("http-equiv", "")
    for path in ("app.js", "api.js", "dom.js", "search.js", "pair.js", "map.js", "style.css", "icon.svg"):
        assert page.get(f"/static/{path}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/collection", "/search?id=red/0.png", "/thumbnail?id=red/0.png", "/static/app.js", "/image?id=none"]
)
def test_head(page, path):
    """HEAD is answered as GET is, without the body: the same status, length and type."""
    head, whole = page.head(path), page.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    for name in ("content-length", "content-type", "content-security-policy"):
        assert head.headers[name] == whole.headers[name]


def test_openapi(page):
    """Every call is documented."""
    paths = page.get("/openapi.json").json()["paths"]
    expected = {
        "/search",
        "/search-text",
        "/crop",
        "/thumbnail",
        "/picture",
        "/original",
        "/exif",
        "/image",
        "/images",
        "/facets",
        "/collection",
        "/duplicates",
        "/decisions",
        "/mistakes",
        "/retrain",
        "/map",
        "/map/points",
        "/map/images",
        "/map/columns",
        "/map/colours",
        "/map/passing",
        "/labels",
        "/labels.csv",
        "/teach",
        "/curve",
        "/heads",
    }
    assert set(paths) == expected
    assert all(call["description"] for path in paths.values() for call in path.values())


@pytest.mark.parametrize("path", ["/search", "/crop"])
def test_uploads_are_described(page, path):
    """The calls with an image require a body of bytes, for which generated clients have a parameter."""
    body = page.get("/openapi.json").json()["paths"][path]["post"]["requestBody"]
    assert body["required"] is True
    assert body["content"] == {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


def test_operation_ids(page):
    """The operations keep their ids, after which generated clients name their methods."""
    paths = page.get("/openapi.json").json()["paths"]
    assert sorted(call["operationId"] for path in paths.values() for call in path.values()) == [
        "browse_images_get",
        "change_labels_post",
        "crop_crop_post",
        "curve_curve_get",
        "decide_decisions_post",
        "decisions_decisions_get",
        "describe_collection_get",
        "duplicates_duplicates_get",
        "exif_exif_get",
        "export_labels_csv_get",
        "facets_facets_get",
        "image_image_get",
        "keep_heads_post",
        "labels_labels_get",
        "lay_out_map_get",
        "map_colours_map_colours_get",
        "map_columns_map_columns_get",
        "map_images_map_images_get",
        "map_passing_map_passing_get",
        "mistakes_mistakes_get",
        "original_original_get",
        "picture_picture_get",
        "points_map_points_get",
        "retrain_retrain_post",
        "search_image_search_post",
        "search_search_get",
        "search_text_search_text_get",
        "teach_teach_post",
        "thumbnail_thumbnail_get",
    ]


@pytest.fixture(scope="module")
def text_page(text_world, tmp_path_factory):
    """The page of an index whose backbone has a text tower."""
    thumbnails = tmp_path_factory.mktemp("cache") / "thumbnails.sqlite"
    collection = open_collection(text_world / "text.index", None, thumbnails, find_duplicates=find_copies)
    yield TestClient(make_app(collection), base_url="http://localhost:8501", raise_server_exceptions=False)
    collection.close()


def test_search_by_words(text_page, text_world):
    """Words find what the command finds."""
    assert text_page.get("/collection").json()["has_words"]
    answer = text_page.get("/search-text", params={"text": "red|-blue", "k": 3, "where": "label != 'green'"})
    assert answer.json() == frieze.search(text_world / "text.index", "text:red|-blue", k=3, where="label != 'green'")
    assert text_page.get("/search-text", params={"text": "-red"}).status_code == 400


def test_notes_on_words(text_world, tmp_path):
    """The answer to words says where the index's metric does not suit them."""
    frieze.index(text_world / "text.features", out=tmp_path / "l2", metric="l2")
    collection = open_collection(tmp_path / "l2", None, tmp_path / "t.sqlite", find_duplicates=find_copies)
    page = TestClient(make_app(collection), base_url="http://localhost:8501")
    (note,) = page.get("/search-text", params={"text": "red"}).json()["notes"]
    assert "has the metric l2, by which long vectors are far from every text" in note
    assert page.get("/search", params={"id": "red/0.png"}).json()["notes"] == []
    collection.close()


def test_box_for_words(page, text_page):
    """The page has a box for words; where the backbone knows none it says so, and which do."""
    assert 'id="text" type="text" autocomplete' in text_page.get("/").text
    box = page.get("/").text
    assert 'disabled placeholder="with CLIP, SigLIP or the like"' in box
    assert "frieze-mini-3 knows no words. Presets of CLIP and SigLIP" in box
    answer = page.get("/search-text", params={"text": "red"})
    assert (answer.status_code, "knows no words" in answer.json()["detail"]) == (400, True)
