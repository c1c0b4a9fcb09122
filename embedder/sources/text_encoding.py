"""Text files of Windows: a byte order mark before UTF-8, or UTF-16, as PowerShell writes what is sent to a file."""

import codecs

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def to_utf8(data: bytes) -> bytes:
    """Give a text without its byte order mark, in UTF-8 where that says UTF-16; else as it is, be it text or not.

    >>> to_utf8("owl".encode("utf-16")), to_utf8("owl".encode("utf-8-sig")), to_utf8(b"owl")
    (b'owl', b'owl', b'owl')
    """
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)
