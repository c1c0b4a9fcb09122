import inspect
import os
import shutil
import sys
from pathlib import Path

import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.files import to_path
from frieze.embedder.sources.open import open_source


def list_source(source, **options):
    """List a source."""
    return open_source(source, SourceOptions(**options)).listing


def ids(listing):
    """Return the ids of a listing, in order."""
    return listing.images["id"].to_pylist()


def reasons(listing):
    """Return the reason of each failure; all are of stage list."""
    assert {failure.stage for failure in listing.failures} <= {"list"}
    return {failure.id: failure.reason for failure in listing.failures}


def test_order(write_photos, tmp_path):
    """Images are found in all folders, ordered by name within each, whatever order the disk gives."""
    write_photos(tmp_path, ["b.jpg", "c/z.jpg", "c/a/2.jpg", "c/a/10.jpg", "a/x.jpg", "Z.jpg"])
    listing = list_source(str(tmp_path))
    assert ids(listing) == ["Z.jpg", "a/x.jpg", "b.jpg", "c/a/10.jpg", "c/a/2.jpg", "c/z.jpg"]
    assert ids(list_source(str(tmp_path))) == ids(listing)


def test_facts(write_photos, tmp_path):
    """A row has the absolute path, the bytes and the time of its file."""
    path = write_photos(tmp_path, ["a.jpg"]) / "a.jpg"
    os.utime(path, ns=(5, 1_234_567_890_123_456_789))
    (row,) = list_source(str(tmp_path)).images.to_pylist()
    assert row == {
        "id": "a.jpg",
        "uri": str(path),
        "label": None,
        "size_bytes": path.stat().st_size,
        "mtime_ns": 1_234_567_890_123_456_789,
    }


def test_relative_source(write_photos, tmp_path, monkeypatch):
    """A source given as a relative path is stored as an absolute one."""
    write_photos(tmp_path / "photos", ["a.jpg"])
    monkeypatch.chdir(tmp_path)
    listing = list_source("photos")
    assert listing.source == str(tmp_path / "photos")
    assert listing.images["uri"].to_pylist() == [str(tmp_path / "photos" / "a.jpg")]


@pytest.mark.parametrize(("labels", "expected"), [("folder", [None, "c", "d"]), ("none", [None] * 3)])
def test_labels(labels, expected, write_photos, tmp_path):
    """The parent folder's name is the label, null at the root; with `none` all are null."""
    write_photos(tmp_path, ["a.jpg", "c/b.jpg", "c/d/e.jpg"])
    assert list_source(str(tmp_path), labels=labels).images["label"].to_pylist() == expected


def test_first_bytes(write_photos, tmp_path):
    """An image without an extension, or with a wrong one, is taken by its signature."""
    write_photos(tmp_path, ["noextension", "photo.dat", "notes.txt"])
    listing = list_source(str(tmp_path))
    assert (ids(listing), listing.n_ignored) == (["noextension", "notes.txt", "photo.dat"], 0)


def test_other_files_are_counted(write_photos, tmp_path):
    """Files that are no images and do not claim to be are counted by format; hidden ones apart."""
    write_photos(tmp_path, ["a.jpg"])
    for name in ("notes.txt", ".DS_Store", "Thumbs.db", "empty"):
        (tmp_path / name).write_bytes(b"text" if name != "empty" else b"")
    listing = list_source(str(tmp_path))
    assert (ids(listing), reasons(listing), listing.n_ignored) == (["a.jpg"], {}, 3)
    assert (listing.ignored, listing.n_hidden) == ({".txt": 1, ".db": 1, "no suffix": 1}, 1)


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG", "a.png", "a.gif", "a.bmp", "a.webp", "a.tif", "a.TIFF", "a.jfif"])
def test_image_names(name, tmp_path):
    """A file with an image's extension is a candidate whatever it holds: decoding says what is wrong with it."""
    (tmp_path / name).write_text("text")
    assert ids(list_source(str(tmp_path))) == [name]


def test_dangling_link(folder):
    """A link to nothing with an image's extension is a failure; any other is ignored."""
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "gone").symlink_to(folder / "nowhere")
    listing = list_source(str(folder))
    assert reasons(listing) == {"gone.jpg": "dangling link"}
    assert (len(listing.images), listing.n_ignored) == (10, 1)


@pytest.mark.parametrize("name", ["a.jpg", "noextension"])
def test_file_that_can_not_be_looked_at(name, folder, lock):
    """A possible image that exists but can't be read is a failure."""
    (folder / "k").mkdir()
    (folder / "a.jpg").rename(folder / "k" / name)
    lock(folder / "k", 0o444)
    listing = list_source(str(folder))
    assert (reasons(listing), listing.n_ignored) == ({f"k/{name}": "unreadable"}, 0)
    assert listing.failures[0].uri == str(folder / "k" / name)


def test_link_to_an_image(folder):
    """A link to an image is an image of its own."""
    (folder / "k.jpg").symlink_to(folder / "a.jpg")
    assert ids(list_source(str(folder)))[-2:] == ["j.jpg", "k.jpg"]


