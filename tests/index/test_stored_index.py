import json
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frieze.core import InputError, MismatchError, unit_rows
from frieze.features import HASHES, METRICS, Manifest, Shard, open_features, open_writer, part_schema, to_part, top_k
from frieze.indexing import (
    KINDS,
    build_index,
    column_types,
    count_labels,
    filter_rows,
    label_codes,
    label_rows,
    look_up,
    open_index,
    read_hashes,
    read_vectors,
    take_rows,
)
from frieze.indexing.faiss_layer import searcher
from frieze.indexing.faiss_layer.row_filter import RowFilter

EVERY = [(kind, metric) for kind in KINDS for metric in METRICS if KINDS[kind].supports(metric)]


def ties_as_right(scores, exact_scores):
    """Fraction of hits whose score is as good as the exact k-th."""
    return (scores >= exact_scores[:, -1:] - 1e-5 * np.abs(exact_scores[:, -1:]).clip(1)).mean()


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_agrees_with_numpy(kind, metric, table, indexes, queries):
    """Each kind finds with each metric what NumPy finds, down to its stated floor."""
    _, exact_scores = top_k(queries, table.embeddings(), k=10, metric=metric)
    _, scores = indexes(kind, metric).top_k(queries, 10)
    assert ties_as_right(scores, exact_scores) >= KINDS[kind].floor


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_scores_are_those_of_the_ids(kind, metric, table, indexes, queries):
    """The score of each id is what NumPy computes for that image's embedding, best first."""
    ids, scores = indexes(kind, metric).top_k(queries, 5)
    row_of = {name: row for row, name in enumerate(table.ids)}
    rows = np.vectorize(row_of.get)(ids)
    expected = np.take_along_axis(METRICS[metric](queries, table.embeddings()), rows, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_same_after_reopening(kind, metric, indexes, queries):
    """An index answers the same when it is opened again."""
    index = indexes(kind, metric)
    ids, scores = index.top_k(queries, 7)
    reopened_ids, reopened_scores = open_index(index.path).top_k(queries, 7)
    assert (ids == reopened_ids).all()
    np.testing.assert_array_equal(scores, reopened_scores)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "PQ" not in KINDS[kind].recipe])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.integers(0, 1_999), metric=st.sampled_from(["cosine", "l2"]))
