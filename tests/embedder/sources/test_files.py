import os
import tracemalloc

import pytest

from frieze.core import ImageError
from frieze.embedder.sources.files import read_uri


def test_read_name_that_is_not_utf8(tmp_path):
    """A name that is no text is read by its percent-encoded URL."""
    with open(os.fsencode(tmp_path) + b"/\xff.jpg", "wb") as file:  # noqa: PTH123  the name is bytes
        file.write(b"GIF89a")
    assert read_uri(f"file://{tmp_path}/%FF.jpg", max_bytes=100) == b"GIF89a"


def test_read_fails(tmp_path):
    """A file that can't be read says so in the system's message."""
    with pytest.raises(ImageError, match="No such file") as caught:
        read_uri(str(tmp_path / "gone.jpg"), max_bytes=100)
    assert (caught.value.stage, caught.value.reason) == ("read", "unreadable")


def test_read_pipe(tmp_path):
    """A pipe that took an image's place is no file, and nothing waits for what may come out of it."""
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="not a regular file") as caught:
        read_uri(str(tmp_path / "a.jpg"), max_bytes=100)
    assert (caught.value.stage, caught.value.reason) == ("read", "unreadable")


@pytest.mark.parametrize(
    ("content", "stage", "reason"),
    [(b"a film, named .jpg by mistake", "decode", "not an image"), (b"GIF89a" + bytes(95), "read", "too large")],
)
def test_reads_only_the_signature(content, stage, reason, tmp_path):
    """What is no image by its signature, or too large a file, is not read to its end."""
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_uri(str(tmp_path / "a.jpg"), max_bytes=100)
    assert (caught.value.stage, caught.value.reason) == (stage, reason)


def test_no_more_memory_than_the_file(tmp_path):
    """Reading a small file makes room for that file, not for the largest one that would be taken."""
    path = tmp_path / "a.gif"
    path.write_bytes(b"GIF89a" + bytes(1000))
    tracemalloc.start()
    try:
        data = read_uri(str(path), max_bytes=1 << 30)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (len(data), peak < 1 << 20) == (1006, True)


def test_read_name_with_nul():
    """A name that no file system has is a missing file."""
    with pytest.raises(ImageError, match="null") as failed:
        read_uri("/a\0b.jpg", max_bytes=100)
    assert failed.value.reason == "missing"
