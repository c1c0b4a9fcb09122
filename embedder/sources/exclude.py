"""Files that are skipped: hidden ones, folders of operating and storage systems, and what `--exclude` matches."""

import fnmatch
import re
import unicodedata
from collections.abc import Sequence

_SYSTEM_FOLDERS = frozenset(
    (
        *("@eadir", "#recycle", "#snapshot", "@tmp", "@recycle", "@recently-snapshot"),  # network storage
        *("__macosx", "$recycle.bin", "system volume information", "lost+found"),
    )
)
"""Folders of thumbnails, deleted files and the like, in lower case; names with a leading dot are hidden anyway."""


_MAY_HIDE = re.compile(r"(?:^|/)(?:[.@#$_]|system volume information|lost\+found)", re.IGNORECASE)
"""Begins a hidden name; most paths of a million have none."""


def is_hidden(name: str) -> bool:
    """Return whether the name of a file or folder is hidden: it has a leading dot or is a system folder.

    >>> is_hidden("._IMG_0.JPG"), is_hidden("@eaDir"), is_hidden("IMG_0.JPG"), is_hidden("..")
    (True, True, False, False)
    """
    return (name.startswith(".") and name not in (".", "..")) or name.lower() in _SYSTEM_FOLDERS


def is_hidden_path(path: str) -> bool:
    """Return whether a path below the source, or a folder above it, is hidden.

    Folders, globs, archives and buckets all apply this rule. Paths that the user names explicitly are always read.

    >>> [is_hidden_path(path) for path in ("2020/@eaDir/P0.jpg/SYNOPHOTO_THUMB_M.jpg", "2020/P0.jpg", "./a/b.jpg")]
    [True, False, False]
    """
    return _MAY_HIDE.search(path) is not None and any(map(is_hidden, path.split("/")))


class ExcludePatterns:
    """The patterns of `--exclude`, with a count of what each matches.

    A pattern without a slash matches the name of a file, or of a folder with all in it. One with a slash matches a path
    below the source, where `**` stands for any folders.

    Attributes:
        counts: Pattern -> number of files and folders that it excludes.

    >>> excluded = ExcludePatterns(["*_thumb.jpg", "2019/**/small"])
    >>> [excluded.matches(path) for path in ("a/b_thumb.jpg", "2019/x/y/small/a.jpg", "2019/small", "x/2019/small")]
    [True, True, True, False]
    >>> excluded.counts
    {'*_thumb.jpg': 1, '2019/**/small': 2}
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self.counts = dict.fromkeys(patterns, 0)
        self._matches = [(pattern, re.compile(_to_regex(pattern), re.DOTALL).match) for pattern in self.counts]

    def matches(self, path: str) -> bool:
        """Return whether a path below the source, or a folder above it, is excluded; count it if so."""
        plain = path if path.isascii() else unicodedata.normalize("NFC", path)
        for pattern, matches in self._matches:
            if matches(plain):
                self.counts[pattern] += 1
                return True
        return False


def _to_regex(pattern: str) -> str:
    """Convert a pattern to a regular expression for the beginning of a path, up to the end of one of its names.

    Unicode is normalized (NFC) on both sides.
    """
    parts = unicodedata.normalize("NFC", pattern).strip("/").removeprefix("./").split("/")
    if len(parts) == 1 and "/" not in pattern.rstrip("/"):
        parts = ["**", *parts]
    texts = [r"(?:[^/]+/)*" if part == "**" else _name_to_regex(part) + "/" for part in parts[:-1]]
    last = ".*" if parts[-1] == "**" else _name_to_regex(parts[-1])
    return "".join(texts) + last + r"(?:/|\Z)"


def _name_to_regex(part: str) -> str:
    """Convert one name of a pattern to a regular expression; `photos [1]` also matches literally."""
    pieces = re.split(r"(\*|\?|\[!?\]?[^\]]*\])", part)
    pattern = "".join(_wildcard(piece) if number % 2 else re.escape(piece) for number, piece in enumerate(pieces))
    return f"(?:{pattern}|{re.escape(part)})" if "[" in part else pattern


def _wildcard(piece: str) -> str:
    return {"*": "[^/]*", "?": "[^/]"}.get(piece) or fnmatch.translate(piece).removeprefix("(?s:").removesuffix(r")\Z")
