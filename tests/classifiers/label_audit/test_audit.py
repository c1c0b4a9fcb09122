import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import N_NEIGHBOURS, Neighbourhood, audit_labels, check_audit, train_head
from frieze.core import FeatureFileError, InputError, MismatchError
from frieze.features import top_k


@pytest.fixture
def audit(table, tmp_path):
    """A function that audits columns: the document, and the findings by kind as id -> row."""

    def run(ids, labels, embeddings, *, copies=(), head=None, **options):
        features = table(ids, labels, embeddings, **options)
        groups = np.full(len(ids), -1)
        for number, group in enumerate(copies):
            groups[list(group)] = number
        near = Neighbourhood(groups, *top_k(embeddings, embeddings, k=min(len(ids), N_NEIGHBOURS)))
        document = audit_labels(features, tmp_path / "f.parquet", near=near, head=head)
        rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
        kinds = {kind: {row["id"]: row for row in rows if row["kind"] == kind} for kind in document["counts"]}
        assert {kind: len(actual) for kind, actual in kinds.items()} == document["counts"]
        return document, kinds

    return run


def test_clean_labels_are_not_found(audit, points):
    """Separable classes of right labels and no copies have no findings."""
    document, actual = audit(*points(noise=0.1))
    assert not any(actual.values())
    assert (document["rows"], document["n_judged"], document["accuracy"]) == (60, 60, 1.0)


def test_wrong_labels_are_found_with_the_right_ones(audit, points):
    """Each planted error is found, nothing else, with the true label and how likely that is."""
    ids, labels, embeddings = points(noise=0.1)
    labels[3], labels[44] = "bee", "ant"
    _, actual = audit(ids, labels, embeddings)
    assert {name: row["suggested"] for name, row in actual["label"].items()} == {ids[3]: "ant", ids[44]: "cow"}
    assert all(0.5 < row["probability"] <= row["score"] <= 1 for row in actual["label"].values())


def test_copies_under_two_labels(audit, points):
    """All rows of a group with several labels are found; the few among many get the label of the many."""
    ids, labels, embeddings = points(noise=0.1)
    embeddings[[1, 21, 22]] = embeddings[20]
    _, actual = audit(ids, labels, embeddings, copies=[(1, 20, 21, 22), (4, 5)])
    suggested = {name: row["suggested"] for name, row in actual["duplicate_labels"].items()}
    assert suggested == {ids[1]: "bee", ids[20]: None, ids[21]: None, ids[22]: None}
    assert {(round(row["score"], 5), row["group"]) for row in actual["duplicate_labels"].values()} == {(1, 0)}


def test_copies_across_a_split(audit, points, table, tmp_path):
    """Groups with rows on both sides of a head's split are found, no others, with each row's side."""
    ids, labels, embeddings = points(noise=0.1)
    train_head(table(ids, labels, embeddings, name="t.features"), tmp_path / "h")
    split = pq.read_table(tmp_path / "h" / "split.parquet").to_pylist()
    sides = {part: [ids.index(row["id"]) for row in split if row["part"] == part] for part in ("train", "test")}
    copies = [(train, test) for train, test in zip(sides["train"], sides["test"][:8], strict=False)]
    inside = [tuple(sides["train"][20:22]), tuple(sides["test"][8:10])]
    _, actual = audit(ids, labels, embeddings, copies=[*copies, *inside], head=tmp_path / "h")
    expected = {ids[row]: part for pair in copies for row, part in zip(pair, ("train", "test"), strict=True)}
    assert {name: row["part"] for name, row in actual["duplicate_split"].items()} == expected


def test_an_image_that_was_replaced_is_on_no_side(audit, points, table, tmp_path):
    """A row of another sha256 than the split's is another image."""
    ids, labels, embeddings = points(noise=0.1)
    train_head(table(ids, labels, embeddings, name="t.features"), tmp_path / "h")
    copies, hashes = [(row, row + 1) for row in range(0, 60, 2)], [f"new {name}" for name in ids]
    hashes[10:] = [f"hash of {name}" for name in ids[10:]]
    _, actual = audit(ids, labels, embeddings, copies=copies, head=tmp_path / "h", sha256=hashes)
    assert actual["duplicate_split"]
    assert not set(ids[:10]) & set(actual["duplicate_split"])


def test_small_classes_are_listed_and_not_audited(audit, points):
    """The rows of a class of fewer than five distinct images are listed; copies count once."""
    ids, labels, embeddings = points(noise=0.1)
    labels[20:60] = ["dot"] * 4 + ["bee"] * 16 + ["fly"] * 5 + ["cow"] * 15
    document, actual = audit(ids, labels, embeddings, copies=[(40, 41)])
    assert document["small_classes"] == {"dot": 4, "fly": 4}
    assert set(actual["small_class"]) == set(ids[20:24] + ids[40:45])
    assert {round(row["score"], 5) for row in actual["small_class"].values()} == {0.2}
    assert document["n_judged"] == 51


