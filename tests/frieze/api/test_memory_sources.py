"""Images and vectors in memory, searched for and predicted without a file."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import frieze
from frieze.core import InputError, MismatchError


@pytest.fixture(scope="module")
def pixels(world):
    """Two stored images, red/0.png and blue/3.png, as uint8 [2, 48, 64, 3]."""
    return np.stack([np.asarray(Image.open(world / "photos" / name)) for name in ("red/0.png", "blue/3.png")])


def first_hits(document):
    """Return name -> id of the first hit."""
    return {one["query"]: one["hits"][0]["id"] for one in document["queries"]}


IMAGES = {
    "picture": (lambda both: Image.fromarray(both[0]), {"image 0": "red/0.png"}),
    "pixels": (lambda both: both[0], {"image 0": "red/0.png"}),
    "stack": (lambda both: both, {"image 0": "red/0.png", "image 1": "blue/3.png"}),
    "list": (lambda both: [Image.fromarray(both[1]), both[0]], {"image 0": "blue/3.png", "image 1": "red/0.png"}),
}


@pytest.mark.parametrize("name", IMAGES)
def test_search_by_images(name, pixels, world):
    """Each image in memory finds the stored image of the same pixels, named by its number among the queries."""
    make, expected = IMAGES[name]
    assert first_hits(frieze.search(world / "photos.index", make(pixels), k=1)) == expected


def test_search_by_vectors(world):
    """Float arrays [D] and [n, D] and lists of numbers are vectors, as those of a file are."""
    table = frieze.open_features(world / "photos.features")
    vectors, ids = table.embeddings()[[4, 7]], table.ids[[4, 7]].tolist()
    both = {"vector 0": ids[0], "vector 1": ids[1]}
    for query in (vectors, list(vectors), vectors.astype(np.float64).tolist()):
        assert first_hits(frieze.search(world / "photos.index", query, k=1)) == both
    for query in (vectors[0], vectors[0].tolist()):
        assert first_hits(frieze.search(world / "photos.index", query, k=1)) == {"vector 0": ids[0]}


def test_search_by_a_mixture(pixels, world):
    """Queries of all kinds keep their order, and the number in a name counts all of them."""
    table = frieze.open_features(world / "photos.features")
    queries = ["id:red/1.png", pixels[1], world / "photos" / "red" / "2.png", table.embeddings()[:2]]
    assert first_hits(frieze.search(world / "photos.index", queries, k=1)) == {
        "id:red/1.png": "red/1.png",
        "image 1": "blue/3.png",
        str(world / "photos" / "red" / "2.png"): "red/2.png",
        "vector 3": table.ids[0],
        "vector 4": table.ids[1],
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"The array holds no vectors: its shape is \(4, 4, 3\), its type float32"),
        (np.array(["a"]), "The array holds no vectors"),
        (b"text", r"image 0 can't be used \(decode, not an image\)"),
        (np.zeros((4, 6, 5, 5), np.uint8), r"image 0 can't be used \(decode, not an image\)"),
        (np.zeros((3, 8, 8), np.uint8), r"shape \[3, 8, 8\]: it may be an image with its channels first"),
        ([np.zeros((3, 8, 8), np.uint8)], r"shape \[3, 8, 8\]: it may be an image with its channels first"),
        (np.zeros((2, 3, 8, 8), np.uint8), "its channels come before height and width"),
        ([], "There is no query"),
        ({"a": 1}, "dict is no query"),
        (7, "int is no query"),
        (None, "NoneType is no query"),
    ],
)
def test_search_refuses_other_things(query, message, world):
    """What is neither an image nor a vector is refused by name, with what may be given."""
    with pytest.raises(InputError, match=message) as caught:
        frieze.search(world / "photos.index", query)
    assert caught.value.hint


def test_search_refuses_another_width(pixels, world):
    """A vector of another width is refused, also between queries that can be used."""
    with pytest.raises(MismatchError, match="width 3"):
        frieze.search(world / "photos.index", [pixels[0], np.zeros(3, np.float32)])


def predictions(path):
    """Return id -> prediction."""
    return dict(zip(*(pq.read_table(path)[name].to_pylist() for name in ("id", "prediction")), strict=True))


SOURCES = {
    "picture": (lambda both: Image.fromarray(both[0]), {"0": "red"}),
    "pixels": (lambda both: both[1], {"0": "blue"}),
    "stack": (lambda both: both, {"0": "red", "1": "blue"}),
    "list": (lambda both: [Image.fromarray(both[1]), both[0]], {"0": "blue", "1": "red"}),
    "pairs": (lambda both: [("mine", both[1])], {"mine": "blue"}),
    "generator": (iter, {"0": "red", "1": "blue"}),
}


@pytest.mark.parametrize("name", SOURCES)
def test_predict_images(name, pixels, world, tmp_path):
    """A head predicts images in memory, one alone or many, with their numbers or names as ids."""
    make, expected = SOURCES[name]
    document = frieze.predict(world / "photos.head", make(pixels), out=tmp_path / "p.parquet")
    assert (document["rows"], document["failed"]) == (len(expected), 0)
    assert predictions(tmp_path / "p.parquet") == expected


def test_predict_a_list_of_paths(world, tmp_path):
    """Paths in a list are images, too."""
    frieze.predict(world / "photos.head", [world / "photos/red/0.png"], out=tmp_path / "p.parquet")
    assert predictions(tmp_path / "p.parquet") == {"0": "red"}


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 3, 8, 8)])
def test_predict_refuses_channels_first(shape, world, tmp_path):
    """Pixels whose channels may come first are refused with what puts them last."""
    with pytest.raises(InputError, match="channels") as caught:
        frieze.predict(world / "photos.head", np.zeros(shape, np.uint8), out=tmp_path / "p.parquet")
    assert "numpy.moveaxis" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", [np.zeros((2, 256), np.float32), np.zeros((8, 8, 3)), 7, {"a": 1}, None])
def test_predict_refuses_other_things(source, world, tmp_path):
    """What holds no images is refused with what may be given; for vectors that is the head itself."""
    with pytest.raises(InputError) as caught:
        frieze.predict(world / "photos.head", source, out=tmp_path / "p.parquet")
    assert "uint8" in caught.value.hint
    assert list(tmp_path.iterdir()) == []
