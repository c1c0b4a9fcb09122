"""The files below a folder, in a stable order, and what of it can't be looked at."""

import fnmatch
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from frieze.core import counted
from frieze.embedder.sources.base import SourceOptions
from frieze.embedder.sources.files import is_gone, to_id, to_uri
from frieze.embedder.sources.left_out import Excluded, is_hidden
from frieze.features import EMPTY_FOLDER, Failure

_NAMED_LINKS = 3
_Folder = tuple[int, int]
"""Device and inode."""


class _Opened(NamedTuple):
    """A folder that is being looked through.

    Attributes:
        children: What of it is still to come.
        above: The folder and those that it lies in, so that a link to one of them ends.
        is_below_link: Whether a link led to it, or to one of these.
    """

    children: Iterator[os.DirEntry[str]]
    above: frozenset[_Folder]
    is_below_link: bool


class Walk:
    """One walk through a folder.

    Attributes:
        base: The folder; names begin below it.
        failures: What could not be looked at so far.
        empty: Folders with nothing in them, and links to nothing, so far.
        n_hidden: Files and folders that were left out by rule so far.
        excluded: Leaves out what the user excludes, and counts it.

    Args:
        base: The same.
        options: Of these `skip`, folders that are not looked into, and `exclude`.
        leads: Tells by its path whether a folder is looked into; all are unless told otherwise.
        hides: Tells of something hidden, by its path and whether it is a folder, if it is left out; none is unless told
            otherwise.
    """

    def __init__(
        self,
        base: str,
        options: SourceOptions,
        leads: Callable[[str], bool] = lambda _: True,
        *,
        hides: Callable[[str, bool], bool] = lambda *_: False,
    ) -> None:
        self.base = base.rstrip("/")
        self.failures: list[Failure] = []
        self.empty: list[Failure] = []
        self.n_hidden = 0
        self.excluded = Excluded(options.exclude)
        self._hides = hides
        self._skip = frozenset(os.path.realpath(str(folder)) for folder in options.skip)
        self._leads = leads
        self._n_looks = Counter[_Folder]()
        self._links: dict[str, _Folder] = {}

    def files(self) -> Iterator[str]:
        """Yield the paths of all files, by folder, then name; on a stack of our own: folders lie deeper than calls.

        A link to a folder is followed; below it, only to folders that were not looked through yet: where each of ten
        folders links to the others there are millions of ways through them.
        """
        opened = [self._open(self.base or "/", _Opened(iter(()), frozenset(), is_below_link=False))]
        while opened:
            child = next(opened[-1].children, None)
            if child is None:
                opened.pop()
            elif self._leaves_out(child):
                continue
            elif not self._is_folder(child):
                yield child.path
            elif self._leads(child.path) and os.path.realpath(child.path) not in self._skip:
                opened.append(self._open(child.path, opened[-1], is_link=child.is_symlink()))

    def _leaves_out(self, entry: os.DirEntry[str]) -> bool:
        if is_hidden(entry.name) and self._hides(entry.path, self._is_folder(entry)):
            self.n_hidden += 1
            return True
        return bool(self.excluded.counts) and self.excluded.has(entry.path[len(self.base) + 1 :])

    def name(self, path: str) -> str:
        """Give a path below the base as text."""
        return to_id(path[len(self.base) + 1 :] or ".")

    def fail(self, path: str, error: OSError) -> None:
        """Note what can't be looked at."""
        reason = "unreadable" if not is_gone(error) else "dangling link" if os.path.islink(path) else "missing"
        message = error.strerror or str(error)
        self.failures.append(Failure(self.name(path), to_uri(path), "list", reason, message))

    def note_empty(self, path: str, message: str = "nothing is in this folder now") -> None:
        """Note a folder that holds nothing, be it for once, as the place of a disk that is not mounted."""
        self.empty.append(Failure(self.name(path), to_uri(path), "list", EMPTY_FOLDER, message))

    def notes(self) -> tuple[str, ...]:
        """Say in words which links led to folders that were looked through by another way, too."""
        twice = [name for name, folder in self._links.items() if self._n_looks[folder] > 1]
        if not twice:
            return ()
        more = ", ..." if len(twice) > _NAMED_LINKS else ""
        links = f"{counted(len(twice), 'link')} ({', '.join(twice[:_NAMED_LINKS])}{more})"
        return (f"{links} to folders that are looked through by another way, too: their images come more than once.",)

    def _open(self, path: str, parent: _Opened, *, is_link: bool = False) -> _Opened:
        """List a folder; there is nothing in one that lies above itself, or need not be looked through again."""
        nothing = parent._replace(children=iter(()))
        try:
            status = os.stat(path)
            here = (status.st_dev, status.st_ino)
            if here in parent.above or (is_link and parent.is_below_link and self._n_looks[here]):
                return nothing
            with os.scandir(path) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.fail(path, error)
            return nothing
        self._n_looks[here] += 1
        if is_link:
            self._links[self.name(path)] = here
        if all(is_hidden(child.name) for child in children):
            self.note_empty(path)
        return _Opened(iter(children), parent.above | {here}, is_link or parent.is_below_link)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError as error:  # a link to itself, or into a folder that can't be read
            return not is_gone(error) and self._leads(entry.path)


class Pattern:
    """What a pattern with `*`, `?`, `[...]` and `**` means, as Python's glob has it.

    A folder may be called `photos [1]`: one that is there is meant. A wildcard stands for no name that is left out by
    rule; one that the pattern spells out, or begins with a dot, is.

    Attributes:
        base: The folder above its first wildcard.

    Args:
        pattern: An absolute path with wildcards.

    >>> pattern = Pattern("/a/b/c*/**/*.jpg")
    >>> pattern.base, pattern.matches("/a/b/c1/x/y/1.jpg"), pattern.matches("/a/b/c1/.x/1.jpg")
    ('/a/b', True, False)
    >>> pattern.leads("/a/b/c1/x"), pattern.leads("/a/b/d")
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
        self._parts = [*parts, "*"] if parts[-1] == "**" else parts  # of files; Python's own takes folders too

    def matches(self, path: str) -> bool:
        """Tell whether a path below the base matches."""
        return [] in _rests(self._parts, self._split(path))

    def leads(self, path: str) -> bool:
        """Tell whether a path in this folder may match."""
        return any(_rests(self._parts, self._split(path)))

    def hides(self, path: str, is_folder: bool) -> bool:
        """Tell whether something does not match, or a folder does not lead to what may, for being hidden alone."""
        names = self._split(path)
        shown, all_of_it = _rests(self._parts, names), _rests(self._parts, names, hides=False)
        if is_folder:
            return any(all_of_it) and not any(shown)
        return [] in all_of_it and [] not in shown

    def _split(self, path: str) -> list[str]:
        return path[len(self.base.rstrip("/")) + 1 :].split("/")


def _rests(parts: list[str], names: list[str], *, hides: bool = True) -> Iterator[list[str]]:
    """Give what may be left of a pattern's parts when the names have matched, in all ways to match them.

    Args:
        parts: Of the pattern.
        names: Of the path.
        hides: Whether a wildcard stands for no name that is left out by rule.
    """
    if not names:
        yield parts
    elif parts:
        is_out = hides and is_hidden(names[0]) and not parts[0].startswith(".") and parts[0] != names[0]
        if parts[0] == "**":
            yield from _rests(parts[1:], names, hides=hides)
            yield from () if is_out else _rests(parts, names[1:], hides=hides)
        elif not is_out and (parts[0] == names[0] or fnmatch.fnmatchcase(names[0], parts[0])):
            yield from _rests(parts[1:], names[1:], hides=hides)
