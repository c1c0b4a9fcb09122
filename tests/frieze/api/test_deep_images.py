import base64
import io
import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import frieze
from frieze.api.confirming import find_copies
from frieze.features import read_manifest
from frieze.web.app import make_app
from frieze.web.collection import open_collection


@pytest.fixture
def thermal(tmp_path):
    """Three 16-bit images that reach over a thousand of 65,536 values."""
    folder = tmp_path / "thermal"
    folder.mkdir()
    ramp = np.arange(40 * 50).reshape(40, 50) // 2
    for number in range(3):
        Image.fromarray((29_000 + np.rot90(ramp, number)).astype(np.uint16)).save(folder / f"{number}.png")
    return folder


def test_a_narrow_range_is_reported(thermal, run, run_json, tmp_path):
    """Images that are nearly one grey to the network are counted, and what to type is said in one line."""
    assert run_json("embed", thermal, "--out", tmp_path / "a")[1]["narrow_range"] == {"images": 3, "levels": 5}
    stderr = run("embed", thermal, "--out", tmp_path / "b").stderr
    assert "Note: 3 16-bit images use at most 5 of 256 levels: with --stretch" in stderr


def test_stretch_belongs_to_the_table(thermal, run, run_json, tmp_path):
    """What is stretched is searched in and verified stretched, and never mixed with what is not."""
    table, index = tmp_path / "stretched", tmp_path / "index"
    code, document = run_json("embed", thermal, "--stretch", "--out", table)
    assert (code, document["narrow_range"]) == (0, None)
    assert read_manifest(table).spec.decoding.endswith("+stretch")
    assert run_json("embed", thermal, "--stretch", "--out", table)[1]["unchanged"] == 3
    assert run_json("verify", table, "--sample", "3")[1]["ok"]
    run("index", table, "--out", index)
    (query,) = run_json("search", index, thermal / "1.png", "-k", "1")[1]["queries"]
    assert (query["hits"][0]["id"], round(query["hits"][0]["score"], 3)) == ("1.png", 1.0)


def test_scale_belongs_to_the_table(thermal, run, run_json, tmp_path):
    """What is scaled by a stated range is recalled, verified and searched in by it, and is no other table's."""
    table, index = tmp_path / "scaled", tmp_path / "index"
    assert run_json("embed", thermal, "--scale", "29000..3e4", "--out", table)[1]["narrow_range"] is None
    assert read_manifest(table).spec.decoding.endswith("+scale=29000..30000")
    assert run_json("embed", thermal, "--out", table)[1]["unchanged"] == 3
    assert run_json("verify", table, "--sample", "3")[1]["ok"]
    run("index", table, "--out", index)
    (query,) = run_json("search", index, thermal / "1.png", "-k", "1")[1]["queries"]
    assert (query["hits"][0]["id"], round(query["hits"][0]["score"], 3)) == ("1.png", 1.0)
    assert "scale" in run("embed", thermal, "--scale", "0..1", "--out", table).stderr


def test_bands(run, run_json, tmp_path):
    """A cube is refused with the option to type, and embedded with it like a picture of these bands."""
    tifffile = pytest.importorskip("tifffile")
    cube = np.random.default_rng(0).uniform(0, 1, (3, 8, 8, 7)).repeat(8, 1).repeat(8, 2).astype("f4")
    (tmp_path / "in").mkdir()
    for number, one in enumerate(cube):
        tifffile.imwrite(tmp_path / f"in/{number}.tif", one, photometric="minisblack", planarconfig="contig")
    code, document = run_json("embed", tmp_path / "in", "--out", tmp_path / "t")
    assert (code, document["failed"]) == (3, 3)
    (unread,) = document["unread_pictures"].values()
    assert unread == {"images": 3, "hint": "choose three bands with --bands 4,3,2"}
    stated = ("--bands", "5,4,2", "--scale", "0..1")
    assert run_json("embed", tmp_path / "in", *stated, "--force", "--out", tmp_path / "t")[1]["embedded"] == 3
    run("index", tmp_path / "t", "--out", tmp_path / "i")
    Image.fromarray((cube[1][..., [4, 3, 1]] * 255 + 0.5).astype("u1")).save(tmp_path / "query.png")
    (query,) = run_json("search", tmp_path / "i", tmp_path / "query.png", "-k", "1")[1]["queries"]
    assert (query["hits"][0]["id"], round(query["hits"][0]["score"], 4)) == ("1.tif", 1.0)


@pytest.fixture(scope="module")
def cubes(tmp_path_factory):
    """An index and a table of the two halves of three floating-point images of seven bands: bands 5, 4, 2 are red."""
    tifffile, folder = pytest.importorskip("tifffile"), tmp_path_factory.mktemp("cubes")
    (folder / "in").mkdir()
    for number in range(3):
        cube = np.random.default_rng(number).uniform(0, 0.1, (64, 64, 7)).astype("f4")
        cube[..., 4] += 0.8
        tifffile.imwrite(folder / f"in/{number}.tif", cube, photometric="minisblack", planarconfig="contig")
    frieze.embed(folder / "in", bands="5,4,2", scale="0..1", tiles="1x2", out=folder / "t")
    frieze.index(folder / "t", out=folder / "i")
    return folder


def redness(jpeg):
    """Return how much redder than green a picture is."""
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)), float).mean(axis=(0, 1))
    return pixels[0] - pixels[1]


def test_the_server_shows_bands(cubes, tmp_path):
    """Thumbnails and pictures of parts and of their images show the bands and the range that the table states."""
    collection = open_collection(cubes / "i", None, tmp_path / "thumbnails", find_duplicates=find_copies)
    page = TestClient(make_app(collection), base_url="http://localhost:8501")
    row = {"id": "0.tif#0,0,32,64"}
    paths = (("/thumbnail", row), ("/thumbnail", row), ("/picture", row), ("/picture", row | {"whole": True}))
    assert all(redness(page.get(path, params=requested).content) > 150 for path, requested in paths)
    collection.close()


def test_pages_show_bands(cubes, tmp_path):
    """Pages of hits, of duplicates and of a map show them as well; each has pictures, and no reason for none."""
    frieze.search(cubes / "i", "id:0.tif#0,0,32,64", k=3, html=tmp_path / "hits.html")
    frieze.map(cubes / "t", out=tmp_path / "map.html")
    pictures = {
        name: re.findall('data:image/jpeg;base64,([^"]+)', (tmp_path / name).read_text())
        for name in ("hits.html", "map.html")
    }
    assert {name: len(urls) for name, urls in pictures.items()} == {"hits.html": 6, "map.html": 6}
    assert all(redness(base64.b64decode(one)) > 150 for urls in pictures.values() for one in urls)


def test_copies_are_compared_by_their_bands(cubes):
    """Images of bands are read for `duplicates`, too."""
    assert frieze.duplicates(cubes / "i")["n_unreadable"] == 0


def test_without_stretch_on_a_stretched_table(thermal, run, tmp_path):
    """A table without it refuses images that are to be stretched."""
    run("embed", thermal, "--out", tmp_path / "plain")
    refused = run("embed", thermal, "--stretch", "--out", tmp_path / "plain")
    assert "stretch" in (refused.stderr or str(refused.exception))
    assert refused.exit_code != 0


def test_a_dark_query_is_reported(thermal, run, world):
    """A query that is nearly one grey to the network is reported of."""
    result = run("search", world / "photos.index", thermal / "0.png")
    assert "1 16-bit image uses 5 of 256 levels" in result.stderr
