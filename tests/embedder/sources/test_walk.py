import glob
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.glob_pattern import GlobPattern
from frieze.embedder.sources.walk import Walk

FILES = ["1.jpg", ".2.jpg", "a/1.jpg", "a/.2.jpg", "a/b/1.tar", ".c/1.jpg", ".c/a/1.jpg", "d.jpg/x[1]", "two\nlines/1"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A folder with some files, hidden ones and links to nothing among them."""
    folder = tmp_path_factory.mktemp("tree") / "c[0]*"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    (folder / "a" / "dangling.jpg").symlink_to(folder / "nowhere")
    return folder


def walked(folder, **options):
    """Walk through a folder: the names of its files, and id -> reason of what can't be read."""
    walk = Walk(str(folder), SourceOptions(**options))
    return [walk.name(path) for path in walk.files()], {one.id: one.reason for one in walk.failures}


@given(
    parts=st.lists(st.sampled_from(["*", "**", "a", "?", "*.jpg", "[!.]*", ".*", "1.*", "d.*", "x[[]1]"]), min_size=1)
)
def test_agrees_with_glob(parts, tree):
    """A pattern matches the files that Python's glob finds."""
    pattern = "/".join([glob.escape(str(tree)), *parts])
    one = GlobPattern(pattern)
    actual = filter(one.matches, Walk(one.base, SourceOptions(), one.enters).files())
    expected = set(glob.glob(pattern, recursive=True))  # noqa: PTH207  the judge
    assert sorted(actual) == sorted(path for path in expected if not Path(path).is_dir())


def test_enters_only_folders_that_may_match(tree, monkeypatch):
    """Folders in which nothing can match are not entered."""
    seen, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: seen.append(os.path.relpath(path, tree)) or scandir(path))
    pattern = GlobPattern(f"{glob.escape(str(tree))}/a/*/*.tar")
    walk = Walk(pattern.base, SourceOptions(), pattern.enters)
    assert list(filter(pattern.matches, walk.files())) == [f"{tree}/a/b/1.tar"]
    assert sorted(seen) == [".", "..", "a", "a/b"]


def test_locked_folder(write_photos, folder, lock):
    """A folder that can't be read is a failure with the system's message; the others are searched."""
    write_photos(folder, ["locked/k.jpg", "open/l.jpg"])
    lock(folder / "locked")
    walk = Walk(str(folder), SourceOptions())
    assert len(list(walk.files())) == 11
    (failure,) = walk.failures
    assert (failure.id, failure.uri, failure.message) == ("locked", f"{folder}/locked", "Permission denied")
    assert (failure.reason, failure.hides_rows) == ("unreadable", True)


def test_link_into_a_locked_folder(write_photos, folder, lock, tmp_path):
    """A link to what nobody may look at is a failure like it, and not a dangling one."""
    write_photos(tmp_path / "elsewhere", ["in/k.jpg"])
    (folder / "linked").symlink_to(tmp_path / "elsewhere" / "in")
    lock(tmp_path / "elsewhere")
    names, failures = walked(folder)
    assert (len(names), failures) == (10, {"linked": "unreadable"})


def test_deleted_folder(tmp_path):
    """A folder that no longer exists is missing, and its rows are not kept."""
    walk = Walk(str(tmp_path / "gone"), SourceOptions())
    assert list(walk.files()) == []
    assert [(one.reason, one.hides_rows) for one in walk.failures] == [("missing", False)]


def linked(folder, *links):
    """Create folders `a`, `b`, ... with an image each and links between them; return the walk and its names."""
    for name in {one for link in links for one in link}:
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.jpg").write_bytes(b"")
    for at, to in links:
        (folder / at / f"to_{to}").symlink_to(folder / to)
    walk = Walk(str(folder), SourceOptions())
    return walk, [walk.name(path) for path in walk.files()]


def test_folders_that_link_to_each_other(tmp_path):
    """Where two folders link to each other the walk ends, and what is seen twice is said."""
    walk, names = linked(tmp_path / "x", "ab", "ba")
    assert names == ["a/a.jpg", "a/to_b/b.jpg", "b/b.jpg", "b/to_a/a.jpg"]
    (note,) = walk.notes()
    assert note.startswith("2 links (a/to_b, b/to_a) to folders that are also read by another path")


def test_folders_that_all_link_to_each_other(tmp_path):
    """Of twelve folders that all link to the others each link is followed, and not each of the millions of ways."""
    pairs = ["".join(pair) for pair in itertools.permutations("abcdefghijkl", 2)]
    walk, names = linked(tmp_path / "x", *pairs)
    assert {f"{at}/to_{to}/{to}.jpg" for at, to in pairs} < set(names)
    assert len(names) < 200
    assert walk.notes()[0].startswith("142 links (a/to_b, a/to_b/to_c, a/to_b/to_c/to_d, ...) to folders")


def test_a_link_below_a_link(tmp_path):
    """A link is followed below another one where nothing else leads there, and then nothing is seen twice."""
    outside, folder = tmp_path / "outside", tmp_path / "in"
    linked(outside, "ab")
    folder.mkdir()
    (folder / "l").symlink_to(outside / "a")
    walk = Walk(str(folder), SourceOptions())
    assert [walk.name(path) for path in walk.files()] == ["l/a.jpg", "l/to_b/b.jpg"]
    assert walk.notes() == ()
