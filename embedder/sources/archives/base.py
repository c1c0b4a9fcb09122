"""Archives: files that each hold many images, listed one after the other and read in order."""

import contextlib
import dataclasses
import os
import shlex
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np

from frieze.core import ImageError, InputError, Rows, counted
from frieze.embedder.images.picture_formats import HEAD_BYTES, is_image, refusal
from frieze.embedder.images.unread_pictures import format_of
from frieze.embedder.sources.base import Content, File, Listing, Source, SourceOptions, not_read
from frieze.embedder.sources.files import facts_of, open_place, to_id, to_uri
from frieze.embedder.sources.left_out import Excluded, is_left_out
from frieze.embedder.sources.listing import Collected, ImageRecord, build_listing
from frieze.features import Failure

_UNPACK = {
    "gz": "gunzip",
    "tgz": "gunzip",
    "bz2": "bunzip2",
    "tbz": "bunzip2",
    "tbz2": "bunzip2",
    "xz": "unxz",
    "txz": "unxz",
    "zst": "unzstd",
    "tzst": "unzstd",
    "lz4": "unlz4",
}
"""What a compressed file's name ends in, and what makes it a plain one."""

_COMPRESSED = "compressed"
_PARTNERS = "what describes an image shares its name up to the first dot, as in WebDataset"
_SAMPLES = "each image has what stands beside it, and nothing where that is not clear"
_MENDS = {
    "encrypted": "Unpack it with its password, and give the folder: unzip {path} -d FOLDER",
    "unsupported": "Write one image a record or member, a tf.train.Example each in a TFRecord file: {path}",
}
"""What to type, by the reason why nothing of an archive can be read."""


@dataclasses.dataclass
class Archive:
    """One archive, and what is met in it besides images.

    Attributes:
        number: Its number among the source's archives.
        id: Its path below the source, as text.
        place: Its absolute path or URL.
        options: How it is read.
        facts: Size in bytes, and mtime in nanoseconds, when it was listed.
        failures: What of it can't be listed.
        n_ignored: What is in it besides images and what belongs to them.
        ignored: The same by format, as far as names or bytes tell one.
        n_hidden: What in it is left out by rule.
        excluded: Leaves out what the user excludes; one for all archives of a source.
        keys: All names that an option could have meant.
        unpaired: Members that describe an image which is not there.
        repeated_keys: Keys that stand for more than one sample.
        notes: In words, what of it was read otherwise than one may think.
    """

    number: int
    id: str
    place: str
    options: SourceOptions
    facts: tuple[int, int] = (0, 0)
    failures: list[Failure] = dataclasses.field(default_factory=list)
    n_ignored: int = 0
    ignored: Counter[str] = dataclasses.field(default_factory=Counter)
    n_hidden: int = 0
    excluded: Excluded = dataclasses.field(default_factory=lambda: Excluded(()))
    keys: set[str] = dataclasses.field(default_factory=set)
    unpaired: list[str] = dataclasses.field(default_factory=list)
    repeated_keys: list[str] = dataclasses.field(default_factory=list)
    notes: set[str] = dataclasses.field(default_factory=set)

    def fail(self, reason: str, message: str, *, below: str = "") -> None:
        """Note that it can't be listed, or not to its end, or not what is in it under a name."""
        self.failures.append(Failure(self.id + below, self.place + below, "list", reason, message))

    def leaves_out(self, name: str) -> bool:
        """Tell whether a member is left out, by rule or by the user; count it if so."""
        if is_left_out(name):
            self.n_hidden += 1
            return True
        return self.excluded.has(name)

    def ignore(self, name: str, head: bytes = b"") -> None:
        """Count a member that is no image, by its format."""
        self.n_ignored += 1
        self.ignored[format_of(name, head)] += 1

    @contextlib.contextmanager
    def noting(self) -> Iterator[None]:
        """Note it when the block finds the archive damaged, or can't read it."""
        try:
            yield
        except OSError as error:
            self.fail("unreadable", error.strerror or str(error))
        except ImageError as error:
            self.fail(error.reason, error.message)


Find = Callable[[Archive, BinaryIO], Iterator[ImageRecord]]
"""Finds the images of an open archive; raises an ImageError where it is damaged. A Found's offset is in bytes."""


class Reader(Protocol):
    """Reads the images of listed archives; made from these, what was found in them, and the largest that is taken."""

    def __init__(self, archives: Sequence[Archive], collected: Collected, max_bytes: int) -> None:
        """Open nothing yet."""

    def read(self, rows: Rows) -> Iterator[Content]:
        """Give the content of each row."""