def test_pipe(folder):
    """A pipe with an image's extension is a failure, and nothing waits for it."""
    os.mkfifo(folder / "pipe.jpg")
    os.mkfifo(folder / "pipe")
    listing = list_source(str(folder))
    assert (reasons(listing), listing.n_ignored) == ({"pipe.jpg": "missing"}, 1)


def test_loops_end(write_photos, folder):
    """Links that lead back to a folder above, or to themselves, are followed no further."""
    write_photos(folder, ["deep/k.jpg"])
    (folder / "deep" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "self").symlink_to(folder / "self")
    (folder / "self.jpg").symlink_to(folder / "self.jpg")
    listing = list_source(str(folder))
    assert (len(listing.images), listing.n_ignored) == (11, 1)
    assert reasons(listing) == {"self.jpg": "dangling link"}


def test_deep_folder(write_photos, folder):
    """Folders may lie deeper than Python's own calls may."""
    write_photos(folder / "/".join("d" * 300), ["k.jpg"])
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 200)
    try:
        listing = list_source(str(folder))
    finally:
        sys.setrecursionlimit(limit)
    assert (len(listing.images), listing.failures) == (11, ())


def test_linked_folder(write_photos, folder, tmp_path):
    """A link to a folder elsewhere is searched."""
    write_photos(tmp_path / "elsewhere", ["k.jpg"])
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    assert ids(list_source(str(folder)))[-1] == "linked/k.jpg"


@pytest.mark.parametrize("name", ["a b.jpg", 'it\'s "it".jpg', "two\nlines.jpg", "größe.jpg", "100%.jpg", "a:b?.jpg"])
def test_odd_names(name, write_photos, tmp_path):
    """Spaces, quotes, line ends and signs stay in id and uri as they are."""
    write_photos(tmp_path, [name])
    (row,) = list_source(str(tmp_path)).images.to_pylist()
    assert (row["id"], row["uri"]) == (name, str(tmp_path / name))
    assert Path(os.fsdecode(to_path(row["uri"]))).is_file()


def test_names_that_are_no_text(folder):
    r"""An odd byte is `\xNN` in the id; the uri is a percent-encoded URL that gives the bytes back."""
    name = os.fsencode(folder) + b"/caf\xe9 100%.jpg"
    shutil.copy(folder / "a.jpg", name)
    row = list_source(str(folder)).images.to_pylist()[3]
    assert row["id"] == "caf\\xe9 100%.jpg"
    assert row["uri"] == f"file://{folder}/caf%E9%20100%25.jpg"
    assert to_path(row["uri"]) == name


def test_folder_that_is_no_text(folder):
    r"""An odd byte in a folder's name is `\xNN` in the label too."""
    os.mkdir(os.fsencode(folder) + b"/\xff")  # noqa: PTH102  the name is bytes
    shutil.copy(folder / "a.jpg", os.fsencode(folder) + b"/\xff/a.jpg")
    row = list_source(str(folder)).images.to_pylist()[-1]
    assert (row["id"], row["label"]) == ("\\xff/a.jpg", "\\xff")


def test_repeated_id(folder):
    """Two files that would be stored under one id are one image and one failure."""
    for name in (b"/k\xff.jpg", b"/k\\xff.jpg"):
        shutil.copy(folder / "a.jpg", os.fsencode(folder) + name)
    listing = list_source(str(folder))
    assert ids(listing).count("k\\xff.jpg") == 1
    assert reasons(listing) == {"k\\xff.jpg": "repeated id"}


@pytest.mark.parametrize("linked", [False, True])
def test_output_is_skipped(linked, write_photos, folder, tmp_path):
    """The run's own folder inside the source is not entered, by whatever path it is reached."""
    write_photos(folder, ["out/k.jpg", "outside/l.jpg"])
    out = folder / "out"
    if linked:
        out = tmp_path / "link"
        out.symlink_to(folder / "out")
    assert ids(list_source(str(folder), skip=(out,)))[-1] == "outside/l.jpg"
    assert len(list_source(str(folder), skip=(out,)).images) == 11


def test_one_image(folder):
    """A single file is a source of one image, without a label."""
    (row,) = list_source(str(folder / "b.jpg")).images.to_pylist()
    assert (row["id"], row["uri"], row["label"]) == ("b.jpg", str(folder / "b.jpg"), None)


def test_large_folders_are_collected_in_batches(folder, monkeypatch):
    """The listing is the same however many rows are turned into Arrow at a time."""
    whole = list_source(str(folder)).images
    monkeypatch.setattr("frieze.embedder.sources.listing._BATCH_ROWS", 3)
    assert list_source(str(folder)).images.equals(whole)


def test_missing_source(tmp_path):
    """A source that does not exist is named, with what a source is."""
    with pytest.raises(InputError, match=r"There is no .*nowhere in /(?s:.)*check the path"):
        list_source(str(tmp_path / "nowhere"))


def test_empty_source(tmp_path):
    """A source without any image is rejected, with the count of what was found instead."""
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(InputError, match=r"There is no image in .*: 1 other file was(?s:.)*JPEG"):
        list_source(str(tmp_path))
