import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import HeadConfig, SplitConfig, evaluate_head, train_head
from frieze.classifiers.data.splits import few_shot_draws, split_stratified
from frieze.core import InputError

LABELS = np.repeat(np.array(["ant", "bee"], dtype=object), [10, 40])


def test_each_class_has_the_same_number():
    """A draw has the same number of each class, all of them training rows; the test rows stay."""
    whole = split_stratified(LABELS, test_size=0.2, seed=0)
    draws = few_shot_draws(whole, LABELS, 3, seed=0)
    assert len(draws) == 10
    for draw in draws:
        assert np.unique(LABELS[draw.fit], return_counts=True)[1].tolist() == [3, 3]
        assert set(draw.fit) <= set(whole.fit)
        assert np.array_equal(draw.test, whole.test)
    assert len({tuple(draw.fit) for draw in draws}) == 10


@pytest.mark.parametrize("shots", [0, 9])
def test_more_shots_than_rows_are_refused(shots):
    """More rows than the smallest class has, or none, are refused, with the class and what can be typed."""
    with pytest.raises(InputError, match="ant has 8 images to train on") as caught:
        few_shot_draws(split_stratified(LABELS, test_size=0.2, seed=0), LABELS, shots, seed=0)
    assert "`shots=8`" in caught.value.hint


@pytest.fixture(scope="module")
def few(overlapping, tmp_path_factory):
    """A head fitted on two rows a class, and its document."""
    out = tmp_path_factory.mktemp("few") / "head"
    return out, train_head(overlapping, out, config=HeadConfig("prototype"), split_config=SplitConfig(shots=2))


def test_the_draws_are_reported(few):
    """The document has the accuracy of each draw, the first being the stored head's, with their mean and spread."""
    _, document = few
    message = document["shots"]
    assert (document["n_train"], document["n_test"], message["per_class"], message["draws"]) == (6, 30, 2, 10)
    assert message["accuracies"][0] == document["accuracy"]
    assert len(set(message["accuracies"])) > 2
    assert message["mean_accuracy"] == pytest.approx(np.mean(message["accuracies"]))
    assert message["standard_deviation"] == pytest.approx(np.std(message["accuracies"], ddof=1))


def test_rows_not_drawn_are_not_held_out(few, overlapping):
    """Rows that were not drawn are marked, and evaluate gives the figures of training."""
    out, document = few
    parts = pq.read_table(out / "split.parquet")["part"].to_pylist()
    assert {part: parts.count(part) for part in parts} == {"train": 6, "unused": 114, "test": 30}
    assert json.loads((out / "head.json").read_text())["split"]["shots"] == 2
    actual = evaluate_head(out, overlapping)
    assert (actual["accuracy"], actual["n_test"]) == (document["accuracy"], 30)
