"""Commands on tables whose rows are boxes, with the built-in backbone."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import frieze
from frieze.core import InputError
from frieze.reports.thumbnails import draw
from frieze.web.app import make_app
from frieze.web.collection import open_collection

BOXES = [(0, 0, 60, 50), (20, 30, 70, 64), (90, 90, 9, 9), (4, 4, 0, 7)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six images of noise, with a COCO file of two usable boxes and two others in each, as a table and an index."""
    folder, random = tmp_path_factory.mktemp("boxes"), np.random.default_rng(0)
    (folder / "in").mkdir()
    for number in range(6):
        coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8))
        coarse.resize((80, 80)).save(folder / f"in/{number}.png")
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(6)]
    pairs = [(number, at) for number in range(6) for at in range(len(BOXES))]
    annotations = [
        {"image_id": number, "category_id": at % 2, "bbox": BOXES[at], "score": 10 * number + at}
        for number, at in pairs
    ]
    categories = [{"id": 0, "name": "a"}, {"id": 1, "name": "b"}]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "coco.json").write_text(json.dumps(document))
    frieze.embed(folder / "in", boxes=folder / "coco.json", out=folder / "t")
    frieze.index(folder / "t", out=folder / "i")
    return folder


def test_rows_and_failures(folder):
    """Each usable box is a row; one beyond the image and one of no size are failures with their reasons."""
    table, failures = frieze.open_features(folder / "t"), pq.read_table(folder / "t/failures.parquet")
    assert list(table.ids[:2]) == ["0.png#0,0,60,50", "0.png#20,30,70,64"]
    assert (len(table), set(failures["reason"].to_pylist())) == (12, {"outside", "empty box"})


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Two JPEGs of 3,700 x 3,700 pixels as tables of their four quarters."""
    folder, random = tmp_path_factory.mktemp("large"), np.random.default_rng(2)
    (folder / "in").mkdir()
    for number in range(2):
        coarse = Image.fromarray(random.integers(0, 256, (37, 37, 3), np.uint8))
        coarse.resize((3700, 3700), Image.Resampling.BICUBIC).save(folder / f"in/{number}.jpg", quality=92)
    frieze.embed(folder / "in", tiles="2x2", out=folder / "t", batch_size=3)
    return folder


@pytest.mark.slow
def test_fractions(large):
    """Quarters that are decoded at half their size have the vectors of Pillow's full crops, and their full size."""
    table, embedder = frieze.open_features(large / "t"), frieze.ImageEmbedder()
    photo = Image.open(large / "in/1.jpg")
    crops = [photo.crop((x, y, x + 1850, y + 1850)) for y in (0, 1850) for x in (0, 1850)]
    exact = embedder.transform(crops)
    cosines = (exact * table.embeddings()[4:]).sum(1) / np.linalg.norm(exact, axis=1)
    assert (cosines / np.linalg.norm(table.embeddings()[4:], axis=1)).min() >= 0.999
    assert set(table.rows["width"].to_pylist()) == {1850}


@pytest.mark.slow
def test_fractions_are_recognized(large):
    """Checks and thumbnails decode such parts as their table did: their bytes have not changed."""
    document = frieze.verify(large / "t", sample=8)
    assert (document["sampled"], document["changed"], document["least_cosine"] > 0.9999) == (8, [], True)
    row = frieze.open_features(large / "t").rows.take([5]).to_pylist()[0]
    assert len(draw(row["uri"], 96, sha256=row["sha256"])) > 500


@pytest.mark.slow
def test_several_tables(large, tmp_path):
    """Tables made in one pass have the rows of runs of their own."""
    outs = [tmp_path / "a", tmp_path / "b"]
    frieze.embed(large / "in", tiles="2x2", out=outs, fit=["squash", "crop"])
    first, second = map(frieze.open_features, outs)
    alone = frieze.open_features(large / "t").embeddings()
    cosines = (first.embeddings() * alone).sum(1) / np.linalg.norm(alone, axis=1)
    assert (cosines / np.linalg.norm(first.embeddings(), axis=1)).min() >= 0.999
    assert first.ids.tolist() == second.ids.tolist()


def test_stretched(tmp_path):
    """Parts of images of 16 bits are cut from the stretched image, and a check agrees."""
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(0).integers(1000, 3000, (60, 60)).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "in/a.png")
    frieze.embed(tmp_path / "in", tiles="1x2", out=tmp_path / "t", stretch=True)
    document = frieze.verify(tmp_path / "t", sample=2)
    assert (document["sampled"], document["changed"]) == (2, [])


def test_limit_of_pixels(folder, tmp_path):
    """The limit of pixels is that of the run, for the images that parts are cut from."""
    document = frieze.embed(folder / "in", tiles="1x2", out=tmp_path / "t", max_pixels=6399)
    assert (document["embedded"], document["failed"]) == (0, 12)
    assert frieze.embed(folder / "in", out=tmp_path / "t", max_pixels=6400)["embedded"] == 12


