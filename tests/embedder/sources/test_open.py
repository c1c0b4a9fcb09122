import io
import os
import subprocess
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source, read_image

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, *names):
    """Write images."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(JPEG + os.fsencode(name))


def write_tar(path, *names):
    """Write an archive of images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(JPEG)
            archive.addfile(member, io.BytesIO(JPEG))


def ids(source, **options):
    """Return the ids of a source's images."""
    return open_source(source, SourceOptions(**options)).listing.images["id"].to_pylist()


def test_one_image(folder):
    """One file is a source of one image."""
    write(folder, "in/a.jpg")
    assert ids("in/a.jpg") == ["a.jpg"]


def test_one_folder_typed_in_two_ways(folder):
    """A source is stored by its straight path; only behind a link does `..` lead elsewhere."""
    write(folder, "in/photos/a.jpg", "other/photos/b.jpg", "other/deep/c.jpg")
    (folder / "in" / "link").symlink_to(folder / "other" / "deep")
    listings = [open_source(f"in/{name}/photos", SourceOptions()).listing for name in ("../in", "link/..")]
    assert [listing.source for listing in listings] == [f"{folder}/in/photos", f"{folder}/in/link/../photos"]
    assert [listing.images["id"].to_pylist() for listing in listings] == [["a.jpg"], ["b.jpg"]]


def test_url_of_a_file(folder):
    """A file:// URL is a path, its percent signs undone."""
    write(folder, "two words/a.jpg")
    assert ids(f"file://{folder}/two%20words") == ["a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "actual"),
    [
        ("photos/*", ["a.jpg", "b.jpg"]),
        ("photos/**", ["a.jpg", "b.jpg", "in/c.jpg"]),
        ("photos/**/*.jpg", ["a.jpg", "b.jpg", "in/c.jpg"]),
        ("pho*/[ab].jpg", ["photos/a.jpg", "photos/b.jpg"]),
        ("photos/i?/*", ["in/c.jpg"]),
    ],
)
def test_globs(pattern, actual, folder):
    """A pattern's images are named by their paths below its fixed part; what is no image is counted."""
    write(folder, "photos/a.jpg", "photos/b.jpg", "photos/in/c.jpg")
    (folder / "photos" / "README.md").write_text("Photographs.")
    assert ids(pattern) == actual


def test_glob_counts_what_is_no_image(folder):
    """A README among the images is counted and no failure."""
    write(folder, "photos/a.jpg")
    (folder / "photos" / "README.md").write_text("Photographs.")
    listing = open_source("photos/*", SourceOptions()).listing
    assert (listing.n_ignored, listing.failures) == (1, ())


def test_name_with_wildcards(folder):
    """A file whose name looks like a pattern is that file."""
    write(folder, "a[1].jpg", "a1.jpg")
    assert ids("a[1].jpg") == ["a[1].jpg"]


def test_folder_of_shards(folder):
    """A folder without images is the shards that lie in it, at any depth, whatever else is there."""
    write_tar(folder / "shards" / "in" / "b.tar", "1.jpg")
    write_tar(folder / "shards" / "a.tar", "1.jpg", "2.jpg")
    (folder / "shards" / "README.md").write_text("Shards.")
    (folder / "shards" / "index.csv").write_text("shard,images\n")
    assert ids("shards") == ["a.tar/1.jpg", "a.tar/2.jpg", "in/b.tar/1.jpg"]


def test_images_before_shards(folder):
    """In a folder with images, shards are other files; they are reported by the globs that find them."""
    write(folder, "a[1]/1.jpg", "a[1]/2.jpg", "a[1]/3.jpg")
    for name in ("0.tar", "in/1.tar", "in/2.tar"):
        write_tar(folder / "a[1]" / name, "1.jpg")
    source = open_source("a[1]", SourceOptions())
    assert (source.listing.images["id"].to_pylist(), source.listing.n_ignored) == (["1.jpg", "2.jpg", "3.jpg"], 3)
    assert source.unread_shards == {f"{folder}/a[[]1]/*.tar": 1, f"{folder}/a[[]1]/*/*.tar": 2}
    assert [len(ids(pattern)) for pattern in source.unread_shards] == [1, 2]


