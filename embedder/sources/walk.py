"""Walk through a folder: its files in a stable order, and the folders and links that can't be read."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from frieze.core import counted
from frieze.embedder.sources.base import SourceOptions
from frieze.embedder.sources.exclude import ExcludePatterns, is_hidden
from frieze.embedder.sources.files import is_missing, to_id, to_uri
from frieze.features import EMPTY_FOLDER, Failure

_N_NAMED_LINKS = 3
_Folder = tuple[int, int]
"""Device and inode."""


class _OpenFolder(NamedTuple):
    """A folder that is being walked.

    Attributes:
        children: Entries that are still to come.
        above: The folder and its parents: a link back to one of them is not followed.
        is_below_link: Whether the folder or one of its parents is a symbolic link.
    """

    children: Iterator[os.DirEntry[str]]
    above: frozenset[_Folder]
    is_below_link: bool


class Walk:
    """One walk through a folder.

    Attributes:
        base: The folder that names are relative to.
        failures: What can't be read, so far.
        empty: Empty folders and links to nothing, so far.
        n_hidden: Number of hidden files and folders that were skipped so far.
        excluded: The user's patterns and their counts.

    Args:
        base: The same.
        options: `skip` and `exclude` apply.
        enters: Path of a folder -> whether it is walked; by default all are.
        hides: Path of something hidden, and whether it is a folder -> whether it is skipped; by default nothing is.
    """

    def __init__(
        self,
        base: str,
        options: SourceOptions,
        enters: Callable[[str], bool] = lambda _: True,
        *,
        hides: Callable[[str, bool], bool] = lambda *_: False,
    ) -> None:
        self.base = base.rstrip("/")
        self.failures: list[Failure] = []
        self.empty: list[Failure] = []
        self.n_hidden = 0
        self.excluded = ExcludePatterns(options.exclude)
        self._hides = hides
        self._skip = frozenset(os.path.realpath(str(folder)) for folder in options.skip)
        self._enters = enters
        self._n_visits = Counter[_Folder]()
        self._links: dict[str, _Folder] = {}

    def files(self) -> Iterator[str]:
        """Yield the paths of all files, by folder, then name; no recursion: folders can be nested deeper than calls.

        Links to folders are followed; below a link, only links to folders not visited yet: ten folders that each link
        to the others have millions of paths through them.
        """
        stack = [self._open(self.base or "/", _OpenFolder(iter(()), frozenset(), is_below_link=False))]
        while stack:
            child = next(stack[-1].children, None)
            if child is None:
                stack.pop()
            elif self._is_skipped(child):
                continue
            elif not self._is_folder(child):
                yield child.path
            elif self._enters(child.path) and os.path.realpath(child.path) not in self._skip:
                stack.append(self._open(child.path, stack[-1], is_link=child.is_symlink()))

    def _is_skipped(self, entry: os.DirEntry[str]) -> bool:
        if is_hidden(entry.name) and self._hides(entry.path, self._is_folder(entry)):
            self.n_hidden += 1
            return True
        return bool(self.excluded.counts) and self.excluded.matches(entry.path[len(self.base) + 1 :])

    def name(self, path: str) -> str:
        """Return a path relative to the base, as an id."""
        return to_id(path[len(self.base) + 1 :] or ".")

    def add_failure(self, path: str, error: OSError) -> None:
        """Record what can't be read."""
        reason = "unreadable" if not is_missing(error) else "dangling link" if os.path.islink(path) else "missing"
        message = error.strerror or str(error)
        self.failures.append(Failure(self.name(path), to_uri(path), "list", reason, message))

    def add_empty(self, path: str, message: str = "nothing is in this folder now") -> None:
        """Record an empty folder: a mount point is empty while its disk is not mounted."""
        self.empty.append(Failure(self.name(path), to_uri(path), "list", EMPTY_FOLDER, message))

    def notes(self) -> tuple[str, ...]:
        """Return a note about links to folders that are also walked by another path."""
        twice = [name for name, folder in self._links.items() if self._n_visits[folder] > 1]
        if not twice:
            return ()
        more = ", ..." if len(twice) > _N_NAMED_LINKS else ""
        links = f"{counted(len(twice), 'link')} ({', '.join(twice[:_N_NAMED_LINKS])}{more})"
        return (f"{links} to folders that are also read by another path: their images are listed more than once.",)

    def _open(self, path: str, parent: _OpenFolder, *, is_link: bool = False) -> _OpenFolder:
        """List a folder; return no children for a folder above itself or one that need not be visited again."""
        skipped = parent._replace(children=iter(()))
        try:
            status = os.stat(path)
            here = (status.st_dev, status.st_ino)
            if here in parent.above or (is_link and parent.is_below_link and self._n_visits[here]):
                return skipped
            with os.scandir(path) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            self.add_failure(path, error)
            return skipped
        self._n_visits[here] += 1
        if is_link:
            self._links[self.name(path)] = here
        if all(is_hidden(child.name) for child in children):
            self.add_empty(path)
        return _OpenFolder(iter(children), parent.above | {here}, is_link or parent.is_below_link)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError as error:  # a link to itself, or into a folder that can't be read
            return not is_missing(error) and self._enters(entry.path)
