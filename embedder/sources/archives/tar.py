r"""Tar archives, also those of WebDataset: listed by their headers, read piece by piece, never extracted."""

import dataclasses
import functools
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from frieze.core import ImageError
from frieze.embedder.images.decode import MAX_BYTES
from frieze.embedder.images.picture_formats import HEAD_BYTES, is_image
from frieze.embedder.sources.archives.base import Archive, open_archives, read_piece, to_member_uri
from frieze.embedder.sources.archives.samples import Samples, split_name
from frieze.embedder.sources.base import File, Source, SourceOptions, not_read
from frieze.embedder.sources.files import facts_of, open_place, to_id
from frieze.embedder.sources.folder import is_image_name
from frieze.embedder.sources.listing import ImageRecord
from frieze.embedder.sources.tables.column_names import LABEL, take_label, take_text
from frieze.embedder.sources.text_encoding import to_utf8

_TEXTS = ("cls", "json", "txt")
"""Members that describe the image they share a name with."""

_MAX_TEXT_BYTES = 1 << 20


def open_tar(files: Sequence[File], source: str, options: SourceOptions) -> Source:
    """List the images in tar archives.

    Args:
        files: The archives.
        source: What the user gave.
        options: `image` is what follows the first dot of an image's name; `id` and `label` are keys of its .json, or
            `cls` or `txt`. Unless told otherwise the label is the .cls, else the .json's `label` or `class`, else the
            name of the folder that the image lies in.

    Returns:
        Every member whose extension or first bytes are an image's, in the order of the archive. What an image's .cls,
        .json and .txt say become its columns: those beside it or, where there is one of the key alone, anywhere in its
        archive. They hold 1 MiB at most. Links are followed. An image's time is the archive's.

    Raises:
        InputError: As for all archives.
    """
    return open_archives(files, source, options, _find)


def read_member(place: str, below: str) -> bytes:
    """Read one image.

    Args:
        place: The archive's.
        below: What follows it in the image's uri.

    Raises:
        ImageError: It can't be read.
    """
    try:
        members = _index(place, facts_of(place))
        if f"{place}/{below}" not in members:
            raise ImageError("read", "missing", f"{place} holds no image {below}")
        member = members[f"{place}/{below}"]
        if member.size_bytes > MAX_BYTES:
            raise ImageError("read", "too large", f"the image has {member.size_bytes} bytes")
        with open_place(place) as file:
            return read_piece(file, member.offset, member.size_bytes)
    except (OSError, MemoryError) as error:
        raise not_read(error) from error


@dataclasses.dataclass(slots=True)
class _Member:
    name: str
    offset: int
    size_bytes: int
    sample: int


@functools.lru_cache(1)
def _index(place: str, facts: tuple[int, int]) -> dict[str, _Member]:
    """Give the images of an archive by uri; `facts` tell it from what it was before."""
    with open_place(place) as file:
        scan = _Scan(Archive(0, "", place, SourceOptions(), facts), file)
    return {to_member_uri(place, image.name): image for image in reversed(scan.images)}  # of one name the first


def _find(archive: Archive, file: BinaryIO) -> Iterator[ImageRecord]:
    options = archive.options
    scan = _Scan(archive, file)
    for image in scan.images:
        columns = scan.columns(image)
        archive.keys.update(columns)
        name, uri = to_id(image.name), to_member_uri(archive.place, image.name)
        own_id = take_text(columns, [options.id] if options.id else ())
        label, label_from = _take_label(columns, name, options)
        # Not the member's own time: where archives are made to be the same each time, it says nothing.
        facts = (image.size_bytes, archive.facts[1], archive.number, image.offset)
        yield ImageRecord(own_id or f"{archive.id}/{name}", uri, label, *facts, columns or None, label_from)


def _take_label(columns: dict[str, Any], name: str, options: SourceOptions) -> tuple[str | None, str | None]:
    if options.labels != "folder":
        return None, None
    label, label_from = take_label(columns, [options.label] if options.label is not None else LABEL)
    if options.label is None and label is None:
        label = os.path.basename(os.path.dirname(name)) or None
    return label, label_from


