"""Counts of decoded images whose vectors may mean less than expected: 16-bit range, pages, colours, transparency."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from frieze.core import counted, shorten
from frieze.embedder.images.bit_depth import NARROW_LEVELS
from frieze.embedder.images.colour_profiles import Colours

NARROW, SEVERAL, PROFILES, CLEARED = "narrow_range", "first_of_several", "colour_profiles", "white_by_transparency"
CONVERTED, UNUSABLE = "converted_profiles", "unusable_profiles"
"""Fields of the JSON document."""

_NAMED_PROFILES, _OTHER = 20, "other"


class Traits(NamedTuple):
    """Properties of a decoded image.

    Attributes:
        n_levels: Of an image of more than 8 bits a channel, how many of 256 levels its range covers; None for others.
        is_first_of_several: Whether the file is an animation or has more pages.
        profile: Its colour space; None for sRGB.
        is_cleared: Whether it is all white because transparent pixels are composited over white.
        is_converted: Whether its colours are converted to sRGB; else they are read as sRGB.
        has_unusable_profile: Whether its ICC profile is broken, or describes another kind of pixels.
    """

    n_levels: int | None = None
    is_first_of_several: bool = False
    profile: str | None = None
    is_cleared: bool = False
    is_converted: bool = False
    has_unusable_profile: bool = False

    @classmethod
    def of(cls, colours: Colours) -> "Traits":
        """Return the traits of a colour space."""
        is_converted, is_unusable = colours.transform is not None, colours.is_unusable
        profile = None if is_unusable else colours.name
        return cls(profile=profile, is_converted=is_converted, has_unusable_profile=is_unusable)


@dataclasses.dataclass
class DecodingTally:
    """Counts of images.

    Attributes:
        n_narrow: Images of more than 8 bits a channel that cover few levels: nearly black, or one grey.
        n_levels: Levels of 256 that the widest of these covers.
        n_several: Files of which only the first picture is read.
        profiles: Colour space other than sRGB -> number of images that are read as sRGB.
        n_cleared: Images that are all white because of their transparency.
        converted: Colour space other than sRGB -> number of images that are converted.
        n_unusable: Images with an ICC profile that is broken, or describes another kind of pixels.
    """

    n_narrow: int = 0
    n_levels: int = 0
    n_several: int = 0
    profiles: Counter[str] = dataclasses.field(default_factory=Counter)
    n_cleared: int = 0
    converted: Counter[str] = dataclasses.field(default_factory=Counter)
    n_unusable: int = 0

    def add(self, traits: Traits) -> None:
        """Count an image."""
        if traits.n_levels is not None and traits.n_levels <= NARROW_LEVELS:
            self.n_narrow, self.n_levels = self.n_narrow + 1, max(self.n_levels, traits.n_levels)
        self.n_several += traits.is_first_of_several
        self.n_cleared += traits.is_cleared
        self.n_unusable += traits.has_unusable_profile
        if traits.profile is not None:
            (self.converted if traits.is_converted else self.profiles)[traits.profile] += 1

    def merge(self, other: "DecodingTally") -> None:
        """Add the counts of another process or batch."""
        self.n_narrow += other.n_narrow
        self.n_levels = max(self.n_levels, other.n_levels)
        self.n_several += other.n_several
        self.n_cleared += other.n_cleared
        self.profiles += other.profiles
        self.converted += other.converted
        self.n_unusable += other.n_unusable

    def to_json(self) -> dict[str, Any]:
        """Return the fields of the JSON document."""
        return {
            NARROW: {"images": self.n_narrow, "levels": self.n_levels} if self.n_narrow else None,
            SEVERAL: self.n_several,
            PROFILES: _most_common(self.profiles),
            CONVERTED: _most_common(self.converted),
            UNUSABLE: self.n_unusable,
            CLEARED: self.n_cleared,
        }


def _most_common(profiles: Counter[str]) -> dict[str, int]:
    common = profiles.most_common()
    n_rare = sum(n for _, n in common[_NAMED_PROFILES:])
    return dict(common[:_NAMED_PROFILES]) | ({_OTHER: n_rare} if n_rare else {})


def describe_tally(document: Mapping[str, Any], *, hint: str = "") -> Iterator[str]:
    """Yield the counts as sentences.

    Args:
        document: The fields of `to_json`, or some of them.
        hint: What to do about images that cover few levels.

    >>> next(describe_tally({"first_of_several": 1}))
    '1 image is an animation or has several pages: its first picture alone is read.'
    >>> next(describe_tally({"converted_profiles": {"Display P3": 30, "Adobe RGB": 7}}))
    '37 images have colours other than sRGB (Display P3 30, Adobe RGB 7): they are converted to sRGB.'
    """
    narrow, n_several, n_cleared = (document.get(field) for field in (NARROW, SEVERAL, CLEARED))
    if narrow:
        who = counted(narrow["images"], "16-bit image uses", "16-bit images use at most")
        yield f"{who} {narrow['levels']} of 256 levels{hint and f': {hint}'}."
    if n_several:
        who = counted(n_several, "image is an animation or has", "images are animations or have")
        yield f"{who} several pages: {'its' if n_several == 1 else 'their'} first picture alone is read."
    yield from _describe_colours(document)
    if n_cleared:
        who = counted(n_cleared, "image is", "images are")
        it = "it" if n_cleared == 1 else "them"
        yield f"{who} all white: transparency is laid over white, and nothing else is left of {it}."


def _describe_colours(document: Mapping[str, Any]) -> Iterator[str]:
    for field, done in ((CONVERTED, "converted to sRGB"), (PROFILES, "read as sRGB")):
        profiles = document.get(field) or {}
        named = [f"{name} {n:,}" for name, n in profiles.items()]
        n_images = sum(profiles.values())
        who, they = counted(n_images, "image has", "images have"), "it is" if n_images == 1 else "they are"
        if profiles:
            yield f"{who} colours other than sRGB ({shorten(named)}): {they} {done}."
    if document.get(UNUSABLE):
        n_images = document[UNUSABLE]
        who, they = counted(n_images, "image has", "images have"), "it is" if n_images == 1 else "they are"
        yield f"{who} a colour profile that is broken, or of another kind of pixels: {they} read as sRGB."
