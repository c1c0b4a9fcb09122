"""Labels by an expression of the path: Python's `re` is the judge of what it matches."""

import pytest
from PIL import Image

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source


@pytest.fixture
def shots(tmp_path):
    """Four small images whose folders and names say several things."""
    folder = tmp_path / "shots"
    for name in ("batch_1/a-cat.png", "batch_1/b-dog.png", "batch_22/deep/c-cat.png", "d.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(folder / name)
    return folder


def labels(folder, pattern):
    """Return id -> label."""
    images = open_source(str(folder), SourceOptions(label_from=pattern)).listing.images
    return dict(zip(images["id"].to_pylist(), images["label"].to_pylist(), strict=True))


def test_group(shots):
    """The group of the first match is the label; an image without a match has none."""
    assert labels(shots, r"batch_(\d+)/") == {
        "batch_1/a-cat.png": "1",
        "batch_1/b-dog.png": "1",
        "batch_22/deep/c-cat.png": "22",
        "d.png": None,
    }


def test_whole_match(shots):
    """Without a group all that matches is the label, in the name as in folders."""
    assert set(labels(shots, "cat|dog").values()) == {"cat", "dog", None}


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", "is no regular expression"),
        ("(a)(b)", "has 2 groups"),
        ("zebra", "matches none of 4 images; the first is"),
    ],
)
def test_refused(shots, pattern, message):
    """What is no expression, says several things, or matches nothing is refused."""
    with pytest.raises(InputError, match=message):
        labels(shots, pattern)


def test_two_places_of_labels(shots):
    """An expression and another place of labels exclude each other."""
    with pytest.raises(InputError, match="both say where labels come from"):
        open_source(str(shots), SourceOptions(labels="none", label_from="cat"))
