"""Zip archives: listed by their central directory, read by random access, never extracted."""

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
from frieze.embedder.images.limits import MAX_BYTES
from frieze.embedder.images.signatures import HEAD_BYTES, is_image, unsupported_error
from frieze.embedder.sources.archives.base import Archive, check_unchanged, open_archives, to_member_uri
from frieze.embedder.sources.base import Content, File, Source, SourceOptions, read_error
from frieze.embedder.sources.files import open_uri, stat_uri, to_id
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.listing import ImageRecord, ListedImages

_MAX_OPEN = 4
_AT_ONCE_BYTES = 1 << 20
"""Larger members are read to the end only if they begin as an image: a film named .jpg is not."""
_NO_ENCODING = (
    "are not UTF-8 and state no encoding, so they are read as DOS names (cp437): where they look wrong, unpack it with"
    " the right encoding, such as GBK: unzip -O GBK FILE -d FOLDER"
)
_IS_ENCRYPTED = 1
"""Bit of a member's flags (APPNOTE.TXT, 4.4.4)."""
_IS_UTF8 = 1 << 11
"""Bit of a member's flags: its name is UTF-8 (the same)."""
_UNICODE_PATH = 0x7075
"""Extra field of a member that holds its name as UTF-8 (APPNOTE.TXT, 4.6.9)."""
_LOCAL, _LOCAL_SIGNATURE = struct.Struct("<4s2xH18xHH"), b"PK\3\4"
"""A member's local header: signature, flags, and the bytes of its name and extra fields (the same, 4.3.7)."""
_MOST_EXTRA_BYTES = 256
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, ValueError)
"""Errors of damaged archives and members."""