def test_more_shards_than_images(folder):
    """A folder with more shards than images is rejected, with what to type for either."""
    write(folder, "s s/preview.jpg")
    for number in range(2):
        write_tar(folder / "s s" / f"{number}.tar", "1.jpg")
    with pytest.raises(InputError, match=r"/s s holds 1 image and 2 shards, and only one kind") as caught:
        open_source("s s", SourceOptions())
    assert caught.value.hint == (f"Give the shards: '{folder}/s s/*.tar', or the images alone: '{folder}/s s/*.jpg'")


@pytest.mark.parametrize("name", ["features.json", "index.json", "head.json"])
def test_output_folders_hold_no_shards(name, folder):
    """The Parquet files of tables, indexes and heads that lie among images are not reported."""
    write(folder, "photos/1.jpg")
    write_tar(folder / "photos" / "made" / "parts" / "part-000000.parquet", "1.jpg")
    (folder / "photos" / "made" / name).write_text("{}")
    assert open_source("photos", SourceOptions()).unread_shards == {}


def test_glob_of_shards(folder):
    """A pattern of shards is those, named by their paths below its fixed part."""
    write_tar(folder / "shards" / "in" / "b.tar", "1.jpg")
    write_tar(folder / "shards" / "a.tar", "1.jpg")
    write(folder, "shards/a.jpg")
    assert ids("shards/**/*.tar") == ["a.tar/1.jpg", "in/b.tar/1.jpg"]


@pytest.mark.parametrize("source", [".", "*.jpg", "i?/*.jpg", "*.tar", "m.csv", "m.jsonl", "list.txt"])
def test_folder_whose_name_is_no_text(source, folder):
    """Below a folder whose name is no UTF-8 every source is found, and all that is stored of it is text."""
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9 100%"))
    write(odd, "in/a.jpg", "b.jpg")
    write_tar(odd / "c.tar", "1.jpg")
    (odd / "m.csv").write_text("path\nb.jpg\nin/a.jpg\n")
    (odd / "m.jsonl").write_text('{"path": "b.jpg"}')
    (odd / "list.txt").write_text("b.jpg\n")
    source = open_source(f"{odd}/{source}", SourceOptions())
    uris = source.listing.images["uri"].to_pylist()
    assert source.listing.source.startswith(f"file://{folder}/caf%E9%20100%25")
    assert [read_image(uri)[:4] for uri in uris] == [JPEG[:4]] * len(uris) != []


@pytest.mark.parametrize("source", ["t", "t/*/*.tar", "t/**/*.tar"])
def test_shards_in_a_locked_folder(source, folder, lock):
    """Where shards may lie in a folder that can't be read, that folder is a failure beside those that are listed."""
    write_tar(folder / "t" / "x" / "0.tar", "1.jpg")
    write_tar(folder / "t" / "y" / "1.tar", "1.jpg")
    lock(folder / "t" / "y")
    listing = open_source(source, SourceOptions()).listing
    assert listing.images["id"].to_pylist() == ["x/0.tar/1.jpg"]
    assert [(one.id, one.uri, one.reason) for one in listing.failures] == [("y", f"{folder}/t/y", "unreadable")]


@pytest.mark.parametrize("source", ["t", "t/*", "t/**/*.jpg"])
def test_nothing_but_a_locked_folder(source, folder, lock):
    """Where the source itself can't be read, that is the one failure, and no reason to refuse it."""
    write(folder, "t/a.jpg")
    lock(folder / "t")
    listing = open_source(source, SourceOptions()).listing
    assert [(one.id, one.reason) for one in listing.failures] == [(".", "unreadable")]


