"""`frieze search` with a minimum score alone, --per and --diverse: the command, its document and its messages."""

import numpy as np
import pytest

import frieze
from frieze.core import InputError


@pytest.fixture(scope="module")
def scores(world):
    """The cosine of each stored image with red/0.png, by id."""
    table = frieze.open_features(world / "photos.features")
    unit = table.embeddings() / np.linalg.norm(table.embeddings(), axis=1, keepdims=True)
    return dict(zip(table.ids, (unit @ unit[list(table.ids).index("red/0.png")]).tolist(), strict=True))


def test_a_minimum_score_alone_finds_all(world, scores, run_json):
    """Without -k all images of the score are hits, not ten; `k` is null, and the filter holds."""
    line = ("search", world / "photos.index", "id:red/0.png", "--min-score")
    least = sorted(scores.values())[7]  # 23 of 30 are above
    expected = {name for name, score in scores.items() if score >= least - 1e-6}
    code, document = run_json(*line, least - 1e-6)
    assert (code, document["k"], document["min_score"]) == (0, None, least - 1e-6)
    assert {hit["id"] for hit in document["queries"][0]["hits"]} == expected
    filtered = run_json(*line, least - 1e-6, "--where", "label != 'red'")[1]["queries"][0]["hits"]
    assert {hit["id"] for hit in filtered} == {name for name in expected if not name.startswith("red")}
    assert len(run_json(*line, "-1", "-k", "4")[1]["queries"][0]["hits"]) == 4
    assert "min_score=-1" in repr(frieze.search(world / "photos.index", "id:red/0.png", min_score=-1))


def test_no_image_of_the_score(world, run):
    """Where no image has the score a note says so."""
    result = run("search", world / "photos.index", "id:red/0.png", "--min-score", "2")
    assert (result.exit_code, "no image has a score of 2, so there are no hits" in result.stderr) == (0, True)


def test_one_of_each_label(world, scores, run_json):
    """--per returns the best image of each label, or so many of each; --where holds."""
    line = ("search", world / "photos.index", "id:red/0.png", "--per")
    _, document = run_json(*line, "label")
    hits = document["queries"][0]["hits"]
    assert (document["per"], hits[0]["label"], len(hits)) == ("label", "red", 3)
    assert {hit["label"]: hit["score"] for hit in hits} == pytest.approx(
        {
            label: max(score for name, score in scores.items() if name.startswith(label))
            for label in ("red", "blue", "green")
        },
        abs=1e-5,
    )
    two = run_json(*line, "label:2", "--where", "label != 'green'", "-k", 3)[1]["queries"][0]["hits"]
    assert sorted(hit["label"] for hit in two) == ["blue", "red", "red"]


def test_diverse_hits(world, run_json):
    """--diverse 1 keeps the order; --diverse 0 brings other labels; both return k hits, also with a minimum score."""
    line = ("search", world / "photos.index", "id:red/0.png", "-k", 5)
    plain, same, varied = (
        run_json(*line, *more)[1]["queries"][0]["hits"] for more in ((), ("--diverse", 1), ("--diverse", 0))
    )
    assert [hit["id"] for hit in plain] == [hit["id"] for hit in same]
    assert len({hit["label"] for hit in varied}) > len({hit["label"] for hit in plain}) == 1
    assert len(run_json(*line[:3], "--diverse", 0.5, "--min-score", -1)[1]["queries"][0]["hits"]) == 10


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--per", "colour"), 1, "--per names an unknown column: colour"),
        (("--per", "label:0"), 1, "Use a number above 0: --per label:2"),
        (("--diverse", "2"), 2, "--diverse"),
        (("--exists", "--per", "label"), 1, "Leave --per out."),
    ],
)
def test_refusals(world, run, options, code, message):
    """Each mistake ends with its exit code and what to type."""
    result = run("search", world / "photos.index", "id:red/0.png", *options)
    assert (result.exit_code, message in result.stderr) == (code, True)


def test_mistakes_in_python(world):
    """An index needs k or a minimum score; lambda is from 0 to 1."""
    index, query = frieze.open_index(world / "photos.index"), np.zeros((1, 1), np.float32)
    with pytest.raises(InputError, match="The number of hits is not given"):
        index.search(query, k=None)
    with pytest.raises(InputError, match=r"`diverse` is 1\.5"):
        index.search(query, k=3, diverse=1.5)
