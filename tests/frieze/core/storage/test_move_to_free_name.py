"""Moving a file to a name that is free."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from frieze.core import drop_empty, move_to_free_name


@pytest.fixture
def source(tmp_path):
    """A file of eight bytes, from long ago."""
    path = tmp_path / "a.png"
    path.write_bytes(b"the file")
    os.utime(path, (10**9, 10**9))
    return path


@pytest.fixture
def other_file_system(monkeypatch):
    """Renames fail as they do from one file system to another."""

    def refuse(*_args):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "rename", refuse)


def names(folder):
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_renamed(source, tmp_path):
    """The file itself is at the new name, and no longer at the old one."""
    inode = source.stat().st_ino
    move_to_free_name(source, tmp_path / "b.png")
    assert (names(tmp_path), (tmp_path / "b.png").stat().st_ino) == (["b.png"], inode)


def test_nothing_is_overwritten(source, tmp_path):
    """A name that something has is refused, and both files stay."""
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(FileExistsError):
        move_to_free_name(source, tmp_path / "b.png")
    assert (source.read_bytes(), (tmp_path / "b.png").read_bytes()) == (b"the file", b"")


@pytest.mark.usefixtures("other_file_system")
def test_another_file_system(source, tmp_path):
    """Onto another file system the file is copied with its time, and then removed."""
    move_to_free_name(source, tmp_path / "b.png")
    moved = tmp_path / "b.png"
    assert (names(tmp_path), moved.read_bytes(), moved.stat().st_mtime) == (["b.png"], b"the file", 10**9)


@pytest.mark.usefixtures("other_file_system")
def test_a_wrong_copy_is_not_kept(source, tmp_path, monkeypatch):
    """Where the copy has other bytes of the same number, it is removed and the file stays."""
    monkeypatch.setattr(shutil, "copy2", lambda _, target: Path(target).write_bytes(b"THE FILE"))
    with pytest.raises(OSError, match="other bytes"):
        move_to_free_name(source, tmp_path / "b.png")
    assert (names(tmp_path), source.read_bytes()) == (["a.png"], b"the file")


@pytest.mark.usefixtures("other_file_system")
def test_a_file_that_may_not_be_removed(source, tmp_path, monkeypatch):
    """Where a copied file can't be removed, the copy is."""
    unlink = Path.unlink

    def refuse(path, **options):
        if path == source:
            raise PermissionError
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        move_to_free_name(source, tmp_path / "b.png")
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("renames_first", [False, True])
def test_an_interrupt_leaves_one_file(source, tmp_path, monkeypatch, renames_first):
    """Ctrl-C right before or after the rename leaves the file in one of the two places, and nothing in the other."""
    rename = os.rename

    def interrupt(*args):
        if renames_first:
            rename(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        move_to_free_name(source, tmp_path / "b.png")
    (name,) = names(tmp_path)
    assert (name, (tmp_path / name).read_bytes()) == ("b.png" if renames_first else "a.png", b"the file")


def test_only_empty_files_are_dropped(source, tmp_path):
    """`drop_empty` removes an empty file, and neither one with bytes, nor a link, nor a folder."""
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("empty")
    for path in (source, *(tmp_path / name for name in ("link", "empty", "folder", "missing"))):
        drop_empty(path)
    assert names(tmp_path) == ["a.png", "folder", "link"]
