"""Headers of tar archives, whose usual fields alone are read: tarfile is the judge."""

import io
import tarfile

import pytest

from frieze.embedder.sources.archives.tar import _QuickHeader

UNUSED = {*range(100, 124), *range(136, 148), *range(329, 345)}
"""Bytes of mode, owner, time and device, in which tarfile refuses what is no number."""
FIELDS = ("name", "size", "type", "chksum")


def headers(archive_format):
    """Return the blocks of an archive with members of many kinds."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=archive_format) as archive:
        for name, kind, size in (
            ("a/1.jpg", tarfile.REGTYPE, 700),
            ("b.cls ", tarfile.AREGTYPE, 0),
            ("dir", tarfile.DIRTYPE, 0),
            ("olddir/", tarfile.AREGTYPE, 0),
            ("link", tarfile.SYMTYPE, 0),
            ("d/" * 70 + "long.jpg", tarfile.REGTYPE, 1),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.linkname = kind, size, "a/1.jpg" if kind == tarfile.SYMTYPE else ""
            archive.addfile(member, io.BytesIO(bytes(size)))
    data = file.getvalue()
    return [data[at : at + 512] for at in range(0, len(data), 512)]


def parsed(kind, block):
    """Return what a class reads of a header, or its error."""
    try:
        member = kind.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        return type(error), str(error)
    return [getattr(member, field) for field in FIELDS]


@pytest.mark.parametrize("archive_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_as_tarfile(archive_format):
    """Any block is read as tarfile reads it, or refused as tarfile refuses it."""
    for block in (*headers(archive_format), b"", b"short"):
        assert parsed(_QuickHeader, block) == parsed(tarfile.TarInfo, block)


@pytest.mark.parametrize("value", [b"\0", b"8", b"\x80", b" "])
def test_changed_bytes(value):
    """So is a header of which any byte was changed; with the right checksum, any byte of what is used."""
    block = headers(tarfile.USTAR_FORMAT)[0]
    for at in range(512):
        changed = block[:at] + value + block[at + 1 :]
        checksum = 256 + sum(changed[:148]) + sum(changed[156:])
        mended = changed[:148] + b"%06o\0 " % checksum + changed[156:]
        for one in (changed,) if at in UNUSED else (changed, mended):
            assert parsed(_QuickHeader, one) == parsed(tarfile.TarInfo, one), at
