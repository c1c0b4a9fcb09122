import numpy as np
import pytest
from PIL import Image

from frieze.features import read_manifest


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
