"""Files of arrays: HDF5, NumPy's .npy and .npz, and MNIST's IDX; rows are read a few at a time."""

import contextlib
import functools
import math
import os
import posixpath
import struct
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, Protocol

import numpy as np

from frieze.core import ImageError, is_remote
from frieze.embedder.sources.archives.compressed import CompressedFile, open_archive
from frieze.embedder.sources.files import open_uri, to_id, to_path

_BLOCK_BYTES = 4 << 20
_MAX_BLOCK_BYTES = 64 << 20
_IDX = b"\x00\x00\x08"
"""The first bytes of an IDX file of uint8; the number of axes follows, then each, big-endian."""
BROKEN = (
    *(ValueError, TypeError, KeyError, EOFError, RuntimeError, SyntaxError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""Errors of damaged files of arrays."""


class Array(Protocol):
    """One array of a file.

    Attributes:
        name: Its name in the file, with its groups.
        shape: Its shape; the first axis is images.
        dtype: Its type.
        is_encoded: Whether each value is the bytes of a file.
        refusal: Why it can't be read; None where it can.
        n_whole: Number of rows that the file is known to hold; at least all where that is not known.
    """

    name: str
    shape: tuple[int, ...]
    dtype: Any
    is_encoded: bool
    refusal: str | None
    n_whole: int

    def row(self, number: int) -> Any:
        """Return one row as an array.

        Raises:
            ImageError: The file ends before it.
        """

    def all(self) -> Any:
        """Return the whole array, which is one of labels."""


class _Bytes:
    """An array that lies in a file as it is in memory."""

    is_encoded = False

    def __init__(self, name: str, file: BinaryIO, shape: tuple[int, ...], dtype: Any, refusal: str | None) -> None:
        self.name, self.shape, self.dtype, self.refusal = name, shape, dtype, refusal
        self._file = file
        self._start = file.tell()
        self.n_whole = (_end(file) - self._start) // max(1, self.dtype.itemsize * math.prod(shape[1:]))

    def row(self, number: int) -> Any:
        size_bytes = self.dtype.itemsize * math.prod(self.shape[1:])
        return self._read(self._start + number * size_bytes, self.shape[1:])

    def all(self) -> Any:
        return self._read(self._start, self.shape)

    def _read(self, offset: int, shape: tuple[int, ...]) -> Any:
        size_bytes = self.dtype.itemsize * math.prod(shape)
        self._file.seek(offset)
        data = self._file.read(size_bytes)
        if len(data) < size_bytes:
            raise ImageError("read", "truncated", f"its data end at byte {offset + len(data)}, within this image")
        return np.frombuffer(data, self.dtype).reshape(shape)


def _end(file: BinaryIO) -> int:
    """Return the size of an open file, and no known end for the content of a compressed one."""
    if isinstance(file, CompressedFile | zipfile.ZipExtFile):
        return sys.maxsize
    start, end = file.tell(), file.seek(0, os.SEEK_END)
    file.seek(start)
    return end


class _Hdf5:
    """A data set of an HDF5 file; rows are read in blocks, whole chunks where the file has chunks."""

    def __init__(self, name: str, data: Any) -> None:
        import h5py

        self.name, self.shape, self.dtype = name, data.shape, data.dtype
        self.is_encoded = h5py.check_vlen_dtype(data.dtype) == np.uint8
        self._data = data
        self._first, self._block = 0, np.empty(0)
        # Its bytes would be those of other files, wherever they lie.
        self.refusal = "its values lie in other files" if data.is_virtual or data.external else None
        if data.dtype.kind == "O" and not self.is_encoded and h5py.check_string_dtype(data.dtype) is None:
            self.refusal = "its values are objects"
        self.n_whole = data.shape[0]

    @functools.cached_property
    def _n_rows(self) -> int:
        """Number of rows of a block."""
        size_bytes = max(1, self.dtype.itemsize * math.prod(self.shape[1:]))
        chunk = self._data.chunks[0] if self._data.chunks else 1
        n_rows = max(1, _BLOCK_BYTES // size_bytes)
        whole = -(-n_rows // chunk) * chunk
        return int(whole if whole * size_bytes <= _MAX_BLOCK_BYTES else n_rows)

    def row(self, number: int) -> Any:
        if self.is_encoded:
            return self._data[number]
        if not self._first <= number < self._first + len(self._block):
            self._first = number // self._n_rows * self._n_rows
            self._block = self._data[self._first : self._first + self._n_rows]
        return self._block[number - self._first]

    def all(self) -> Any:
        return self._data[()]


@contextlib.contextmanager
def open_arrays(uri: str, max_bytes: int) -> Iterator[list[Array]]:
    """Open a file of arrays.

    Args:
        uri: Its absolute path or URL; its name decides the kind.
        max_bytes: As for `open_archive`.

    Yields:
        Its arrays, in a stable order.

    Raises:
        ImageError: The file is damaged, or of another kind.
        OSError: It can't be opened.
    """
    with contextlib.ExitStack() as held:
        try:
            yield _opener(uri)(uri, held, max_bytes)
        except BROKEN as error:  # also of the caller, who reads from them
            raise ImageError("list", "damaged archive", f"it can't be read as its name says: {error}") from error


def _opener(uri: str) -> Any:
    ending = posixpath.splitext(uri.lower().removesuffix(".gz"))[1]
    return {".npy": _open_npy, ".npz": _open_npz, ".h5": _open_hdf5, ".hdf5": _open_hdf5}.get(ending, _open_idx)


def _open_npy(uri: str, held: contextlib.ExitStack, max_bytes: int) -> list[Array]:
    file = held.enter_context(open_archive(uri, max_bytes))
    return [_read_header("", file)]


def _open_npz(uri: str, held: contextlib.ExitStack, _max_bytes: int) -> list[Array]:
    archive = held.enter_context(zipfile.ZipFile(held.enter_context(open_uri(uri))))
    names = [name for name in archive.namelist() if name.endswith(".npy")]
    return [_read_header(name.removesuffix(".npy"), held.enter_context(archive.open(name))) for name in names]


def _read_header(name: str, file: Any) -> Array:
    """Read the header of a .npy file; pickled objects are never loaded."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = read(file)
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    refusal = "its values are Python objects" if dtype.hasobject else None
    if by_column and len(shape) > 1:
        refusal = "it is stored column by column (Fortran order): save numpy.ascontiguousarray of it"
    return _Bytes(name, file, shape, dtype, refusal)


def _open_idx(uri: str, held: contextlib.ExitStack, max_bytes: int) -> list[Array]:
    file = held.enter_context(open_archive(uri, max_bytes))
    head = file.read(4)
    if head[:3] != _IDX:
        raise ValueError("it is no IDX file of uint8")
    shape = struct.unpack(f">{head[3]}I", file.read(4 * head[3]))
    return [_Bytes("", file, shape, np.dtype(np.uint8), None)]


def _open_hdf5(uri: str, held: contextlib.ExitStack, _max_bytes: int) -> list[Array]:
    import h5py

    opened = h5py.File(open_uri(uri) if is_remote(uri) else os.fsdecode(to_path(uri)), "r")
    file = held.enter_context(opened)
    data: list[Any] = []
    file.visititems(lambda _name, one: data.append(one) if isinstance(one, h5py.Dataset) and one.shape else None)
    # Links to other files are not visited; a name that is no UTF-8 is bytes.
    return [_Hdf5(to_id(os.fsdecode(one.name)).lstrip("/"), one) for one in data]