def test_a_stored_row_finds_itself(kind, row, metric, indexes, table):
    """A stored row finds itself first, or a tie with it."""
    index, row_id = indexes(kind, metric), table.ids[row]
    ids, scores = index.top_k(table.embeddings()[[row]], 2)
    best = 1.0 if metric == "cosine" and row != 5 else 0.0  # row 5 is all zeros
    assert scores[0, 0] == pytest.approx(best, abs=1e-5)
    assert row_id in ids[0] or scores[0, 1] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_stored_rows_find_themselves(kind, indexes, table):
    """Of all stored rows 99 in 100 find themselves or a tie first, also with very short codes."""
    embeddings = np.delete(table.embeddings(), 5, axis=0)  # without the row of zeros
    assert (indexes(kind).top_k(embeddings, 1)[1] > 1 - 1e-5).mean() >= 0.99


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(40)))
def test_order_of_rows_does_not_matter(order, tmp_path_factory, clustered, write_table):
    """The same images stored in another order give the same hits."""
    folder, embeddings = tmp_path_factory.mktemp("order"), clustered(40, 4)
    names = [f"{row}.jpg" for row in range(40)]
    plain, mixed = (
        write_table(folder / name, embeddings[rows], names=[names[row] for row in rows])
        for name, rows in (("plain", list(range(40))), ("mixed", list(order)))
    )
    build_index(plain, folder / "a")
    build_index(mixed, folder / "b")
    first, second = (open_index(folder / name).top_k(embeddings, 3) for name in "ab")
    np.testing.assert_allclose(first[1], second[1], atol=1e-6)
    assert (first[0] == second[0]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_batch_size_does_not_matter(kind, indexes, table):
    """Queries have the same scores one by one and together, also the nearest ones with l2."""
    index, queries = indexes(kind, "l2"), 100 * table.embeddings()[:200]
    together = index.top_k(queries, 3)[1]
    alone = np.vstack([index.top_k(query[None], 3)[1] for query in queries])
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_large_batch_keeps_l2_exact(kind, tmp_path, clustered, write_table):
    """With l2 a row is at distance 0 from itself, however large the batch."""
    embeddings = 30 + clustered(3_000, 64)
    build_index(write_table(tmp_path / "t", embeddings), tmp_path / "i", metric="l2", kind=kind)
    _, scores = open_index(tmp_path / "i").top_k(embeddings, 1)
    assert (scores == 0).mean() >= (1 if kind == "exact" else 0.99)


def test_ids_are_names_in_the_tables_order(indexes, table):
    """`ids` are the stored names, one per row."""
    assert indexes("exact").ids.tolist() == table.ids.tolist()
    assert indexes("exact").ids[7] == "c07/img-7.jpg"


def test_a_hit_has_all_columns_as_plain_json(indexes, table):
    """A hit has id, score, label and uri first, then every other column, as JSON values."""
    hit = indexes("ivf").search(table.embeddings()[[7]], k=1)[0][0]
    assert list(hit)[:4] == ["id", "score", "label", "uri"]
    assert json.loads(json.dumps(hit, allow_nan=False)) == {
        "id": "c07/img-7.jpg",
        "score": pytest.approx(1, abs=1e-6),
        "label": "c07",
        "uri": "/photos/c07/img-7.jpg",
        "sha256": "0" * 64,
        "size_bytes": 1,
        "mtime_ns": 2,
        "width": 3,
        "height": 4,
        "camera": "camera of c07/img-7.jpg",
        "iso": None,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_search_and_top_k_agree(kind, indexes, queries):
    """`search` gives the ids and scores of `top_k`, query by query."""
    ids, scores = indexes(kind).top_k(queries, 4)
    hits = indexes(kind).search(queries, k=4)
    assert [[hit["id"] for hit in actual] for actual in hits] == ids.tolist()
    assert [[hit["score"] for hit in actual] for actual in hits] == scores.tolist()


def test_min_score_drops_lower_hits(indexes, queries):
    """With `min_score` exactly the hits at or above it stay, for each query."""
    index = indexes("exact")
    everything = index.search(queries, k=50)
    floor = everything[0][20]["score"]
    kept = index.search(queries, k=50, min_score=floor)
    assert kept == [[hit for hit in actual if hit["score"] >= floor] for actual in everything]
    assert index.search(queries, k=3, min_score=2.0) == [[]] * 100


@pytest.mark.parametrize("kind", KINDS)
def test_k_up_to_the_whole_collection(kind, indexes, table):
    """With k = N every image is returned once, also where few lists are searched by default."""
    ids, _ = indexes(kind).top_k(table.embeddings()[:2], len(table))
    assert sorted(ids[0]) == sorted(ids[1]) == sorted(table.ids)


def test_k_beyond_the_collection(indexes, table):
    """`search` treats k as a maximum; `top_k` refuses more than there are rows and says how many there are."""
    index, queries = indexes("ivf"), table.embeddings()[:1]
    assert len(index.search(queries, k=5_000)[0]) == 2_000
    with pytest.raises(InputError, match="k is 5000, but the index has 2000 rows"):
        index.top_k(queries, 5_000)


@pytest.mark.parametrize("ask", [lambda index, q: index.search(q, k=0), lambda index, q: index.top_k(q, 0)])
def test_k_below_one_is_refused(ask, indexes, table):
    """A k of 0 is an input error."""
    with pytest.raises(InputError, match="k is 0"):
        ask(indexes("exact"), table.embeddings()[:1])


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_no_queries_no_hits(kind, metric, indexes):
    """An empty batch of queries returns an empty result of the right shape."""
    index, nothing = indexes(kind, metric), np.empty((0, 16), np.float32)
    assert index.search(nothing, k=3) == []
    assert index.search(nothing, k=3, min_score=0.5) == []
    assert [actual.shape for actual in index.top_k(nothing, 3)] == [(0, 3), (0, 3)]


@pytest.mark.parametrize("factor", [1e20, 1e-30])
@pytest.mark.parametrize("kind", KINDS)
def test_length_does_not_matter_to_cosine(kind, factor, indexes, queries):
    """With cosine a very long or very short query finds what it finds at unit length."""
    plain, scaled = (indexes(kind).top_k(np.float32(by) * queries, 5) for by in (1, factor))
    assert (plain[0] == scaled[0]).all()
    np.testing.assert_allclose(plain[1], scaled[1], atol=1e-6)


def test_other_width_is_refused(indexes):
    """Queries of another width are refused, with both widths and what to type."""
    with pytest.raises(MismatchError, match="width 8, the index 16") as caught:
        indexes("exact").top_k(np.ones((1, 8), np.float32), 1)
    assert caught.value.hint == "Embed the queries with: frieze embed QUERIES --backbone builtin"


def test_one_vector_is_no_batch(indexes):
    """A query without its batch axis is a broken call."""
    with pytest.raises(ValueError, match=r"\[Q, D\], not of shape \(16,\)"):
        indexes("exact").top_k(np.ones(16, np.float32), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_not_finite_queries_are_refused(value, indexes):
    """A query that float32 can't represent is refused by its number."""
    queries = np.ones((3, 16))
    queries[1, 2] = value
    with pytest.raises(InputError, match="Query 1 holds a value that is not finite"):
        indexes("exact").top_k(queries, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_beyond_float32_are_refused(kind, indexes):
    """A finite query whose scores overflow is refused."""
    with pytest.raises(InputError, match="Query 0 is too large"):
        indexes(kind, "l2").top_k(np.full((1, 16), 3e38, np.float32), 1)


@pytest.mark.parametrize(("metric", "value"), [("dot", 1e20), ("dot", 1e-20), ("l2", 1e20)])
def test_queries_beyond_float32s_squares_are_refused(metric, value, indexes):
    """A query whose products with stored rows exceed float32 is refused by its number."""
    queries = np.ones((3, 16), np.float32)
    queries[1] *= np.float32(value)
    with pytest.raises(InputError, match=f"Query 1 is too .* for the metric {metric}"):
        indexes("exact", metric).top_k(queries, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_vector_scores_zero(kind, indexes):
    """With cosine a zero query scores 0 with every image."""
    _, scores = indexes(kind).top_k(np.zeros((1, 16), np.float32), 2_000)
    assert (scores == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_duplicates_come_in_the_tables_order(kind, indexes, table):
    """Two equal embeddings tie at the top, the earlier row first."""
    ids, scores = indexes(kind).top_k(table.embeddings()[[1_500]], 2)
    assert ids[0].tolist() == [table.ids[30], table.ids[1_500]]
    assert scores[0, 0] == scores[0, 1]


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_embedding_of_an_id(kind, metric, indexes, table):
    """`embedding` returns an image's stored vector, of unit length for cosine."""
    stored, raw = indexes(kind, metric).embedding("c07/img-7.jpg"), table.embeddings()[7]
    expected = raw / np.linalg.norm(raw) if metric == "cosine" else raw
    np.testing.assert_allclose(stored, expected, rtol=1e-6)
    assert stored.dtype == np.float32


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ("c07/img7.jpg", "Did you mean: c07/img-7.jpg"),
        ("img-1234.jpg", "Did you mean: c04/img-1234.jpg"),
        ("?", "Its ids look like: c00/img-0.jpg"),
        ("c07/img-7\udcff.jpg", "Did you mean: c07/img-7.jpg"),
    ],
)
def test_unknown_id_names_close_ones(target, hint, indexes):
    """An unknown id raises an error that names similar ones."""
    with pytest.raises(InputError, match="has the id") as caught:
        indexes("exact").embedding(target)
    assert caught.value.hint.startswith(hint)
    assert str(caught.value).encode()  # can be printed


def test_a_long_id_is_shown_by_its_beginning(indexes):
    """The message about an id of megabytes is short."""
    with pytest.raises(InputError, match=r"has the id z+") as caught:
        indexes("exact").embedding("z" * 2_000_000)
    assert len(str(caught.value)) < 1_000


def test_a_hint_works_as_it_is_typed(tmp_path, write_table, clustered, make_spec):
    """The command for a table of another backbone has `--force`, which the build requires; paths are quoted."""
    place, out = tmp_path / "my photos", tmp_path / "my index"
    build_index(write_table(place, clustered(60, 8)), out)
    shutil.rmtree(place)
    other = write_table(place, clustered(60, 8), spec=make_spec(8, fingerprint="e" * 64))
    with pytest.raises(MismatchError, match="`force=True`"):
        build_index(other, out)
    command = shlex.split(str(open_index(out).staleness()).partition("with: ")[2])
    assert (command[:5], command[-1]) == (["frieze", "index", str(place), "--out", str(out)], "--force")


def test_staleness_names_a_changed_table(tmp_path, small, write_table, clustered):
    """An index whose table has changed says so, with the command; after a rebuild it does not."""
    build_index(small, tmp_path / "i", metric="l2")
    assert open_index(tmp_path / "i").staleness() is None
    shutil.rmtree(small.path)
    grown = write_table(small.path, clustered(61, 8))
    command = f"frieze index {small.path} --out {tmp_path / 'i'} --kind auto --metric l2 --recall 0.95"
    assert open_index(tmp_path / "i").staleness() == (
        f"{tmp_path / 'i'} was made from an older state of its table. Update it with: {command}"
    )
    build_index(grown, tmp_path / "i", metric="l2")
    assert open_index(tmp_path / "i").staleness() is None


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("{")])
def test_a_missing_table_is_not_stale(damage, tmp_path, small):
    """An index whose table is missing or broken is not called stale."""
    build_index(small, tmp_path / "i")
    damage(small.path / "features.json")
    assert open_index(tmp_path / "i").staleness() is None


def test_an_opened_index_knows_its_backbone(indexes, make_spec):
    """The spec, the metric and the number of rows are those of the table and the build."""
    index = indexes("ivf", "l2")
    assert (index.spec, index.metric, len(index)) == (make_spec(), "l2", 2_000)


FILTERS = {"half": "label < 'c05'", "tenth": "label = 'c03'", "few": "id in ('c03/img-13.jpg', 'c00/img-40.jpg')"}
"""Filters that pass 1,000, 200 and 2 of the 2,000 rows."""


def passing(table, where):
    """Return the rows that pass one of those filters."""
    folders = np.array([name[:3] for name in table.ids])
    rows = {"half": folders < "c05", "tenth": folders == "c03", "few": np.isin(np.arange(2_000), [13, 40])}
    return np.flatnonzero(rows[where])


@pytest.fixture(params=[0, 10_000], ids=["by the kind", "one by one"])
def either_way(request, monkeypatch):
    """Search what passes a filter with the kind's own search, then exactly."""
    monkeypatch.setattr(searcher, "_FEW_ROWS", request.param)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("where", FILTERS)
@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_filtered_agrees_with_numpy(kind, metric, where, table, indexes, queries):
    """Among the rows that pass a filter each kind finds what NumPy finds there, by its own search and exactly."""
    rows = passing(table, where)
    k = min(10, len(rows))
    _, exact_scores = top_k(queries, table.embeddings()[rows], k=k, metric=metric)
    ids, scores = indexes(kind, metric).top_k(queries, 10, where=FILTERS[where])
    assert ids.shape == scores.shape == (100, k)
    assert set(ids.ravel()) <= set(table.ids[rows])
    assert ties_as_right(scores, exact_scores) >= KINDS[kind].floor


@pytest.mark.parametrize(("kind", "metric"), EVERY)
def test_filtered_scores_are_those_of_the_ids(kind, metric, table, indexes, queries, monkeypatch):
    """With a filter the score of each id is NumPy's, best first, no id is repeated, and batch size does not matter."""
    monkeypatch.setattr(searcher, "_FEW_ROWS", 0)
    index, row_of = indexes(kind, metric), {name: row for row, name in enumerate(table.ids)}
    ids, scores = index.top_k(queries, 5, where=FILTERS["half"])
    expected = METRICS[metric](queries, table.embeddings())[np.arange(100)[:, None], np.vectorize(row_of.get)(ids)]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(actual)) == 5 for actual in ids)
    alone = np.vstack([index.top_k(query[None], 5, where=FILTERS["half"])[1] for query in queries[:10]])
    np.testing.assert_allclose(scores[:10], alone, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_as_many_hits_as_pass(kind, indexes, table, monkeypatch):
    """Every row that passes is a hit where k is large enough; where none passes there are no hits."""
    monkeypatch.setattr(searcher, "_FEW_ROWS", 0)
    index, queries = indexes(kind), table.embeddings()[:30]
    actual = index.search(queries, k=5_000, where=FILTERS["tenth"])
    assert [sorted(hit["id"] for hit in hits) for hits in actual] == [sorted(table.ids[passing(table, "tenth")])] * 30
    assert index.search(queries, k=3, where="label = 'c99'") == [[]] * 30
    assert [part.shape for part in index.top_k(queries, 3, where="label = 'c99'")] == [(30, 0), (30, 0)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_that_all_pass_changes_nothing(kind, indexes, queries):
    """A filter that every row passes gives the hits of a search without one."""
    plain, filtered = (indexes(kind).top_k(queries, 5, where=where) for where in (None, "label is not null"))
    assert (plain[0] == filtered[0]).all()


def test_min_score_with_a_filter(indexes, queries):
    """`min_score` drops hits of a filtered search too."""
    index = indexes("ivf")
    everything = index.search(queries, k=50, where=FILTERS["half"])
    floor = everything[0][20]["score"]
    kept = index.search(queries, k=50, where=FILTERS["half"], min_score=floor)
    assert kept == [[hit for hit in actual if hit["score"] >= floor] for actual in everything]


def test_filters_are_cached(indexes, queries, monkeypatch):
    """A repeated filter is not evaluated again."""
    index = indexes("exact")
    before = index.top_k(queries, 3, where="label = 'c04'")
    monkeypatch.setattr(index._rows, "read", None)
    assert (index.top_k(queries, 3, where="label = 'c04'")[0] == before[0]).all()


def test_filtered_k_beyond_the_collection(indexes, queries):
    """`top_k` refuses k beyond the collection with a filter too, and an invalid filter is refused."""
    with pytest.raises(InputError, match="k is 2001"):
        indexes("exact").top_k(queries, 2_001, where="label = 'c04'")
    with pytest.raises(InputError, match="unknown column: lable"):
        indexes("exact").top_k(queries, 3, where="lable = 'c04'")


@pytest.mark.parametrize("kind", KINDS)
def test_filtered_scores_beyond_float32_are_refused(kind, indexes, monkeypatch):
    """With a filter too, a query whose scores overflow is refused."""
    monkeypatch.setattr(searcher, "_FEW_ROWS", 0)
    with pytest.raises(InputError, match="Query 0 is too large"):
        indexes(kind, "l2").top_k(np.full((1, 16), 3e38, np.float32), 1, where=FILTERS["half"])


@pytest.fixture(scope="module")
def large(tmp_path_factory, clustered, write_table):
    """A table of 20,000 rows, and 300 queries."""
    stored, queries = np.split(clustered(20_300, 64), [20_000])
    return write_table(tmp_path_factory.mktemp("large") / "t", stored, part_rows=10_000), queries


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "exact"])
def test_filters_keep_their_recall(kind, tmp_path, large):
    """Filters that pass 50 %, 5 % and 0.1 % of 20,000 rows, at random or on one side of the space, keep recall 0.95."""
    stored, queries = large[0].embeddings(), large[1]
    build_index(large[0], tmp_path / "i", kind=kind)
    index = open_index(tmp_path / "i")
    ranks = np.random.default_rng(0).permutation(20_000), np.argsort(np.argsort(stored[:, 0]))
    for rows in (np.flatnonzero(rank < most) for rank in ranks for most in (10_000, 1_000, 20)):
        _, exact_scores = top_k(queries, stored[rows], k=10, metric="cosine")
        _, scores = index._searcher.search(queries, k=10, row_filter=RowFilter(rows, 20_000))
        assert ties_as_right(scores, exact_scores) >= 0.95


