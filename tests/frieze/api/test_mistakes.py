"""Mistakes of users, and the messages for them."""

import itertools
import os
import shutil

import numpy as np
import pytest
from PIL import Image

import frieze
import frieze.embedder
from frieze.core import InputError


@pytest.fixture
def loads_nothing(monkeypatch):
    """Make it a failure to load a backbone: a mistake is reported before the seconds that takes."""
    monkeypatch.setattr(
        frieze.embedder, "reopen_backbone", lambda *_args, **_kwargs: pytest.fail("a backbone was loaded")
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("search {features} a.png", "is a table of features; expected an index"),
        ("search {photo} {index}", "holds nothing of ours; expected an index"),
        ("index {photos} --out {new}", "holds nothing of ours; expected a table of features"),
        ("train {index} --out {new}", "is an index; expected a table of features"),
        ("evaluate {features} {head}", "is a table of features; expected a head"),
        ("predict {index} {photos} --out {new}", "is an index; expected a head"),
        ("info {new}", "is not there"),
        ("index {new} --out {new}", "There is no"),
        ("search {index} nosuch.jpg", "There is no file nosuch.jpg."),
    ],
)
def test_the_wrong_folder_is_named(world, run, tmp_path, loads_nothing, line, message):
    """A folder of another kind, or none, is named, with the command that makes the expected kind."""
    paths = {kind: world / f"photos.{kind}" for kind in ("features", "index", "head")}
    command = line.format(**paths, photos=world / "photos", photo=world / "photos/red/0.png", new=tmp_path / "new")
    result = run(*command.split())
    assert result.exit_code == 1
    assert message in result.stderr


@pytest.mark.parametrize("given", ["photos", "photos.features"])
def test_the_folder_beside_is_named(world, run, given):
    """Where the folder of images or its table is given in place of the index, the index beside it is named."""
    result = run("search", str(world / given), "a.png")
    assert f"Did you mean {world / 'photos.index'}?" in result.stderr


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((2, 3, 4), np.float32),
        np.zeros(3, complex),
        np.zeros(3, [("a", "f4")]),
        np.zeros(3, "datetime64[s]"),
        np.array(["a"]),
    ],
    ids=["3-D", "complex", "structured", "dates", "words"],
)
def test_arrays_that_are_no_vectors(world, run, tmp_path, vectors):
    """A .npy file that holds no real vectors [n, D] is refused."""
    np.save(tmp_path / "q.npy", vectors)
    result = run("search", world / "photos.index", tmp_path / "q.npy")
    assert result.exit_code == 1
    assert "holds no vectors" in result.stderr


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04"])
def test_files_that_are_no_arrays(world, run, tmp_path, data):
    """A damaged .npy file is refused by its name."""
    (tmp_path / "q.npy").write_bytes(data)
    result = run("search", world / "photos.index", tmp_path / "q.npy")
    assert result.exit_code == 1
    assert "can't be read as vectors" in result.stderr


def test_no_query(world):
    """A search for nothing is refused."""
    with pytest.raises(InputError, match="no query"):
        frieze.search(world / "photos.index", [])


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("lable = 'red'", "The filter names an unknown column: lable\nDid you mean: label?"),
        ("label = 'red", "Error: The filter can't be parsed: a quote is not closed: label = 'red"),
        (
            "label = = 'red'",
            "Error: The filter can't be parsed from here on: = 'red'\nThe whole filter: label = = 'red'",
        ),
        ("", "Error: The filter is empty."),
        ("width > 'wide'", "Error: width > 'wide' compares a number with text."),
        ("upper(label) = 'RED'", "Error: A filter can't hold this: UPPER(label)\nA filter compares columns"),
        ("label", "Error: label by itself is text; a condition must be true or false."),
    ],
)
def test_filters_that_can_not_be_used(world, run, where, message):
    """A filter that can't be read, found or compared is reported on stderr with exit code 1, and nothing on stdout."""
    result = run("search", world / "photos.index", "id:red/0.png", "--where", where)
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_html_does_not_overwrite(world, run, tmp_path):
    """--html replaces a page of ours and nothing else."""
    photo, page = tmp_path / "photo.png", tmp_path / "page.html"
    Image.new("RGB", (9, 9)).save(photo)
    before = photo.read_bytes()
    line = ("search", world / "photos.index", "id:red/0.png", "--html")
    assert run(*line, photo).exit_code == 1
    assert photo.read_bytes() == before
    assert [run(*line, page).exit_code for _ in range(2)] == [0, 0]


def test_a_stale_index_is_reported(photos, run, tmp_path):
    """After the table has changed, a search still answers, and says what to type."""
    source = tmp_path / "source"
    shutil.copytree(photos / "red", source)
    frieze.embed(source, out=tmp_path / "f")
    frieze.index(tmp_path / "f", out=tmp_path / "i")
    assert frieze.search(tmp_path / "i", "id:0.png")["stale"] is None
    (source / "9.png").unlink()
    frieze.embed(source, out=tmp_path / "f")
    result = run("search", tmp_path / "i", "id:0.png")
    assert result.exit_code == 0
    assert f"frieze index {tmp_path / 'f'} --out {tmp_path / 'i'}" in result.stderr
    assert f"frieze index {tmp_path / 'f'} --out {tmp_path / 'i'}" in run("info", tmp_path / "i").stderr


def test_failures_are_reported(world, run, tmp_path):
    """Where images were skipped, stderr says how many and where to look, or which and why."""
    embedded = run("embed", world / "photos", "--out", world / "photos.features")
    assert (
        f"1 image can't be used (not an image 1): see {world / 'photos.features'}/failures.parquet" in embedded.stderr
    )
    predicted = run("predict", world / "photos.head", world / "photos", "--out", tmp_path / "p.parquet")
    assert "1 image can't be used: broken.jpg (decode, not an image)" in predicted.stderr


