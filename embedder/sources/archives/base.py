"""What all archives share: files that each hold many images, listed one after another and read in order."""

import contextlib
import dataclasses
import os
import re
import shlex
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np

from frieze.core import ImageError, InputError, Rows, counted
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, unsupported_error
from frieze.embedder.images.unsupported_formats import format_of
from frieze.embedder.sources.archives.compressed import open_archive
from frieze.embedder.sources.base import Content, File, Listing, Source, SourceOptions, read_error
from frieze.embedder.sources.exclude import ExcludePatterns, is_hidden_path
from frieze.embedder.sources.files import stat_uri, to_id, to_uri
from frieze.embedder.sources.frames import is_video_name
from frieze.embedder.sources.listing import ImageBatch, ImageRecord, ListedImages, build_listing
from frieze.features import Failure

_PARTNERS = "a description and its image share their names up to the first dot, as in WebDataset"
_SAMPLES = "each image takes the description next to it, and none where that is ambiguous"
_SMALL_BYTES = 1 << 16
_INNER = re.compile(r"\.(zip|tar(\.\w+)?|tgz|tbz2?|txz|tzst)$")
_HINTS = {
    "archive inside": "Unpack the outer one, and pass the folder: unzip {path} -d FOLDER, or tar xf {path} -C FOLDER",
    "video inside": "Unpack the archive, and pass the folder: unzip {path} -d FOLDER, or tar xf {path} -C FOLDER",
    "encrypted": "Unpack it with its password, and pass the folder: unzip {path} -d FOLDER",
}
"""Reason of a failure -> hint, for sources of which nothing can be read."""


@dataclasses.dataclass
class Archive:
    """One archive, and the counts and failures of its listing.

    Attributes:
        number: Its number among the source's archives.
        id: Its path below the source, as text.
        uri: Its absolute path or URL.
        options: How it is read.
        stat: Size in bytes and mtime in nanoseconds when it was listed.
        failures: Members that can't be listed.
        n_ignored: Number of members that are neither images nor descriptions of images.
        ignored: The same by format.
        n_hidden: Number of hidden members.
        excluded: The user's patterns; shared by all archives of a source.
        keys: All names that the options `image`, `id` and `label` can refer to.
        unpaired: Members that describe a missing image.
        repeated_keys: Keys that occur in more than one sample.
        notes: Sentences about members that are read in a way the user may not expect.
    """

    number: int
    id: str
    uri: str
    options: SourceOptions
    stat: tuple[int, int] = (0, 0)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    n_ignored: int = 0
    ignored: Counter[str] = dataclasses.field(default_factory=Counter)
    n_hidden: int = 0
    excluded: ExcludePatterns = dataclasses.field(default_factory=lambda: ExcludePatterns(()))
    keys: set[str] = dataclasses.field(default_factory=set)
    unpaired: list[str] = dataclasses.field(default_factory=list)
    repeated_keys: list[str] = dataclasses.field(default_factory=list)
    notes: set[str] = dataclasses.field(default_factory=set)

    def fail(self, reason: str, message: str, *, below: str = "") -> None:
        """Record that the archive, the rest of it or one member can't be listed."""
        self.failures.append(Failure(self.id + below, self.uri + below, "list", reason, message))

    def skips(self, name: str) -> bool:
        """Return whether a member is hidden or excluded; count it if so."""
        if is_hidden_path(name):
            self.n_hidden += 1
            return True
        return self.excluded.matches(name)

    def ignore(self, name: str, head: bytes = b"") -> None:
        """Count a member that is no image, by its format; an archive is a failure, and a video of wanted frames."""
        if _INNER.search(name.lower()):
            self.fail("archive inside", "an archive inside another is not read", below=f"/{to_id(name)}")
            return
        if self.options.frames != "first" and is_video_name(name):
            self.fail("video inside", "a video inside an archive is not read; unpack it", below=f"/{to_id(name)}")
            return
        self.n_ignored += 1
        self.ignored[format_of(name, head)] += 1

    @contextlib.contextmanager
    def record_errors(self) -> Iterator[None]:
        """Record errors of the block as failures of the archive."""
        try:
            yield
        except OSError as error:
            self.fail("unreadable", error.strerror or str(error))
        except ImageError as error:
            self.fail(error.reason, error.message)


FindImages = Callable[[Archive, BinaryIO], Iterator[ImageRecord | ImageBatch]]
"""Yields the images of an open archive; raises an ImageError where it is damaged. Offsets are in bytes."""


