"""Files on disk and objects in buckets, opened and read by the URI under which they are stored."""

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
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, unsupported_error
from frieze.embedder.sources.base import Content, read_error

Result = TypeVar("Result")

_N_PARALLEL_REQUESTS = 16
_AHEAD_BYTES = 8 << 20
"""Read-ahead for a shard in a bucket: members that follow each other arrive with one request."""

_MISSING_ERRNOS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
_SURROGATES = re.compile("[\udc80-\udcff]")


def to_path(uri: str) -> bytes:
    r"""Convert a stored URI to a path of the file system.

    >>> to_path("/a/b.jpg"), to_path("file:///a/%FF.jpg")
    (b'/a/b.jpg', b'/a/\xff.jpg')
    """
    if uri.startswith("file://"):
        return urllib.parse.unquote_to_bytes(uri.removeprefix("file://"))
    return os.fsencode(uri)


def to_uri(path: str) -> str:
    r"""Convert a path to a URI; bytes that are not UTF-8 are percent-encoded.

    >>> to_uri("/a/b.jpg"), to_uri("/a/\udcff.jpg")
    ('/a/b.jpg', 'file:///a/%FF.jpg')
    """
    if not path.isascii() and _SURROGATES.search(path):
        return "file://" + urllib.parse.quote(os.fsencode(path))
    return path


def to_id(name: str) -> str:
    r"""Convert a path below the source to an id; bytes that are not UTF-8 become `\xNN`.

    >>> to_id("a/\udcff.jpg")
    'a/\\xff.jpg'
    """
    return name if name.isascii() else _SURROGATES.sub(lambda byte: f"\\x{ord(byte.group()) - 0xDC00:02x}", name)


def open_uri(uri: str) -> BinaryIO:
    """Open a file or object for random access.

    Raises:
        OSError: It can't be opened, or is a folder or pipe.
    """
    if is_remote(uri):
        system, path = open_file_system(uri)
        with _translate_key_errors():
            return io.BufferedReader(system.open_input_file(path), _AHEAD_BYTES)
    return open(to_path(uri), "rb", opener=_open_file)


@contextlib.contextmanager
def _translate_key_errors() -> Iterator[None]:
    """Raise an OSError of this one object for a key that Arrow rejects, such as `a//b.jpg` with its empty part."""
    try:
        yield
    except pa.ArrowException as error:
        raise OSError(errno.EINVAL, f"the object's key can't be read ({error}): copy it to a plainer one") from error


def _open_file(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)  # otherwise a pipe would wait for its writer
    try:
        _check_is_file(os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_is_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would block forever
        raise OSError(errno.ENXIO, "not a regular file")


def stat_uri(uri: str) -> tuple[int, int]:
    """Return size in bytes and mtime in nanoseconds.

    Raises:
        OSError: The file does not exist, or is a folder or pipe.
    """
    if is_remote(uri):
        system, path = open_file_system(uri)
        with _translate_key_errors():
            (info,) = system.get_file_info([path])
        if not info.is_file:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return info.size, info.mtime_ns
    status = os.stat(to_path(uri))
    _check_is_file(status)
    return status.st_size, status.st_mtime_ns


def is_missing(error: OSError) -> bool:
    """Return whether an error means that the file does not exist; other errors may be temporary.

    >>> is_missing(FileNotFoundError(2, "No such file")), is_missing(PermissionError(13, "Permission denied"))
    (True, False)
    """
    return error.errno in _MISSING_ERRNOS


def read_uri(uri: str, *, max_bytes: int) -> bytes:
    """Read an image file.

    Raises:
        ImageError: The file can't be read, is no image by its signature, or is larger than `max_bytes`.
    """
    try:
        data = _read_remote(uri, max_bytes) if is_remote(uri) else _read_local(uri, max_bytes)
    except (OSError, MemoryError) as error:
        raise read_error(error) from error
    except ValueError as error:  # NUL in a name
        raise ImageError("read", "missing", str(error)) from error
    if len(data) > max_bytes:
        raise ImageError("read", "too large", f"the file has more than {max_bytes} bytes")
    return data


def _read_local(uri: str, max_bytes: int) -> bytes:
    with open_uri(uri) as file:
        head = file.read(HEAD_BYTES)
        _check_head(head)  # a film named .jpg is not read to the end
        size_bytes = os.fstat(file.fileno()).st_size  # Python allocates as much as it is asked to read
        return head + file.read(max(0, min(size_bytes, max_bytes + 1) - len(head)))


def _read_remote(uri: str, max_bytes: int) -> bytes:
    """Read an object with one request for its size and one for its bytes."""
    system, path = open_file_system(uri)
    with _translate_key_errors(), system.open_input_file(path) as file:
        data: bytes = file.read(min(file.size(), max_bytes + 1))
    _check_head(data)
    return data


def _check_head(data: bytes) -> None:
    if data and not is_image(data[:HEAD_BYTES]):
        raise unsupported_error(data)


@functools.cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_N_PARALLEL_REQUESTS, thread_name_prefix="frieze-fetch")


def map_uris(function: Callable[[str], Result], uris: Sequence[str]) -> Iterable[Result]:
    """Map a function over URIs, in order; URIs in buckets are requested in parallel, because latency dominates."""
    return _readers().map(function, uris) if any(map(is_remote, uris)) else map(function, uris)


def read_uris(uris: Any, *, max_bytes: int) -> Callable[[Rows], Iterable[Content]]:
    """Return `Source.read` for images that are files or objects of their own.

    Args:
        uris: Arrow column of URIs, one a row of the listing.
        max_bytes: Size of the largest file that is read.
    """

    def read_one(uri: str) -> Content:
        try:
            return read_uri(uri, max_bytes=max_bytes)
        except ImageError as error:
            return error

    return lambda rows: map_uris(read_one, uris.take(rows).to_pylist())
