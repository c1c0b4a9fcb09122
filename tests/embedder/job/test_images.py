import tarfile

import numpy as np
import pytest
from PIL import Image

from frieze.core import InputError
from frieze.embedder.job.single_images import image_reader
from frieze.features import BackboneSpec

SPEC = BackboneSpec(name="tiny", handle="tiny", fingerprint="f" * 64, dim=3, image_size=(12, 16))


def pixels_of(path):
    """Decode and resize a picture as the embedder does, by Pillow's own means."""
    return np.asarray(Image.open(path).convert("RGB").resize((16, 12), Image.Resampling.BILINEAR))


def test_gives_pixels_in_the_order_asked(folder):
    """Rows come as they are asked for, also twice, as uint8 of the backbone's size."""
    read = image_reader([str(folder / f"{name}.jpg") for name in "abc"], SPEC)
    found = read(np.array([2, 0, 2]))
    wanted = np.stack([pixels_of(folder / f"{name}.jpg") for name in "cac"])
    assert (found.dtype, found.shape) == (np.uint8, (3, 12, 16, 3))
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_fits_as_the_spec_says(folder):
    """A backbone that sees the middle of an image is given the middle."""
    crop = BackboneSpec(name="tiny", handle="tiny", fingerprint="f" * 64, dim=3, image_size=(12, 12), fit="crop")
    image = Image.open(folder / "a.jpg").resize((16, 12), Image.Resampling.BILINEAR)  # 48 x 36 pixels
    found = image_reader([str(folder / "a.jpg")], crop)(np.array([0]))[0]
    assert np.abs(found.astype(int) - np.asarray(image)[:, 2:14]).mean() < 2


def test_reads_a_member_of_an_archive(folder, tmp_path, embed):
    """An image that lies in a tar archive is read where it lies, by the address that the table has."""
    from frieze.features import open_features

    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for name in "ab":
            archive.add(folder / f"{name}.jpg", f"{name}.jpg")
    embed(str(tmp_path / "shard.tar"), tmp_path / "table")
    rows = open_features(tmp_path / "table").rows
    found = image_reader(rows["uri"].to_pylist(), SPEC)(np.arange(2))
    wanted = np.stack([pixels_of(folder / name.rpartition("/")[2]) for name in rows["id"].to_pylist()])
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.parametrize("spoil", ["gone", "broken"])
def test_an_image_that_is_lost(folder, spoil):
    """An image that is gone or broken is told by its place, with what to do."""
    path = folder / "b.jpg"
    path.unlink()
    if spoil == "broken":
        path.write_text("no image")
    read = image_reader([str(folder / "a.jpg"), str(path)], SPEC)
    with pytest.raises(InputError, match=r"b\.jpg can't be read any more") as caught:
        read(np.array([0, 1]))
    assert "frieze embed" in caught.value.hint


def test_images_that_are_too_large(folder):
    """Images of more pixels than are allowed are refused, as in `embed`."""
    with pytest.raises(InputError, match="pixels"):
        image_reader([str(folder / "a.jpg")], SPEC, max_pixels=100)(np.array([0]))
