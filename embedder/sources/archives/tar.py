r"""Tar archives, WebDataset included: listed by their headers, read by byte range, never extracted."""

import dataclasses
import functools
import json
import os
import re
import sys
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Self

from frieze.core import ImageError
from frieze.embedder.images.limits import MAX_BYTES
from frieze.embedder.images.signatures import HEAD_BYTES, is_image
from frieze.embedder.sources.archives.base import Archive, open_archives, read_byte_range, to_member_uri
from frieze.embedder.sources.archives.compressed import CompressedFile, borrow_archive, content_bytes, open_archive
from frieze.embedder.sources.archives.webdataset import WebDatasetSamples, split_name
from frieze.embedder.sources.base import File, Source, SourceOptions, read_error
from frieze.embedder.sources.files import stat_uri, to_id
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.listing import ImageRecord
from frieze.embedder.sources.tables.column_names import LABEL, pop_label, pop_text
from frieze.embedder.sources.unicode_text import to_utf8

_TEXT_ENDINGS = ("cls", "json", "txt")
"""Endings of members that describe the image of the same name."""

_MAX_TEXT_BYTES = 1 << 20
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
_OCTAL = re.compile(rb"[0-7]+").fullmatch
_FIELDS = ((0, 100), (124, 136), (148, 156))
"""Where name, size and checksum stand."""
_OF_BLANKS = 8 * ord(" ")
"""The checksum is computed with blanks in its own place (POSIX.1-1988, ustar)."""


