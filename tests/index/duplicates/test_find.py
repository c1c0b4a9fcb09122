import numpy as np
import pytest
from PIL import ImageOps

from benchmarks.search.made_images import photograph
from frieze.core import InputError, unit_rows
from frieze.features import METRICS
from frieze.indexing import KINDS, build_index, find_duplicates, open_index

MIN_SCORE = {"cosine": 0.999, "l2": -0.1, "dot": 0.999}
SOME = [*((kind, "cosine") for kind in KINDS), ("exact", "l2"), ("exact", "dot"), ("ivf", "l2"), ("sq8", "dot")]


def plain_groups(n_rows, pairs):
    """Join pairs into groups in plain Python; return a set of frozen sets of row numbers."""
    group_of = {row: {row} for row in range(n_rows)}
    for row, other in pairs:
        if group_of[row] is not group_of[other]:
            group_of[row] |= group_of[other]
            for moved in group_of[other]:
                group_of[moved] = group_of[row]
    return {frozenset(group) for group in group_of.values() if len(group) > 1}


def judge(embeddings, metric, min_score):
    """Compare all pairs in NumPy; zero vectors are in no pair."""
    scores = METRICS[metric](embeddings, embeddings)
    is_nonzero = embeddings.any(axis=1)
    is_pair = (scores >= min_score) & is_nonzero & is_nonzero[:, None]
    return plain_groups(len(embeddings), np.argwhere(np.triu(is_pair, 1)).tolist())


@pytest.fixture(scope="module")
def planted(clustered):
    """2,000 clustered vectors: 60 groups of 2 to 6 close ones, 100 equal ones, and three vectors of zeros."""
    rng = np.random.default_rng(3)
    embeddings = clustered(2_000)
    for first in range(0, 600, 10):
        n_edits = 1 + first // 10 % 5
        near = embeddings[first] + 0.01 * rng.normal(size=(n_edits, 16))
        embeddings[first + 1 : first + 1 + n_edits] = near
    embeddings[700:800] = embeddings[700]
    embeddings[[900, 1_300, 1_301]] = 0
    return embeddings


@pytest.fixture(scope="module")
def build(write_table, tmp_path_factory):
    """`build(embeddings, kind="exact", metric="cosine", columns=None)`: a table stored and indexed; the index."""

    def make(embeddings, *, kind="exact", metric="cosine", columns=None):
        folder = tmp_path_factory.mktemp("duplicates")
        names = [f"{row}.jpg" for row in range(len(embeddings))]
        all_columns = {"sha256": [f"{row:064}" for row in range(len(embeddings))]} | (columns or {})
        table = write_table(folder / "t.features", embeddings, names=names, columns=all_columns)
        build_index(table, folder / "t.index", kind=kind, metric=metric)
        return open_index(folder / "t.index")

    return make


def rows_of(document, key="look_alikes"):
    """The groups as sets of row numbers."""
    return {frozenset(int(name.removesuffix(".jpg")) for name in group["ids"]) for group in document[key]}


@pytest.mark.parametrize(("kind", "metric"), SOME)
def test_look_alikes_are_those_of_numpy(kind, metric, planted, build):
    """Every kind of index, and each metric, gives the chains of near images that NumPy gives from all pairs."""
    embeddings = unit_rows(planted) if metric == "dot" else planted
    actual = find_duplicates(build(embeddings, kind=kind, metric=metric), min_score=MIN_SCORE[metric])
    expected = judge(embeddings, metric, MIN_SCORE[metric])
    assert len(expected) > 20
    assert len(rows_of(actual) & expected) >= 0.95 * len(expected)
    assert actual["recall"] >= 0.95
    if kind == "exact":
        assert rows_of(actual) == expected


@pytest.mark.parametrize("kind", ["exact", "ivf"])
@pytest.mark.parametrize("n_crowd", [30, 300, 900])
def test_crowds_that_touch_look_alike(kind, n_crowd, clustered, build):
    """A row is joined with all near rows, however many are nearer: two dense crowds close together are one set."""
    embeddings = clustered(3_000)
    noise = np.random.default_rng(0).normal(size=(2 * n_crowd, 16)).astype(np.float32)
    embeddings[: 2 * n_crowd] = embeddings[0] + 1e-4 * noise
    embeddings[:n_crowd, 0] += 0.02
    actual = find_duplicates(build(embeddings, kind=kind), min_score=0.9998)
    assert frozenset(range(2 * n_crowd)) in rows_of(actual)


