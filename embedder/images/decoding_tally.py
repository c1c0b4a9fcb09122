"""Counts of decoded images whose vectors may mean less than expected: 16-bit range, pages, colours, transparency."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from frieze.core import counted, shorten
from frieze.embedder.images.bit_depth import NARROW_LEVELS

NARROW, SEVERAL, PROFILES, CLEARED = "narrow_range", "first_of_several", "colour_profiles", "white_by_transparency"
"""Fields of the JSON document."""

_NAMED_PROFILES, _OTHER = 20, "other"


class Traits(NamedTuple):
    """Properties of a decoded image.

    Attributes:
        n_levels: Of an image of more than 8 bits a channel, how many of 256 levels its range covers; None for others.
        is_first_of_several: Whether the file is an animation or has more pages.
        profile: Its colour space; None for sRGB.
        is_cleared: Whether it is all white because transparent pixels are composited over white.
    """

    n_levels: int | None = None
    is_first_of_several: bool = False
    profile: str | None = None
    is_cleared: bool = False


@dataclasses.dataclass
class DecodingTally:
    """Counts of images.

    Attributes:
        n_narrow: Images of more than 8 bits a channel that cover few levels: nearly black, or one grey.
        n_levels: Levels of 256 that the widest of these covers.
        n_several: Files of which only the first picture is read.
        profiles: Colour space other than sRGB -> number of images.
        n_cleared: Images that are all white because of their transparency.
    """

    n_narrow: int = 0
    n_levels: int = 0
    n_several: int = 0
    profiles: Counter[str] = dataclasses.field(default_factory=Counter)
    n_cleared: int = 0

    def add(self, traits: Traits) -> None:
        """Count an image."""
        if traits.n_levels is not None and traits.n_levels <= NARROW_LEVELS:
            self.n_narrow, self.n_levels = self.n_narrow + 1, max(self.n_levels, traits.n_levels)
        self.n_several += traits.is_first_of_several
        self.n_cleared += traits.is_cleared
        if traits.profile is not None:
            self.profiles[traits.profile] += 1

    def merge(self, other: "DecodingTally") -> None:
        """Add the counts of another process or batch."""
        self.n_narrow += other.n_narrow
        self.n_levels = max(self.n_levels, other.n_levels)
        self.n_several += other.n_several
        self.n_cleared += other.n_cleared
        self.profiles += other.profiles

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the JSON document."""
        common = self.profiles.most_common()
        n_rare = sum(n for _, n in common[_NAMED_PROFILES:])
        return {
            NARROW: {"images": self.n_narrow, "levels": self.n_levels} if self.n_narrow else None,
            SEVERAL: self.n_several,
            PROFILES: dict(common[:_NAMED_PROFILES]) | ({_OTHER: n_rare} if n_rare else {}),
            CLEARED: self.n_cleared,
        }


def describe_tally(document: Mapping[str, Any], *, hint: str = "") -> Iterator[str]:
    """Yield the counts as sentences.

    Args:
        document: The fields of `to_json`, or some of them.
        hint: What to do about images that cover few levels.

    >>> next(describe_tally({"first_of_several": 1}))
    '1 image is an animation or has several pages: its first picture alone is read.'
    >>> next(describe_tally({"colour_profiles": {"Display P3": 30, "Adobe RGB": 7}}))
    '37 images have colours other than sRGB (Display P3 30, Adobe RGB 7): they are read as sRGB.'
    """
    fields = (NARROW, SEVERAL, PROFILES, CLEARED)
    narrow, n_several, profiles, n_cleared = (document.get(field) for field in fields)
    if narrow:
        who = counted(narrow["images"], "16-bit image uses", "16-bit images use at most")
        yield f"{who} {narrow['levels']} of 256 levels{hint and f': {hint}'}."
    if n_several:
        who = counted(n_several, "image is an animation or has", "images are animations or have")
        yield f"{who} several pages: {'its' if n_several == 1 else 'their'} first picture alone is read."
    if profiles:
        yield _describe_profiles(profiles)
    if n_cleared:
        who = counted(n_cleared, "image is", "images are")
        it = "it" if n_cleared == 1 else "them"
        yield f"{who} all white: transparency is laid over white, and nothing else is left of {it}."


def _describe_profiles(profiles: Mapping[str, int]) -> str:
    n_images, named = sum(profiles.values()), [f"{name} {n:,}" for name, n in profiles.items()]
    who, they = counted(n_images, "image has", "images have"), "it is" if n_images == 1 else "they are"
    return f"{who} colours other than sRGB ({shorten(named)}): {they} read as sRGB."
