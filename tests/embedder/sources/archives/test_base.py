import gzip
import io
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.archives import compressed as archives
from frieze.embedder.sources.open import open_source


def image(number):
    """Create bytes that pass for an image, others for each number."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(100 + number)


def write_tar(path, members):
    """Write an archive of images: name -> bytes."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder of three archives of four images each, and all the images in order."""
    folder = tmp_path_factory.mktemp("shards")
    images = [image(number) for number in range(12)]
    for shard, name in enumerate(("a.tar", "b/a.tar", "b/c.tar")):
        members = range(4 * shard, 4 * shard + 4)
        write_tar(folder / name, {f"{number}.jpg": images[number] for number in members})
    return folder, images


@pytest.fixture
def pair(tmp_path):
    """Two archives `a.tar` and `b.tar` of two images each, opened before a test harms them; and their folder."""
    for shard, name in enumerate("ab"):
        write_tar(tmp_path / f"{name}.tar", {f"{number}.jpg": image(2 * shard + number) for number in range(2)})
    return open_source(str(tmp_path), SourceOptions()), tmp_path


def read(source, rows=range(4)):
    """Read images: their bytes, or the reason why there are none."""
    return [getattr(content, "reason", content) for content in source.read(np.array(rows))]


def failures(source):
    """Return (id, stage, reason, message) of what can't be listed."""
    return [(one.id, one.stage, one.reason, one.message) for one in source.listing.failures]


def test_order(shards):
    """Images come in the order of their archives' paths, and are named by these below the source."""
    folder, _ = shards
    ids = open_source(str(folder), SourceOptions()).listing.images["id"].to_pylist()
    names = ["a.tar"] * 4 + ["b/a.tar"] * 4 + ["b/c.tar"] * 4
    assert ids == [f"{name}/{number}.jpg" for number, name in enumerate(names)]


@given(calls=st.lists(st.lists(st.integers(0, 11), unique=True).map(sorted), max_size=4))
def test_any_rows(calls, shards):
    """Whatever rows are requested, in whatever calls, each gives its own bytes."""
    folder, images = shards
    source = open_source(str(folder), SourceOptions())
    for rows in calls:
        assert read(source, np.array(rows, np.int64)) == [images[row] for row in rows]


def test_each_is_opened_once(shards, monkeypatch):
    """Read in order, whatever the size of a call, each archive is opened once, and closed before the next."""
    source = open_source(str(shards[0]), SourceOptions())
    opened, open_uri = [], archives.open_uri
    monkeypatch.setattr(archives, "open_uri", lambda place: opened.append(open_uri(place)) or opened[-1])
    for rows in np.split(np.arange(12), [3, 6, 9]):
        read(source, rows)
    assert [file.closed for file in opened] == [True, True, False]
    del source
    assert opened[2].closed


@pytest.mark.parametrize("name", ["aa.tar.gz", "aa.tgz", "aa.tar"])
def test_one_compressed_of_many(name, pair):
    """A compressed archive beside others is read as they are, also without an ending that says so."""
    (pair[1] / name).write_bytes(gzip.compress((pair[1] / "a.tar").read_bytes()))
    source = open_source(str(pair[1]), SourceOptions())
    assert failures(source) == []
    assert read(source, range(6)) == [image(number) for number in (0, 1, 0, 1, 2, 3)]


@pytest.mark.parametrize(("data", "message"), [(b"", "empty file"), (b"text" * 200, "invalid header")])
def test_one_bad_of_many(data, message, pair):
    """An archive that can't be read is a failure; the others are listed."""
    (pair[1] / "aa.tar").write_bytes(data)
    source = open_source(str(pair[1]), SourceOptions())
    assert failures(source) == [("aa.tar", "list", "damaged archive", f"damaged at byte 0: {message}")]
    assert read(source) == [image(number) for number in range(4)]


def test_none_can_be_read(tmp_path):
    """Where no archive gives an image, the first one's damage is reported."""
    for name in ("a b.tar", "c.tar"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"There is no image in .*: a b\.tar can't be read: .*empty file") as caught:
        open_source(str(tmp_path), SourceOptions())
    assert caught.value.hint == f"Check its format, and whether it is complete: file '{tmp_path}/a b.tar'"


def test_vanishes_before_it_is_listed(pair, monkeypatch):
    """An archive that can't be opened any more is a failure with the system's message."""
    open_uri = archives.open_uri

    def refusing(place):
        if place.endswith("a.tar"):
            raise PermissionError(13, "Permission denied")
        return open_uri(place)

    monkeypatch.setattr(archives, "open_uri", refusing)
    source = open_source(str(pair[1]), SourceOptions())
    assert failures(source) == [("a.tar", "list", "unreadable", "Permission denied")]
    assert read(source, range(2)) == [image(2), image(3)]


