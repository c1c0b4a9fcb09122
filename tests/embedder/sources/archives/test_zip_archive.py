import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.archives import zip_archive
from frieze.embedder.sources.open import open_source, read_image
from frieze.features import open_features

PLAIN = {"cat/1.jpg": 0, "dog/2.PNG": 1, "3.jpg": 2, "käse/a b%.jpg": 3}


def image(number):
    """Create bytes that pass for an image, others for each number."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(300 + number)


def write_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    """Write an archive of name -> bytes, or the number of an image."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, image(data) if isinstance(data, int) else data)
    return path


@pytest.fixture
def listed(tmp_path):
    """`listed(members, **options)`: an archive `a.zip` of these, opened."""

    def write_and_open(members, compression=zipfile.ZIP_DEFLATED, **options):
        return open_source(str(write_zip(tmp_path / "a.zip", members, compression)), SourceOptions(**options))

    return write_and_open


def rows(source, *names):
    """Return some columns of a source's listing, a tuple a row."""
    return [tuple(row[name] for name in names) for row in source.listing.images.to_pylist()]


def failures(source):
    """Return (id, reason) of what can't be listed."""
    return [(failure.id, failure.reason) for failure in source.listing.failures]


def contents(source, numbers=None):
    """Read images, all by default: their bytes, or (stage, reason) why there are none."""
    numbers = range(len(source.listing.images)) if numbers is None else numbers
    actual = source.read(np.array(numbers, np.int64))
    return [(one.stage, one.reason) if isinstance(one, ImageError) else one for one in actual]


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=str
)
def test_members(compression, listed, tmp_path):
    """Images are listed in the archive's order under its name, with their folder's, whatever packs them."""
    source = listed({"cat/": b"", **PLAIN, "note.txt": b"text"}, compression)
    mtime_ns = (tmp_path / "a.zip").stat().st_mtime_ns
    labels = ["cat", "dog", None, "käse"]
    assert rows(source, "id", "uri", "label", "size_bytes", "mtime_ns") == [
        (f"a.zip/{name}", f"{tmp_path}/a.zip/{name}", label, 304 + number, mtime_ns)
        for (name, number), label in zip(PLAIN.items(), labels, strict=True)
    ]
    assert (failures(source), source.listing.n_ignored, source.in_order) == ([], 1, False)
    assert contents(source) == [image(number) for number in PLAIN.values()]
    assert contents(source, [3, 1, 3]) == [image(3), image(1), image(3)]


def test_read_one(listed):
    """An image is read by its uri alone, as from a stored table."""
    source = listed(PLAIN)
    for (uri,), number in zip(rows(source, "uri"), PLAIN.values(), strict=True):
        assert read_image(uri) == image(number)
    with pytest.raises(ImageError, match=r"a\.zip holds no image gone\.jpg"):
        read_image(uri.replace("käse/a b%.jpg", "gone.jpg"))


