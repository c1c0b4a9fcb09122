"""What `frieze duplicates` reads, remembers and says of what it could not do."""

import hashlib
import os
import shutil

import numpy as np
import pytest

import frieze
from benchmarks.search.edits import EDITS
from benchmarks.search.made_images import photograph
from frieze.api import confirming
from frieze.api.confirming import kept_decisions, picture_reader
from frieze.reports.thumbnails import draw

WITHOUT_OPENCV = "so only equal files are duplicates: pip install 'frieze[duplicates]'"


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A folder with a photograph, the same file once more, its mirror image and another; the index beside it."""
    folder = tmp_path_factory.mktemp("stored")
    (folder / "photos").mkdir()
    photograph(0).save(folder / "photos/a.png")
    shutil.copy2(folder / "photos/a.png", folder / "photos/again.png")
    EDITS["mirror"].write(photograph(0), np.random.default_rng(0), folder / "photos/mirror")
    photograph(1).save(folder / "photos/other.png")
    frieze.embed(folder / "photos", out=folder / "t.features")
    frieze.index(folder / "t.features", out=folder / "t.index")
    return folder / "photos"


@pytest.fixture
def cache_dir(tmp_path, monkeypatch):
    """A cache folder that can be written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "frieze"


def groups_of(document):
    """The ids of each group."""
    return [group["ids"] for group in document["groups"]]


def test_confirmed_copies(stored):
    """With OpenCV the mirror image is a copy, too, and there is nothing to say."""
    document = frieze.duplicates(stored.parent / "t.index")
    assert (groups_of(document), document["notes"]) == ([["a.png", "again.png", "mirror.jpg"]], [])
    assert document["groups"][0]["exact"] is False


def test_without_opencv(stored, monkeypatch):
    """Without OpenCV only equal files are copies, a note says so, and no picture is read."""
    monkeypatch.setattr(confirming, "can_compare", lambda: False)
    monkeypatch.setattr(confirming, "draw", lambda *_, **__: pytest.fail("a picture was read"))
    document = frieze.duplicates(stored.parent / "t.index", min_score=0.5)
    assert groups_of(document) == [["a.png", "again.png"]]
    assert {"a.png", "mirror.jpg"} <= set(document["look_alikes"][0]["ids"])
    assert [document["n_compared"], document["n_confirmed"]] == [0, 0]
    assert [note.endswith(WITHOUT_OPENCV) for note in document["notes"]] == [True]


def test_the_note_is_shown(stored, run, monkeypatch):
    """The command shows the note on stderr."""
    monkeypatch.setattr(confirming, "can_compare", lambda: False)
    result = run("duplicates", stored.parent / "t.index")
    assert result.exit_code == 0
    assert WITHOUT_OPENCV in " ".join(result.stderr.split())


def test_tables_without_hashes(tmp_path):
    """Of imported vectors a note says that the table has no hashes; those of one embedded have them."""
    np.save(tmp_path / "v.npy", np.eye(4, dtype="f4")[[0, 0, 1]])
    frieze.import_vectors(tmp_path / "v.npy", out=tmp_path / "t.features")
    frieze.index(tmp_path / "t.features", out=tmp_path / "t.index")
    document = frieze.duplicates(tmp_path / "t.index", min_score=0.9)
    assert document["n_unreadable"] == 2
    assert "The table has no perceptual hashes" in document["notes"][0]
    assert (
        document["notes"][1]
        == "2 images could not be read, have changed or have several frames or pages, and are no copies of any other."
    )
    assert [one["ids"] for one in document["look_alikes"]] == [["0", "1"]]


def test_images_that_are_gone(stored, tmp_path):
    """Images that are gone are no copies, are counted, and look alike where their vectors are near."""
    photos = shutil.copytree(stored, tmp_path / "photos")
    frieze.embed(photos, out=tmp_path / "t.features")
    frieze.index(tmp_path / "t.features", out=tmp_path / "t.index")
    (photos / "mirror.jpg").write_text("no image any more")
    document = frieze.duplicates(tmp_path / "t.index", min_score=0.5)
    assert (groups_of(document), document["n_unreadable"]) == ([["a.png", "again.png"]], 1)
    assert document["notes"] == [
        "1 image could not be read, has changed or has several frames or pages, and is no copy of any other."
    ]
    assert {"a.png", "mirror.jpg"} <= set(document["look_alikes"][-1]["ids"])