@pytest.mark.parametrize("source", ["t", "t/**"])
def test_output_among_shards(source, folder):
    """The run's own folder is no part of the source, also where that is made of shards or a pattern."""
    write_tar(folder / "t" / "0.tar", "1.jpg")
    write_tar(folder / "t" / "out" / "parts" / "part-000000.parquet", "1.jpg")
    assert ids(source, skip=(folder / "t" / "out",)) == ["0.tar/1.jpg"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nosuch", r"There is no nosuch in .*\.\nSOURCE is a folder of images or of shards, .*: check the path\."),
        ("nosuch.csv", r"There is no nosuch\.csv in "),
        ("nosuch*.jpg", r"Nothing matches .*/nosuch\*\.jpg\.\nCheck the pattern, and quote it"),
        (
            "empty",
            r"There is no image in empty: 0 other files were found\.\nSOURCE and all folders below it",
        ),
        ("texts", r"There is no image in texts: 1 other file was found\."),
        ("ftp://x.org/photos", r"ftp://x\.org/photos can't be read: images are read from disk, s3://, gs:// or lists"),
        ("azure://x/photos", r"azure://x/photos can't be read"),
        ("s3:///", r"s3:/// names no bucket\.\nWrite s3://BUCKET/PREFIX"),
    ],
)
def test_mistyped(source, message, folder):
    """An empty or mistyped source fails at once, saying what was looked for and where."""
    (folder / "empty").mkdir()
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("a")
    with pytest.raises(InputError, match=message):
        open_source(source, SourceOptions())


@pytest.mark.parametrize("source", [b"photos", 7, None, np.zeros((3, 4))])
def test_no_source(source):
    """What is no source at all is rejected by its type."""
    with pytest.raises(InputError):
        open_source(source, SourceOptions())


def write_downloaded(folder):
    """Write what img2dataset leaves: archives, and beside each a table and counts."""
    for number in range(2):
        write_tar(folder / f"0000{number}.tar", "1.jpg")
        (folder / f"0000{number}.parquet").write_bytes(b"a table of what is in the archive")
        (folder / f"0000{number}_stats.json").write_text("{}")


@pytest.mark.parametrize("source", ["i2d", "i2d/*", "i2d/**"])
def test_tables_beside_archives(source, folder):
    """A Parquet file beside an archive of its name tells what is in it, and is no source of its own."""
    write_downloaded(folder / "i2d")
    assert ids(source) == ["00000.tar/1.jpg", "00001.tar/1.jpg"]
    (folder / "i2d" / "images.parquet").write_bytes(b"another table")
    with pytest.raises(InputError, match="holds Parquet files and tar archives"):
        ids(source)


def test_glob_of_images_and_shards(folder):
    """Where a pattern matches images and shards, the images are read and the shards reported, or it is rejected."""
    write(folder, "d/1.jpg", "d/in/2.jpg")
    write_tar(folder / "d" / "0.tar", "1.jpg")
    source = open_source("d/**/*", SourceOptions())
    assert source.listing.images["id"].to_pylist() == ["1.jpg", "in/2.jpg"]
    assert source.unread_shards == {f"{folder}/d/*.tar": 1}
    for number in range(4):
        write_tar(folder / "d" / f"{number}.tar", "1.jpg")
    with pytest.raises(InputError, match=r"/d holds 2 images and 4 shards"):
        open_source("d/**", SourceOptions())


def test_zips_among_images(folder):
    """Zip archives among images are reported, and never outnumber them: they may hold anything."""
    write(folder, "d/1.jpg")
    for number in range(3):
        (folder / "d" / f"{number}.zip").write_bytes(b"anything")
    source = open_source("d", SourceOptions())
    assert source.listing.images["id"].to_pylist() == ["1.jpg"]
    assert source.unread_shards == {f"{folder}/d/*.zip": 3}


def _pack(folder, kind):
    """Write four images as a source of a kind."""
    names = [f"{number}.jpg" for number in range(4)]
    if kind == "tar":
        write_tar(folder / "in.tar", *names)
    elif kind == "zip":
        with zipfile.ZipFile(folder / "in.zip", "w") as archive:
            for name in names:
                archive.writestr(name, JPEG)
    elif kind == "parquet":
        pq.write_table(pa.table({"id": names, "image": [JPEG] * 4}), folder / "in.parquet", row_group_size=2)
    else:
        write(folder, *(f"in.folder/{name}" for name in names))


@pytest.mark.parametrize("kind", ["folder", "tar", "zip", "parquet"])
def test_can_be_pickled(kind, folder):
    """A source can be sent to a cluster's workers after it was read here, whatever callback its listing has."""
    _pack(folder, kind)
    lock = threading.RLock()  # as a progress bar has

    def report(_):
        lock.acquire()

    opened = open_source(f"in.{kind}", SourceOptions(exclude=("3*",), on_progress=report))
    rows = np.arange(len(opened.listing.images))
    next(iter(opened.read(rows)))
    pickle = pytest.importorskip("ray.cloudpickle")
    there = pickle.loads(pickle.dumps(opened))
    assert list(there.read(rows)) == list(opened.read(rows))
    assert there.listing.images["id"].to_pylist() == opened.listing.images["id"].to_pylist()


