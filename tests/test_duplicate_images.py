"""The images of the duplicates' benchmark and tests: edits of a picture, and pictures that are alike."""

import itertools

import numpy as np
import pytest
from PIL import Image

from benchmarks.search.edits import EDITS, SCREEN
from benchmarks.search.made_images import LOOK_ALIKES, photograph


@pytest.mark.parametrize("kind", LOOK_ALIKES)
def test_look_alikes_differ(kind):
    """A number of a kind is always the same picture, and two numbers differ by more than their noise."""
    first, same, *others = (np.asarray(LOOK_ALIKES[kind](number).reduce(8), float) for number in (0, 0, 1, 2))
    assert np.array_equal(first, same)
    pairs = itertools.combinations([first, *others], 2)
    assert min(np.abs(one - other).mean() for one, other in pairs) > 0.6


@pytest.mark.parametrize(
    ("edit", "size"),
    [
        ("half size", (100, 75)),
        ("JPEG 30", (200, 150)),
        ("crop 5 %", (190, 142)),
        ("crop 20 %", (160, 120)),
        ("mirror", (200, 150)),
        ("quarter turn", (150, 200)),
        ("white border", (224, 174)),
        ("text over it", (200, 150)),
        ("colour", (200, 150)),
        ("grey", (200, 150)),
        ("screenshot", SCREEN),
    ],
)
def test_edits(edit, size, tmp_path):
    """Each edit makes another picture, of the size it says; a seed draws the same one."""
    image = photograph(0, (200, 150))
    first, second = (EDITS[edit].write(image, np.random.default_rng(1), tmp_path / name) for name in ("a", "b"))
    with Image.open(first) as opened:
        edited = opened.convert("RGB")
    assert (first.read_bytes() == second.read_bytes(), edited.size) == (True, size)
    assert size != image.size or np.abs(np.asarray(edited, float) - np.asarray(image)).mean() > 1


def test_all_edits_are_tested():
    """The table above names every edit."""
    (mark,) = (mark for mark in test_edits.pytestmark if mark.name == "parametrize")
    assert [edit for edit, _ in mark.args[1]] == list(EDITS)
