"""Glob patterns with `*`, `?`, `[...]` and `**`, matched against paths and folders."""

import fnmatch
import glob
import os
from collections.abc import Iterator

from frieze.embedder.sources.exclude import is_hidden


class GlobPattern:
    """A pattern with `*`, `?`, `[...]` and `**`, as in Python's glob.

    An existing folder `photos [1]` is taken literally. A wildcard matches no hidden name, unless the pattern spells the
    name out or begins with a dot.

    Attributes:
        base: The folder above the first wildcard.

    Args:
        pattern: An absolute path with wildcards.

    >>> pattern = GlobPattern("/a/b/c*/**/*.jpg")
    >>> pattern.base, pattern.matches("/a/b/c1/x/y/1.jpg"), pattern.matches("/a/b/c1/.x/1.jpg")
    ('/a/b', True, False)
    >>> pattern.enters("/a/b/c1/x"), pattern.enters("/a/b/d")
    (True, False)
    >>> pattern.hides("/a/b/c1/.x", True), pattern.hides("/a/b/c1/.x", False), pattern.hides("/a/b/c1/.1.jpg", False)
    (True, False, True)
    """

    def __init__(self, pattern: str) -> None:
        base = os.path.dirname(pattern)
        while glob.has_magic(base) and not os.path.isdir(base):
            base = os.path.dirname(base)
        self.base = base
        parts = self._split(pattern)
        self._parts = [*parts, "*"] if parts[-1] == "**" else parts  # files only; Python's glob matches folders too

    def matches(self, path: str) -> bool:
        """Return whether a path below the base matches."""
        return [] in _remaining_parts(self._parts, self._split(path))

    def enters(self, path: str) -> bool:
        """Return whether paths in this folder can match."""
        return any(_remaining_parts(self._parts, self._split(path)))

    def hides(self, path: str, is_folder: bool) -> bool:
        """Return whether a path fails to match, or to lead to matches, only because it is hidden."""
        names = self._split(path)
        shown, everything = _remaining_parts(self._parts, names), _remaining_parts(self._parts, names, hides=False)
        if is_folder:
            return any(everything) and not any(shown)
        return [] in everything and [] not in shown

    def _split(self, path: str) -> list[str]:
        return path[len(self.base.rstrip("/")) + 1 :].split("/")


def _remaining_parts(parts: list[str], names: list[str], *, hides: bool = True) -> Iterator[list[str]]:
    """Yield the parts of a pattern that remain after matching all names, for each way to match them.

    Args:
        parts: Parts of the pattern between slashes.
        names: Names of the path.
        hides: Whether wildcards match no hidden names.
    """
    if not names:
        yield parts
    elif parts:
        is_hidden_here = hides and is_hidden(names[0]) and not parts[0].startswith(".") and parts[0] != names[0]
        if parts[0] == "**":
            yield from _remaining_parts(parts[1:], names, hides=hides)
            yield from () if is_hidden_here else _remaining_parts(parts, names[1:], hides=hides)
        elif not is_hidden_here and (parts[0] == names[0] or fnmatch.fnmatchcase(names[0], parts[0])):
            yield from _remaining_parts(parts[1:], names[1:], hides=hides)
