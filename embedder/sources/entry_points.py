"""Sources of other packages, registered by an entry point: `NAME:REST` is opened by what NAME is registered for."""

import functools
import importlib.metadata
import os
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import pyarrow as pa

from frieze.core import ImageError, InputError, Rows
from frieze.embedder.images.limits import MAX_BYTES
from frieze.embedder.sources.base import Content, Listing, Source, SourceOptions, read_error
from frieze.embedder.sources.in_memory import encode
from frieze.embedder.sources.listing import ImageRecord, build_listing
from frieze.embedder.sources.tables.column_names import pop_label, pop_text

GROUP = "frieze.sources"
"""The group of entry points; each name is what sources begin with, each object takes the rest of the text."""

_HINT = "`images()` yields a dict an image: its `id`, and if known `label`, `size_bytes`, `mtime_ns` and any columns."


class ImageSource(Protocol):
    """What an entry point returns for the text after `NAME:`, and all that a source of another package has.

    An entry point is declared in the package's pyproject.toml:

        [project.entry-points."frieze.sources"]
        lab = "my_package:LabSource"

    Then `frieze embed lab:2024 --out lab.features` embeds the images of `LabSource("2024")`.
    """

    def images(self) -> Iterable[Mapping[str, Any]]:
        """Yield each image as a dict, always in the same order.

        `id` is its name, unique and the same in every run. `label` (text, a number, or a list of several), `size_bytes`
        and `mtime_ns` (nanoseconds since 1970) may be there; an image is embedded again where one of the last two
        changes. All other keys are columns.
        """

    def read(self, id: str) -> Any:  # noqa: A002  the field's name
        """Return one image: the bytes of its file, a uint8 array [H, W, 3] or a PIL image. Called from threads.

        Raises:
            Exception: It can't be read. It becomes a failure that names the exception; an OSError is tried again.
        """


def is_registered(source: object) -> bool:
    """Return whether a source is one of another package: text that begins with a registered name and a colon."""
    if not isinstance(source, str) or "://" in source or ":" not in source or os.path.exists(source):
        return False
    return source.partition(":")[0] in importlib.metadata.entry_points(group=GROUP).names


def open_registered(source: str, options: SourceOptions) -> Source:
    """List the images of a source of another package.

    Args:
        source: `NAME:REST`.
        options: `label` is a key of the dicts; `labels="none"` leaves labels out.

    Raises:
        InputError: The package can't be imported or refuses the rest, or an image has no id.
    """
    if options.id is not None or options.image is not None:
        raise InputError(f"{source} names its images itself.", hint="Leave `id` and `image` out.")
    listed = build_listing(_records(source, options), options.on_progress)
    read = _Reader(source, listed.images["id"], options.max_bytes).read
    return Source(Listing(source, listed.images, tuple(listed.duplicates)), read, has_columns=True)


def read_registered(uri: str) -> bytes:
    """Read one image by its URI.

    Raises:
        ImageError: It can't be read.
    """
    source, _, name = uri.partition("#")
    return _read(_opened(urllib.parse.unquote(source)), name, MAX_BYTES)


@functools.lru_cache(4)
def _opened(source: str) -> ImageSource:
    """Open a source.

    Raises:
        InputError: The package can't be imported, or refuses the rest.
    """
    name, _, rest = source.partition(":")
    (entry, *_) = importlib.metadata.entry_points(group=GROUP, name=name)
    try:
        opened: ImageSource = entry.load()(rest)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{source} can't be opened by {entry.value}: {_describe(error)}.",
            hint=f"Check what follows {name}:, and that its package works: python -c 'import {entry.module}'",
        ) from error
    return opened


def _records(source: str, options: SourceOptions) -> Iterator[ImageRecord]:
    prefix = urllib.parse.quote(source, safe="/: ") + "#"
    for number, element in enumerate(_elements(source)):
        columns = dict(element) if isinstance(element, Mapping) else {}
        name = pop_text(columns, ["id"])
        if name is None:
            raise InputError(f"Image {number} of {source} has no id: it is {element!r}.", hint=_HINT)
        size_bytes, mtime_ns = columns.pop("size_bytes", None), columns.pop("mtime_ns", None)
        label, label_from = None, None
        if options.labels != "none":
            label, label_from = pop_label(columns, options.label, ["label"])
        yield ImageRecord(name, prefix + name, label, size_bytes, mtime_ns, 0, number, columns, label_from)


def _elements(source: str) -> Iterator[Any]:
    """Yield what the package says of each image.

    Raises:
        InputError: The package raises anything.
    """
    opened, number = _opened(source), 0
    try:
        for element in opened.images():
            yield element
            number += 1
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{source} can't be listed: images() of {type(opened).__qualname__} raises {_describe(error)}, after"
            f" {number:,} images.",
            hint=f"This is for the package {type(opened).__module__} to mend.",
        ) from error


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class _Reader:
    """Reads the images of a source; another process opens the source itself."""

    def __init__(self, source: str, ids: pa.ChunkedArray, max_bytes: int) -> None:
        self._source = source
        self._ids = ids
        self._max_bytes = max_bytes

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each row."""
        opened = _opened(self._source)
        for name in self._ids.take(rows).to_pylist():
            try:
                yield _read(opened, name, self._max_bytes)
            except ImageError as error:
                yield error


def _read(opened: ImageSource, name: str, max_bytes: int) -> bytes:
    try:
        return encode(opened.read(name), max_bytes)
    except ImageError:
        raise
    except (OSError, MemoryError) as error:
        raise read_error(error) from error
    except Exception as error:
        message = f"read() of {type(opened).__qualname__} raises {_describe(error)}"
        raise ImageError("read", "unreadable", message) from error