@pytest.mark.parametrize(("least", "n_hits"), [(1e300, 0), (-1e300, 5)])
def test_min_score_beyond_float32(indexes, queries, least, n_hits):
    """A minimum score beyond float32 drops all hits, or none."""
    (hits,) = indexes("exact", "cosine").search(queries[:1], k=5, min_score=least)
    assert len(hits) == n_hits


@pytest.mark.parametrize("k", [1, None])
def test_a_minimum_of_one_finds_the_image_itself(indexes, table, k):
    """By cosine the same vector has a score of 1, but for rounding; what is no number is refused."""
    index, rows = indexes("exact", "cosine"), [row for row in range(200) if row not in (5, 30)]
    nearest = index.search(table.embeddings()[rows], k=k, min_score=1)
    assert [[hit["id"] for hit in hits] for hits in nearest] == [[one] for one in table.ids[rows]]
    with pytest.raises(InputError, match="is no number"):
        index.search(table.embeddings()[:1], k=1, min_score=float("nan"))


def test_searching_by_id_loads_little(small, tmp_path):
    """Opening an index and searching by id imports neither TensorFlow nor pandas."""
    build_index(small, tmp_path / "i")
    code = (
        "import sys, json; from frieze.indexing import open_index; index = open_index(sys.argv[1])\n"
        "hits = index.search(index.embedding('c07/img-7.jpg')[None], k=2)\n"
        "print(json.dumps([hits[0][0]['id'], [name for name in ('tensorflow', 'pandas') if name in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "i"], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == ["c07/img-7.jpg", []]
    assert done.stderr == ""


@pytest.fixture
def opened(indexes):
    """An exact index by cosine."""
    return indexes("exact", "cosine")


def test_look_up(opened, table):
    """The metadata of an image is its row of the table, found by its id."""
    row = 17
    known = look_up(opened, table.ids[row])
    assert (known["id"], known["label"]) == (table.ids[row], table.labels[row])
    assert known["uri"] == table.rows["uri"][row].as_py()
    with pytest.raises(InputError, match="has the id nowhere"):
        look_up(opened, "nowhere")


def test_hashes(opened, table):
    """The hashes of the images that are there are those of the table; what is not there is left out."""
    hashes = read_hashes(opened, [table.ids[9], "nowhere", table.ids[2]])
    assert hashes == {table.ids[row]: table.rows["sha256"][row].as_py() for row in (2, 9)}
    assert read_hashes(opened, []) == {}


def test_filter_and_take(opened, table):
    """Rows that pass a filter are in the order of the table; without a filter all pass."""
    assert filter_rows(opened, None).tolist() == list(range(len(table)))
    name = table.ids[3]
    rows = filter_rows(opened, f"id = '{name}'")
    assert [one["id"] for one in take_rows(opened, rows)] == [name]


def test_labels(opened, table):
    """Each label is counted, and its rows are those of the table; null comes last."""
    labels = np.asarray(table.labels, object)
    counts = count_labels(opened)
    assert sum(counts.values()) == len(table)
    for label, n_images in counts.items():
        expected = [row for row, one in enumerate(labels) if one == label]
        assert (len(expected), label_rows(opened, label).tolist()) == (n_images, expected)
    assert list(counts)[-1] is None or None not in counts


def test_label_codes(opened, table):
    """The codes are each row's label number; -1 is none."""
    names, codes = label_codes(opened)
    assert [None if code < 0 else names[code] for code in codes] == list(table.labels)
    assert names == sorted(names)


def test_column_types(opened):
    """The columns that filters can use are returned with their types."""
    assert {"id", "label", "uri", "width"} <= set(column_types(opened))


def test_read_vectors(opened, table):
    """Embeddings of any rows are returned in the order requested, of unit length with cosine."""
    rows = np.array([9, 2, 1999, 2])
    actual = np.concatenate(list(read_vectors(opened, rows)))
    assert actual == pytest.approx(unit_rows(table.embeddings())[rows], abs=1e-6)


@pytest.fixture
def hashed(tmp_path, make_spec):
    """An index of a table of 60 rows with perceptual hashes."""
    spec, vectors = make_spec(8), np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    schema = part_schema(spec, has_perceptual_hashes=True)
    columns = {name: [None] * 60 for name in schema.names} | {name: list(map(str, range(60))) for name in ("id", "uri")}
    columns |= {name: list(range(2, 122, 2)) for name in HASHES}
    with open_writer(tmp_path / "t", Manifest(spec=spec, source="/photos", perceptual_hash="dct-sign-1")) as writer:
        writer.commit(Shard(0, np.arange(60)), to_part(columns, vectors, schema))
    build_index(open_features(tmp_path / "t"), tmp_path / "i")
    return open_index(tmp_path / "i"), vectors


def test_perceptual_hashes(hashed):
    """Perceptual hashes are in an index, and are no columns of a hit, of a table of hits, or of a filter."""
    index, vectors = hashed
    assert index.row_metadata.columns(HASHES)["content_phash"].to_pylist() == list(range(2, 122, 2))
    ((hit,),) = index.search(vectors[7:8], k=1)
    shown = [hit, index.metadata(["7"]).column_names, look_up(index, "7"), column_types(index)]
    assert [name for names in shown for name in names if "phash" in name] == []
    with pytest.raises(InputError, match="unknown column: phash"):
        filter_rows(index, "phash = 4")
