"""Stacks of images in arrays: data sets of HDF5 files, .npy, .npz and IDX files."""

import bisect
import contextlib
import itertools
import math
import os
import posixpath
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from frieze.core import ImageError, Rows, is_remote
from frieze.embedder.images.limits import MAX_BYTES
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, unsupported_error
from frieze.embedder.sources.archives.array_files import BROKEN, Array, open_arrays
from frieze.embedder.sources.archives.array_names import are_images, are_labels, may_describe, split_of
from frieze.embedder.sources.archives.base import Archive, check_unchanged, open_archives
from frieze.embedder.sources.archives.samples import CHANNELS, encode_samples
from frieze.embedder.sources.base import Content, File, Source, SourceOptions, read_error
from frieze.embedder.sources.files import to_path, to_uri
from frieze.embedder.sources.listing import ImageRecord, ListedImages
from frieze.embedder.sources.tables.column_names import pop_text

_N_AXES = (3, 4)  # [N, H, W], and [N, H, W, C] or [N, C, H, W]
_MAX_RATIO = 200
_N_TRIED = 8
"""Values of an array of files' bytes of which one has to be an image."""
_LABEL = "\0label"
_REFUSED = "unsupported"
_REFERENCE_BYTES = 16
"""What HDF5 stores of each value of any length, beside its bytes."""
_MAX_VALUE_BYTES = 1 << 16
_SIBLINGS = (".npy", "ubyte", "ubyte.gz")


