r"""Where bytes lie: opening a local path by the uri under which it is stored."""

import os
import re
import stat
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from embedder.decoding import HEAD_BYTES, is_image
from embedder.sources.source import Content
from features import ImageError, Rows

_ODD = re.compile("[\udc80-\udcff]")


def to_path(uri: str) -> bytes:
    r"""Turn a stored uri back into a path of the file system.

    >>> to_path("/a/b.jpg"), to_path("file:///a/%FF.jpg")
    (b'/a/b.jpg', b'/a/\xff.jpg')
    """
    if uri.startswith("file://"):
        return urllib.parse.unquote_to_bytes(uri.removeprefix("file://"))
    return os.fsencode(uri)


def to_uri(path: str) -> str:
    r"""Write a path as text; the odd bytes of a name that is no UTF-8 are percent-encoded.

    >>> to_uri("/a/b.jpg"), to_uri("/a/\udcff.jpg")
    ('/a/b.jpg', 'file:///a/%FF.jpg')
    """
    if not path.isascii() and _ODD.search(path):
        return "file://" + urllib.parse.quote(os.fsencode(path))
    return path


def to_id(name: str) -> str:
    r"""Write a path below the source as an id, odd bytes as `\xNN`.

    >>> to_id("a/\udcff.jpg")
    'a/\\xff.jpg'
    """
    return name if name.isascii() else _ODD.sub(lambda odd: f"\\x{ord(odd.group()) - 0xDC00:02x}", name)


def is_remote(place: str) -> bool:
    """Tell whether a place is in a bucket.

    >>> is_remote("s3://bucket/a.jpg"), is_remote("/a.jpg"), is_remote("http://host/a.jpg")
    (True, False, False)
    """
    return place.startswith(("s3://", "gs://"))


def open_place(place: str) -> BinaryIO:
    """Open a file for reading from any offset.

    Raises:
        OSError: It can't be opened.
    """
    return open(to_path(place), "rb")


def facts_of(place: str) -> tuple[int, int]:
    """Give size in bytes and mtime in nanoseconds.

    Raises:
        OSError: There is no such file, or it is a folder or pipe.
    """
    status = os.stat(to_path(place))
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise OSError(0, "not a regular file")
    return status.st_size, status.st_mtime_ns


def read_place(place: str, *, max_bytes: int) -> bytes:
    """Read an image file.

    Raises:
        ImageError: The file can't be read, is no image by its first bytes, or is larger than `max_bytes`.
    """
    try:
        with open_place(place) as file:
            head = file.read(HEAD_BYTES)
            if head and not is_image(head):  # a film named .jpg is not read to its end
                raise ImageError("decode", "not an image", "the bytes are no image of a kind that is read")
            data = head + file.read(max_bytes + 1 - len(head))
    except OSError as error:
        raise ImageError("read", "unreadable", error.strerror or str(error)) from error
    if len(data) > max_bytes:
        raise ImageError("read", "too large", f"the file has more than {max_bytes} bytes")
    return data


def read_places(places: Any, *, max_bytes: int) -> Callable[[Rows], Iterator[Content]]:
    """Give the `read` of a source whose images are files of their own.

    Args:
        places: Arrow column of the uris, one a row of the listing.
        max_bytes: Largest file taken.
    """

    def read(rows: Rows) -> Iterator[Content]:
        for place in places.take(rows).to_pylist():
            try:
                yield read_place(place, max_bytes=max_bytes)
            except ImageError as error:
                yield error

    return read