def open_tar(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in tar archives.

    Args:
        files: The archives.
        source: The source as the user typed it.
        options: `image` is what follows the first dot of an image's name; `id` and `label` are keys of its .json, or
            `cls` or `txt`. By default the label is the .cls, else `label` or `class` of the .json, else the folder of
            the image.

    Returns:
        Every member with the extension or signature of an image, in the order of the archive. The contents of its
        .cls, .json and .txt become columns: those of its sample or, where a key has only one, anywhere in its archive.
        They hold 1 MiB at most. Links are followed. The time of an image is the archive's.

    Raises:
        InputError: As in `open_archives`.
    """
    return dataclasses.replace(open_archives(files, source, options, _find), has_members=True)


def read_member(uri: str, below: str) -> bytes:
    """Read one image.

    Args:
        uri: URI of the archive.
        below: The rest of the image's URI.

    Raises:
        ImageError: The image can't be read.
    """
    try:
        members = _index(uri, stat_uri(uri))
        if f"{uri}/{below}" not in members:
            raise ImageError("read", "missing", f"{uri} holds no image {below}")
        member = members[f"{uri}/{below}"]
        if member.size_bytes > MAX_BYTES:
            raise ImageError("read", "too large", f"the image has {member.size_bytes} bytes")
        with borrow_archive(uri, MAX_BYTES) as file:
            return read_byte_range(file, member.offset, member.size_bytes)
    except (OSError, MemoryError) as error:
        raise read_error(error) from error


@dataclasses.dataclass(slots=True)
class _Member:
    name: str
    offset: int
    size_bytes: int
    sample: int


@functools.lru_cache(1)
def _index(uri: str, stat: tuple[int, int]) -> dict[str, _Member]:
    """Return the images of an archive by URI, cached until size or time change."""
    with open_archive(uri, MAX_BYTES) as file:
        scan = _Scan(Archive(0, "", uri, SourceOptions(), stat), file)
    return {to_member_uri(uri, image.name): image for image in reversed(scan.images)}  # the first of a name wins


def _find(archive: Archive, file: BinaryIO) -> Iterator[ImageRecord]:
    options = archive.options
    scan = _Scan(archive, file)
    for image in scan.images:
        columns = scan.columns(image)
        archive.keys.update(columns)
        name, uri = to_id(image.name), to_member_uri(archive.uri, image.name)
        stated_id = pop_text(columns, [options.id] if options.id else ())
        label, label_from = _take_label(columns, name, options)
        # Not the member's time: reproducible archives set it to a constant.
        location = (image.size_bytes, archive.stat[1], archive.number, image.offset)
        yield ImageRecord(stated_id or f"{archive.id}/{name}", uri, label, *location, columns or None, label_from)


def _take_label(columns: dict[str, Any], name: str, options: SourceOptions) -> tuple[str | None, str | None]:
    if options.labels != "folder":
        return None, None
    label, label_from = pop_label(columns, options.label, LABEL)
    if options.label is None and label is None and label_from is None:
        label = options.folder_label(name)
    return label, label_from


class _Scan:
    """One pass over the headers of an archive: its images in order, and the small texts that describe them."""

    def __init__(self, archive: Archive, file: BinaryIO) -> None:
        self.images: list[_Member] = []
        self._archive = archive
        self._file = file
        self._links: list[tuple[_Member, str]] = []
        self._samples = WebDatasetSamples()
        self._damaged: set[str] = set()
        self._likely_texts: list[str] = []
        with archive.record_errors():
            for member in _members(file, content_bytes(file, archive.stat[0])):
                self._add_member(member)
        self._drop_cut()
        self._follow_links()
        described = {split_name(image.name)[0] for image in self.images}
        archive.unpaired = list(self._find_unpaired(described))
        archive.repeated_keys = [to_id(key) for key in self._samples.repeated() if key in described]
        for name in archive.unpaired:
            if split_name(name)[1] in _TEXT_ENDINGS:
                archive.ignore(name)

    def _drop_cut(self) -> None:
        """Drop the last image of a compressed archive that ends within it, which is recorded as damaged."""
        end = self._file.end if isinstance(self._file, CompressedFile) else sys.maxsize
        self.images = [image for image in self.images if image.offset + image.size_bytes <= end]

    def _find_unpaired(self, described: set[str]) -> Iterator[str]:
        """Yield texts that describe no image; an additional dot separates `22.05.cls` from `22.05.png`."""
        for key, ending in self._samples.texts():
            if key not in described:
                yield to_id(f"{key}.{ending}")
        if self._likely_texts:
            stems = {os.path.splitext(image.name)[0] for image in self.images}
            yield from (to_id(name) for name in self._likely_texts if os.path.splitext(name)[0] in stems)

    def columns(self, image: _Member) -> dict[str, Any]:
        """Return the columns in the texts of an image."""
        columns = self._json(image)
        for ending in ("cls", "txt"):
            text = self._samples.text(image, ending)
            if text is not None:
                columns[ending] = to_utf8(text).decode(errors="backslashreplace")
        if "cls" in columns:
            columns["cls"] = str(columns["cls"]).strip()
        return columns

    def _json(self, image: _Member) -> dict[str, Any]:
        text = self._samples.text(image, "json")
        if text is None:
            return {}
        try:
            return _to_columns(text)
        except (ValueError, RecursionError) as error:
            key = split_name(image.name)[0]
            if key not in self._damaged:  # one failure, even if it describes several images
                message = f"the image is kept without these columns: {error}"
                self._archive.fail("damaged json", message, below=f"/{to_id(key)}.json")
            self._damaged.add(key)
            return {}

    def _add_member(self, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        if member.isdir() or self._archive.skips(name):
            return
        one = _Member(name, member.offset_data, member.size, self._samples.add(name))
        has_image_name, is_plain = is_image_name(name), member.isreg() and not member.issparse()
        if has_image_name and (member.issym() or member.islnk()):
            here = os.path.dirname(name) if member.issym() else ""
            self._links.append((one, os.path.normpath(os.path.join(here, member.linkname))))
        elif has_image_name and member.issparse():
            self._archive.fail("unsupported", "a sparse member is not in one piece", below=f"/{to_id(name)}")
        elif has_image_name and is_plain:
            self._add(one)
            self._samples.add_image(one)
        else:
            self._inspect(one, is_plain=is_plain)

    def _inspect(self, member: _Member, *, is_plain: bool) -> None:
        """Add a member that is no image by its name: an image by its signature, a text, or ignored."""
        head = self._read(member, HEAD_BYTES) if is_plain else b""
        if is_image(head):
            self._add(member)
            self._samples.add_image(member)
        elif not (is_plain and self._keep_text(member)):
            self._archive.ignore(member.name, head)

    def _add(self, image: _Member) -> None:
        _, ending = split_name(image.name)
        self._archive.keys.add(ending)
        if self._archive.options.image in (None, ending):
            self.images.append(image)
        else:
            self._archive.ignore(image.name)

    def _keep_text(self, member: _Member) -> bool:
        _, ending = split_name(member.name)
        is_text = ending in _TEXT_ENDINGS and member.size_bytes <= _MAX_TEXT_BYTES
        if ending not in _TEXT_ENDINGS and ending.rpartition(".")[2] in _TEXT_ENDINGS:
            self._likely_texts.append(member.name)
        if is_text:
            self._samples.add_text(member.name, self._read(member, member.size_bytes))
        return is_text

    def _read(self, member: _Member, size_bytes: int) -> bytes:
        self._file.seek(member.offset)
        return self._file.read(min(size_bytes, member.size_bytes))

    def _follow_links(self) -> None:
        """Add each link to an image as a separate image, as in a folder."""
        if not self._links:
            return
        targets = {image.name: image for image in self.images}
        for link, name in self._links:
            if name in targets:
                target = targets[name]
                targets[link.name] = dataclasses.replace(target, name=link.name, sample=link.sample)
                self._add(targets[link.name])
            else:
                self._archive.fail("dangling link", f"there is no image {to_id(name)}", below=f"/{to_id(link.name)}")


def _to_columns(text: bytes) -> dict[str, Any]:
    """Parse a .json; nested values stay JSON text.

    Raises:
        ValueError: The text is no JSON, or holds invalid Unicode.
        RecursionError: It is nested too deeply.
    """
    document = json.loads(text)
    if rb"\ud" in text.lower():  # half of a surrogate pair is no text
        json.dumps(document, ensure_ascii=False).encode()
    if not isinstance(document, dict):
        return {"json": json.dumps(document, ensure_ascii=False)}
    return {
        key: json.dumps(value, ensure_ascii=False) if _is_nested(value) else value for key, value in document.items()
    }


def _is_nested(value: Any) -> bool:
    """Return whether a value is nested, in a form that other images need not share."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict | list) for one in value))


def _members(file: BinaryIO, size_bytes: int) -> Iterator[tarfile.TarInfo]:
    """Yield the members of an archive.

    Raises:
        ImageError: The archive is damaged, or none at all.
        OSError: It can't be read.
    """
    at = 0
    try:
        with tarfile.open(fileobj=file, mode="r:", tarinfo=_QuickHeader) as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all members
                _check_is_whole(member, size_bytes)
                at = archive.offset
                yield member
        _check_end(file, at)
    except (OSError, ImageError):
        raise
    except Exception as error:  # invalid headers make tarfile raise nearly anything
        raise ImageError("list", "damaged archive", f"damaged at byte {at}: {error}") from error


class _QuickHeader(tarfile.TarInfo):
    """A member, of which only what is asked for here is read: that of all fields takes most of a listing's time."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: str, errors: str) -> Self:
        """Read the header of a plain file; tarfile reads any other, and one whose checksum or numbers are unusual."""
        name, size, checksum = (buf[at:end].partition(b"\0")[0] for at, end in _FIELDS)
        size, checksum = size.strip(), checksum.strip()
        is_plain = buf[156:157] in _PLAIN and buf[345:346] == b"\0" and not name.endswith(b"/") and name.isascii()
        if not (is_plain and len(buf) == tarfile.BLOCKSIZE and _OCTAL(size) and _OCTAL(checksum)):
            return super().frombuf(buf, encoding, errors)
        if int(checksum, 8) != _OF_BLANKS + sum(buf[:148]) + sum(buf[156:]):
            return super().frombuf(buf, encoding, errors)
        member = cls(name.decode())
        member.size, member.type, member.chksum = int(size, 8), buf[156:157], int(checksum, 8)
        return member


def _check_is_whole(member: tarfile.TarInfo, size_bytes: int) -> None:
    end = member.offset_data + (member.size if member.isreg() and not member.issparse() else 0)
    if member.size < 0 or end > size_bytes:
        raise tarfile.ReadError(f"{to_id(member.name)} is cut short")


def _check_end(file: BinaryIO, at: int) -> None:
    """Check what follows the last member: tarfile reads a broken header as the end.

    Raises:
        ReadError: Something other than zeros follows, or nothing.
    """
    file.seek(at)
    block = file.read(tarfile.BLOCKSIZE)
    if not block:
        raise tarfile.ReadError("it has no end mark, and may have been longer")
    while block:
        if block.strip(b"\0"):
            raise tarfile.ReadError("there is data that is no member")
        block = file.read(1 << 20)