class Reader(Protocol):
    """Reads the images of listed archives, up to a size."""

    def __init__(self, archives: Sequence[Archive], listed: ListedImages, max_bytes: int) -> None:
        """Keep the arguments; files are opened when they are read."""

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each row."""


def open_archives(
    files: Sequence[File], source: str, options: SourceOptions, find: FindImages, *, reader: type[Reader] | None = None
) -> Source:
    """List the images of some archives.

    Args:
        files: The archives.
        source: The source as the user typed it.
        options: How to read them.
        find: Lists one archive.
        reader: Reads images; by default as byte ranges of the archives, from `offset` on.

    Returns:
        The images in the order of the files, then of their members. An archive that can't be read is a failure.

    Raises:
        InputError: No archive can be read, or an option names a missing key.
    """
    excluded = ExcludePatterns(options.exclude)
    archives = [
        Archive(number, to_id(file.name), file.uri, options, excluded=excluded) for number, file in enumerate(files)
    ]
    listed = build_listing((record for archive in archives for record in _find(archive, find)), options.on_progress)
    failures = [failure for archive in archives for failure in archive.failures]
    if len(listed.images) == 0 and failures:
        raise InputError(
            f"There is no image in {source}: {failures[0].id} can't be read: {failures[0].message}.",
            hint=_hint(failures[0].reason, next(archive.uri for archive in archives if archive.failures)),
        )
    _check_names(options, set().union(*(archive.keys for archive in archives)))
    listing = Listing(
        source,
        listed.images,
        (*failures, *listed.duplicates),
        sum(archive.n_ignored for archive in archives),
        sum((archive.ignored for archive in archives), Counter()),
        sum(archive.n_hidden for archive in archives),
        excluded.counts,
    )
    read = (reader or ByteRanges)(archives, listed, options.max_bytes).read
    unpaired = [name for archive in archives for name in archive.unpaired]
    repeated = [f"{key} of {archive.id}" for archive in archives for key in archive.repeated_keys]
    notes = sorted(set().union(*(archive.notes for archive in archives)))
    notes += _note(unpaired, "member", f"without an image, such as {{}}: {_PARTNERS}.")
    notes += _note(repeated, "key", f"of more than one sample, such as {{}}: {_SAMPLES}.")
    return Source(
        listing,
        read,
        in_order=True,
        has_columns=True,
        notes=tuple(notes),
        unpaired=len(unpaired),
        n_repeated_keys=len(repeated),
    )


def _note(names: Sequence[str], what: str, such: str) -> list[str]:
    return [f"{counted(len(names), what)} {such.format(names[0])}"] if names else []


def check_unchanged(archive: Archive) -> None:
    """Reject an archive that has changed since it was listed: its offsets are no longer valid.

    Raises:
        ImageError: It has changed.
        OSError: Its size and time can't be read.
    """
    if stat_uri(archive.uri) != archive.stat:
        raise ImageError("read", "changed", f"{archive.id} has changed since it was listed")


def to_member_uri(uri: str, name: str) -> str:
    """Return the URI of a member, percent-encoded as a whole where the archive or the name requires it."""
    if uri.startswith("file://"):
        return f"{uri}/{urllib.parse.quote(os.fsencode(name))}"
    return to_uri(f"{uri}/{name}") if uri.startswith("/") else f"{uri}/{to_id(name)}"


def _hint(reason: str, uri: str) -> str:
    what = _HINTS.get(reason, "Check its format, and whether it is complete: file {path}")
    return what.format(path=shlex.quote(uri))


def _check_names(options: SourceOptions, keys: set[str]) -> None:
    for option in ("image", "id", "label"):
        name = getattr(options, option)
        if name is not None and name not in keys:
            raise InputError(
                f"No image has a key {name}; there are: {', '.join(sorted(keys)[:20]) or 'none'}.",
                hint=f"Name one of these with `{option}`.",
            )


def _find(archive: Archive, find: FindImages) -> Iterator[ImageRecord | ImageBatch]:
    with archive.record_errors():
        archive.stat = stat_uri(archive.uri)
        with open_archive(archive.uri, archive.options.max_bytes) as file:
            yield from find(archive, file)


class ByteRanges:
    """Reads images that are byte ranges of archives; one archive stays open between calls.

    Attributes:
        max_bytes: Size of the largest image that is read.
        image: The key or feature that an option named as the image; None for the usual one.
    """

    def __init__(self, archives: Sequence[Archive], listed: ListedImages, max_bytes: int) -> None:
        self._opened: tuple[int, BinaryIO] | None = None
        self._unchanged: int | None = None  # the archive checked last in this call
        self._archives = archives
        self._numbers = listed.files
        self._offsets = listed.offsets
        self._sizes = np.asarray(listed.images["size_bytes"], np.int64)
        self.max_bytes = max_bytes
        self.image = archives[0].options.image if archives else None

    def __del__(self) -> None:
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}  # another process opens the archives itself

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each row."""
        self._unchanged = None
        places = (places[rows].tolist() for places in (self._numbers, self._offsets, self._sizes))
        for number, offset, size_bytes in zip(*places, strict=True):
            try:
                yield self._read(number, offset, size_bytes)
            except ImageError as error:
                yield error
            except (OSError, MemoryError) as error:
                yield read_error(error)

    def _read(self, number: int, offset: int, size_bytes: int) -> bytes:
        if size_bytes > self.max_bytes:
            raise ImageError("read", "too large", f"the image has {size_bytes} bytes; the limit is {self.max_bytes}")
        return self.read_range(self._file(number), offset, size_bytes)

    def read_range(self, file: BinaryIO, offset: int, size_bytes: int) -> bytes:
        """Read one image of an open archive."""
        return read_byte_range(file, offset, size_bytes)

    def _file(self, number: int) -> BinaryIO:
        archive = self._archives[number]
        if self._unchanged != number:
            check_unchanged(archive)
            self._unchanged = number
        if self._opened is None or self._opened[0] != number:
            self._close()
            self._opened = number, open_archive(archive.uri, self.max_bytes)
        return self._opened[1]

    def _close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None


def read_byte_range(file: BinaryIO, offset: int, size_bytes: int) -> bytes:
    """Read an image that is a byte range of a file.

    Raises:
        ImageError: The bytes are no image by their signature, or the file ends too early.
        OSError: The file can't be read.
    """
    file.seek(offset)
    data = file.read(size_bytes if size_bytes <= _SMALL_BYTES else HEAD_BYTES)
    if data and not is_image(data[:HEAD_BYTES]):  # a film named .jpg is not read to the end
        raise unsupported_error(data)
    if len(data) < size_bytes:
        data += file.read(size_bytes - len(data))
    if len(data) < size_bytes:
        raise ImageError("read", "truncated", f"the file ends after {len(data)} of the image's {size_bytes} bytes")
    return data