def test_a_thousand_equal_vectors_look_alike(clustered, build):
    """Equal vectors are one set of look-alikes, however many they are."""
    embeddings = clustered(3_000)
    embeddings[:1_000] = embeddings[0]
    assert frozenset(range(1_000)) in rows_of(find_duplicates(build(embeddings, kind="ivf"), min_score=0.999999))


def test_equal_files_are_duplicates(build):
    """Images with equal bytes are one exact group, also where their score is too low."""
    sha256 = ["a", "b", "a", None, "", ""]
    actual = find_duplicates(build(np.eye(6, dtype=np.float32), columns={"sha256": sha256}), min_score=0.9)
    assert (rows_of(actual, "groups"), actual["look_alikes"]) == ({frozenset({0, 2})}, [])
    assert [(group["exact"], group["min_score"]) for group in actual["groups"]] == [(True, 0.0)]
    assert (actual["n_exact"], actual["n_near"], actual["n_duplicates"]) == (1, 0, 1)
    (member,) = actual["groups"][0]["members"]
    assert member == {"id": "2.jpg", "uri": "/photos/2.jpg", "kind": "same bytes", "score": 0.0, "overlap": 1.0}


def test_files_without_a_hash_only_look_alike(build):
    """Without a sha256 and without pixels, equal vectors make look-alikes and no group; the counts say so."""
    embeddings = np.eye(6, dtype=np.float32)[[0, 1, 0, 2]]
    actual = find_duplicates(build(embeddings, columns={"sha256": [None] * 4}), min_score=0.9)
    assert (rows_of(actual), actual["groups"]) == ({frozenset({0, 2})}, [])
    assert [actual[name] for name in ("n_look_alikes", "n_confirmed", "n_compared", "n_unreadable")] == [2, 0, 0, 0]


def test_equal_files_stand_among_look_alikes_once(build):
    """A set of look-alikes has of equal files the one that is kept, and equal files alone are no look-alikes."""
    embeddings = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 1]]
    columns = {"sha256": ["a", "a", "b", "c", "c"], "width": [1, 9, 5, 3, 3]}
    actual = find_duplicates(build(embeddings, columns=columns), min_score=0.9)
    assert [one["ids"] for one in actual["look_alikes"]] == [["1.jpg", "2.jpg"]]
    assert [group["ids"] for group in actual["groups"]] == [["1.jpg", "0.jpg"], ["3.jpg", "4.jpg"]]


@pytest.mark.parametrize("metric", METRICS)
def test_zero_vectors_are_no_duplicates(metric, build):
    """Images with zero vectors are not duplicates of each other."""
    embeddings = np.zeros((5, 4), np.float32)
    embeddings[:2] = [[1, 0, 0, 0], [0, 1, 0, 0]]
    actual = find_duplicates(build(embeddings, metric=metric), min_score=-1 if metric == "l2" else 0.5)
    assert [actual["groups"], actual["look_alikes"]] == [[], []]
    assert find_duplicates(build(embeddings[2:], metric=metric))["look_alikes"] == []


