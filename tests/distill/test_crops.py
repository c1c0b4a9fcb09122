"""Views, compared with Pillow's crop and a second draw."""

import numpy as np
import pytest
from PIL import Image

import frieze
from tools.distill.crops import draw_views, list_images, view_file


@pytest.fixture
def images(tmp_path):
    """A folder of three photographs of noise, 60 x 40, and a note."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (3, 40, 60, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "notes.txt").write_text("none of them")
    return folder


def drawn(images, work, n_views):
    """Draw views into a folder: uint8 [V, 3, 128, 128, 3]."""
    work.mkdir(exist_ok=True)
    return np.stack([np.load(file) for file in draw_views(list_images(images), work, n_views=n_views, seed=5)])


def test_first_view_is_the_whole_image(images, tmp_path):
    """The first view shows each image whole, as Pillow squashes it."""
    whole = [Image.open(path).resize((128, 128), Image.Resampling.BILINEAR) for path in list_images(images)]
    assert (drawn(images, tmp_path / "work", 1)[0] == np.stack(whole)).all()


def test_views_differ(images, tmp_path):
    """Every view shows another part of each image."""
    views = drawn(images, tmp_path / "work", 4)
    for row in range(3):
        assert len({view[row].tobytes() for view in views}) == 4


def test_resume(images, tmp_path):
    """An existing view stays; missing ones are drawn as an uninterrupted run would draw them."""
    once = drawn(images, tmp_path / "once", 3)
    drawn(images, tmp_path / "twice", 2)
    kept = view_file(tmp_path / "twice", 0).stat().st_mtime_ns
    assert (drawn(images, tmp_path / "twice", 3) == once).all()
    assert view_file(tmp_path / "twice", 0).stat().st_mtime_ns == kept


def test_broken_image(images, tmp_path):
    """A file that is no image is named, and leaves no half view."""
    (images / "9.jpg").write_bytes(b"no image")
    with pytest.raises(frieze.InputError, match=r"9\.jpg can't be read"):
        drawn(images, tmp_path / "work", 1)
    assert not view_file(tmp_path / "work", 0).exists()


def test_no_images(tmp_path):
    """A folder without images is named."""
    with pytest.raises(frieze.InputError, match="There are no images in"):
        list_images(tmp_path)
