"""What is skipped by rule, and what the user excludes, is so in every kind of source."""

import io
import tarfile

import numpy as np
import pytest

from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.exclude import ExcludePatterns
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)
SHOWN = ["a.jpg", "in/b.jpg", "in/deep/c.jpg"]
HIDDEN = [
    "._a.jpg",
    ".thumbs/a.jpg",
    "in/@eaDir/b.jpg/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/in/._b.jpg",
    ".Trashes/501/d.jpg",
    ".Spotlight-V100/e.jpg",
    "in/#recycle/f.jpg",
    "$RECYCLE.BIN/g.jpg",
]


def pack(folder, names):
    """Write the files of a folder into an archive beside it."""
    with tarfile.open(folder.with_suffix(".tar"), "w") as archive:
        for name in names:
            data = (folder / name).read_bytes()
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder.with_suffix(".tar")


def listed(source, prefix="", **options):
    """List a source: the ids of its images, sorted."""
    actual = open_source(str(source), SourceOptions(**options)).listing.images["id"].to_pylist()
    return sorted(name.removeprefix(prefix) for name in actual)


def test_hidden_in_a_folder(named_photos):
    """Hidden files and folders, and system files, are skipped in a folder, and counted."""
    listing = open_source(str(named_photos(SHOWN + HIDDEN)), SourceOptions()).listing
    assert sorted(listing.images["id"].to_pylist()) == SHOWN
    assert (listing.n_hidden, listing.n_ignored, listing.failures) == (len(HIDDEN), 0, ())


def test_hidden_in_a_glob(named_photos):
    """A wildcard stands for nothing hidden; a pattern that spells the name out takes it."""
    folder = named_photos(SHOWN + HIDDEN)
    assert listed(folder / "**" / "*.jpg") == SHOWN
    assert listed(folder / "in" / "@eaDir" / "*" / "*.jpg") == ["b.jpg/SYNOPHOTO_THUMB_M.jpg"]
    assert listed(folder / ".thumbs" / "*.jpg") == ["a.jpg"]
    assert listed(folder / "._*.jpg") == ["._a.jpg"]


@pytest.mark.parametrize(
    ("pattern", "n_hidden"),
    [
        ("**", 8),
        ("**/*.jpg", 8),
        ("*.jpg", 1),
        ("*/*.jpg", 5),
        ("in/**/*.png", 2),
        ("._*.jpg", 0),
        (".thumbs/*.jpg", 0),
    ],
)
def test_hidden_is_counted_in_a_glob(pattern, n_hidden, named_photos):
    """What a pattern would match, or be led into, but for the rule is counted as in a folder; nothing else is."""
    folder = named_photos(SHOWN + HIDDEN)
    (folder / "in" / "d.png").write_bytes(JPEG)
    listing = open_source(str(folder / pattern), SourceOptions()).listing
    assert listing.n_hidden == n_hidden


@pytest.mark.parametrize("pattern", ["", "*", "*.tar", "**"])
def test_hidden_and_excluded_beside_archives(pattern, named_photos):
    """What lies beside archives and what lies in them is counted together, of a folder as of a pattern."""
    folder, beside = named_photos(SHOWN + HIDDEN), named_photos([]).parent / "shards"
    beside.mkdir()
    for name in ("a.tar", "b.tar", "._a.tar"):
        pack(folder, [*SHOWN, HIDDEN[0]]).rename(beside / name)
    listing = open_source(str(beside / pattern), SourceOptions(exclude=["b.tar", "c.jpg"])).listing
    assert (listing.n_hidden, listing.excluded) == (2, {"b.tar": 1, "c.jpg": 1})


def test_hidden_in_an_archive(named_photos):
    """The same is skipped in an archive, whose members have whole paths for names."""
    archive = pack(named_photos(SHOWN + HIDDEN), SHOWN + HIDDEN)
    listing = open_source(str(archive), SourceOptions()).listing
    assert sorted(listing.images["id"].to_pylist()) == [f"photos.tar/{name}" for name in SHOWN]
    assert (listing.n_hidden, listing.n_ignored, listing.failures) == (len(HIDDEN), 0, ())


