"""What of a source is left out: by rule what systems put beside pictures, and what the user excludes."""

import fnmatch
import re
import unicodedata
from collections.abc import Sequence

_OF_SYSTEMS = frozenset(
    (
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@recycle", "@recently-snapshot"),  # network storage
        *("__macosx", "$recycle.bin", "system volume information", "lost+found"),
    )
)
"""Folders of thumbnails, deleted files and the like, in small letters; those with a dot in front are hidden anyway."""


def is_hidden(name: str) -> bool:
    """Tell whether one name of a file or folder is left out by rule.

    >>> is_hidden("._IMG_0.JPG"), is_hidden("@eaDir"), is_hidden("IMG_0.JPG"), is_hidden("..")
    (True, True, False, False)
    """
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in _OF_SYSTEMS


def is_left_out(path: str) -> bool:
    """Tell whether a path below the source is left out by rule: it, or a folder that it lies in, is hidden.

    The one rule of folders, globs, archives and buckets. What a user names, in a list or as the source, is taken.

    >>> is_left_out("2020/@eaDir/P0.jpg/SYNOPHOTO_THUMB_M.jpg"), is_left_out("2020/P0.jpg"), is_left_out("./a/b.jpg")
    (True, False, False)
    """
    return any(map(is_hidden, path.split("/")))


class Excluded:
    """What the user leaves out, counted by pattern.

    A pattern without a slash is that of a name, of a file or of a folder with all in it; one with a slash is that of a
    path below the source, where `**` stands for any folders.

    Attributes:
        counts: Pattern -> files and folders that it left out.

    >>> excluded = Excluded(["*_thumb.jpg", "2019/**/small"])
    >>> [excluded.has(path) for path in ("a/b_thumb.jpg", "2019/x/y/small/a.jpg", "2019/small", "x/2019/small")]
    [True, True, True, False]
    >>> excluded.counts
    {'*_thumb.jpg': 1, '2019/**/small': 2}
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.counts = dict.fromkeys(patterns, 0)
        self._matches = [(pattern, re.compile(_to_regex(pattern), re.DOTALL).match) for pattern in self.counts]

    def has(self, path: str) -> bool:
        """Tell whether a path below the source, or a folder that it lies in, is left out; count it if so."""
        plain = path if path.isascii() else unicodedata.normalize("NFC", path)
        for pattern, matches in self._matches:
            if matches(plain):
                self.counts[pattern] += 1
                return True
        return False


def _to_regex(pattern: str) -> str:
    """Write a pattern as an expression that matches the beginning of a path, up to the end of one of its names.

    Accents may be one sign or two, on both sides.
    """
    parts = unicodedata.normalize("NFC", pattern).strip("/").removeprefix("./").split("/")
    if len(parts) == 1 and "/" not in pattern.rstrip("/"):
        parts = ["**", *parts]
    texts = [r"(?:[^/]+/)*" if part == "**" else _name_to_regex(part) + "/" for part in parts[:-1]]
    last = ".*" if parts[-1] == "**" else _name_to_regex(parts[-1])
    return "".join(texts) + last + r"(?:/|\Z)"


def _name_to_regex(part: str) -> str:
    """Write one name of a pattern as an expression; `photos [1]` is also that name itself."""
    pieces = re.split(r"(\*|\?|\[!?\]?[^\]]*\])", part)
    pattern = "".join(_wildcard(piece) if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
    return f"(?:{pattern}|{re.escape(part)})" if "[" in part else pattern


def _wildcard(piece: str) -> str:
    return {"*": "[^/]*", "?": "[^/]"}.get(piece) or fnmatch.translate(piece).removeprefix("(?s:").removesuffix(r")\Z")
