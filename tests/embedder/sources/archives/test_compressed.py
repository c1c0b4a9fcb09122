import bz2
import gzip
import io
import lzma
import tarfile
import zlib

import numpy as np
import pyarrow as pa
import pytest

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.archives import compressed
from frieze.embedder.sources.archives.compressed import checkpoints_of, open_archive
from frieze.embedder.sources.open import open_source, read_image

N = 60


def arrow(codec):
    """Return what compresses with one of Arrow's codecs, in two frames."""

    def compress(data):
        parts = []
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            file = pa.BufferOutputStream()
            with pa.CompressedOutputStream(file, codec) as stream:
                stream.write(half)
            parts.append(file.getvalue().to_pybytes())
        return b"".join(parts)

    return compress


METHODS = {
    "tar.gz": gzip.compress,
    "tgz": lambda data: gzip.compress(data[:5000]) + gzip.compress(data[5000:]) + bytes(700),  # two streams, and zeros
    "tar.bz2": lambda data: bz2.compress(data[:5000], 1) + bz2.compress(data[5000:], 1),
    "tar.xz": lzma.compress,
    "tar.zst": arrow("zstd"),
    "tar.lz4": arrow("lz4"),
    "tar": gzip.compress,  # without an ending that says so
}


def image(number):
    """Create bytes that pass for an image and do not compress, others for each number."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(20_000 + number)


def tar_bytes(n=N):
    """Return an archive of images in two folders, each with a text, and a member without an extension."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number in range(n):
            members = {
                f"{number % 2}/{number:03d}.jpg": image(number),
                f"{number % 2}/{number:03d}.cls": b"c%d" % number,
            }
            for name, data in (members | {f"x{number}": bytes(900)}).items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


@pytest.fixture(params=METHODS)
def archive(request, tmp_path):
    """One archive of each compression."""
    path = tmp_path / f"a.{request.param}"
    path.write_bytes(METHODS[request.param](tar_bytes()))
    return path


def read(source, rows):
    """Read images: their bytes, or the reason why there are none."""
    return [getattr(content, "reason", content) for content in source.read(np.array(rows, np.int64))]


def test_as_the_plain_archive(archive, tmp_path):
    """A compressed archive has the images, ids and labels of the plain one, and its images are read by uri, too."""
    source = open_source(str(archive), SourceOptions())
    rows = source.listing.images.to_pylist()
    assert [row["id"] for row in rows] == [f"{archive.name}/{n % 2}/{n:03d}.jpg" for n in range(N)]
    assert [row["label"] for row in rows] == [f"c{n}" for n in range(N)]
    assert (source.listing.failures, source.listing.n_ignored, source.in_order) == ((), N, True)
    assert read(source, range(N)) == [image(n) for n in range(N)]
    assert read(source, [N - 1, 2, 30, 3]) == [image(n) for n in (N - 1, 2, 30, 3)]
    assert [read_image(rows[n]["uri"]) for n in (41, 7)] == [image(41), image(7)]
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_cut_short(archive, share):
    """Of an archive that is cut short the images before are there, and one failure names the byte."""
    data = archive.read_bytes()[: int(archive.stat().st_size * share)]
    archive.write_bytes(data)
    source = open_source(str(archive), SourceOptions())
    (failure,) = source.listing.failures
    assert (failure.id, failure.reason, failure.hides_rows) == (archive.name, "damaged archive", True)
    assert f"at byte {len(data)} of the file" in failure.message
    n = len(source.listing.images)
    assert read(source, range(n)) == [image(number) for number in range(n)]
    assert n >= int(N * share) - 15


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_cut_within_a_piece(tmp_path, codec):
    """All images before the cut are there, also where Arrow drops the piece that the cut is in."""
    data, compress = tar_bytes(3), arrow(codec)
    second = data.find(image(1)[:2000])
    whole = data[: second + len(image(1))]
    (tmp_path / "a.tar").write_bytes(compress(whole) + compress(data[len(whole) :])[:50])
    source = open_source(str(tmp_path / "a.tar"), SourceOptions())
    assert read(source, range(2)) == [image(0), image(1)]
    assert len(source.listing.images) == 2
    assert [failure.reason for failure in source.listing.failures] == ["damaged archive"]


@pytest.mark.parametrize("ending", ["tar.xz", "tar.bz2", "tar.zst"])
def test_by_uri_in_order_is_one_pass(tmp_path, monkeypatch, ending):
    """Images that are read by their URIs in order, as by a page, are decompressed once; a changed file is seen."""
    path, begun = tmp_path / f"a.{ending}", []
    path.write_bytes(METHODS[ending](tar_bytes()))
    uris = open_source(str(path), SourceOptions()).listing.images["uri"].to_pylist()
    begin = compressed.CompressedFile._begin
    monkeypatch.setattr(compressed.CompressedFile, "_begin", lambda self, at: begun.append(at) or begin(self, at))
    assert [read_image(uri) for uri in uris] == [image(number) for number in range(N)]
    assert len(begun) == 2  # of the index, and of the images
    path.write_bytes(METHODS[ending](tar_bytes(2)))
    assert read_image(uris[1]) == image(1)
    assert len(compressed._kept) <= 2


