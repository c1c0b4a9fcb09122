import tarfile

import numpy as np
import pytest
from PIL import Image

from frieze.core import InputError
from frieze.embedder import embed_images
from frieze.embedder.job.single_images import image_reader
from frieze.features import BackboneSpec, open_features

SPEC = BackboneSpec(name="tiny", handle="tiny", fingerprint="f" * 64, dim=3, image_size=(12, 16))


def pixels_of(path):
    """Decode and resize an image with Pillow alone."""
    return np.asarray(Image.open(path).convert("RGB").resize((16, 12), Image.Resampling.BILINEAR))


def test_reads_pixels_in_order(folder):
    """Pixels are in the order of the rows, repeats included, as uint8 of the backbone's size."""
    read = image_reader([str(folder / f"{name}.jpg") for name in "abc"], SPEC)
    pixels = read(np.array([2, 0, 2]))
    expected = np.stack([pixels_of(folder / f"{name}.jpg") for name in "cac"])
    assert (pixels.dtype, pixels.shape) == (np.uint8, (3, 12, 16, 3))
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_fits_as_the_spec_says(folder):
    """`fit="crop"` reads the middle of an image."""
    crop = BackboneSpec(name="tiny", handle="tiny", fingerprint="f" * 64, dim=3, image_size=(12, 12), fit="crop")
    image = Image.open(folder / "a.jpg").resize((16, 12), Image.Resampling.BILINEAR)  # 48 x 36 pixels
    pixels = image_reader([str(folder / "a.jpg")], crop)(np.array([0]))[0]
    assert np.abs(pixels.astype(int) - np.asarray(image)[:, 2:14]).mean() < 2


def test_reads_a_member_of_an_archive(folder, tmp_path, embed):
    """An image inside a tar archive is read by its stored URI."""
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for name in "ab":
            archive.add(folder / f"{name}.jpg", f"{name}.jpg")
    embed(str(tmp_path / "shard.tar"), tmp_path / "table")
    rows = open_features(tmp_path / "table").rows
    pixels = image_reader(rows["uri"].to_pylist(), SPEC)(np.arange(2))
    expected = np.stack([pixels_of(folder / name.rpartition("/")[2]) for name in rows["id"].to_pylist()])
    assert np.abs(pixels.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("spoil", ["gone", "broken"])
def test_missing_or_broken_image(folder, spoil):
    """The error of a missing or broken image names its path, and what to do."""
    path = folder / "b.jpg"
    path.unlink()
    if spoil == "broken":
        path.write_text("no image")
    read = image_reader([str(folder / "a.jpg"), str(path)], SPEC)
    with pytest.raises(InputError, match=r"b\.jpg can't be read any more") as caught:
        read(np.array([0, 1]))
    assert "frieze embed" in caught.value.hint


def test_images_that_are_too_large(folder):
    """Images with too many pixels are refused, as in `embed`."""
    with pytest.raises(InputError, match="pixels"):
        image_reader([str(folder / "a.jpg")], SPEC, max_pixels=100)(np.array([0]))


def test_agrees_with_stored(folder, tiny, opened, embed, tmp_path):
    """The embedding of a query image equals the stored one; the order is that of the queries."""
    embed(folder, tmp_path / "out")
    embeddings = embed_images([folder / "h.jpg", str(folder / "b.jpg")], opened(str(tiny)))
    assert (embeddings.shape, embeddings.dtype) == ((2, 16), np.float32)
    assert np.abs(embeddings - open_features(tmp_path / "out").embeddings()[[7, 1]]).max() < 1e-4


@pytest.mark.parametrize(("content", "reason"), [(None, "read, unreadable"), (b"text", "decode, not an image")])
def test_unusable_query(content, reason, folder, tiny, opened):
    """The error of an unusable file names it, with stage, reason and the supported formats."""
    path = folder / "query.jpg"
    if content:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        embed_images([folder / "a.jpg", path], opened(str(tiny)))
    assert caught.value.message.startswith(f"{path} can't be used ({reason})")
    assert "JPEG" in caught.value.hint