@pytest.mark.parametrize("name", ["k [1]", "k {a,b}", "k [!1]", "100% [a-z]"])
def test_folders_named_like_patterns(name, folder):
    """A folder that is there is meant by its name, however that looks, also in patterns and excludes."""
    write(folder, f"{name}/a.jpg", f"{name}/in/b.jpg", "k 1/c.jpg", f"all/x/{name}/d.jpg", "z/e.jpg")
    assert ids(name) == ["a.jpg", "in/b.jpg"]
    assert ids(f"{name}/*.jpg") == ["a.jpg"]
    assert ids(f"{name}/**/*.jpg") == ["a.jpg", "in/b.jpg"]
    assert ids(f"all/*/{name}/*.jpg") == [f"x/{name}/d.jpg"]
    assert ids(".", exclude=(name, "k 1")) == ["z/e.jpg"]


def test_patterns_below_such_a_folder(folder, monkeypatch):
    """The current folder may be called so, too."""
    write(folder, "set [1]/a.jpg", "set [1]/in/b.jpg")
    monkeypatch.chdir(folder / "set [1]")
    assert (ids("*.jpg"), ids("in/?.jpg")) == (["a.jpg"], ["b.jpg"])


def test_braces(folder):
    """Braces are left to the shell: the message has the command."""
    write(folder, "a b/rose/1.jpg", "a b/tulip/2.jpg")
    for source in ("a b/{rose,tulip}/*.jpg", "a b/{rose,tulip}"):
        with pytest.raises(InputError, match="Braces are the shell's") as error:
            ids(source)
    with pytest.raises(InputError) as error:
        ids("a b/{rose,tulip}/*.jpg")
    command = error.value.hint.partition("the list, ")[2].partition(" |")[0]
    lines = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout.split("\n")
    assert lines[:2] == [f"{folder}/a b/rose/1.jpg", f"{folder}/a b/tulip/2.jpg"]


def test_brackets_that_match_nothing(folder):
    """Where a pattern with brackets matches nothing, the message has the pattern for a name with brackets."""
    write(folder, "k [1].jpg")
    with pytest.raises(InputError, match=r"\[\.\.\.\] matches one of its characters") as error:
        ids("k [1]*.jpg")
    assert ids(error.value.hint.partition("the name: ")[2].strip("'")) == ["k [1].jpg"]


def test_all_is_excluded(folder):
    """Where nothing is left, what was excluded is reported."""
    write(folder, "in/a.jpg")
    with pytest.raises(InputError, match=r"0 other files were found\. Left out by `exclude`: 1\."):
        ids(".", exclude=("in",))


@pytest.mark.parametrize(
    ("name", "text"), [("metadata.csv", "file_name,kind\na.jpg,x\n"), ("metadata.jsonl", '{"file_name": "a.jpg"}')]
)
def test_metadata_in_a_folder(name, text, folder):
    """A Hugging Face table of metadata in a folder is reported, with the command that reads its columns."""
    write(folder, "a photo/a.jpg")
    (folder / "a photo" / name).write_text(text)
    (note,) = open_source("a photo", SourceOptions()).notes
    assert note.endswith(f"to have them: frieze embed '{folder}/a photo/{name}' --out OUT")
    assert ids(f"{folder}/a photo/{name}") == ["a.jpg"]
    (folder / "l.csv").write_text("id,label\na.jpg,x\n")
    assert open_source("a photo", SourceOptions(labels="l.csv")).notes == ()


@pytest.mark.parametrize("text", ["name,kind\na.jpg,x\n", "file_name,file_name\n", "\xff\n"])
def test_other_metadata(text, folder):
    """A table of that name that names no files is another file."""
    write(folder, "a.jpg")
    (folder / "metadata.csv").write_text(text, encoding="latin-1")
    assert open_source(".", SourceOptions()).notes == ()