def open_archives(
    files: Sequence[File], source: str, options: SourceOptions, find: Find, *, reader: type[Reader] | None = None
) -> Source:
    """List the images of some archives.

    Args:
        files: The archives.
        source: What the user gave.
        options: How to read them.
        find: Lists one.
        reader: Reads them; by default as pieces of the archives, from `offset` on.

    Returns:
        The images in the order of the files, then as each gives them. An archive that can't be read is a failure.

    Raises:
        InputError: None can be read, or an option names what is not there.
    """
    excluded = Excluded(options.exclude)
    archives = [
        Archive(number, to_id(file.name), file.place, options, excluded=excluded) for number, file in enumerate(files)
    ]
    collected = build_listing((found for archive in archives for found in _find(archive, find)), options.listed)
    failures = [failure for archive in archives for failure in archive.failures]
    if len(collected.images) == 0 and failures:
        raise InputError(
            f"There is no image in {source}, for {failures[0].id} can't be read: {failures[0].message}.",
            hint=_mend(failures[0].reason, next(archive.place for archive in archives if archive.failures)),
        )
    _check_names(options, set().union(*(archive.keys for archive in archives)))
    listing = Listing(
        source,
        collected.images,
        (*failures, *collected.repeats),
        sum(archive.n_ignored for archive in archives),
        sum((archive.ignored for archive in archives), Counter()),
        sum(archive.n_hidden for archive in archives),
        excluded.counts,
    )
    read = (reader or _Pieces)(archives, collected, options.max_bytes).read
    unpaired = [name for archive in archives for name in archive.unpaired]
    repeated = [f"{key} of {archive.id}" for archive in archives for key in archive.repeated_keys]
    notes = sorted(set().union(*(archive.notes for archive in archives)))
    notes += _told(unpaired, "member", f"without a partner, such as {{}}: {_PARTNERS}.")
    notes += _told(repeated, "key", f"of more than one sample, such as {{}}: {_SAMPLES}.")
    return Source(
        listing,
        read,
        in_order=True,
        has_columns=True,
        notes=tuple(notes),
        unpaired=len(unpaired),
        n_repeated_keys=len(repeated),
    )


def _told(found: Sequence[str], what: str, such: str) -> list[str]:
    return [f"{counted(len(found), what)} {such.format(found[0])}"] if found else []


def check_unchanged(archive: Archive) -> None:
    """Refuse to read what has changed: what was listed would lead into the middle of something else.

    Raises:
        ImageError: It has.
        OSError: It can't be looked at.
    """
    if facts_of(archive.place) != archive.facts:
        raise ImageError("read", "changed", f"{archive.id} has changed since it was listed")


def to_member_uri(place: str, name: str) -> str:
    """Give a member's uri; where the archive's is percent-encoded, or has to be, all of it is."""
    if place.startswith("file://"):
        return f"{place}/{urllib.parse.quote(os.fsencode(name))}"
    return to_uri(f"{place}/{name}") if place.startswith("/") else f"{place}/{to_id(name)}"


def _mend(reason: str, place: str) -> str:
    path = shlex.quote(place)
    if reason == _COMPRESSED:
        return f"Decompress it: {_unpacker(place)} {path}"
    return _MENDS.get(reason, "Check what it is, and whether it is whole: file {path}").format(path=path)


def _unpacker(name: str) -> str | None:
    return _UNPACK.get(name.lower().rpartition(".")[2])


def _check_names(options: SourceOptions, keys: set[str]) -> None:
    for option in ("image", "id", "label"):
        name = getattr(options, option)
        if name is not None and name not in keys:
            raise InputError(
                f"No image has a key {name}; there are: {', '.join(sorted(keys)[:20]) or 'none'}.",
                hint=f"Name one of these with --{option}.",
            )


def _find(archive: Archive, find: Find) -> Iterator[ImageRecord]:
    with archive.noting():
        if _unpacker(archive.place) is not None:
            raise ImageError("list", _COMPRESSED, "it is compressed, and its images can't be reached one by one")
        archive.facts = facts_of(archive.place)
        with open_place(archive.place) as file:
            yield from find(archive, file)


class _Pieces:
    """Reads images that are pieces of archives; one is open at a time, from call to call."""

    def __init__(self, archives: Sequence[Archive], collected: Collected, max_bytes: int) -> None:
        self._opened: tuple[int, BinaryIO] | None = None
        self._unchanged: int | None = None  # the archive that was looked at last in this call
        self._archives = archives
        self._numbers = collected.files
        self._offsets = collected.offsets
        self._sizes = np.asarray(collected.images["size_bytes"], np.int64)
        self._max_bytes = max_bytes

    def __del__(self) -> None:
        self._close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}  # another process opens the archives itself

    def read(self, rows: Rows) -> Iterator[Content]:
        """Give the content of each row."""
        self._unchanged = None
        for row in rows:
            try:
                yield self._read(int(self._numbers[row]), int(self._offsets[row]), int(self._sizes[row]))
            except ImageError as error:
                yield error
            except (OSError, MemoryError) as error:
                yield not_read(error)

    def _read(self, number: int, offset: int, size_bytes: int) -> bytes:
        if size_bytes > self._max_bytes:
            raise ImageError("read", "too large", f"the image has {size_bytes} bytes; the limit is {self._max_bytes}")
        return read_piece(self._file(number), offset, size_bytes)

    def _file(self, number: int) -> BinaryIO:
        archive = self._archives[number]
        if self._unchanged != number:
            check_unchanged(archive)
            self._unchanged = number
        if self._opened is None or self._opened[0] != number:
            self._close()
            self._opened = number, open_place(archive.place)
        return self._opened[1]

    def _close(self) -> None:
        if self._opened is not None:
            self._opened[1].close()
            self._opened = None


def read_piece(file: BinaryIO, offset: int, size_bytes: int) -> bytes:
    """Read an image that is a piece of a file.

    Raises:
        ImageError: The piece is no image by its first bytes, or the file ends before it does.
        OSError: The file can't be read.
    """
    file.seek(offset)
    data = file.read(min(HEAD_BYTES, size_bytes))
    if data and not is_image(data):  # a film named .jpg is not read to its end
        raise refusal(data)
    data += file.read(size_bytes - len(data))
    if len(data) < size_bytes:
        raise ImageError("read", "truncated", f"the file ends after {len(data)} of the image's {size_bytes} bytes")
    return data
