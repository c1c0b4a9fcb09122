import errno
import os
import stat
from pathlib import Path

import pytest

from frieze.core import (
    FeatureFileError,
    hash_file,
    new_folder,
    read_consistent,
    read_json,
    replace_folder,
    write_file,
    write_json,
)


def _refuse(code):
    def refuse(*_args, **_options):
        raise OSError(code, os.strerror(code))

    return refuse


def _tree(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_write_file_is_atomic(tmp_path):
    """The new content replaces the old, and nothing else is left in the folder."""
    (tmp_path / "a.txt").write_text("old")
    write_file(tmp_path / "a.txt", lambda path: path.write_text("new"))
    assert _tree(tmp_path) == {"a.txt": "new"}


def test_staging_dir(tmp_path):
    """The file is written in the staging folder, so that a glob at its place never sees half of it."""
    staged = []
    (tmp_path / "staging").mkdir()
    write_file(
        tmp_path / "a.txt",
        lambda path: staged.append((path.parent.name, path.write_text("new"))),
        staging_dir=tmp_path / "staging",
    )
    assert staged == [("staging", 3)]
    assert _tree(tmp_path) == {"a.txt": "new"}


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_write_file_refused(call, tmp_path, monkeypatch):
    """A write that the disk refuses leaves the old file and no other."""
    (tmp_path / "a.txt").write_text("old")
    monkeypatch.setattr(call, _refuse(errno.EIO))
    with pytest.raises(FeatureFileError, match=r"Input/output error(?s:.)*Check the folder's permissions"):
        write_file(tmp_path / "a.txt", lambda path: path.write_text("new"))
    assert _tree(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk(code, tmp_path):
    """A full disk or quota is reported, with the hint that nothing stored is lost."""
    with pytest.raises(FeatureFileError) as caught:
        write_file(tmp_path / "a.txt", _refuse(code))
    assert caught.value.message == f"{tmp_path / 'a.txt'} can't be written: {os.strerror(code)}."
    assert caught.value.hint.startswith("Free some space and type the same command again")


def test_json_round_trip(tmp_path):
    """A document comes back as it went in, keys sorted, text readable by people."""
    document = {"b": [1, 2.5, None], "a": "größe\n'\""}
    write_json(tmp_path / "a.json", document)
    assert read_json(tmp_path / "a.json", hint="") == document
    assert (tmp_path / "a.json").read_text(encoding="utf-8").splitlines()[1] == ' "a": "größe\\n\'\\"",'


def test_json_has_no_nan(tmp_path):
    """NaN is no JSON: writing it is a broken call, and no file appears."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert _tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no"),
        (b'{"a": 1', "can't be read"),
        (b"\xff\xfe", "can't be read"),
        (b"[1]", "holds no JSON object"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "can't be read"),
    ],
)
def test_broken_json(content, message, tmp_path):
    """A file that is missing, cut, no text or no object is refused with the caller's hint."""
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FeatureFileError, match=message) as caught:
        read_json(tmp_path / "a.json", hint="Type: x")
    assert caught.value.hint == "Type: x"


def test_new_folder(tmp_path):
    """The folder appears with all its files when the block ends, not before."""
    with new_folder(tmp_path / "deep" / "out", replace=False) as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert _tree(tmp_path) == {"deep/out/a.txt": "a"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_new_folder_permissions(tmp_path):
    """The folder can be read by whom the umask allows, not by its maker alone."""
    before = os.umask(0o027)
    with new_folder(tmp_path / "out", replace=False):
        pass
    os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o750


def test_new_folder_refuses(tmp_path):
    """An existing folder is not touched without `replace`."""
    (tmp_path / "out").mkdir()
    with (
        pytest.raises(FeatureFileError, match=r"already exists(?s:.)*`force=True`"),
        new_folder(tmp_path / "out", replace=False),
    ):
        pytest.fail("the block must not run")


def test_new_folder_replaces(tmp_path):
    """With `replace`, the whole old folder is replaced."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    with new_folder(tmp_path / "out", replace=True) as folder:
        (folder / "new.txt").write_text("new")
    assert _tree(tmp_path) == {"out/new.txt": "new"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_new_folder_interrupted(error, tmp_path):
    """A block that ends in an error leaves the old folder, and nothing beside it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    with pytest.raises(error), new_folder(tmp_path / "out", replace=True):
        raise error
    assert _tree(tmp_path) == {"out/old.txt": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_read_consistent_retries(tmp_path):
    """A folder that is replaced while it is read is read again, whether that failed or not."""
    write_json(tmp_path / "a.json", {"number": 0})

    def read():
        actual = read_json(tmp_path / "a.json", hint="")["number"]
        if actual < 3:
            write_json(tmp_path / "a.json", {"number": actual + 1})
        if actual == 1:
            raise FeatureFileError("The files do not fit.", hint="")
        return actual

    assert read_consistent(tmp_path / "a.json", read) == 3


def test_read_consistent_raises(tmp_path):
    """An error of a folder that stays the same, or is missing, is raised."""
    for _ in ("missing", "there"):
        with pytest.raises(FileNotFoundError):
            read_consistent(tmp_path / "a.json", (tmp_path / "b").stat)
        write_json(tmp_path / "a.json", {})


def test_replace_folder_puts_back(tmp_path):
    """A new folder that can't be moved into place leaves the old one there."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "missing", tmp_path / "out")
    assert _tree(tmp_path) == {"out/old.txt": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_replace_folder_never_deletes_the_last_copy(tmp_path, monkeypatch):
    """When neither the new nor the old folder can be moved into place, the old one is still on disk."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").write_text("old")
    rename, calls = Path.rename, []
    monkeypatch.setattr(
        Path, "rename", lambda old, new: calls.append(new) or (_refuse(5)() if calls[1:] else rename(old, new))
    )
    with pytest.raises(OSError, match="Input/output"):
        replace_folder(tmp_path / "new", tmp_path / "out")
    assert list(_tree(tmp_path).values()) == ["old"]


def test_hash_file(tmp_path):
    """The hash is the sha256 of the bytes, also beyond one block."""
    (tmp_path / "a").write_bytes(b"a" * 1_000_000)
    assert hash_file(tmp_path / "a") == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    (tmp_path / "b").write_bytes(b"")
    assert hash_file(tmp_path / "b")[:16] == "e3b0c44298fc1c14"