def test_hidden_in_a_bucket(named_photos, bucket):
    """The same is skipped in a bucket, in a folder and in a pattern."""
    names = [name for name in SHOWN + HIDDEN if "#" not in name]
    bucket.put_folder(named_photos(names), "p")
    assert listed(f"{bucket.url}/p") == SHOWN
    assert listed(f"{bucket.url}/p/*.jpg") == ["a.jpg"]
    counts = [open_source(f"{bucket.url}/p/{one}", SourceOptions()).listing.n_hidden for one in ("*.jpg", "._*.jpg")]
    assert counts == [1, 0]
    assert listed(f"{bucket.url}/p/._*.jpg") == ["._a.jpg"]


def test_a_hidden_source(named_photos):
    """A hidden folder that the user names is searched."""
    folder = named_photos([".private/a.jpg", ".private/.more/b.jpg"])
    assert listed(folder / ".private") == ["a.jpg"]


def test_a_list_takes_what_it_names(named_photos):
    """What the user names one by one is taken, hidden or not."""
    folder = named_photos([".private/a.jpg"])
    (folder / "list.txt").write_text(".private/a.jpg\n")
    assert listed(folder / "list.txt") == [".private/a.jpg"]


PATTERNS = [
    (("in",), ["a.jpg"]),
    (("in/deep",), ["a.jpg", "in/b.jpg"]),
    (("deep/",), ["a.jpg", "in/b.jpg"]),
    (("in/*.jpg",), ["a.jpg", "in/deep/c.jpg"]),
    (("/a.jpg", "**/c.jpg"), ["in/b.jpg"]),
    (("[ab].jpg",), ["in/deep/c.jpg"]),
]


@pytest.mark.parametrize(("patterns", "kept"), PATTERNS)
@pytest.mark.parametrize("kind", ["folder", "glob", "tar", "manifest", "list", "bucket"])
def test_excluded(kind, patterns, kept, named_photos, request):
    """A pattern without a slash is that of a name, one with a slash that of a path below the source."""
    folder = named_photos(SHOWN)
    source, prefix = folder, ""
    if kind == "glob":
        source = folder / "**" / "*.jpg"
    elif kind == "tar":
        source, prefix = pack(folder, SHOWN), "photos.tar/"
    elif kind == "bucket":
        bucket = request.getfixturevalue("bucket")
        bucket.put_folder(folder, "p")
        source = f"{bucket.url}/p"
    elif kind == "list":
        source = folder / "list.txt"
        source.write_text("\n".join(SHOWN))
    elif kind == "manifest":
        source = folder / "m.csv"
        source.write_text("\n".join(["path", *SHOWN]))
    assert listed(source, prefix, exclude=patterns) == kept


def test_excluded_of_a_manifest_with_ids(named_photos):
    """Where a manifest gives ids of its own, its paths are held against the patterns, too; contents stay in step."""
    folder = named_photos(SHOWN)
    (folder / "m.csv").write_text("\n".join(["path,id", *(f"{name},{n}" for n, name in enumerate(SHOWN))]))
    source = open_source(str(folder / "m.csv"), SourceOptions(exclude=("a.jpg",)))
    assert source.listing.images["id"].to_pylist() == ["1", "2"]
    assert list(source.read(np.array([1]))) == [JPEG + b"in/deep/c.jpg"]


def test_excluded_are_counted(named_photos):
    """Each pattern is counted; a folder that is skipped counts once, and what no longer exists is no failure."""
    folder = named_photos(SHOWN)
    (folder / "in" / "gone.jpg").symlink_to("nowhere")
    listing = open_source(str(folder), SourceOptions(exclude=("in", "*.gif"))).listing
    assert (listing.excluded, listing.failures, listing.n_ignored) == ({"in": 1, "*.gif": 0}, (), 0)


@pytest.mark.parametrize(
    ("pattern", "path", "is_out"),
    [
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("**/a/**", "a/b", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[!a]*", "b", True),
        ("[!a]*", "a", False),
        ("[]]x", "]x", True),
        ("[", "[", True),
        ("a.b", "axb", False),
        ("old", "older", False),
        ("*", "a\nb", True),
    ],
)
def test_patterns(pattern, path, is_out):
    """Wildcards mean what they mean in a shell, and a wildcard stands for no slash."""
    assert ExcludePatterns([pattern]).matches(path) == is_out
