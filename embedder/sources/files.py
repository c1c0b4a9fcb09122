"""Where bytes lie: files on disk and objects in buckets, by the uri under which they are stored."""

import contextlib
import errno
import functools
import io
import os
import re
import stat
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, TypeVar

import pyarrow as pa

from frieze.core import ImageError, Rows, is_remote, open_file_system
from frieze.embedder.images.picture_formats import HEAD_BYTES, is_image, refusal
from frieze.embedder.sources.base import Content, not_read

Answer = TypeVar("Answer")

_ASKED_AT_ONCE = 16
_AHEAD_BYTES = 8 << 20
"""What one request for a shard in a bucket brings; members that follow each other come with it."""

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
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


def open_place(place: str) -> BinaryIO:
    """Open a file for reading from any offset.

    Raises:
        OSError: It can't be opened, or is a folder or pipe.
    """
    if is_remote(place):
        system, path = open_file_system(place)
        with _taken_key():
            return io.BufferedReader(system.open_input_file(path), _AHEAD_BYTES)
    return open(to_path(place), "rb", opener=_open_file)


@contextlib.contextmanager
def _taken_key() -> Iterator[None]:
    """Turn the refusal of a key, such as `a//b.jpg` with its empty part, into an error of this one object."""
    try:
        yield
    except pa.ArrowException as error:
        raise OSError(errno.EINVAL, f"the object's key can't be read ({error}): copy it to a plainer one") from error


def _open_file(path: str, flags: int) -> int:
    number = os.open(path, flags | os.O_NONBLOCK)  # else a pipe would wait for its writer
    try:
        _check_is_file(os.fstat(number))
    except OSError:
        os.close(number)
        raise
    return number


def _check_is_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise OSError(errno.ENXIO, "not a regular file")


def facts_of(place: str) -> tuple[int, int]:
    """Give size in bytes and mtime in nanoseconds.

    Raises:
        OSError: There is no such file, or it is a folder or pipe.
    """
    if is_remote(place):
        system, path = open_file_system(place)
        with _taken_key():
            (info,) = system.get_file_info([path])
        if not info.is_file:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return info.size, info.mtime_ns
    status = os.stat(to_path(place))
    _check_is_file(status)
    return status.st_size, status.st_mtime_ns


def is_gone(error: OSError) -> bool:
    """Tell whether an error means that there is no such file; any other may pass, and the file be there.

    >>> is_gone(FileNotFoundError(2, "No such file")), is_gone(PermissionError(13, "Permission denied"))
    (True, False)
    """
    return error.errno in _GONE


def read_place(place: str, *, max_bytes: int) -> bytes:
    """Read an image file.

    Raises:
        ImageError: The file can't be read, is no image by its first bytes, or is larger than `max_bytes`.
    """
    try:
        data = _read_remote(place, max_bytes) if is_remote(place) else _read_local(place, max_bytes)
    except (OSError, MemoryError) as error:
        raise not_read(error) from error
    if len(data) > max_bytes:
        raise ImageError("read", "too large", f"the file has more than {max_bytes} bytes")
    return data


def _read_local(place: str, max_bytes: int) -> bytes:
    with open_place(place) as file:
        head = file.read(HEAD_BYTES)
        _check_head(head)  # a film named .jpg is not read to its end
        size_bytes = os.fstat(file.fileno()).st_size  # Python makes room for as much as it is told to read
        return head + file.read(max(0, min(size_bytes, max_bytes + 1) - len(head)))


def _read_remote(place: str, max_bytes: int) -> bytes:
    """Read an object by one request for its size and one for its bytes."""
    system, path = open_file_system(place)
    with _taken_key(), system.open_input_file(path) as file:
        data: bytes = file.read(min(file.size(), max_bytes + 1))
    _check_head(data)
    return data


def _check_head(data: bytes) -> None:
    if data and not is_image(data[:HEAD_BYTES]):
        raise refusal(data)


@functools.cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="frieze-fetch")


def ask(question: Callable[[str], Answer], places: Sequence[str]) -> Iterable[Answer]:
    """Ask the same of many places, in their order: of a bucket many at once, for it answers slowly."""
    return _readers().map(question, places) if any(map(is_remote, places)) else map(question, places)


def read_places(places: Any, *, max_bytes: int) -> Callable[[Rows], Iterable[Content]]:
    """Give the `read` of a source whose images are files of their own.

    Args:
        places: Arrow column of the uris, one a row of the listing.
        max_bytes: Largest file taken.
    """

    def read_one(place: str) -> Content:
        try:
            return read_place(place, max_bytes=max_bytes)
        except ImageError as error:
            return error

    return lambda rows: ask(read_one, places.take(rows).to_pylist())
