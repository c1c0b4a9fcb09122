"""`frieze search --exists`: whether pictures are there already."""

import contextlib
import shutil

import numpy as np
import pytest
from PIL import Image

import frieze
from benchmarks.search.edits import EDITS
from benchmarks.search.made_images import LOOK_ALIKES, photograph
from frieze.api import confirming
from frieze.core import InputError

pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def files(world, tmp_path_factory):
    """The same file as red/0.png, the same picture as a BMP, another picture, and no picture."""
    folder = tmp_path_factory.mktemp("existing")
    shutil.copy(world / "photos/red/0.png", folder / "same.png")
    Image.open(world / "photos/red/0.png").save(folder / "same.bmp")
    photograph(0).save(folder / "new.png")
    (folder / "broken.jpg").write_text("no image")
    return folder


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["same.png"], 0),
        (["same.png", "same.bmp"], 0),
        (["same.png", "new.png"], 4),
        (["new.png", "broken.jpg"], 3),
    ],
)
def test_exit_codes(world, files, run, names, code):
    """0: all are there; 4: one is not; 3: one can't be read, whatever the others are."""
    result = run("search", world / "photos.index", *(files / name for name in names), "--exists")
    assert result.exit_code == code
    assert ("broken.jpg (not an image)" in result.stderr) == (code == 3)


def test_the_document(world, files, run_json):
    """Each query says whether it exists, null where that can't be told; each hit how it differs from the query."""
    names = ("same.png", "same.bmp", "new.png", "broken.jpg")
    _, document = run_json("search", world / "photos.index", *(files / name for name in names), "--exists")
    same, converted, new, broken = document["queries"]
    assert [one["exists"] for one in document["queries"]] == [True, True, False, None]
    assert [(hit["id"], hit["kind"], hit["overlap"]) for hit in same["hits"]] == [("red/0.png", "same bytes", 1.0)]
    assert same["hits"][0]["score"] == pytest.approx(1)
    assert converted["hits"][0] | {"kind": "re-encoded"} == converted["hits"][0]
    assert (converted["hits"][0]["id"], new["hits"], broken["hits"]) == ("red/0.png", [], [])
    counts = [document[name] for name in ("n_existing", "n_missing", "failed", "n_unreadable", "k", "notes")]
    assert counts == [2, 1, 1, 0, 10, []]
    assert document["failures"] == [{"query": str(files / "broken.jpg"), "stage": "decode", "reason": "not an image"}]


def test_a_copy_that_is_gone_does_not_count(world, files, run_json, tmp_path):
    """Where the stored image was removed since, the picture is no more there, and a note says why."""
    photos, moved = world / "photos/red", tmp_path / "0.png"
    shutil.move(photos / "0.png", moved)
    try:
        exit_code, document = run_json("search", world / "photos.index", files / "same.png", "--exists")
    finally:
        shutil.move(moved, photos / "0.png")
    assert (exit_code, document["queries"][0]["exists"], document["queries"][0]["hits"]) == (4, False, [])
    assert document["notes"] == [
        "1 copy is in the index alone: its image can't be read any more, and it does not count."
    ]


def test_what_was_not_compared_is_not_missing(world, files, run_json, monkeypatch):
    """A picture that may be there, and can't be compared, is neither there nor missing."""
    read = lambda uri, *_: None if uri.endswith("same.bmp") else np.zeros((64, 64, 3), np.uint8)  # noqa: E731
    monkeypatch.setattr(confirming, "picture_reader", lambda _: contextlib.nullcontext(read))
    monkeypatch.setattr(confirming, "kept_decisions", lambda: contextlib.nullcontext(None))
    exit_code, document = run_json("search", world / "photos.index", files / "same.bmp", "--exists")
    assert (exit_code, document["queries"][0]["exists"]) == (3, None)
    assert document["failures"][0]["reason"] == "not compared"


def test_the_same_from_python(world, files, run_json):
    """The Python function returns the command's document; hits also go into a table."""
    query = str(files / "same.png")
    document = run_json("search", world / "photos.index", query, "--exists")[1]
    actual = frieze.search(world / "photos.index", query, exists=True)
    assert actual == document
    assert actual.to_pandas()["id"].tolist() == ["red/0.png"]


def test_a_table_for_programs(world, files, run):
    """Into a pipe goes a line a copy, and a line for each picture that is not there."""
    result = run("search", world / "photos.index", files / "same.png", files / "new.png", "--exists")
    head, *lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["query", "exists", "kind", "score", "id"]
    assert [line[1:3] + line[4:] for line in lines] == [["yes", "same bytes", "red/0.png"], ["no", "", ""]]


def test_equal_bytes_need_no_backbone(world, files, monkeypatch):
    """Where all files are there byte by byte, nothing is embedded."""
    monkeypatch.setattr("frieze.embedder.reopen_backbone", lambda *_, **__: pytest.fail("opened"))
    actual = frieze.search(world / "photos.index", files / "same.png", exists=True, where="label = 'red'")
    assert actual["queries"][0]["exists"] is True


def test_without_opencv_only_bytes_count(world, files, monkeypatch):
    """Without OpenCV, and for vectors made elsewhere, only equal files are there, which is said."""
    monkeypatch.setattr("frieze.api.existing.can_compare", lambda: False)
    actual = frieze.search(world / "photos.index", files / "same.bmp", exists=True)
    assert actual["queries"][0] == {"query": str(files / "same.bmp"), "exists": False, "hits": []}
    assert "frieze[duplicates]" in actual["notes"][0]


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("id:red/0.png", {}, "id:red/0.png is no image file"),
        (np.zeros(4), {}, "ndarray is no image file"),
        ([], {}, "There is no query"),
        ("none.jpg", {}, "There is no file none.jpg"),
        (".", {}, r"\. is a folder"),
        ("none.jpg", {"min_score": 0.5}, "the pixels decide, not a score"),
    ],
)
def test_refusals(world, query, options, message):
    """Only image files can be asked for, without a score; each mistake is named."""
    with pytest.raises(InputError, match=message):
        frieze.search(world / "photos.index", query, exists=True, **options)


@pytest.mark.slow
def test_decides_as_duplicates_does(tmp_path):
    """An edit is there exactly where `frieze duplicates` groups it with its original; a look-alike is not."""
    rng, photos, others = np.random.default_rng(0), tmp_path / "photos", tmp_path / "others"
    photos.mkdir()
    others.mkdir()
    for number in range(3):
        photograph(number).save(photos / f"{number}.png")
        for name, edit in EDITS.items():
            edit.write(photograph(number), rng, others / f"{number} {name}")
    for kind, make in LOOK_ALIKES.items():
        make(0).save(photos / f"{kind} 0.png")
        make(1).save(others / f"{kind} 1.png")
    _index(photos, tmp_path)
    paths = sorted(others.iterdir())
    actual = frieze.search(tmp_path / "t.index", paths, exists=True)["queries"]
    for path in paths:
        shutil.copy(path, photos)
    _index(photos, tmp_path)
    groups = [set(group["ids"]) for group in frieze.duplicates(tmp_path / "t.index")["groups"]]
    for path, one in zip(paths, actual, strict=True):
        of_path = next((group for group in groups if path.name in group), set())
        assert {hit["id"] for hit in one["hits"]} == of_path - {other.name for other in paths}, path.name
    assert sum(one["exists"] for one in actual) == 3 * len(EDITS)


def _index(photos, folder):
    frieze.embed(photos, out=folder / "t.features")
    frieze.index(folder / "t.features", out=folder / "t.index")