def test_caches(stored, cache_dir, monkeypatch):
    """Pictures and decisions are kept: another run finds the same without reading a picture."""
    first = frieze.duplicates(stored.parent / "t.index")
    assert {"copies.sqlite", "thumbnails.sqlite"} <= {path.name for path in cache_dir.iterdir()}
    monkeypatch.setattr(confirming, "_to_pixels", lambda *_: pytest.fail("a picture was read"))
    assert frieze.duplicates(stored.parent / "t.index") == first


def test_a_cache_folder_that_can_not_be_written(stored, monkeypatch):
    """Without a cache folder nothing is kept, and the same is found."""
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    with kept_decisions() as decisions:
        assert decisions is None
    assert groups_of(frieze.duplicates(stored.parent / "t.index")) == [["a.png", "again.png", "mirror.jpg"]]


@pytest.mark.parametrize("side_px", [192, 448])
def test_pictures_are_read_in_small(stored, cache_dir, side_px, monkeypatch):
    """A picture is uint8 RGB of the side asked for; the small one is that of the page, drawn once."""
    drawn = []
    for module in ("frieze.api.confirming", "frieze.web.thumbnails"):
        monkeypatch.setattr(f"{module}.draw", lambda *args, **_: drawn.append(args[1]) or draw(*args))
    with picture_reader() as read:
        pixels, second = (read(str(stored / "a.png"), "version", side_px) for _ in range(2))
        assert np.array_equal(pixels, second)
        assert read(str(stored / "none.png"), "version", side_px) is None
    height, width = round(side_px * 3 / 4), side_px
    assert (pixels.dtype, pixels.shape) == (np.uint8, (min(height, 288), min(width, 384), 3))
    assert drawn == [side_px] * (1 if side_px == 192 else 2)


def test_small_files_that_decoders_warn_of(tmp_path):
    """A small JPEG of which a part is missing is read as it was embedded, with what is there."""
    photograph(0).resize((96, 72)).save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    broken = data[: len(data) * 3 // 4] + data[-2:]
    (tmp_path / "broken.jpg").write_bytes(broken)
    with picture_reader() as read:
        whole, part = (
            read(str(tmp_path / name), hashlib.sha256(content).hexdigest(), 192)
            for name, content in (("whole.jpg", data), ("broken.jpg", broken))
        )
    assert part.shape == whole.shape == (72, 96, 3)
    np.testing.assert_array_equal(part[:24], whole[:24])
    assert (part[-8:] != whole[-8:]).any()


def test_images_that_have_changed(stored, tmp_path):
    """An image that has changed is not compared, and nothing is remembered of it: restored, it is what it was."""
    photos = shutil.copytree(stored, tmp_path / "photos")
    frieze.embed(photos, out=tmp_path / "t.features")
    frieze.index(tmp_path / "t.features", out=tmp_path / "t.index")
    original = (photos / "mirror.jpg").read_bytes()
    photograph(5).save(photos / "mirror.jpg")
    changed = frieze.duplicates(tmp_path / "t.index")
    assert (groups_of(changed), changed["n_unreadable"]) == ([["a.png", "again.png"]], 1)
    (photos / "mirror.jpg").write_bytes(original)
    assert groups_of(frieze.duplicates(tmp_path / "t.index")) == [["a.png", "again.png", "mirror.jpg"]]


@pytest.mark.parametrize("suffix", ["gif", "tif", "webp", "png"])
def test_animations_are_compared_by_their_bytes(suffix, tmp_path):
    """Two animations or files of pages that begin with one picture are no copies of each other, nor of that picture."""
    with picture_reader() as read:
        for number in (1, 2):
            path = tmp_path / f"{number}.{suffix}"
            photograph(0).save(path, save_all=True, append_images=[photograph(number)])
            assert read(str(path), "", 192) is None
        photograph(0).save(tmp_path / f"still.{suffix}")
        assert read(str(tmp_path / f"still.{suffix}"), "", 192) is not None
