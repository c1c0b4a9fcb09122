import csv
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import evaluate_multilabel, open_multilabel_head, predict_multilabel
from frieze.core import InputError, MismatchError


def test_on_its_own_table_the_figures_are_those_of_the_training(listed, train_listed):
    """Rows that the head was fitted on are left out, so that the figures are the same."""
    features = listed()
    folder, trained = train_listed(features)
    document = evaluate_multilabel(folder, features)
    same = ("map", "map_interval", "macro_f1", "micro_f1", "exact_match", "n_test", "classes")
    assert {name: document[name] for name in same} == {name: trained[name] for name in same}
    assert (document["rows"], document["stale"]) == ("held-out", None)


def test_on_other_images_all_rows_count(listed, train_listed):
    """All rows of another table are scored; labels that the head does not know are named and count for nothing."""
    folder, _ = train_listed(listed())
    other = listed(seed=1, name="other.features")
    lists = [[*one, *(["new"] if row < 9 else [])] for row, one in enumerate(other.rows["label"].to_pylist())]
    column = pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
    plain = evaluate_multilabel(folder, other)
    document = evaluate_multilabel(folder, other.with_label_lists(column, labels_from={"column": "tags"}))
    assert (document["rows"], document["n_test"], document["unknown_labels"]) == ("all", 240, {"new": 9})
    assert "'new' (9 images)" in document["note"]
    assert document["map"] == plain["map"]


def test_without_a_known_label(listed, train_listed):
    """A table with none of the head's labels can't be scored; the message names some that the head knows."""
    folder, _ = train_listed(listed())
    other = listed(seed=1, name="other.features")
    column = pa.chunked_array([pa.array([["x"], []] * 120, pa.list_(pa.string()))])
    with pytest.raises(InputError, match=r"No row of .* can be scored") as error:
        evaluate_multilabel(folder, other.with_label_lists(column, labels_from={"column": "tags"}))
    assert "cat" in error.value.hint


def test_predictions_are_the_labels_above_their_thresholds(listed, train_listed, tmp_path):
    """Each row has the labels that reach their threshold, the likeliest first, their probabilities and all scores."""
    features = listed()
    folder, _ = train_listed(features)
    head = open_multilabel_head(folder)
    document = predict_multilabel(folder, features, tmp_path / "p.parquet", scores=True)
    rows, probabilities = pq.read_table(tmp_path / "p.parquet").to_pylist(), head.probabilities(features.embeddings())
    assert document["rows"] == len(rows) == len(features)
    assert [row["prediction"] for row in rows] == head.predict(features.embeddings())
    for row, expected in zip(rows, probabilities, strict=True):
        assert [row[f"score_{name}"] for name in head.classes] == expected.tolist()
        assert row["probability"] == [row[f"score_{name}"] for name in row["prediction"]]
        assert row["probability"] == sorted(row["probability"], reverse=True)
    assert any(not row["prediction"] for row in rows)
    assert any(len(row["prediction"]) > 1 for row in rows)
    assert np.mean([row["familiarity"] for row in rows]) > 0.4


def test_a_csv_file_has_lists_as_json(listed, train_listed, tmp_path):
    """CSV, which has no lists, has them as JSON texts."""
    features = listed()
    folder, _ = train_listed(features)
    predict_multilabel(folder, features, tmp_path / "p.csv")
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [json.loads(row["prediction"]) for row in rows] == open_multilabel_head(folder).predict(
        features.embeddings()
    )


def test_returned_without_a_file(listed, train_listed):
    """Without a file the rows are returned."""
    features = listed()
    folder, _ = train_listed(features)
    document = predict_multilabel(folder, features, None)
    assert document["predictions"][0].keys() == {"id", "prediction", "probability", "familiarity"}


def test_another_backbone_is_refused(listed, train_listed, points, table):
    """Predictions for vectors of another backbone are refused."""
    folder, _ = train_listed(listed())
    with pytest.raises(MismatchError):
        predict_multilabel(folder, table(*points(noise=0.1), fingerprint="0" * 64), None)
