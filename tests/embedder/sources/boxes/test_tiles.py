"""Tiles of images, against a plain loop."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.boxes.tiles import parse_tiles, with_tiles
from frieze.embedder.sources.open import open_source


@pytest.fixture
def folder(tmp_path):
    """An image of 10 x 6 pixels, one of 6 x 10 that is displayed like it, and one of a single pixel."""
    turned = Image.Exif()
    turned[0x0112] = 8
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (10, 6)).save(tmp_path / "cat/a.png")
    Image.new("RGB", (6, 10)).save(tmp_path / "cat/b.jpg", exif=turned)
    return tmp_path


def tiles(folder, rule):
    """List the tiles of a folder."""
    return open_source(str(folder), SourceOptions(tiles=rule)).listing.images


def test_rows(folder):
    """Tiles are named row by row in pixels of the upright image, and have its label and its name."""
    images = tiles(folder, "2x1")
    assert images["id"].to_pylist() == [
        f"cat/{name}#{box}" for name in ("a.png", "b.jpg") for box in ("0,0,10,3", "0,3,10,3")
    ]
    assert set(images["label"].to_pylist()) == {"cat"}
    assert images["image"].to_pylist() == ["cat/a.png"] * 2 + ["cat/b.jpg"] * 2


def test_overlap(folder):
    """Neighbours share a part of a tile: with 50 % of two tiles each has two thirds of the side."""
    assert [box[::2] for box in tiles(folder, "1x2+50%")["box"].to_pylist()[:2]] == [[0, 7], [3, 7]]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(12, 99), st.integers(12, 99))
def test_each_pixel_once(rows, columns, width, height):
    """Tiles without overlap have each pixel of an image once."""
    seen = np.zeros((height, width), int)
    for tile in parse_tiles(f"{rows}x{columns}"):
        x, y, across, down = tile.to_corner((width, height))
        seen[y : y + down, x : x + across] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("rule", ["2", "0x2", "2x2+", "2x2+100%", "2x2+3", "axb"])
def test_refused(folder, rule):
    """Anything but rows, columns and an overlap below the whole is refused before images are listed."""
    with pytest.raises(InputError, match="is no choice of tiles"):
        open_source(str(folder / "missing"), SourceOptions(tiles=rule))


def test_small_image(folder):
    """An image with fewer pixels than tiles has those tiles that have a pixel, and the rest are failures."""
    Image.new("RGB", (1, 1)).save(folder / "cat/a.png")
    source = open_source(str(folder / "cat/a.png"), SourceOptions(tiles="1x2"))
    contents = list(source.read(np.arange(2)))
    assert [isinstance(one, bytes) for one in contents] == [True, False]


def test_unreadable(folder):
    """The stored rows of an image whose size can't be read now may stay: its failure is one of listing."""
    whole = open_source(str(folder), SourceOptions())
    (folder / "cat/b.jpg").unlink()
    broken = dataclasses.replace(whole, read=lambda rows: [ImageError("read", "unreadable", "gone")] * len(rows))
    (folder / "cat/a.png").unlink()
    failures = with_tiles(broken, "2x2").listing.failures
    assert [(one.id, one.hides_rows) for one in failures] == [("cat/a.png", True), ("cat/b.jpg", True)]