def open_stacks(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in arrays of uint8.

    Args:
        files: The files.
        source: The source as the user typed it.
        options: `image`, `id` and `label` are names of arrays. By default the images are all arrays with a name such
            as `images`, `x_train` or `data`, else the only array of their shape; the label is the one array
            `labels`, `y_train` or the like with as many values, of a .npy or IDX file in a file beside it.

    Returns:
        One image a row; other arrays of as many values in the same group are columns. Arrays of other types are
        refused: which of their values is white is not known.

    Raises:
        InputError: As in `open_archives`, or no array holds images.
    """
    return open_archives(files, source, options, _find, reader=_Rows)


def read_stacked(uri: str, below: str) -> bytes:
    """Read one image.

    Args:
        uri: URI of the file.
        below: The rest of the image's URI: the array, unless the file is one, and the row.

    Raises:
        ImageError: The image can't be read.
    """
    name, _, row = below.rpartition("/")
    with _translate_errors(), open_arrays(uri, MAX_BYTES) as arrays:
        array = next((one for one in arrays if one.name == name and _why_not(one) is None), None)
        if array is None or not row.isdecimal() or int(row) >= array.shape[0]:
            raise ImageError("read", "missing", f"{uri} holds no image {below}")
        return _encode(array, int(row), MAX_BYTES)


@contextlib.contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (OSError, MemoryError) as error:
        raise read_error(error) from error
    except BROKEN as error:
        raise ImageError("read", "damaged", f"damaged in its file: {error}") from error


def _find(archive: Archive, _file: BinaryIO) -> Iterator[ImageRecord]:
    with open_arrays(archive.uri, archive.options.max_bytes) as arrays:
        archive.keys.update(posixpath.basename(one.name) for one in arrays)
        archive.keys.update(one.name for one in arrays)
        chosen = _choose(archive, arrays)
        first = 0
        for stack in chosen:
            _check_size(archive, stack)
            yield from _records(archive, stack, _columns(archive, stack, arrays, len(chosen)), first)
            first += stack.shape[0]


def _choose(archive: Archive, arrays: Sequence[Array]) -> list[Array]:
    """Choose the arrays of images.

    Raises:
        ImageError: There is none, or several of which none has a usual name.
    """
    option = archive.options.image
    named = [one for one in arrays if option in (one.name, posixpath.basename(one.name))]
    candidates = [one for one in arrays if _why_not(one) is None]
    if option is not None:
        for one in named:
            if reason := _why_not(one):
                raise ImageError("list", _REFUSED, f"{option} can't be read: {reason}")
        return named
    chosen = [one for one in candidates if are_images(_full_name(archive, one))] or candidates
    if not chosen:
        shapes = [f"{one.name or 'it'} ({_why_not(one)})" for one in arrays]
        raise ImageError("list", _REFUSED, f"no array holds images: {', '.join(shapes[:5]) or 'there is none'}")
    if len(chosen) > 1 and not are_images(_full_name(archive, chosen[0])):
        names = ", ".join(one.name for one in chosen)
        raise ImageError("list", _REFUSED, f"several arrays may be its images: {names}: choose one with `image='NAME'`")
    others = [one.name for one in candidates if one not in chosen]
    if others:
        archive.notes.add(f"Other arrays of {archive.id} that may be images are not read: {', '.join(others)}.")
    return chosen


def _why_not(array: Array) -> str | None:
    """Return why an array can't be read as images; None where it can."""
    if array.refusal is not None:
        return array.refusal
    if array.is_encoded:
        heads = (bytes(array.row(row)[:HEAD_BYTES]) for row in range(min(array.shape[0], _N_TRIED)))
        return None if len(array.shape) == 1 and any(map(is_image, heads)) else "its values are no images"
    shape = f"it has shape {list(array.shape)} and type {array.dtype}"
    if len(array.shape) not in _N_AXES or min(array.shape[1:]) == 0 or not _has_channels(array.shape):
        return f"{shape}; expected is [N, H, W] or [N, H, W, 3] of uint8"
    if array.dtype != np.uint8:
        return f"{shape}, of which the value of white is not known: store uint8, such as (x * 255).round() of [0, 1]"
    return None


def _has_channels(shape: tuple[int, ...]) -> bool:
    """Return whether a shape is that of a stack: of grey images, or with channels last or first."""
    if len(shape) == min(_N_AXES):
        return shape[-1] not in CHANNELS  # one image
    return shape[-1] in CHANNELS or shape[1] in CHANNELS


def _full_name(archive: Archive, array: Array) -> str:
    """Return the name of an array, which is its file's where that holds one."""
    return array.name or posixpath.basename(archive.id).removesuffix(".npy")


def _check_size(archive: Archive, stack: Array) -> None:
    """Refuse a small file that claims to hold very many images.

    Raises:
        ImageError: It does.
    """
    size_bytes = math.prod(stack.shape) * (_REFERENCE_BYTES if stack.is_encoded else 1)
    if size_bytes > max(archive.options.max_bytes, _MAX_RATIO * archive.stat[0]):
        what = f"its {stack.shape[0]:,} images unpack to more than {_MAX_RATIO} times the size of the file"
        raise ImageError("list", "too large", f"{what}, and to more than {archive.options.max_bytes} bytes")
    if len(stack.shape) == max(_N_AXES) and stack.shape[-1] not in CHANNELS:
        archive.notes.add(f"Images of {archive.id} have shape {list(stack.shape[1:])}: their channels come first.")


def _columns(archive: Archive, stack: Array, arrays: Sequence[Array], n_stacks: int) -> dict[str, Any]:
    """Return the values of each image by column; those of the label are in `_LABEL`."""
    options, name = archive.options, _full_name(archive, stack)
    group = posixpath.dirname(stack.name)
    with contextlib.ExitStack() as held:
        if not stack.name:
            arrays = _siblings(archive, name, held)
        beside = [one for one in arrays if posixpath.dirname(one.name) == group and _is_column(one, stack.shape[0])]
        labels = [one for one in beside if are_labels(one.name, name)]
        if options.label is not None:
            labels = [one for one in beside if options.label in (one.name, posixpath.basename(one.name))]
        columns = {posixpath.basename(one.name): _values(one) for one in beside if may_describe(one.name, name)}
        if options.labels == "folder":
            _note_labels(archive, labels, [one for one in arrays if posixpath.dirname(one.name) == group], name)
        if len(labels) == 1 and options.labels == "folder":
            columns.pop(posixpath.basename(labels[0].name), None)
            columns[_LABEL] = _values(labels[0])
    split = split_of(stack.name, group)
    return columns | ({"split": [split] * stack.shape[0]} if split and n_stacks > 1 else {})


def _note_labels(archive: Archive, labels: Sequence[Array], beside: Sequence[Array], name: str) -> None:
    """Note which array has the labels, or why none has."""
    if len(labels) == 1:
        archive.notes.add(f"The labels of {archive.id} are those of {labels[0].name}.")
    elif labels:
        names = ", ".join(one.name for one in labels)
        archive.notes.add(f"The labels of {archive.id} may be those of {names}: choose one with `label`.")
    for one in beside:
        if are_labels(one.name, name) and one.refusal is not None:
            archive.notes.add(f"The labels {one.name} of {archive.id} are not read: {one.refusal}; store them as text.")


def _siblings(archive: Archive, name: str, held: contextlib.ExitStack) -> list[Array]:
    """Open the files of labels beside a file of one array, which are named after it."""
    folder = posixpath.dirname(archive.uri)
    if is_remote(archive.uri):
        return []
    names = sorted(os.listdir(os.fsdecode(to_path(folder))))
    labels = [one for one in names if one.endswith(_SIBLINGS) and are_labels(one.removesuffix(".npy"), name)]
    arrays = []
    for one in labels:
        (array,) = _open_labels(f"{os.fsdecode(to_path(folder))}/{one}", held)
        array.name = one
        arrays.append(array)
    return arrays


def _open_labels(path: str, held: contextlib.ExitStack) -> list[Array]:
    """Open a file of labels.

    Raises:
        ImageError: It can't be read, or is cut short; the message names it.
    """
    try:
        arrays = held.enter_context(open_arrays(to_uri(path), MAX_BYTES))
    except (OSError, ImageError) as error:
        raise _labels_error(path, str(error)) from error
    if arrays[0].refusal is None and arrays[0].n_whole < math.prod(arrays[0].shape[:1]):
        raise _labels_error(path, "it is cut short")
    return arrays


def _labels_error(path: str, why: str) -> ImageError:
    what = f"the labels beside it, {path}, can't be read: {why}; to go without them, rename that file"
    return ImageError("list", "damaged labels", what)


def _is_column(array: Array, n_rows: int) -> bool:
    """Return whether an array has one number or text a row."""
    is_flat = array.shape in ((n_rows,), (n_rows, 1))
    is_plain = array.refusal is None and not array.is_encoded and array.dtype.itemsize <= _MAX_VALUE_BYTES
    return is_flat and is_plain and array.dtype.kind in "iufbSUO"


def _values(array: Array) -> list[Any]:
    values = np.asarray(array.all()).reshape(-1).tolist()
    return [one.decode(errors="backslashreplace") if isinstance(one, bytes) else one for one in values]


def _records(archive: Archive, stack: Array, columns: dict[str, Any], first: int) -> Iterator[ImageRecord]:
    options = archive.options
    labels = columns.pop(_LABEL, None)
    base = f"/{stack.name}" if stack.name else ""
    size_bytes = None if stack.is_encoded else math.prod(stack.shape[1:])
    n_whole = min(stack.n_whole, stack.shape[0])
    for row in range(n_whole):
        below = f"{base}/{row:06d}"
        one = {name: values[row] for name, values in columns.items()}
        stated_id = pop_text(one, [options.id] if options.id else ())
        label = None if labels is None or labels[row] != labels[row] else str(labels[row])  # NaN is unknown
        location = (size_bytes, archive.stat[1], archive.number, first + row)
        yield ImageRecord(stated_id or archive.id + below, archive.uri + below, label, *location, one)
    if n_whole < stack.shape[0]:
        message = f"the file ends at byte {archive.stat[0]}, after {n_whole:,} of {stack.shape[0]:,} images"
        archive.fail("damaged archive", message, below=base)


def _encode(array: Array, row: int, max_bytes: int) -> bytes:
    """Return an image as the bytes of a file.

    Raises:
        ImageError: It is too large, cut short, or no image.
    """
    size_bytes = 0 if array.is_encoded else math.prod(array.shape[1:])
    data = array.row(row) if size_bytes <= max_bytes else None
    if data is None or data.nbytes > max_bytes:
        raise ImageError("read", "too large", f"the image has more than {max_bytes} bytes")
    if array.is_encoded:
        if not is_image(bytes(data[:HEAD_BYTES])):
            raise unsupported_error(bytes(data[:HEAD_BYTES]))
        return bytes(data)
    samples = data if data.ndim == max(_N_AXES) - 1 else data[..., None]
    is_last = samples.shape[-1] in CHANNELS
    return encode_samples(np.ascontiguousarray(samples if is_last else np.moveaxis(samples, 0, -1)))


class _Rows:
    """Reads rows of arrays; one file stays open between calls."""

    def __init__(self, archives: Sequence[Archive], listed: ListedImages, max_bytes: int) -> None:
        self._archives = archives
        self._numbers, self._offsets = listed.files, listed.offsets
        self._max_bytes = max_bytes
        self._held: contextlib.ExitStack | None = None
        self._number = -1
        self._stacks: list[Array] = []
        self._firsts: list[int] = []

    def __del__(self) -> None:
        if self._held is not None:
            self._held.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_held": None, "_number": -1, "_stacks": [], "_firsts": []}  # opened where it is read

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each row."""
        checked = -1
        for row in rows:
            number = int(self._numbers[row])
            try:
                if checked != number:
                    check_unchanged(self._archives[number])
                    checked = number
                yield self._read(number, int(self._offsets[row]))
            except ImageError as error:
                yield error

    def _read(self, number: int, offset: int) -> bytes:
        with _translate_errors():
            if self._number != number:
                self._open(number)
            at = bisect.bisect_right(self._firsts, offset) - 1
            return _encode(self._stacks[at], offset - self._firsts[at], self._max_bytes)

    def _open(self, number: int) -> None:
        if self._held is not None:
            self._held.close()
        self._held, self._number = contextlib.ExitStack(), -1
        archive = self._archives[number]
        arrays = self._held.enter_context(open_arrays(archive.uri, self._max_bytes))
        self._stacks = _choose(archive, arrays)
        self._firsts = list(itertools.accumulate((one.shape[0] for one in self._stacks), initial=0))
        self._number = number