def open_zip(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in zip archives.

    Args:
        files: The archives.
        source: The source as the user typed it.
        options: With `labels="folder"` the folder of an image is its label.

    Returns:
        Every member with the extension or signature of an image, in the order of the central directory. An encrypted
        member is a failure. The time of an image is the archive's.

    Raises:
        InputError: As in `open_archives`.
    """
    plain = dataclasses.replace(options, image=None, id=None, label=None)  # it has no columns: reported later
    opened = open_archives(files, source, plain, _find, reader=_Members)
    # From a bucket, read-ahead only helps in order.
    in_order = any(is_remote(file.uri) for file in files)
    return dataclasses.replace(opened, in_order=in_order, has_columns=False, has_members=True)


def read_zipped(uri: str, below: str) -> bytes:
    """Read one image.

    Args:
        uri: URI of the archive.
        below: The rest of the image's URI.

    Raises:
        ImageError: The image can't be read.
    """
    try:
        opened = _open(uri, stat_uri(uri))
        if f"{uri}/{below}" not in opened.by_uri:
            raise ImageError("read", "missing", f"{uri} holds no image {below}")
        return opened.read(opened.by_uri[f"{uri}/{below}"], MAX_BYTES)
    except (OSError, MemoryError) as error:
        raise read_error(error) from error
    except _BROKEN as error:
        raise ImageError("read", "damaged", str(error)) from error


def _find(archive: Archive, _file: BinaryIO) -> Iterator[ImageRecord]:
    try:
        opened = _open(archive.uri, archive.stat)
    except (*_BROKEN, NotImplementedError) as error:
        raise ImageError("list", "damaged archive", f"{error}") from error
    for number, member in enumerate(opened.members):
        name, is_known = _to_name(member)
        if member.is_dir() or archive.skips(name) or not opened.is_image(archive, number, name):
            continue
        if not is_known:
            archive.notes.add(f"Names of {archive.id} {_NO_ENCODING}.")
        location = (member.file_size, archive.stat[1], archive.number, number)
        uri = to_member_uri(archive.uri, name)
        yield ImageRecord(f"{archive.id}/{name}", uri, archive.options.folder_label(name), *location)


def _to_name(member: zipfile.ZipInfo) -> tuple[str, bool]:
    """Return the name of a member as a path, and whether its encoding is known.

    Many programs, macOS included, write UTF-8 without the flag. Text in other encodings is rarely valid UTF-8.
    """
    if member.flag_bits & _IS_UTF8 or member.orig_filename.isascii():
        return _to_plain(member.filename), True
    raw = member.orig_filename.partition("\0")[0].encode("cp437")  # as Python decoded it
    stated = _unicode_path(member, raw)
    try:
        return _to_plain((raw if stated is None else stated).decode()), True
    except UnicodeDecodeError:
        return _to_plain(member.filename), False


def _to_plain(name: str) -> str:
    r"""Convert a name to a path below the archive; some programs for Windows write `cat\1.jpg`."""
    name = to_id(name).removeprefix("./").lstrip("/")
    return name if "/" in name else name.replace("\\", "/")


def _unicode_path(member: zipfile.ZipInfo, raw: bytes) -> bytes | None:
    """Return the Unicode name in a member's extra fields; None for none or one for another name."""
    extra = member.extra
    while len(extra) >= 4:  # noqa: PLR2004  two numbers of 16 bits
        field, size = struct.unpack_from("<HH", extra)
        data, extra = extra[4 : 4 + size], extra[4 + size :]
        if field == _UNICODE_PATH and data[1:5] == struct.pack("<I", zlib.crc32(raw)):
            return data[5:]
    return None


class _OpenZip:
    """An open archive, whose members threads may read in parallel."""

    def __init__(self, uri: str) -> None:
        self._place = uri
        self._file = open_uri(uri)
        self._descriptor = None if is_remote(uri) else self._file.fileno()
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
        """URI -> number of the member, the first of a name; includes URIs of earlier versions, which read cp437."""
        numbered = list(enumerate(self.members))[::-1]
        earlier = {to_member_uri(self._place, _to_plain(member.filename)): number for number, member in numbered}
        return earlier | {to_member_uri(self._place, _to_name(member)[0]): number for number, member in numbered}

    def is_image(self, archive: Archive, number: int, name: str) -> bool:
        """Return whether a member is an image by extension or signature; count or record any other."""
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
        except (*_BROKEN, NotImplementedError):  # no image by its name
            return b""

    def read(self, number: int, max_bytes: int) -> bytes:
        """Read a member.

        Raises:
            ImageError: The member is no image by its signature, too large, or compressed by an unsupported method.
            OSError: The archive can't be read.
            BadZipFile: The member is damaged; or another of `_BROKEN`.
        """
        member = self.members[number]
        if member.file_size > max_bytes:
            raise ImageError("read", "too large", f"the image has {member.file_size} bytes; the limit is {max_bytes}")
        whole = self._read_plain(member)
        if whole is not None:
            return whole
        try:
            with self._zip.open(member) as file:
                data = file.read() if member.file_size <= _AT_ONCE_BYTES else file.read(HEAD_BYTES)
                if data and not is_image(data[:HEAD_BYTES]):
                    raise unsupported_error(data[:HEAD_BYTES])
                data += file.read()
        except NotImplementedError as error:
            raise ImageError("read", "unsupported", f"{error}: unpack the archive, or pack it again") from error
        return data

    def _read_plain(self, member: zipfile.ZipInfo) -> bytes | None:
        """Read a small member of a file on disk, without the lock and the objects of zipfile.

        Returns:
            The image, which matches its checksum; None for any other member, of which zipfile says what is wrong.
        """
        is_plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        if self._descriptor is None or not is_plain or max(member.file_size, member.compress_size) > _AT_ONCE_BYTES:
            return None
        most = _LOCAL.size + len(member.orig_filename) + _MOST_EXTRA_BYTES + member.compress_size
        data = os.pread(self._descriptor, most, member.header_offset)
        if len(data) < _LOCAL.size:
            return None
        signature, flags, name_bytes, extra_bytes = _LOCAL.unpack_from(data)
        start = _LOCAL.size + name_bytes + extra_bytes
        packed = data[start : start + member.compress_size]
        if signature != _LOCAL_SIGNATURE or flags & _IS_ENCRYPTED or len(packed) < member.compress_size:
            return None
        is_stored = member.compress_type == zipfile.ZIP_STORED
        whole = packed if is_stored else zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.file_size + 1)
        is_whole = len(whole) == member.file_size and zlib.crc32(whole) == member.CRC
        return whole if is_whole and is_image(whole[:HEAD_BYTES]) else None


@functools.lru_cache(_MAX_OPEN)
def _open(uri: str, _stat: tuple[int, int]) -> _OpenZip:
    """Open an archive, cached until size or time change."""
    return _OpenZip(uri)


class _Members:
    """Reads images that are members of archives, in any order."""

    def __init__(self, archives: Sequence[Archive], listed: ListedImages, max_bytes: int) -> None:
        self._archives = archives
        self._listed = listed._replace(images=None, duplicates=[])
        self._max_bytes = max_bytes

    def read(self, rows: Rows) -> Iterator[Content]:
        """Yield the content of each row."""
        checked: dict[int, Any] = {}
        for row in rows:
            number = int(self._listed.files[row])
            try:
                if number not in checked:
                    check_unchanged(self._archives[number])
                    checked[number] = _open(self._archives[number].uri, self._archives[number].stat)
                yield checked[number].read(int(self._listed.offsets[row]), self._max_bytes)
            except ImageError as error:
                yield error
            except (OSError, MemoryError) as error:
                yield read_error(error)
            except _BROKEN as error:
                yield ImageError("read", "damaged", f"damaged in its archive: {error}")