def test_lowest_score_of_a_chain(build):
    """A chain of near images is one set, and its lowest score is that of its ends."""
    angles = np.radians([0, 10, 20, 30])
    embeddings = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1).astype(np.float32)
    (group,) = find_duplicates(build(embeddings), min_score=0.98)["look_alikes"]
    assert group["min_score"] == pytest.approx(np.cos(np.radians(30)), abs=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_lowest_scores_are_exact(metric, planted, build):
    """A set's lowest score is NumPy's over all its pairs, without an image with itself."""
    embeddings = 2 * planted
    scores = METRICS[metric](embeddings, embeddings)
    np.fill_diagonal(scores, np.inf)
    actual = find_duplicates(build(embeddings, metric=metric), min_score=MIN_SCORE[metric])
    assert actual["look_alikes"]
    for group in actual["look_alikes"]:
        rows = [int(name.removesuffix(".jpg")) for name in group["ids"]]
        assert group["min_score"] == pytest.approx(
            scores[np.ix_(rows, rows)].min(), abs=1e-3 if metric == "l2" else 1e-5
        )


def test_order_of_look_alikes(planted, build):
    """The largest set comes last, of equal ones the tightest first."""
    sets = find_duplicates(build(planted), min_score=0.999)["look_alikes"]
    order = [(len(one["ids"]), -one["min_score"]) for one in sets]
    assert order == sorted(order)
    assert len({size for size, _ in order}) > 3


def test_order_of_groups(build):
    """The largest group comes first, of equal ones the tightest."""
    embeddings = np.eye(4, dtype=np.float32)[[0, 1, 2, 2, 3, 3, 3]]
    groups = find_duplicates(build(embeddings, columns={"sha256": list("aabbccc")}), min_score=0.9)["groups"]
    assert [group["keep"] for group in groups] == ["4.jpg", "2.jpg", "0.jpg"]


def test_progress_counts_to_its_end(planted, build):
    """Progress grows up to the number of distinct vectors."""
    steps = []
    find_duplicates(build(planted), min_score=0.999, progress=(lambda *step: steps.append(step), pytest.fail))
    assert steps[0] == (0, 2_000 - 99 - 3)
    assert steps[-1] == (steps[0][1], steps[0][1])


@pytest.mark.parametrize(
    ("metric", "min_score"), [("cosine", 1.1), ("cosine", -2.0), ("cosine", float("nan")), ("l2", 0.5), ("dot", np.inf)]
)
def test_an_impossible_min_score_is_refused(metric, min_score, build):
    """A minimum score outside the metric's range is refused with that range."""
    index = build(np.eye(4, dtype=np.float32), metric=metric)
    with pytest.raises(InputError, match=f"The minimum score is {min_score}, but scores with {metric} are") as caught:
        find_duplicates(index, min_score=min_score)
    assert "`min_score`" in caught.value.hint


@pytest.fixture
def read():
    """Reads images named by their row: rows 0 and 1 are a photograph and its mirror image, the others others."""

    def open_photograph(uri, _version, side_px):
        row = int(uri.removeprefix("/photos/").removesuffix(".jpg"))
        image = photograph(max(row, 1))
        image.thumbnail((side_px, side_px))
        return np.asarray(ImageOps.mirror(image) if row == 0 else image)

    return open_photograph


def test_near_images_are_compared_on_their_pixels(build, read):
    """Of near images those that the pixels confirm are a group; the rest of them look alike, with its keeper."""
    index, steps = build(np.eye(4, dtype=np.float32)[[0, 0, 0, 1]]), []
    progress = (lambda *_: None, lambda *step: steps.append(step))
    actual = find_duplicates(index, min_score=0.9, read=read, progress=progress)
    assert (rows_of(actual, "groups"), rows_of(actual)) == ({frozenset({0, 1})}, {frozenset({0, 2})})
    assert [member["kind"] for member in actual["groups"][0]["members"]] == ["mirrored"]
    assert [actual[name] for name in ("n_near", "n_confirmed", "n_compared", "n_look_alikes")] == [1, 1, 2, 2]
    assert (steps[0], steps[-1]) == ((0, 2), (2, 2))


def test_copies_of_equal_files(build, read):
    """Equal files are compared once; each is a member, of the kind of the one that was compared."""
    columns = {"sha256": ["a", "b", "a", "b"], "width": [5, 9, 5, 9]}
    actual = find_duplicates(build(np.ones((4, 4), np.float32), columns=columns), min_score=0.9, read=read)
    (group,) = actual["groups"]
    assert group["ids"] == ["1.jpg", "3.jpg", "0.jpg", "2.jpg"]
    assert [member["kind"] for member in group["members"]] == ["same bytes", "mirrored", "mirrored"]
    assert (group["exact"], actual["n_compared"], actual["n_confirmed"], actual["n_duplicates"]) == (False, 1, 1, 3)


def test_another_keeper(build, read):
    """The image to keep is the one asked for; a pattern of no image is refused before anything is searched."""
    index = build(np.ones((2, 4), np.float32), columns={"width": [5, 9]})
    kept = [find_duplicates(index, keep=keep, read=read)["groups"][0]["keep"] for keep in ("best", "*0.jpg")]
    assert kept == ["1.jpg", "0.jpg"]
    with pytest.raises(InputError, match="No image's path or id matches 'oldest '"):
        find_duplicates(index, keep="oldest ", read=read, progress=(pytest.fail, pytest.fail))