def test_damaged_in_the_middle(tmp_path):
    """After a changed byte nothing more is read, and nothing wrong."""
    data = bytearray(METHODS["tar.gz"](tar_bytes()))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (tmp_path / "a.tar.gz").write_bytes(data)
    source = open_source(str(tmp_path / "a.tar.gz"), SourceOptions())
    assert [one.reason for one in source.listing.failures] == ["damaged archive"]
    whole = [content for content in read(source, range(len(source.listing.images))) if isinstance(content, bytes)]
    assert whole[:20] == [image(n) for n in range(20)]


@pytest.mark.parametrize("ending", ["tar.zst", "tar.gz"])
def test_bomb(ending, tmp_path):
    """Content that is far larger than its file and than the limit is refused; with a higher limit it is read."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in {"0.jpg": image(0)[:300], "zeros": bytes(40 << 20), "1.jpg": image(1)}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    (tmp_path / f"a.{ending}").write_bytes(METHODS[ending](file.getvalue()))
    refused = open_source(str(tmp_path), SourceOptions(max_bytes=1 << 20))
    assert [row["id"] for row in refused.listing.images.to_pylist()] == [f"a.{ending}/0.jpg"]
    assert [(one.reason, "200 times their size" in one.message) for one in refused.listing.failures] == [
        ("too large", True)
    ]
    assert len(open_source(str(tmp_path), SourceOptions()).listing.images) == 2


def test_checkpoints(tmp_path, monkeypatch):
    """Going back in gzip begins at a checkpoint, of which only so many are kept, and finds the same bytes."""
    monkeypatch.setattr(compressed, "_SPACING_BYTES", 1 << 16)
    monkeypatch.setattr(compressed, "_MAX_CHECKPOINTS", 5)
    checkpoints_of.cache_clear()
    data = tar_bytes()
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    with open_archive(str(tmp_path / "a.gz"), 1 << 30) as file:
        assert file.read() == data
        begun = file.end
    with open_archive(str(tmp_path / "a.gz"), 1 << 30) as file:
        for at in (len(data) - 9000, 300_000, 299_000, 700_000, 5):
            file.seek(at)
            assert file.read(8000) == data[at : at + 8000]
        file.seek(len(data) + 5)
        assert (file.read(3), begun) == (b"", len(data))
    kept = checkpoints_of(
        str(tmp_path / "a.gz"), ((tmp_path / "a.gz").stat().st_size, (tmp_path / "a.gz").stat().st_mtime_ns)
    )
    assert 1 <= len(kept._all) <= 5


def test_last_member_begins_at_a_checkpoint(tmp_path, monkeypatch):
    """One who wants only the last member of a listed gzip reads the end of the file alone."""
    monkeypatch.setattr(compressed, "_SPACING_BYTES", 1 << 16)
    checkpoints_of.cache_clear()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(tar_bytes()))
    source = open_source(str(tmp_path / "a.tar.gz"), SourceOptions())
    inflated, decompress = [], compressed._Inflate.decompress
    monkeypatch.setattr(
        compressed._Inflate, "decompress", lambda *args: inflated.append(decompress(*args)) or inflated[-1]
    )
    assert read(source, [N - 1]) == [image(N - 1)]
    assert sum(map(len, inflated)) < 400_000 < len(tar_bytes()) // 3


def test_zlib_is_told_from_a_name(tmp_path):
    """A plain archive whose first member is named like zlib's header is a plain archive."""
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("x^.jpg")
        member.size = len(image(0))
        archive.addfile(member, io.BytesIO(image(0)))
    assert read(open_source(str(tmp_path / "a.tar"), SourceOptions()), [0]) == [image(0)]
    (tmp_path / "b.tar").write_bytes(zlib.compress((tmp_path / "a.tar").read_bytes()))
    assert read(open_source(str(tmp_path / "b.tar"), SourceOptions()), [0]) == [image(0)]


def test_no_archive_inside(tmp_path):
    """What is compressed and no archive is refused with what it is."""
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(b"text" * 999))
    with pytest.raises(InputError, match="invalid header"):
        open_source(str(tmp_path / "a.tar.gz"), SourceOptions())


def test_changes_while_it_is_read(archive):
    """An archive that changes after it was listed is a failure of each of its images."""
    source = open_source(str(archive), SourceOptions())
    archive.write_bytes(b"")
    with pytest.raises(ImageError, match="has changed"):
        raise next(iter(source.read(np.array([0]))))