def test_a_folder_of_zips(listed, tmp_path):
    """A folder of archives, or a glob, is their images, named by archive; a damaged one among them is a failure."""
    for name in ("in/b.zip", "c.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_zip(tmp_path / name, {"x/1.jpg": 5})
    (tmp_path / "broken.zip").write_bytes(write_zip(tmp_path / "c.zip", {"x/1.jpg": 5}).read_bytes()[:-30])
    source = open_source(str(tmp_path), SourceOptions())
    assert rows(source, "id") == [("c.zip/x/1.jpg",), ("in/b.zip/x/1.jpg",)]
    assert failures(source) == [("broken.zip", "damaged archive")]
    assert contents(source) == [image(5)] * 2
    globbed = open_source(f"{tmp_path}/*/*.zip", SourceOptions(labels="none"))
    assert rows(globbed, "id", "label") == [("in/b.zip/x/1.jpg", None)]


def test_what_systems_add_is_left_out(listed):
    """Hidden members and macOS's notes are no images; a name of Windows' programs is a path."""
    source = listed({"__MACOSX/cat/._1.jpg": 0, "cat/.2.jpg": 1, ".DS_Store": b"x", "dog\\4.jpg": 3, "/abs/5.jpg": 4})
    assert rows(source, "id", "label") == [("a.zip/dog/4.jpg", "dog"), ("a.zip/abs/5.jpg", "abs")]
    assert (source.listing.n_ignored, source.listing.n_hidden) == (0, 3)


def test_first_bytes(listed):
    """A member is an image by its name or signature; one that only claims to be fails when it is read."""
    source = listed({"noextension": 0, "film.jpg": b"text" * 99})
    assert contents(source) == [image(0), ("decode", "not an image")]


def spoil(path, number, *, flags=None, method=None):
    """Change a byte in the middle of a member's data, or what its heads say of it."""
    with zipfile.ZipFile(path) as archive:
        member, start = archive.infolist()[number], archive.start_dir
    data = bytearray(path.read_bytes())
    if flags is None and method is None:
        data[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 1
    else:
        central = data.index(b"PK\1\2", start) if number == 0 else None
        at, value = (8, flags) if flags is not None else (10, method)
        data[central + at] = value
        data[member.header_offset + at - 2] = value
    path.write_bytes(data)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_member(compression, listed, tmp_path):
    """A member whose bytes are not those that were packed is a failure; the others are read."""
    listed(PLAIN, compression)
    spoil(tmp_path / "a.zip", 1)
    source = open_source(str(tmp_path / "a.zip"), SourceOptions())
    assert contents(source) == [image(0), ("read", "damaged"), image(2), image(3)]
    with pytest.raises(ImageError):
        read_image(f"{tmp_path}/a.zip/dog/2.PNG")


def test_encrypted_member(listed, tmp_path):
    """An encrypted member is a failure that says so; where all are, so does the error, with what to type."""
    listed(PLAIN)
    spoil(tmp_path / "a.zip", 0, flags=1)
    source = open_source(str(tmp_path / "a.zip"), SourceOptions())
    assert (failures(source), len(source.listing.images)) == ([("a.zip/cat/1.jpg", "encrypted")], 3)
    listed({"cat/1.jpg": 0})
    spoil(tmp_path / "a.zip", 0, flags=1)
    with pytest.raises(InputError, match=r"it is encrypted.*\nUnpack it with its password.*unzip .*a\.zip -d FOLDER"):
        open_source(str(tmp_path / "a.zip"), SourceOptions())


def test_unknown_packing(listed, tmp_path):
    """A member packed in a way that Python does not know is a failure that says so."""
    listed(PLAIN)
    spoil(tmp_path / "a.zip", 0, method=9)
    assert contents(open_source(str(tmp_path / "a.zip"), SourceOptions()))[:2] == [("read", "unsupported"), image(1)]


@pytest.mark.parametrize("data", [b"", b"text", b"PK\3\4" + bytes(99)])
def test_no_zip(data, tmp_path):
    """What is no zip archive is one error that names it."""
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(InputError, match=r"There is no image in .*a\.zip: a\.zip can't be read: .*\nCheck its format"):
        open_source(str(tmp_path / "a.zip"), SourceOptions())


def test_limits_and_changes(listed, tmp_path):
    """A large member is not unpacked; an archive that has changed since it was listed is not read."""
    source = listed(PLAIN, max_bytes=305)
    assert contents(source)[1:3] == [image(1), ("read", "too large")]
    write_zip(tmp_path / "a.zip", {"x.jpg": 1})
    assert contents(source, [0]) == [("read", "changed")]


def test_no_columns(listed):
    """An archive has no columns: an option that names one is rejected with what serves in its place."""
    with pytest.raises(InputError, match=r"a\.zip has no columns, so `label='kind'` means nothing there"):
        listed(PLAIN, label="kind")


def test_many_threads(listed):
    """Many threads may read at once."""
    from concurrent.futures import ThreadPoolExecutor

    source = listed({f"{number}.jpg": number for number in range(60)})
    with ThreadPoolExecutor(8) as pool:
        actual = list(pool.map(lambda number: contents(source, [number])[0], list(range(60)) * 3))
    assert actual == [image(number) for number in range(60)] * 3


def test_only_requested_members_are_read(listed, monkeypatch):
    """Members before the one that is wanted are neither read nor unpacked: going on costs what is left."""
    source = listed({f"{number}.jpg": number for number in range(30)})
    opened = []
    whole = zip_archive._OpenZip.read
    monkeypatch.setattr(
        zip_archive._OpenZip, "read", lambda self, number, limit: opened.append(number) or whole(self, number, limit)
    )
    zip_archive._open.cache_clear()
    assert contents(source, [28]) == [image(28)]
    assert opened == [28]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_long_extra_fields(tmp_path, compression):
    """A local header with more extra fields than are usual, as of aligned archives, is read, and so is what follows."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as archive:
        for number in range(2):
            member = zipfile.ZipInfo(f"{number}.jpg")
            member.extra, member.compress_type = struct.pack("<HH", 0xD935, 996) + bytes(996), compression
            archive.writestr(member, image(number))
    assert contents(open_source(str(tmp_path / "a.zip"), SourceOptions())) == [image(0), image(1)]


def test_zipfile_is_not_needed(listed, monkeypatch):
    """A small member of a file on disk is read without zipfile, which says of a damaged one what is wrong."""
    source = listed({"1.jpg": 1, "2.jpg": 2})
    path = Path(source.listing.source)
    data = bytearray(path.read_bytes())
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    assert contents(source) == [image(1), image(2)]
    monkeypatch.undo()
    data[data.find(b"2.jpg") + 40] ^= 0xFF
    path.write_bytes(data)
    assert contents(open_source(path, SourceOptions())) == [image(1), ("read", "damaged")]


def test_embedding(folder, embed, out, tmp_path):
    """The images of an archive have the vectors of the same files in a folder; again, nothing is done."""
    path = write_zip(tmp_path / "a.zip", {one.name: one.read_bytes() for one in sorted(folder.iterdir())})
    embed(folder, tmp_path / "plain.features")
    assert embed(path, out)["embedded"] == 10
    vectors = [open_features(one).embeddings() for one in (tmp_path / "plain.features", out)]
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-5
    assert embed(path, out)["unchanged"] == 10


def test_bucket(bucket):
    """An archive in a bucket is listed and read as one on disk."""
    data = io.BytesIO()
    write_zip(data, PLAIN)
    bucket.put("zips/a.zip", data.getvalue())
    source = open_source(f"{bucket.url}/zips", SourceOptions())
    assert (rows(source, "id")[0], source.in_order) == (("a.zip/cat/1.jpg",), True)
    assert contents(source) == [image(number) for number in PLAIN.values()]
    assert read_image(f"{bucket.url}/zips/a.zip/3.jpg") == image(2)


class _Unflagged(zipfile.ZipInfo):
    """A member whose name is written as raw bytes, without the flag of UTF-8."""

    def _encodeFilenameFlags(self):  # noqa: N802  zipfile's own
        return self.raw, self.flag_bits & ~0x800


def write_unflagged(path, names, extra=b""):
    """Write an archive of images whose names are raw bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, raw in enumerate(names):
            member = _Unflagged(raw.decode("cp437"))
            member.raw, member.extra = raw, extra
            archive.writestr(member, image(number))
    return str(path)


@pytest.mark.parametrize("name", ["Café/1.jpg", "Cafe\u0301/1.jpg", "猫/größe.png", "🎈.jpg"])
def test_names_without_flag(name, tmp_path):
    """A name that is valid UTF-8 is read as such though no flag says so, and the image is found by it."""
    source = open_source(write_unflagged(tmp_path / "a.zip", [name.encode(), b"plain.jpg"]), SourceOptions())
    assert rows(source, "id") == [(f"a.zip/{name}",), ("a.zip/plain.jpg",)]
    assert (contents(source)[0], source.notes) == (image(0), ())
    assert read_image(f"{tmp_path}/a.zip/{name}") == image(0)


def test_names_of_dos(tmp_path):
    """A name that is no UTF-8 is read as cp437, which is noted."""
    source = open_source(write_unflagged(tmp_path / "a.zip", ["Größe.jpg".encode("cp437")]), SourceOptions())
    assert rows(source, "id") == [("a.zip/Größe.jpg",)]
    assert source.notes[0].startswith("Names of a.zip are not UTF-8 and state no encoding")


@pytest.mark.parametrize(("crc_of", "expected"), [("花.jpg", "a.zip/花.jpg"), ("else.jpg", "a.zip/╗¿.jpg")])
def test_unicode_path(crc_of, expected, tmp_path):
    """A name in the extra field for it counts, unless it belongs to another name."""
    raw = "花.jpg".encode("gbk")
    field = b"\1" + struct.pack("<I", zlib.crc32(crc_of.encode("gbk"))) + "花.jpg".encode()
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    source = open_source(write_unflagged(tmp_path / "a.zip", [raw], extra), SourceOptions())
    assert rows(source, "id") == [(expected,)]


def test_uris_of_earlier_versions(tmp_path):
    """An image is still found by the uri under which a table of an earlier version stored it."""
    write_unflagged(tmp_path / "a.zip", ["Café.jpg".encode()])
    assert read_image(f"{tmp_path}/a.zip/Caf├⌐.jpg") == image(0)
