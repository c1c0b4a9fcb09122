import numpy as np
import pytest

from frieze.classifiers import HeadConfig, SplitConfig, compare_heads, train_head
from frieze.core import InputError


@pytest.fixture
def two(table, points):
    """The same images by two backbones, the second half of whose numbers are noise."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    worse = embeddings + np.random.default_rng(3).normal(size=embeddings.shape).astype("f4")
    return [
        table(ids, labels, embeddings, name="better.features"),
        table(ids[::-1], labels[::-1], worse[::-1], name="worse.features", fingerprint="e" * 64),
    ]


def test_every_head_meets_every_table_on_one_split(two, tmp_path):
    """A row has the figures that training the head alone on that table gives, in whatever order the table is."""
    actual = compare_heads(two, [HeadConfig("svm"), HeadConfig("prototype")], SplitConfig(seed=4))
    assert {(row["features"], row["head"]) for row in actual["rows"]} == {
        (str(table.path), head) for table in two for head in ("svm", "prototype")
    }
    for row in actual["rows"]:
        table = next(table for table in two if str(table.path) == row["features"])
        config = HeadConfig(row["head"])
        alone = train_head(table, tmp_path / "head", config=config, split_config=SplitConfig(seed=4), force=True)
        names = ("accuracy", "macro_f1", "confidence_interval", "expected_calibration_error", "setting")
        assert {name: row[name] for name in names} == {name: alone[name] for name in names}
    assert (actual["n_train"], actual["n_test"], actual["n_left_out"]) == (120, 30, 0)


def test_the_best_comes_first(two):
    """Rows are sorted by accuracy, and a backbone that tells classes apart is above one that does not."""
    rows = compare_heads(two, [HeadConfig("linear"), HeadConfig("knn")], SplitConfig())["rows"]
    accuracies = [row["accuracy"] for row in rows]
    assert accuracies == sorted(accuracies, reverse=True)
    assert rows[0]["features"].endswith("better.features")
    assert rows[-1]["features"].endswith("worse.features")


def test_heads_are_compared_image_by_image(two):
    """The best head differs by nothing from itself; a much worse one by an interval below 0."""
    document = compare_heads(two, [HeadConfig("linear"), HeadConfig("prototype")], SplitConfig())
    best, *others = document["rows"]
    assert (best["difference"], best["difference_interval"]) == (0, None)
    for row in others:
        low, high = row["difference_interval"]
        assert row["difference"] == pytest.approx(row["accuracy"] - best["accuracy"])
        assert low < row["difference"] < max(high, 0.01)
    assert others[-1]["difference_interval"][1] < 0


def test_groups_make_wider_intervals(two):
    """On a split by groups, the intervals of all rows count groups, and so do those of differences."""
    split_config = SplitConfig(groups=lambda: np.arange(150) // 5)
    document = compare_heads(two, [HeadConfig("prototype")], split_config)
    assert (document["interval_over"], document["n_test_groups"]) == ("groups", 6)
    assert document["notes"][-1].startswith("The held-out images are of 6 groups")
    assert {row["interval_over"] for row in document["rows"]} == {"groups"}


def test_what_one_table_lacks_is_left_out_of_all(two, table, points):
    """Images that one table has not, or under another label, are neither fitted on nor tested."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    third = table(ids[5:], ["bee", *labels[6:]], embeddings[5:], name="third.features")
    actual = compare_heads([two[0], third], [HeadConfig("prototype")], SplitConfig())
    assert (actual["n_left_out"], actual["n_train"] + actual["n_test"]) == (6, 144)


def test_tables_of_other_images_are_refused(two, table, points):
    """Without a common image nothing can be compared."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    other = table([f"other/{name}" for name in ids], labels, embeddings, name="other.features")
    with pytest.raises(InputError, match="no labelled image in common"):
        compare_heads([two[0], other], [HeadConfig("linear")], SplitConfig())
