"""WebDatasetWebDataset: which members of a tar archive belong to one sample."""

import functools
from typing import Protocol


class _Image(Protocol):
    """A member that is an image.

    Attributes:
        name: Its name in the archive.
        sample: Number of its sample.
    """

    name: str
    sample: int


class WebDatasetSamples:
    """Groups consecutive members with the same key into samples; a repeated ending begins a new sample.

    A text describes the images of its sample. Where the members of a key do not lie together, as in an archive sorted
    differently, the only text of the key does.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[str, str], dict[int, bytes]] = {}  # key and ending -> sample -> text
        self._number = 0
        self._key: str | None = None
        self._endings: set[str] = set()
        self._has_images = False  # before the latest text
        self._latest: list[_Image] = []  # the images after the latest text

    def add(self, name: str) -> int:
        """Add the next member of the archive; return the number of its sample."""
        key, ending = split_name(name)
        if key != self._key or ending in self._endings:
            self._begin(key)
        self._endings.add(ending)
        return self._number

    def add_image(self, image: _Image) -> None:
        """Record that the latest member is an image."""
        self._latest.append(image)

    def add_text(self, name: str, text: bytes) -> None:
        """Record that the latest member is a text."""
        self._texts.setdefault(split_name(name), {})[self._number] = text
        self._has_images, self._latest = self._has_images or bool(self._latest), []

    def text(self, image: _Image, ending: str) -> bytes | None:
        """Return the text with this ending that describes an image; None for none or an ambiguous one."""
        texts = self._texts.get((split_name(image.name)[0], ending), {})
        if image.sample in texts:
            return texts[image.sample]
        distinct = set(texts.values())
        return distinct.pop() if len(distinct) == 1 else None

    def texts(self) -> list[tuple[str, str]]:
        """Return key and ending of all texts."""
        return list(self._texts)

    def repeated(self) -> list[str]:
        """Return the keys that have more than one text of an ending."""
        return list(dict.fromkeys(key for (key, _), texts in self._texts.items() if len(texts) > 1))

    def _begin(self, key: str) -> None:
        """Begin a sample; images between two texts of an ending belong to the second, if the first has others.

        In `0.jpg 0.cls 0.png 0.cls` the second text describes `0.png`.
        """
        moved = self._latest if key == self._key and self._has_images else []
        self._number += 1
        self._key, self._has_images, self._latest = key, False, moved
        self._endings = {split_name(image.name)[1] for image in moved}
        for image in moved:
            image.sample = self._number


@functools.lru_cache(1 << 10)  # one listing asks for a name several times in a row
def split_name(name: str) -> tuple[str, str]:
    """Split a member's name as WebDataset does, into the key of its sample and its ending.

    >>> split_name("a.b/000.seg.PNG")
    ('a.b/000', 'seg.png')
    """
    folder, slash, base = name.rpartition("/")
    key, _, ending = base.partition(".")
    return folder + slash + key, ending.lower()
