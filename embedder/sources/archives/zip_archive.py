"""Zip archives of images: listed by their directory, each member reached at once, never extracted."""

import dataclasses
import functools
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from frieze.core import ImageError, Rows, is_remote
from frieze.embedder.images.decode import MAX_BYTES
from frieze.embedder.images.picture_formats import HEAD_BYTES, is_image, refusal
from frieze.embedder.sources.archives.base import Archive, check_unchanged, open_archives, to_member_uri
from frieze.embedder.sources.base import Content, File, Source, SourceOptions, not_read
from frieze.embedder.sources.files import facts_of, open_place, to_id
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.listing import Collected, ImageRecord

_OPEN_AT_ONCE = 4
_NO_ENCODING = (
    "are neither UTF-8 nor say what they are, and are read as those of DOS (cp437): where they look wrong, unpack it by"
    " their own encoding, such as GBK: unzip -O GBK FILE -d FOLDER"
)
_IS_ENCRYPTED = 1
"""Bit of a member's flags (APPNOTE.TXT, 4.4.4)."""
_IS_UTF8 = 1 << 11
"""Bit of a member's flags: its name is UTF-8 (the same)."""
_UNICODE_PATH = 0x7075
"""Extra field of a member that holds its name as UTF-8 (APPNOTE.TXT, 4.6.9)."""
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError)
"""What is raised of archives and members that are damaged."""


