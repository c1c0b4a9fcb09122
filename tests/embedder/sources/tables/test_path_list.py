import io
import os
import subprocess
import types

import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source

JPEG = b"\xff\xd8\xff\xe0" + bytes(100)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with `a.jpg` and `cats/b.jpg`, which is the current one."""
    (tmp_path / "cats").mkdir()
    for name in ("a.jpg", "cats/b.jpg"):
        (tmp_path / name).write_bytes(JPEG + name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def piped(folder, monkeypatch):
    """`piped(data, **options)`: the source of these bytes on stdin."""

    def send(data, **options):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return open_source("-", SourceOptions(**options))

    return send


def rows(source):
    """Return (id, label) of each image."""
    return [(row["id"], row["label"]) for row in source.listing.images.to_pylist()]


LINES = [
    b"a.jpg\ncats/b.jpg\n",
    b"a.jpg\r\ncats/b.jpg\r\n",
    b"a.jpg\0cats/b.jpg\0",
    b"\xef\xbb\xbfa.jpg\n\n./cats//b.jpg",
]


@pytest.mark.parametrize("data", LINES)
def test_stdin(data, piped, folder):
    """Paths come one a line or ended by NUL, relative to the current folder; the parent folder is the label."""
    source = piped(data)
    assert rows(source) == [("a.jpg", None), ("cats/b.jpg", "cats")]
    assert source.listing.images["uri"].to_pylist() == [f"{folder}/a.jpg", f"{folder}/cats/b.jpg"]
    assert list(source.read(np.array([1]))) == [JPEG + b"cats/b.jpg"]


@pytest.mark.parametrize("data", LINES)
def test_file(data, folder, monkeypatch):
    """A file of paths is the same; its paths are relative to its own folder."""
    (folder / "paths.txt").write_bytes(data)
    monkeypatch.chdir("/")
    assert rows(open_source(str(folder / "paths.txt"), SourceOptions())) == [("a.jpg", None), ("cats/b.jpg", "cats")]


def test_no_labels(piped):
    """With --labels none there are none."""
    assert rows(piped(b"cats/b.jpg", labels="none")) == [("cats/b.jpg", None)]


def test_same_line_twice(piped):
    """A path that is repeated is one image."""
    assert rows(piped(b"a.jpg\ncats/b.jpg\n./a.jpg\na.jpg\n")) == [("a.jpg", None), ("cats/b.jpg", "cats")]


def test_odd_names(piped, folder):
    """A name that is no UTF-8, or has a line feed where NUL ends names, is read as it is."""
    names = [b"\xff.jpg", b"x\ny.jpg"]
    for name in names:
        (folder / os.fsdecode(name)).write_bytes(JPEG + name)
    source = piped(b"\0".join(names))
    assert [row[0] for row in rows(source)] == ["\\xff.jpg", "x\ny.jpg"]
    assert list(source.read(np.array([0, 1]))) == [JPEG + name for name in names]


def test_missing(piped):
    """A path that leads nowhere is a failure."""
    source = piped(b"a.jpg\ngone.jpg\n")
    assert [(one.id, one.stage, one.reason) for one in source.listing.failures] == [("gone.jpg", "list", "missing")]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\0", b"\xef\xbb\xbf"])
def test_empty_list(data, piped):
    """An empty list is rejected."""
    with pytest.raises(InputError, match=r"- lists no image\.\nWrite one path a line\."):
        piped(data)


@pytest.mark.parametrize("stdin", [None, types.SimpleNamespace(isatty=lambda: True)])
def test_terminal(stdin, monkeypatch):
    """A terminal, or none at all, is rejected instead of waited for, with what to type."""
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(InputError, match=r"no list of paths on stdin\.\nSend one: find photos .*\| frieze embed - "):
        open_source("-", SourceOptions())


def test_a_list_has_no_columns(piped):
    """A name of a column means nothing in a list."""
    with pytest.raises(InputError, match=r"- has no columns, so `label='kind'` means nothing there\."):
        piped(b"a.jpg\n", label="kind")


@pytest.mark.parametrize(
    "lines", ["a.jpg 0\ncats/b.jpg 1\n", "a.jpg\t0\r\ncats/b.jpg\t1\r\n", "a.jpg 0 \ncats/b.jpg  1"]
)
def test_labels_behind_paths(lines, folder):
    """A list of paths with labels behind them, as Caffe has it, is rejected with the command that makes a CSV of it."""
    (folder / "my list.txt").write_text(lines, newline="")
    with pytest.raises(InputError, match=r"None of the 2 images .*\nIts lines end in a label: ") as error:
        open_source("my list.txt", SourceOptions())
    command = error.value.hint.partition("path and label. ")[2]
    subprocess.run(["sh", "-c", command], cwd=folder, check=True)
    assert rows(open_source("my list.csv", SourceOptions())) == [("a.jpg", "0"), ("cats/b.jpg", "1")]


def test_labels_behind_paths_on_stdin(piped):
    """The same on stdin is rejected with what to give instead."""
    with pytest.raises(InputError, match=r"\nIts lines end in a label: pass a CSV with the columns path and label\.$"):
        piped(b"x.jpg 0\ny.jpg 1\n")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_lists_of_windows(encoding, folder):
    """A list may be of UTF-16, as PowerShell writes it, and begin with a byte order mark."""
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    (folder / "list.txt").write_text(f"{mark}a.jpg\r\ncats/b.jpg\r\n", encoding=encoding, newline="")
    assert rows(open_source("list.txt", SourceOptions())) == [("a.jpg", None), ("cats/b.jpg", "cats")]


def test_malformed_url(piped):
    """A URL that can't be parsed is a row, which fails alone when it is fetched."""
    assert rows(piped(b"a.jpg\nhttp://[::1/b.jpg\n")) == [("a.jpg", None), ("http://[::1/b.jpg", None)]
