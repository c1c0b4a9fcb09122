"""Copies of new images among the stored ones."""

import numpy as np
import pytest
from PIL import ImageOps

from benchmarks.search.made_images import photograph
from frieze.core import InputError
from frieze.indexing import (
    NewImages,
    build_index,
    find_equal_files,
    find_stored_copies,
    open_index,
    scores_of,
    self_scores,
)

DIGESTS = ["a" * 64, "b" * 64, "a" * 64, "c" * 64]


@pytest.fixture(scope="module")
def index(write_table, tmp_path_factory):
    """Four images: 0 and 2 are equal files, of one picture; 1 and 3 are others; vectors are unit axes."""
    folder = tmp_path_factory.mktemp("copies")
    columns = {"sha256": DIGESTS, "width": [384] * 4, "height": [288] * 4}
    names = [f"{row}.jpg" for row in range(4)]
    table = write_table(folder / "t.features", np.eye(4, dtype=np.float32)[[0, 1, 0, 2]], names=names, columns=columns)
    build_index(table, folder / "t.index")
    return open_index(folder / "t.index")


def read(uri, _version, side_px):
    """Image N is photograph N, but 2 equals 0, `mirrored` and `cropped` are made of 0; 3 can't be read."""
    name = uri.removeprefix("/photos/").removesuffix(".jpg")
    if name == "3":
        return None
    image = photograph({"2": 0, "mirrored": 0, "cropped": 0}.get(name, int(name) if name.isdigit() else 9))
    image = image.crop((40, 30, 344, 258)) if name == "cropped" else image
    image.thumbnail((side_px, side_px))
    return np.asarray(ImageOps.mirror(image) if name == "mirrored" else image)


def new_images(**axes):
    """New images by name, each with the axis of its vector, without hashes."""
    embeddings = np.eye(4, dtype=np.float32)[list(axes.values())]
    n = len(axes)
    return NewImages(
        [f"/photos/{name}.jpg" for name in axes],
        [name * 8 for name in axes],
        embeddings,
        np.zeros((n, 2), np.uint64),
        np.full(n, 384 * 288),
    )


def test_confirmed_copies_with_all_equal_files(index):
    """A picture near a stored one by vector is its copy where the pixels agree, and of all files equal to it."""
    copies = find_stored_copies(index, new_images(mirrored=0, other=1, far=3), read=read)
    assert [sorted(one) for one in copies.matches] == [[0, 2], [], []]
    assert copies.matches[0][2].kind() == "mirrored"
    assert (copies.unreadable, copies.has_hashes) == (set(), False)


def test_how_a_stored_image_differs_from_the_new_one(index):
    """The kind and the overlap are those of the stored image: of a crop it shows all, and more."""
    (copies,) = find_stored_copies(index, new_images(cropped=0), read=read).matches
    assert copies[0].kind() == "uncropped"
    assert [round(share, 1) for share in copies[0].shares] == [1.0, 0.6]


def test_what_can_not_be_read_is_no_copy(index):
    """A stored image that can't be read is named, and no copy of anything."""
    copies = find_stored_copies(index, new_images(new=2), read=read)
    assert (copies.matches, copies.unreadable) == ([{}], {3})


def test_only_images_that_pass_are_copies(index):
    """With a filter only images that pass are copies, also where the one that was compared does not."""
    copies = find_stored_copies(index, new_images(mirrored=0), read=read, where="id = '2.jpg'")
    assert [sorted(one) for one in copies.matches] == [[2]]
    assert find_stored_copies(index, new_images(mirrored=0), read=read, where="id = 'x'").matches == [{}]
    with pytest.raises(InputError, match="colour"):
        find_stored_copies(index, new_images(mirrored=0), read=read, where="colour = 1")


def test_equal_files(index):
    """Files are equal where their sha256 is, among the images that pass the filter."""
    digests = ["a" * 64, "f" * 64, "c" * 64]
    assert [rows.tolist() for rows in find_equal_files(index, digests, None)] == [[0, 2], [], [3]]
    assert [rows.tolist() for rows in find_equal_files(index, digests, "id != '0.jpg'")] == [[2], [], [3]]


def test_scores(index):
    """Scores are those of NumPy: of stored images with themselves, and of a vector with some."""
    vector = np.array([0.6, 0.8, 0, 0], np.float32)
    np.testing.assert_allclose(scores_of(index, vector, np.array([0, 1, 3])), [0.6, 0.8, 0], atol=1e-6)
    np.testing.assert_allclose(self_scores(index, np.array([0, 3])), [1, 1])
