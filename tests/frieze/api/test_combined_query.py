"""One query of several images: the vector is that of NumPy, and weights, names and messages are as documented."""

import json

import numpy as np
import pytest
from PIL import Image

import frieze
from frieze.api.combined_query import combine_queries
from frieze.core import InputError, unit_rows


@pytest.fixture(scope="module")
def index(world):
    """The index of the small world."""
    return frieze.open_index(world / "photos.index")


@pytest.fixture(scope="module")
def l2_index(world, tmp_path_factory):
    """The same by the Euclidean distance."""
    out = tmp_path_factory.mktemp("l2") / "l2.index"
    frieze.index(world / "photos.features", out=out, metric="l2")
    return frieze.open_index(out)


def vectors_of(index, *names):
    """The stored vectors of some ids, float64 of unit length."""
    return unit_rows(np.stack([index.embedding(name) for name in names])).astype(np.float64)


def test_the_mean_of_unit_vectors(index):
    """Weights count in the mean of what hits are to be like; each one to be unlike counts times its weight."""
    like, unlike = ["id:red/0.png=3", ("id:blue/1.png", 1)], ["id:green/2.png=0.5", "id:green/3.png"]
    actual = combine_queries(index, like, unlike, where="i")
    red, blue, green, other = vectors_of(index, "red/0.png", "blue/1.png", "green/2.png", "green/3.png")
    expected = (3 * red + blue) / 4 - (0.5 * green + other) / 2
    np.testing.assert_allclose(actual.queries.vectors, [expected / np.linalg.norm(expected)], atol=1e-6)
    assert actual.queries.names == ["id:red/0.png=3 + id:blue/1.png - id:green/2.png=0.5 - id:green/3.png"]
    assert actual.like == [{"query": "id:red/0.png", "weight": 3.0}, {"query": "id:blue/1.png", "weight": 1.0}]
    assert actual.unlike[0] == {"query": "id:green/2.png", "weight": 0.5}


def test_lengths_count_by_l2_alone(l2_index):
    """By the Euclidean distance the vector is as long as those that hits are to be like are on average."""
    actual = combine_queries(l2_index, ["id:red/0.png", "id:red/1.png"], "id:blue/0.png", where="i").queries.vectors
    lengths = [np.linalg.norm(l2_index.embedding(f"red/{row}.png")) for row in (0, 1)]
    assert np.linalg.norm(actual) == pytest.approx(np.mean(lengths), rel=1e-5)


def test_one_query_from_the_command(world, run_json, tmp_path):
    """The command makes one query of all parts: between red and blue both are found, without red no red one."""
    line = ("search", world / "photos.index", "--like", world / "photos/red/0.png", "--like")
    code, document = run_json(*line, "id:blue/1.png=1", "--html", tmp_path / "h.html")
    (query,) = document["queries"]
    assert (code, len(query["hits"]), len(query["like"]), query["unlike"]) == (0, 10, 2, [])
    assert {hit["label"] for hit in query["hits"]} >= {"red", "blue"}
    assert (tmp_path / "h.html").read_text().count("like ") >= 1
    less = run_json(*line, "id:blue/1.png", "--unlike", "id:red/3.png=2")[1]["queries"][0]["hits"]
    assert "red" not in {hit["label"] for hit in less}


def test_the_same_from_python(world, run_json):
    """Images in memory, vectors and names go together; the document is that of the command."""
    index = world / "photos.index"
    line = ("search", index, "--like", "id:red/0.png", "--unlike", "id:blue/0.png=0.5", "-k", 3)
    actual = frieze.search(index, like="id:red/0.png", unlike=("id:blue/0.png", 0.5), k=3)
    assert json.loads(json.dumps(actual)) == run_json(*line)[1]
    picture, vector = Image.open(world / "photos/red/0.png"), frieze.open_index(index).embedding("red/1.png")
    (mixed,) = frieze.search(index, like=[picture, (vector, 2)], k=3)["queries"]
    assert (mixed["query"], [hit["label"] for hit in mixed["hits"]]) == ("image 0 + vector 1=2", ["red"] * 3)


def test_a_file_may_be_named_like_a_weight(world, tmp_path, monkeypatch):
    """A text that names a file as a whole is that file, without a weight."""
    monkeypatch.chdir(tmp_path)
    Image.open(world / "photos/red/0.png").save(tmp_path / "size=5.png")
    (tmp_path / "size=5.png").rename("red=5")
    part = frieze.search(world / "photos.index", like="red=5", k=1)["queries"][0]["like"]
    assert part == [{"query": "red=5", "weight": 1.0}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unlike": "id:red/0.png"}, "There is nothing that hits are to be like"),
        ({"like": "id:red/0.png=0"}, "The weight of id:red/0.png is 0"),
        ({"like": "id:red/0.png=nan"}, "The weight of id:red/0.png is nan"),
        ({"like": "id:red/0.png=x"}, "No image in .* has the id red/0.png=x"),
        ({"like": np.ones((2, 1280), np.float32)[:, :1]}, "width"),
        ({"query": "id:red/0.png", "like": "id:red/1.png"}, "There are queries beside"),
        ({"like": "id:red/0.png", "exists": True}, "Leave `like` out"),
    ],
)
def test_refusals(world, options, message):
    """What is no combined query is refused by its name."""
    with pytest.raises(InputError, match=message):
        frieze.search(world / "photos.index", **options)


def test_several_vectors_are_no_part(world, tmp_path):
    """A file of several vectors is no part of a combined query."""
    vectors = frieze.open_features(world / "photos.features").embeddings()[:2]
    np.save(tmp_path / "two.npy", vectors)
    with pytest.raises(InputError, match="each is a single image or vector; here are 2 of 1"):
        frieze.search(world / "photos.index", like=str(tmp_path / "two.npy"))


def test_without_a_query(world, run):
    """A search for nothing is a wrong call."""
    result = run("search", world / "photos.index")
    assert (result.exit_code, "Missing argument 'QUERY...'" in result.stderr) == (2, True)