@pytest.mark.parametrize("option", ["--dry-run", "--json"])
def test_labels_that_meet_few_images(world, run, tmp_path, option):
    """Where a file of labels leaves images without one, or names others, stderr says how many; else it says nothing."""
    images = world / "photos" / "red"
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n0.png,a\n1.png,b\nghost.png,c\n")
    result = run("embed", images, "--labels", labels, "--out", tmp_path / "f", option)
    assert result.stderr == "Note: images without a label: 8; rows of labels that name no image: 1.\n"
    labels.write_text("id,label\n" + "".join(f"{number}.png,a\n" for number in range(10)))
    assert run("embed", images, "--labels", labels, "--out", tmp_path / "g", option).stderr == ""


@pytest.mark.parametrize("option", ["--dry-run", "--json"])
def test_shards_among_images(world, run, tmp_path, option):
    """Where shards lie among the images, stderr says that they are not read, and what to type for them."""
    images = shutil.copytree(world / "photos" / "red", tmp_path / "red")
    (images / "00000.tar").write_bytes(b"")
    result = run("embed", images, "--out", tmp_path / "f", option)
    pattern = f"'{images}/*.tar'"
    assert result.stderr == (
        f"Note: shards among the images that are not read: 1; embed them by themselves: {pattern}\n"
    )


@pytest.mark.parametrize("option", ["--dry-run", "--json"])
def test_omissions_are_reported(world, run, tmp_path, option):
    """Ignored files are reported by format, pictures that are not read with what to do, and an idle --exclude."""
    images = shutil.copytree(world / "photos" / "red", tmp_path / "red")
    for name in ("a.txt", "b.txt", "c.EXR", ".DS_Store"):
        (images / name).write_bytes(b"text")
    result = run("embed", images, "--out", tmp_path / "f", "--exclude", "*.gif", "--exclude", "9.*", option)
    assert result.stderr == (
        "Note: files that are no images and are ignored: 3 (1 OpenEXR, 2 .txt).\n"
        "Note: pictures that are not read, OpenEXR: 1; to have them: convert them to PNG or JPEG\n"
        "Note: --exclude '*.gif' leaves out nothing.\n"
    )


@pytest.mark.parametrize("name", [b"n\xff", b"x" * 300])
def test_paths_that_no_table_can_have(world, run, tmp_path, name):
    """A path that is no text, or too long, is refused before any work."""
    result = run("index", world / "photos.features", "--out", os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    assert result.exit_code == 1
    assert "can't be used as a path" in result.stderr


@pytest.mark.parametrize(
    ("line", "url"),
    [
        ("embed {photos} --out", "file:///out"),
        ("embed {photos} --out", "https://host/out"),
        *itertools.product(
            ["index {features} --out", "train {features} --out", "search {index} q.npy --html"],
            ["s3://bucket/out", "gs://bucket/out", "file:///out"],
        ),
    ],
)
def test_urls_of_what_lies_on_disk(world, run, monkeypatch, tmp_path, line, url):
    """A URL in place of a path on disk is refused, and no folder of that name is made."""
    monkeypatch.chdir(tmp_path)
    command = line.format(**{name: world / f"photos.{name}" for name in ("features", "index")}, photos=world / "photos")
    result = run(*command.split(), url)
    assert (result.exit_code, f"{url} is not on disk" in result.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_path_like_a_url(world, run, monkeypatch, tmp_path):
    """A relative path with a colon is a path."""
    monkeypatch.chdir(tmp_path)
    assert run("index", world / "photos.features", "--out", "a:b/i").exit_code == 0
    assert run("train", world / "photos.features", "--out", "a:b/h").exit_code == 0
    assert run("predict", "a:b/h", world / "photos.features", "--out", "a:b/p.parquet").exit_code == 0
    assert run("search", "a:b/i", "id:red/0.png").exit_code == 0


def test_other_labels_are_taken(world, tmp_path, run, run_json):
    """A table labelled by folders does not silently keep its labels with --labels none."""
    out = shutil.copytree(world / "photos.features", tmp_path / "photos.features")
    run("embed", world / "photos", "--out", out, "--labels", "none")
    _, document = run_json("info", out)
    assert (document["labels"], document["unlabelled"], document["request"]["labels"]) == ({}, 30, "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--layer", "nope"], "frieze-mini-3 has no layer nope"),
        (["--pixels", "0..255"], "has its own preprocessing"),
        (["--weights", "random"], "its weights are in it"),
        (["--trust-backbone"], "--trust-backbone does not go with builtin"),
        (["--label", "kind"], "has no columns, so --label kind means nothing there"),
        (["--backbone", "mobilenetv2"], "Did you mean keras:MobileNetV2?"),
    ],
)
def test_options_that_do_not_fit(world, run, tmp_path, options, message):
    """An option that a backbone can't follow is refused, never ignored."""
    result = run("embed", world / "photos", "--out", tmp_path / "f", *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "f").exists()


def test_force_never_takes_photographs(world, run, tmp_path):
    """--force replaces a table and nothing else, whatever a folder's files are called."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "features.json").write_text('{"type": "FeatureCollection"}')
    (mine / "a.png").write_bytes(b"precious")
    assert run("embed", world / "photos" / "red", "--out", mine, "--force").exit_code == 1
    assert (mine / "a.png").read_bytes() == b"precious"


def test_names_complete():
    """The package lists its public names, so that a shell can complete them."""
    assert dir(frieze) == frieze.__all__