def test_one_class_has_no_label_issues(audit, points):
    """Where no two classes can be told apart, no label is judged, and the rest is found all the same."""
    ids, _, embeddings = points(noise=0.1)
    embeddings[7] = -1
    document, actual = audit(ids, ["ant"] * 57 + ["bee"] * 3, embeddings)
    assert (document["n_judged"], document["accuracy"], document["cost"]) == (0, None, None)
    assert set(actual["small_class"]) == set(ids[57:])
    assert ids[7] in actual["outlier"]


def test_two_classes_are_judged(audit, points):
    """Two classes are enough to judge labels."""
    ids, labels, embeddings = points(noise=0.1)
    labels[3] = "bee"
    document, findings = audit(ids[:40], labels[:40], embeddings[:40])
    assert (document["n_judged"], {*findings["label"]}) == (40, {ids[3]})


def test_rows_without_a_label_are_left_out(audit, points):
    """An unlabelled row is in no finding, and is counted; the others keep their groups and neighbours."""
    ids, labels, embeddings = points(noise=0.05)
    labels[:3] = [None] * 3
    embeddings[[1, 59]] = -np.eye(8, dtype="f4")[[4, 5]]
    embeddings[30] = embeddings[50]
    document, actual = audit(ids, labels, embeddings, copies=[(0, 4), (30, 50)])
    assert (document["rows"], document["n_unlabelled"], document["n_judged"]) == (60, 3, 57)
    assert set(actual["duplicate_labels"]) == {ids[30], ids[50]}
    assert set(actual["outlier"]) == {ids[59]}


def test_the_order_of_the_table_does_not_matter(audit, points, tmp_path):
    """The same rows in another order have the same findings."""
    ids, labels, embeddings = points(noise=0.4)
    first = audit(ids, labels, embeddings, name="one")[1]
    order = np.random.default_rng(0).permutation(60)
    shuffled = audit([ids[row] for row in order], [labels[row] for row in order], embeddings[order], name="two")[1]
    assert first["label"]
    assert {name: row["suggested"] for name, row in first["label"].items()} == {
        name: row["suggested"] for name, row in shuffled["label"].items()
    }


def test_the_lengths_of_vectors_do_not_matter(audit, points):
    """Vectors a thousand times as long or as short have the same findings."""
    ids, labels, embeddings = points(noise=0.4)
    lengths = np.random.default_rng(0).choice([1e-3, 1, 1e3], (60, 1)).astype("f4")
    one, other = audit(ids, labels, embeddings, name="one"), audit(ids, labels, embeddings * lengths, name="two")
    assert one[1]["label"]
    assert list(one[1]["label"]) == list(other[1]["label"])
    assert one[0]["cost"] == other[0]["cost"]


def test_a_copy_does_not_vouch_for_a_label(audit, points):
    """Copies of one image that all have a wrong label are found where they are known as copies."""
    ids, labels, embeddings = points(noise=0.1)
    embeddings[:12] = embeddings[0] = embeddings[25]
    assert not set(ids[:12]) <= set(audit(ids, labels, embeddings, name="one")[1]["label"])
    assert set(ids[:12]) <= set(audit(ids, labels, embeddings, copies=[range(12)], name="two")[1]["label"])


def test_a_table_without_labels_is_refused(points, table, tmp_path):
    """Where no row has a label, that is told before the work."""
    ids, _, embeddings = points(noise=0.1)
    features = table(ids, [None] * 60, embeddings)
    with pytest.raises(InputError, match="None of the 60 rows has a label") as caught:
        check_audit(features, tmp_path / "f.parquet", head=None, seed=0, force=False)
    assert "frieze embed SOURCE --labels FILE" in caught.value.hint


def test_a_head_of_another_table_is_refused(points, separable, trained, table, tmp_path):
    """A split that has none of the rows is named before the work."""
    ids, labels, embeddings = points(noise=0.1)
    features = table([f"other {name}" for name in ids], labels, embeddings)
    check_audit(separable, tmp_path / "f.parquet", head=trained["linear"], seed=0, force=False)
    with pytest.raises(MismatchError, match="None of the 60 labelled rows is in the split of") as caught:
        check_audit(features, tmp_path / "f.parquet", head=trained["linear"], seed=0, force=False)
    assert f"frieze info {trained['linear']}" in caught.value.hint


def test_a_broken_split_is_refused(separable, copied, tmp_path):
    """A head whose split can't be read is named before the work."""
    head = copied("linear")
    (head / "split.parquet").write_text("no table")
    with pytest.raises(FeatureFileError, match=r"split\.parquet is not the file that was stored"):
        check_audit(separable, tmp_path / "f.parquet", head=head, seed=0, force=False)


def test_a_seed_out_of_range_is_refused(separable, tmp_path):
    """A negative seed is told before the work."""
    with pytest.raises(InputError, match="The seed is -1"):
        check_audit(separable, tmp_path / "f.parquet", head=None, seed=-1, force=False)


def test_another_file_stays(separable, tmp_path):
    """A table that is none of ours is not written over, with force or without."""
    pq.write_table(pa.table({"kind": [], "id": []}), tmp_path / "f.parquet")
    for force in (False, True):
        with pytest.raises(FeatureFileError, match="already exists"):
            check_audit(separable, tmp_path / "f.parquet", head=None, seed=0, force=force)