def open_zip(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in zip archives.

    Args:
        files: The archives.
        source: What the user gave.
        options: With the labels of folders, the folder that an image lies in names its label.

    Returns:
        Every member whose extension or first bytes are an image's, in the order of the archive's directory. An
        encrypted member is a failure. An image's time is the archive's.

    Raises:
        InputError: As for all archives.
    """
    plain = dataclasses.replace(options, image=None, id=None, label=None)  # a zip has no columns, which is said later
    opened = open_archives(files, source, plain, _find, reader=_Members)
    # From a bucket the bytes that follow come along, which only helps one who reads in order.
    return dataclasses.replace(opened, in_order=any(is_remote(file.place) for file in files), has_columns=False)


def read_zipped(place: str, below: str) -> bytes:
    """Read one image.

    Args:
        place: The archive's.
        below: What follows it in the image's uri.

    Raises:
        ImageError: It can't be read.
    """
    try:
        opened = _open(place, facts_of(place))
        if f"{place}/{below}" not in opened.by_uri:
            raise ImageError("read", "missing", f"{place} holds no image {below}")
        return opened.read(opened.by_uri[f"{place}/{below}"], MAX_BYTES)
    except (OSError, MemoryError) as error:
        raise not_read(error) from error
    except _BROKEN as error:
        raise ImageError("read", "damaged", str(error)) from error


def _find(archive: Archive, _file: BinaryIO) -> Iterator[ImageRecord]:
    try:
        opened = _open(archive.place, archive.facts)
    except (*_BROKEN, NotImplementedError) as error:
        raise ImageError("list", "damaged archive", f"{error}") from error
    for number, member in enumerate(opened.members):
        name, is_sure = _to_name(member)
        if member.is_dir() or archive.leaves_out(name) or not opened.claims(archive, number, name):
            continue
        if not is_sure:
            archive.notes.add(f"Names of {archive.id} {_NO_ENCODING}.")
        label = os.path.basename(os.path.dirname(name)) or None
        facts = (member.file_size, archive.facts[1], archive.number, number)
        uri = to_member_uri(archive.place, name)
        yield ImageRecord(f"{archive.id}/{name}", uri, label if archive.options.labels == "folder" else None, *facts)


def _to_name(member: zipfile.ZipInfo) -> tuple[str, bool]:
    """Give a member's name as a path, and whether its encoding is known.

    Many programs, such as macOS's own, write UTF-8 and do not say so. Chance hardly makes other text valid UTF-8.
    """
    if member.flag_bits & _IS_UTF8 or member.orig_filename.isascii():
        return _to_plain(member.filename), True
    raw = member.orig_filename.partition("\0")[0].encode("cp437")  # as which Python has read it
    told = _unicode_path(member, raw)
    try:
        return _to_plain((raw if told is None else told).decode()), True
    except UnicodeDecodeError:
        return _to_plain(member.filename), False


def _to_plain(name: str) -> str:
    r"""Write a name as a path below the archive; some programs for Windows write `cat\1.jpg`."""
    name = to_id(name).removeprefix("./").lstrip("/")
    return name if "/" in name else name.replace("\\", "/")


def _unicode_path(member: zipfile.ZipInfo, raw: bytes) -> bytes | None:
    """Give the name in a member's extra fields; None where there is none, or it is that of another name."""
    extra = member.extra
    while len(extra) >= 4:  # noqa: PLR2004  two numbers of 16 bits
        field, size = struct.unpack_from("<HH", extra)
        data, extra = extra[4 : 4 + size], extra[4 + size :]
        if field == _UNICODE_PATH and data[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return data[5:]
    return None


class _OpenZip:
    """An open archive, whose members many threads may read at once."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._file = open_place(place)
        try:
            self._zip = zipfile.ZipFile(self._file)
        except BaseException:
            self._file.close()
            raise
        self.members = self._zip.infolist()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    @functools.cached_property
    def by_uri(self) -> dict[str, int]:
        """Number of each member by its uri; of one name the first. Earlier versions read all other names as cp437."""
        numbered = list(enumerate(self.members))[::-1]
        earlier = {to_member_uri(self._place, _to_plain(member.filename)): number for number, member in numbered}
        return earlier | {to_member_uri(self._place, _to_name(member)[0]): number for number, member in numbered}

    def claims(self, archive: Archive, number: int, name: str) -> bool:
        """Tell whether a member is an image by its name or first bytes; what else it is, or hides, is noted."""
        is_named = is_image_name(name)
        if self.members[number].flag_bits & _IS_ENCRYPTED:
            if is_named:
                archive.fail("encrypted", "it is encrypted: unpack the archive with its password", below=f"/{name}")
            else:
                archive.ignore(name)
            return False
        head = b"" if is_named else self._read_head(number)
        if is_named or is_image(head):
            return True
        archive.ignore(name, head)
        return False

    def _read_head(self, number: int) -> bytes:
        try:
            with self._zip.open(self.members[number]) as file:
                return file.read(HEAD_BYTES)
        except (*_BROKEN, NotImplementedError):  # it claims to be no image
            return b""

    def read(self, number: int, max_bytes: int) -> bytes:
        """Read a member.

        Raises:
            ImageError: It is no image by its first bytes, too large, or packed in a way that is not read.
            OSError: The archive can't be read.
            BadZipFile: It is damaged; or another of `_BROKEN`.
        """
        member = self.members[number]
        if member.file_size > max_bytes:
            raise ImageError("read", "too large", f"the image has {member.file_size} bytes; the limit is {max_bytes}")
        try:
            with self._zip.open(member) as file:
                data = file.read(HEAD_BYTES)
                if data and not is_image(data):
                    raise refusal(data)
                data += file.read()
        except NotImplementedError as error:
            raise ImageError("read", "unsupported", f"{error}: unpack the archive, or pack it anew") from error
        return data


@functools.lru_cache(_OPEN_AT_ONCE)
def _open(place: str, _facts: tuple[int, int]) -> _OpenZip:
    """Open an archive; size and time tell it from what it was before."""
    return _OpenZip(place)


class _Members:
    """Reads images that are members of archives, whatever their order."""

    def __init__(self, archives: Sequence[Archive], collected: Collected, max_bytes: int) -> None:
        self._archives = archives
        self._collected = collected._replace(images=None, repeats=[])
        self._max_bytes = max_bytes

    def read(self, rows: Rows) -> Iterator[Content]:
        """Give the content of each row."""
        checked: dict[int, Any] = {}
        for row in rows:
            number = int(self._collected.files[row])
            try:
                if number not in checked:
                    check_unchanged(self._archives[number])
                    checked[number] = _open(self._archives[number].place, self._archives[number].facts)
                yield checked[number].read(int(self._collected.offsets[row]), self._max_bytes)
            except ImageError as error:
                yield error
            except (OSError, MemoryError) as error:
                yield not_read(error)
            except _BROKEN as error:
                yield ImageError("read", "damaged", f"damaged in its archive: {error}")