@pytest.mark.slow
def test_limit_of_seconds(hostile_jpeg, tmp_path):
    """All parts of an image that takes too long to decode are failures; the others are embedded."""
    (tmp_path / "in").mkdir()
    Image.new("RGB", (80, 80), "red").save(tmp_path / "in/a.png")
    (tmp_path / "in/b.jpg").write_bytes(hostile_jpeg)
    document = frieze.embed(tmp_path / "in", tiles="2x2", out=tmp_path / "t", image_timeout=2, batch_size=3)
    assert (document["rows"], document["failures"]) == (4, {"timeout": 4})


def test_rerun(folder):
    """A run without `boxes` recalls them, and has nothing to do."""
    document = frieze.embed(folder / "in", out=folder / "t")
    assert (document["embedded"], document["unchanged"], document["failed"]) == (0, 12, 12)


def test_vectors(folder):
    """A box has the vector of Pillow's crop."""
    crop = Image.open(folder / "in/3.png").crop((20, 30, 80, 80))
    (hit,) = frieze.search(folder / "i", crop, k=1)["queries"][0]["hits"]
    assert hit["id"] == "3.png#20,30,70,64"
    assert hit["score"] > 0.9999


def test_query(folder):
    """A box is a query, and finds its own row."""
    (hit,) = frieze.search(folder / "i", f"{folder}/in/2.png#0,0,60,50", k=1)["queries"][0]["hits"]
    assert hit["id"] == "2.png#0,0,60,50"
    assert hit["score"] > 0.9999


def test_check(folder):
    """A check embeds boxes again."""
    document = frieze.verify(folder / "t", sample=12)
    assert (document["sampled"], document["changed"], document["unreadable"]) == (12, [], [])


@pytest.mark.parametrize("option", ["move_to", "script"])
def test_never_moves(folder, tmp_path, option):
    """Copies among boxes are listed, but no file is moved or deleted for one."""
    with pytest.raises(InputError, match="boxes of images"):
        frieze.duplicates(folder / "i", yes=True, **{option: tmp_path / "out"})
    assert not (tmp_path / "out").exists()


def test_split(folder, tmp_path, caplog):
    """Parts of one image stay on one side of the split, in one line."""
    frieze.train(folder / "t", out=tmp_path / "head", test_size=0.34)
    assert "parts of one image stay on one side" in caplog.text
    assert json.loads((tmp_path / "head/head.json").read_text())["split"]["method"] == "grouped"


def test_predict(folder, tmp_path, caplog):
    """Whole images that a head of parts is to predict are said; a table of parts is not."""
    head = tmp_path / "head"
    frieze.train(folder / "t", out=head, test_size=0.34, head="prototype")
    caplog.clear()
    frieze.predict(head, folder / "t")
    assert "trained on parts" not in caplog.text
    frieze.predict(head, folder / "in")
    assert "trained on parts of images, and sees whole ones" in caplog.text


def test_compare(folder, caplog):
    """So they do where heads are compared, whose figures stand on the same split."""
    document = frieze.compare(folder / "t", heads="linear", test_size=0.34)
    assert "parts of one image stay on one side" in caplog.text
    assert document["n_test"] % 2 == 0


def test_divided(folder, tmp_path, caplog):
    """A column that divides images is taken, and said: the line counts them."""
    frieze.train(folder / "t", out=tmp_path / "head", test_size=0.34, group="score")
    assert "parts of one image have several values of `score` (6 of 6)" in caplog.text


@pytest.mark.slow
def test_group_duplicates(folder, tmp_path):
    """Groups of near-duplicates hold parts of one image together, too."""
    frieze.train(folder / "t", out=tmp_path / "head", test_size=0.34, group="duplicates")
    split = pq.read_table(tmp_path / "head/split.parquet").to_pylist()
    parts = {(row["id"].split("#")[0], row["part"] == "test") for row in split}
    assert len(parts) == 6


def test_tiles(folder, tmp_path):
    """Tiles take the place of boxes that the table remembers; a rerun recalls them; one that failed is tried again."""
    frieze.embed(folder / "in", boxes=folder / "coco.json", out=tmp_path / "t")
    assert frieze.embed(folder / "in", tiles="2x1", out=tmp_path / "t")["embedded"] == 12
    assert frieze.embed(folder / "in", out=tmp_path / "t")["unchanged"] == 12
    assert frieze.embed(folder / "in", out=tmp_path / "t", retry_failures=True)["embedded"] == 0
    assert frieze.open_features(tmp_path / "t").ids[0] == "0.png#0,0,80,40"


def test_pages(folder, tmp_path):
    """Pages of hits, duplicates and a head's mistakes show each part, and below it where it lies in its image."""
    hits = frieze.search(folder / "i", "id:0.png#0,0,60,50", k=3)
    frieze.write_report(tmp_path / "page.html", title="t", found=hits)
    page = (tmp_path / "page.html").read_text()
    assert (page.count("<figure"), page.count('<img class="whole"')) == (3, 3)


def test_page(folder, tmp_path):
    """The server draws the part, or its image with the part outlined."""
    thumbnails = tmp_path / "thumbnails"
    collection = open_collection(folder / "i", None, thumbnails, find_duplicates=lambda _: {})
    page = TestClient(make_app(collection), base_url="http://localhost:8501")
    answers = [page.get("/picture", params={"id": "0.png#0,0,60,50"} | more) for more in ({}, {"whole": True})]
    collection.close()
    assert [Image.open(io.BytesIO(one.content)).size for one in answers] == [(60, 50), (80, 80)]