def test_disk_fails_while_it_is_listed(pair, monkeypatch):
    """When an archive can't be read on, the images before are listed, and one failure says why it ends there."""

    class Failing(io.BytesIO):
        def read(self, size=-1, /):
            if self.tell() >= 1024:
                raise OSError(5, "Input/output error")
            return super().read(size)

    data = (pair[1] / "a.tar").read_bytes()
    monkeypatch.setattr(archives, "open_uri", lambda place: Failing(data))
    source = open_source(str(pair[1] / "a.tar"), SourceOptions())
    assert source.listing.images["id"].to_pylist() == ["a.tar/0.jpg"]
    assert failures(source) == [("a.tar", "list", "unreadable", "Input/output error")]


def test_replaced_after_it_was_listed(pair):
    """Images of an archive that is another one by now are failures, not bytes of something else."""
    source, folder = pair
    write_tar(folder / "a.tar", {"longer/name.jpg": image(5), "0.jpg": image(0), "1.jpg": image(1)})
    assert read(source) == ["changed", "changed", image(2), image(3)]


def test_deleted_after_listing(pair):
    """Images of an archive that no longer exists are failures; those of the others are read."""
    source, folder = pair
    (folder / "a.tar").unlink()
    assert read(source) == ["unreadable", "unreadable", image(2), image(3)]


def test_overwritten_while_it_is_read(pair):
    """An open archive that another one is written over is noticed by the next call, whatever it had read before."""
    source, folder = pair
    assert read(source, [0]) == [image(0)]
    write_tar(folder / "a.tar", {"longer/name.jpg": image(5), "0.jpg": image(0), "1.jpg": image(1)})
    assert read(source, [1, 2, 3]) == ["changed", image(2), image(3)]


def test_cut_while_it_is_read(tmp_path):
    """An image whose archive ends before it does is a failure."""
    write_tar(tmp_path / "a.tar", {"0.jpg": image(0), "1.jpg": image(1) + bytes(1 << 20)})
    contents = open_source(str(tmp_path), SourceOptions()).read(np.arange(2))
    assert next(contents) == image(0)
    with (tmp_path / "a.tar").open("r+b") as file:
        file.truncate(1 << 19)
    assert next(contents).reason == "truncated"


def test_too_large(pair):
    """An image of more bytes than are allowed is rejected before it is read."""
    source = open_source(str(pair[1]), SourceOptions(max_bytes=len(image(1))))
    assert read(source) == [image(0), image(1), "too large", "too large"]


@pytest.mark.parametrize(("frames", "n_ignored"), [("first", 1), ("2s", 0), ("all", 0)])
def test_video_inside(frames, n_ignored, tmp_path):
    """A video inside an archive is a failure where frames are wanted; else it is an ignored file."""
    write_tar(tmp_path / "a.tar", {"0.jpg": image(0), "x/clip.MP4": b"film"})
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("0.jpg", image(0))
        archive.writestr("x/clip.MP4", b"film")
    for name in ("a.tar", "b.zip"):
        source = open_source(str(tmp_path / name), SourceOptions(frames=frames))
        expected = (
            []
            if n_ignored
            else [(f"{name}/x/clip.MP4", "list", "video inside", "a video inside an archive is not read; unpack it")]
        )
        assert (failures(source), source.listing.n_ignored) == (expected, n_ignored)


@pytest.mark.parametrize("inner", ["more.ZIP", "x/more.tar", "more.tar.gz"])
def test_archive_inside(inner, tmp_path):
    """An archive inside another is a failure by its name, and no image of it goes missing without a word."""
    write_tar(tmp_path / "a.tar", {"0.jpg": image(0), inner: b"PK"})
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("1.jpg", image(1))
        archive.writestr(inner, b"PK")
    for name in ("a.tar", "b.zip"):
        source = open_source(str(tmp_path / name), SourceOptions())
        message = "an archive inside another is not read"
        assert failures(source) == [(f"{name}/{inner}", "list", "archive inside", message)]
        assert (len(source.listing.images), source.listing.n_ignored) == (1, 0)
    write_tar(tmp_path / "a.tar", {inner: b"PK"})
    with pytest.raises(InputError, match="can't be read: an archive inside another is not read") as caught:
        open_source(str(tmp_path / "a.tar"), SourceOptions())
    assert caught.value.hint.startswith("Unpack the outer one")
