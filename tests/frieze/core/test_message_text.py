import re
from pathlib import Path

import pytest

from frieze.core import counted

ROOT = Path(__file__).parents[3]
ROOMS = ("features", "embedder", "index", "classifiers", "frieze")


@pytest.mark.parametrize(
    ("n", "nouns", "expected"),
    [
        (1, ("image",), "1 image"),
        (0, ("image",), "0 images"),
        (12_000, ("image",), "12,000 images"),
        (1, ("match is", "matches are"), "1 match is"),
        (2, ("match is", "matches are"), "2 matches are"),
    ],
)
def test_counted(n, nouns, expected):
    """One is in the singular, none and many in the plural, with commas between thousands."""
    assert counted(n, *nouns) == expected


def test_nobody_else_makes_plurals():
    """No other module puts an `s` behind a word by itself."""
    plural = re.compile(r"""['"]s['"] if """)
    actual = [str(path) for room in ROOMS for path in (ROOT / room).rglob("*.py") if plural.search(path.read_text())]
    assert actual == []