class _Scan:
    """One pass over the headers of an archive: its images in order, and the small texts that describe them."""

    def __init__(self, archive: Archive, file: BinaryIO) -> None:
        self.images: list[_Member] = []
        self._archive = archive
        self._file = file
        self._links: list[tuple[_Member, str]] = []
        self._samples = Samples()
        self._damaged: set[str] = set()
        self._likely_texts: list[str] = []
        with archive.noting():
            for member in _members(file, archive.facts[0]):
                self._take(member)
        self._follow_links()
        archive.unpaired = list(self._find_unpaired())
        described = {split_name(image.name)[0] for image in self.images}
        archive.repeated_keys = [to_id(key) for key in self._samples.repeated() if key in described]
        for name in archive.unpaired:
            if split_name(name)[1] in _TEXTS:
                archive.ignore(name)

    def _find_unpaired(self) -> Iterator[str]:
        """Name the texts that describe no image; one more dot parts `22.05.cls` from `22.05.png`."""
        described = {split_name(image.name)[0] for image in self.images}
        for key, ending in self._samples.texts():
            if key not in described:
                yield to_id(f"{key}.{ending}")
        stems = {os.path.splitext(image.name)[0] for image in self.images}
        yield from (to_id(name) for name in self._likely_texts if os.path.splitext(name)[0] in stems)

    def columns(self, image: _Member) -> dict[str, Any]:
        """Give what the texts say of an image."""
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
            if key not in self._damaged:  # one failure, also where it describes several images
                message = f"the image stays, without what this says of it: {error}"
                self._archive.fail("damaged json", message, below=f"/{to_id(key)}.json")
            self._damaged.add(key)
            return {}

    def _take(self, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        if member.isdir() or self._archive.leaves_out(name):
            return
        one = _Member(name, member.offset_data, member.size, self._samples.add(name))
        claims, is_plain = is_image_name(name), member.isreg() and not member.issparse()
        if claims and (member.issym() or member.islnk()):
            here = os.path.dirname(name) if member.issym() else ""
            self._links.append((one, os.path.normpath(os.path.join(here, member.linkname))))
        elif claims and member.issparse():
            self._archive.fail("unsupported", "a sparse member is not in one piece", below=f"/{to_id(name)}")
        elif claims and is_plain:
            self._add(one)
            self._samples.add_image(one)
        else:
            self._look_into(one, is_plain=is_plain)

    def _look_into(self, member: _Member, *, is_plain: bool) -> None:
        """Take a member that does not claim to be an image for what its first bytes say."""
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
        is_text = ending in _TEXTS and member.size_bytes <= _MAX_TEXT_BYTES
        if ending not in _TEXTS and ending.rpartition(".")[2] in _TEXTS:
            self._likely_texts.append(member.name)
        if is_text:
            self._samples.add_text(member.name, self._read(member, member.size_bytes))
        return is_text

    def _read(self, member: _Member, size_bytes: int) -> bytes:
        self._file.seek(member.offset)
        return self._file.read(min(size_bytes, member.size_bytes))

    def _follow_links(self) -> None:
        """Add each link to an image as an image of its own, as in a folder."""
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
    """Parse a .json; what has no columns of its own stays text.

    Raises:
        ValueError: It is no JSON, or holds what is no text.
        RecursionError: It is nested too deep.
    """
    document = json.loads(text)
    if rb"\ud" in text.lower():  # half of a sign that takes two is no text
        json.dumps(document, ensure_ascii=False).encode()
    if not isinstance(document, dict):
        return {"json": json.dumps(document, ensure_ascii=False)}
    return {
        key: json.dumps(value, ensure_ascii=False) if _is_nested(value) else value for key, value in document.items()
    }


def _is_nested(value: Any) -> bool:
    """Tell whether a value has a form of its own, which no other image need share."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(one, dict | list) for one in value))


def _members(file: BinaryIO, size_bytes: int) -> Iterator[tarfile.TarInfo]:
    """Give the members of an archive, one after the other.

    Raises:
        ImageError: It is damaged, or no archive at all.
        OSError: It can't be read.
    """
    at = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
                _check_is_whole(member, size_bytes)
                at = archive.offset
                yield member
        _check_end(file, at)
    except OSError:
        raise
    except Exception as error:  # odd bytes in a header make tarfile raise nearly anything
        raise ImageError("list", "damaged archive", f"damaged at byte {at}: {error}") from error


def _check_is_whole(member: tarfile.TarInfo, size_bytes: int) -> None:
    end = member.offset_data + (member.size if member.isreg() and not member.issparse() else 0)
    if member.size < 0 or end > size_bytes:
        raise tarfile.ReadError(f"{to_id(member.name)} is cut short")


def _check_end(file: BinaryIO, at: int) -> None:
    """Check what follows the last member: tarfile takes a broken header for the end.

    Raises:
        ReadError: There is something else than zeros, or nothing.
    """
    file.seek(at)
    block = file.read(tarfile.BLOCKSIZE)
    if not block:
        raise tarfile.ReadError("it has no end mark, and may have been longer")
    while block:
        if block.strip(b"\0"):
            raise tarfile.ReadError("there is something that is no member")
        block = file.read(1 << 20)
