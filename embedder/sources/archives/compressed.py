"""Compressed archives, read through as what they hold: never extracted, in memory only a window of it."""

import bz2
import contextlib
import functools
import io
import lzma
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, NamedTuple, Protocol

import pyarrow as pa

from frieze.core import ImageError
from frieze.embedder.sources.files import open_uri, stat_uri

_CHUNK_BYTES = 64 << 10
_MAX_OUTPUT_BYTES = 256 << 10
_KEPT_BYTES = 128 << 10
"""How far one may go back for free: a member's first bytes are looked at before the member is read."""
_SPACING_BYTES = 16 << 20
_MAX_CHECKPOINTS = 64
_MAX_RATIO = 200
"""Content this many times as large as its file, and larger than the limit, is a decompression bomb."""
_BROKEN = (zlib.error, lzma.LZMAError, EOFError, OSError, pa.ArrowException)


class _Decompressor(Protocol):
    """What bz2, lzma and our `_Inflate` have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def unused_data(self) -> bytes:
        """What follows the stream."""

    @property
    def needs_input(self) -> bool:
        """Whether there is no more content without more data."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return more of the content."""


class _Inflate:
    """Decompresses one gzip or zlib stream, with the interface of bz2 and lzma."""

    def __init__(self, one: Any = None) -> None:
        self._one = one or zlib.decompressobj(zlib.MAX_WBITS | 32)  # either header
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        return bool(self._one.eof)

    @property
    def unused_data(self) -> bytes:
        """What follows the stream."""
        return bytes(self._one.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return more of the content, `max_length` at most."""
        content: bytes = self._one.decompress(self._one.unconsumed_tail + data, max_length)
        self.needs_input = not self._one.unconsumed_tail and len(content) < max_length
        return content

    def copy(self) -> "_Inflate":
        """Return the same state, to go on from later."""
        copy = _Inflate(self._one.copy())
        copy.needs_input = self.needs_input
        return copy


class _Streams:
    """Decompresses the streams of a file one after another; some programs write many, or zeros after the last."""

    def __init__(self, file: BinaryIO, new: Callable[[], _Decompressor], one: _Decompressor | None = None) -> None:
        self._file = file
        self._new = new
        self._one = one or new()

    def read(self) -> bytes:
        """Return the next piece of the content; nothing at its end."""
        while True:
            data = b""
            if self._one.eof:
                data = self._begin_next()
                if not data:
                    return b""
            elif self._one.needs_input:
                data = self._file.read(_CHUNK_BYTES)
                if not data:
                    raise EOFError("the file ends there")
            content = self._one.decompress(data, _MAX_OUTPUT_BYTES)
            if content:
                return content

    def _begin_next(self) -> bytes:
        rest = self._one.unused_data or self._file.read(_CHUNK_BYTES)
        while rest and not (rest := rest.lstrip(b"\0")):
            rest = self._file.read(_CHUNK_BYTES)
        self._one = self._new() if rest else self._one
        return rest

    def checkpoint(self) -> tuple[int, "_Inflate"] | None:
        """Return what decompression can be resumed from: where the file stands, and the state; None for most kinds."""
        return (self._file.tell(), self._one.copy()) if isinstance(self._one, _Inflate) else None


class _ArrowStream:
    """Decompresses with Arrow's codecs."""

    def __init__(self, codec: str, file: BinaryIO) -> None:
        self._codec, self._file = codec, file
        self._stream = self._open()
        self._at = 0
        self._error: Exception | None = None

    def _open(self) -> Any:
        return pa.CompressedInputStream(pa.PythonFile(_Unclosed(self._file), "r"), self._codec)

    def read(self) -> bytes:
        """Return the next piece of the content; nothing at its end."""
        if self._error is not None:
            raise self._error
        try:
            piece = bytes(self._stream.read(_MAX_OUTPUT_BYTES))
        except _BROKEN as error:
            self._error = error
            piece = self._read_rest()  # Arrow drops what it had of this piece
            if not piece:
                raise
        self._at += len(piece)
        return piece

    def _read_rest(self) -> bytes:
        """Return what there is of a piece that is cut short or damaged: from the beginning, then byte by byte."""
        self._file.seek(0)
        self._stream, pieces, left = self._open(), [], self._at
        try:
            while left:
                left -= len(self._stream.read(min(left, _MAX_OUTPUT_BYTES)))
            while piece := self._stream.read(1):
                pieces.append(piece)
        except _BROKEN:
            pass
        return b"".join(pieces)

    def checkpoint(self) -> None:
        """Return nothing: this codec's state can't be copied."""


class _Unclosed(io.RawIOBase):
    """A file that Arrow may close without closing ours."""

    def __init__(self, file: BinaryIO) -> None:
        self._inner = file

    def readable(self) -> bool:
        """Return whether it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read from the file."""
        return self._inner.read(size)


class _Method(NamedTuple):
    """A kind of compression: its name, its first bytes, and how its content is read."""

    name: str
    signature: bytes
    open: Callable[[BinaryIO], Any]


def _streams(new: Callable[[], _Decompressor]) -> Callable[[BinaryIO], _Streams]:
    return lambda file: _Streams(file, new)


_METHODS = (
    _Method("gzip", b"\x1f\x8b\x08", _streams(_Inflate)),
    _Method("bzip2", b"BZh", _streams(bz2.BZ2Decompressor)),
    _Method("xz", b"\xfd7zXZ\x00", _streams(lzma.LZMADecompressor)),
    _Method("zstd", b"\x28\xb5\x2f\xfd", functools.partial(_ArrowStream, "zstd")),
    _Method("lz4", b"\x04\x22\x4d\x18", functools.partial(_ArrowStream, "lz4")),
)
_ZLIB = _Method("zlib", b"", _streams(_Inflate))
_HEAD_BYTES = 4096
_USTAR = slice(257, 262)


def open_archive(uri: str, max_bytes: int) -> BinaryIO:
    """Open an archive; where its first bytes are those of compressed data, as its content.

    Args:
        uri: Its absolute path or URL.
        max_bytes: Content of more bytes than this, and of more than 200 times its file's, is refused as a bomb.

    Raises:
        OSError: It can't be opened.
    """
    file = open_uri(uri)
    try:
        head = file.read(_HEAD_BYTES)
        file.seek(0)
    except OSError:
        file.close()
        raise
    method = next((one for one in _METHODS if head.startswith(one.signature)), None)
    method = method or (_ZLIB if _is_zlib(head) else None)
    if method is None:
        return file
    return CompressedFile(file, method, checkpoints_of(uri, stat_uri(uri)), max_bytes)  # type: ignore[return-value]


_N_KEPT = 2
_kept: dict[tuple[str, tuple[int, int]], BinaryIO] = {}
_kept_lock = threading.Lock()


@contextlib.contextmanager
def borrow_archive(uri: str, max_bytes: int) -> Iterator[BinaryIO]:
    """Yield an open archive; a compressed one is kept open for the next who reads on, so that images are one pass.

    Args:
        uri: Its absolute path or URL.
        max_bytes: As in `open_archive`.

    Raises:
        OSError: It can't be opened.
    """
    key = uri, stat_uri(uri)
    with _kept_lock:
        file = _kept.pop(key, None)
    file = open_archive(uri, max_bytes) if file is None else file
    is_whole = False
    try:
        yield file
        is_whole = isinstance(file, CompressedFile)
    finally:
        _keep(key, file) if is_whole else file.close()


def _keep(key: tuple[str, tuple[int, int]], file: BinaryIO) -> None:
    """Keep a file open, and close those that have been kept for longer than the last ones."""
    with _kept_lock:
        closed = [one for one in (_kept.pop(key, None),) if one is not None]
        _kept[key] = file
        closed += [_kept.pop(next(iter(_kept))) for _ in range(len(_kept) - _N_KEPT)]
    for one in closed:
        one.close()


def content_bytes(file: BinaryIO, size_bytes: int) -> int:
    """Return how many bytes an open archive has: those of its file, and no known end for a compressed one."""
    return sys.maxsize if isinstance(file, CompressedFile) else size_bytes


def _is_zlib(head: bytes) -> bool:
    """Return whether data begin as zlib's (RFC 1950), whose header is two bytes only: so more of it is tried."""
    if head[:1] != b"\x78" or int.from_bytes(head[:2]) % 31 or head[_USTAR] == b"ustar":
        return False
    try:
        return bool(zlib.decompressobj().decompress(head))
    except zlib.error:
        return False


class _Checkpoint(NamedTuple):
    """Where decompression can be resumed: position in the content, position in the file, and the state."""

    at: int
    file_at: int
    state: _Inflate


class _Checkpoints:
    """Some checkpoints of a gzip file, evenly spaced: the more content, the farther apart."""

    def __init__(self) -> None:
        self._all: list[_Checkpoint] = []
        self._spacing = _SPACING_BYTES
        self._lock = threading.Lock()

    def offer(self, at: int, stream: Any) -> None:
        """Keep a checkpoint if the last one is far enough before."""
        if at - (self._all[-1].at if self._all else 0) < self._spacing:
            return
        kept = stream.checkpoint()
        if kept is None:
            return
        with self._lock:
            self._all.append(_Checkpoint(at, *kept))
            if len(self._all) > _MAX_CHECKPOINTS:
                self._all, self._spacing = self._all[1::2], self._spacing * 2

    def before(self, at: int) -> _Checkpoint | None:
        """Return the last checkpoint at or before a position of the content."""
        with self._lock:
            return next((one for one in reversed(self._all) if one.at <= at), None)


@functools.lru_cache(8)
def checkpoints_of(_uri: str, _stat: tuple[int, int]) -> _Checkpoints:
    """Return the checkpoints of a file, shared by all who read it until its size or time change."""
    return _Checkpoints()


class CompressedFile(io.RawIOBase):
    """The content of a compressed file. Going forward decompresses; going far back begins again.

    Gzip begins again at a checkpoint that an earlier pass left, the others at the first byte.
    """

    def __init__(self, file: BinaryIO, method: _Method, checkpoints: _Checkpoints, max_bytes: int) -> None:
        self._file = file
        self._method = method
        self._checkpoints = checkpoints
        self._max_bytes = max_bytes
        self._at = 0
        self._begin(0)

    @property
    def end(self) -> int:
        """Number of bytes of the content that are known to be there."""
        return self._start + len(self._window)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()

    def tell(self) -> int:
        """Return the position in the content."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position of the content, which may lie beyond its end.

        Raises:
            ValueError: The position is relative to the unknown end.
        """
        if whence == io.SEEK_END:
            raise ValueError("the size of compressed content is not known")
        self._at = offset + (self._at if whence == io.SEEK_CUR else 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer only at the end.

        Raises:
            ImageError: The data are damaged, cut short or a decompression bomb.
        """
        stop = self._at + size if size >= 0 else sys.maxsize
        before = self._checkpoints.before(self._at)
        if self._at < self._start or (before is not None and before.at > self.end):
            self._begin(self._at)
        pieces = []
        while True:
            piece = self._window[max(0, self._at - self._start) : max(0, stop - self._start)]
            pieces.append(piece)
            self._at += len(piece)
            if self._at >= stop or not self._pull():
                return b"".join(pieces)

    def _begin(self, at: int) -> None:
        """Begin to decompress at the last checkpoint before a position."""
        checkpoint = self._checkpoints.before(at)
        self._window, self._start = b"", 0 if checkpoint is None else checkpoint.at
        self._file.seek(0 if checkpoint is None else checkpoint.file_at)
        if checkpoint is None:
            self._stream = self._method.open(self._file)
        else:
            self._stream = _Streams(self._file, _Inflate, checkpoint.state.copy())

    def _pull(self) -> bool:
        """Decompress the next piece; return whether there was one."""
        try:
            piece = self._stream.read()
        except _BROKEN as error:
            what = f"its {self._method.name} data are damaged or cut short at byte {self._file.tell()}"
            raise ImageError("read", "damaged archive", f"{what} of the file: {error}") from error
        kept = self._window[-_KEPT_BYTES:]
        self._start, self._window = self.end - len(kept), kept + piece
        if self.end > max(self._max_bytes, _MAX_RATIO * self._file.tell()):
            what = f"its {self._method.name} data unpack to more than {_MAX_RATIO} times their size"
            raise ImageError("read", "too large", f"{what}, and to more than {self._max_bytes} bytes")
        self._checkpoints.offer(self.end, self._stream)
        return bool(piece)
