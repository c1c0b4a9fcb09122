import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from frieze.classifiers import ExtraColumns, HeadConfig, open_head, predict_features, train_head
from frieze.core import FeatureFileError, InputError, MismatchError, write_with_checksums


def test_the_file_has_the_predictions_of_the_head(doubtful, head, tmp_path):
    """The file has the head's prediction and probability for each id, in the order of the table."""
    labels, probabilities = open_head(doubtful[head]).predict(doubtful.features.embeddings())
    predict_features(doubtful[head], doubtful.features, tmp_path / "p.parquet")
    table = pq.read_table(tmp_path / "p.parquet")
    assert table["id"].to_pylist() == doubtful.features.ids.tolist()
    assert table["prediction"].to_pylist() == labels.tolist()
    assert np.allclose(table["probability"], probabilities, atol=1e-6)


def test_columns_are_plain(trained, tmp_path):
    """Two strings, a float32 and the familiarity, and nothing else unless asked for."""
    actual = predict_features(trained["linear"], trained.features, tmp_path / "p.parquet")
    schema = pq.read_schema(tmp_path / "p.parquet")
    names = {name: str(schema.field(name).type) for name in schema.names}
    assert names == {"id": "string", "prediction": "string", "probability": "float", "familiarity": "float"}
    more = {"n_unfamiliar": 0, "is_unfamiliar": False, "prediction_sets": None}
    assert actual == {"rows": 60, "failed": 0, "out": str(tmp_path / "p.parquet"), "stale": None} | more


def test_unsure_predictions_are_marked(overlapping, tmp_path):
    """A head that abstains marks the predictions below its threshold, in a column before the scores."""
    train_head(overlapping, tmp_path / "head", config=HeadConfig("linear", precision=0.9))
    for force in (False, True):
        predict_features(
            tmp_path / "head", overlapping, tmp_path / "p.parquet", extra=ExtraColumns(scores=True), force=force
        )
    table, threshold = pq.read_table(tmp_path / "p.parquet"), open_head(tmp_path / "head").threshold
    scores = ["score_ant", "score_bee", "score_cow"]
    assert table.column_names == ["id", "prediction", "probability", "abstained", "familiarity", *scores]
    marked = table["abstained"].to_numpy()
    assert np.array_equal(marked, table["probability"].to_numpy() < np.float32(threshold))
    assert 0 < marked.mean() < 1


def test_scores_are_a_column_a_class(doubtful, tmp_path):
    """With scores each class has its probability; the largest is that of the prediction."""
    predict_features(doubtful["svm"], doubtful.features, tmp_path / "p.parquet", extra=ExtraColumns(scores=True))
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names[4:] == ["score_ant", "score_bee", "score_cow"]
    scores = np.column_stack([table[name] for name in table.column_names[4:]])
    assert scores.dtype == np.float32
    assert np.array_equal(scores.max(1), table["probability"])
    assert np.array(["ant", "bee", "cow"])[scores.argmax(1)].tolist() == table["prediction"].to_pylist()


def test_sets_are_the_classes_above_their_threshold(doubtful, tmp_path):
    """With a confidence each row has the classes above the head's thresholds, the likeliest first, and they count."""
    extra = ExtraColumns(scores=True, confidence=0.9)
    actual = predict_features(doubtful["linear"], doubtful.features, tmp_path / "p.parquet", extra=extra)
    table, head = pq.read_table(tmp_path / "p.parquet"), open_head(doubtful["linear"])
    scores = np.column_stack([table[f"score_{name}"] for name in head.classes])
    thresholds = head.held_out.thresholds(head.classes, 0.9)
    for row, names in enumerate(table["prediction_set"].to_pylist()):
        expected = {*head.classes[scores[row] >= thresholds], head.classes[scores[row].argmax()]}
        assert names == sorted(expected, key=lambda name: -scores[row][head.classes.tolist().index(name)])
    sizes = np.array([len(names) for names in table["prediction_set"].to_pylist()])
    sets = actual["prediction_sets"]
    assert (sets["mean_size"], sets["n_single"], sets["n_held_out"]) == (sizes.mean(), (sizes == 1).sum(), 30)


def test_sets_for_too_few_held_out_images_are_refused(trained, tmp_path):
    """A confidence that takes more held-out images than the head has is refused before a file is written."""
    with pytest.raises(InputError, match="takes 99"):
        predict_features(
            trained["linear"], trained.features, tmp_path / "p.parquet", extra=ExtraColumns(confidence=0.99)
        )
    assert not (tmp_path / "p.parquet").exists()


def test_a_head_of_an_earlier_version_predicts(copied, trained, tmp_path):
    """A head that was stored without training images and held-out predictions predicts, without familiarity or sets."""
    path = copied("linear")
    make_earlier(path)
    actual = predict_features(path, trained.features, tmp_path / "p.parquet")
    assert pq.read_schema(tmp_path / "p.parquet").names == ["id", "prediction", "probability"]
    assert actual["n_unfamiliar"] is None
    with pytest.raises(InputError, match="without what it predicted"):
        predict_features(path, trained.features, None, extra=ExtraColumns(confidence=0.5))


def make_earlier(path):
    """Make a head what earlier versions stored."""
    (path / "familiarity.npz").unlink()
    split = pq.read_table(path / "split.parquet")
    pq.write_table(split.select(["id", "sha256", "part"]), path / "split.parquet")
    document = json.loads((path / "head.json").read_text(encoding="utf-8"))
    write_with_checksums(path, "head.json", {k: v for k, v in document.items() if k not in {"files", "sha256"}})


def test_rows_without_a_label_are_predicted(trained, table, tmp_path, points):
    """A table needs no labels to be predicted."""
    ids, labels, embeddings = points(noise=0.1, seed=4)
    predict_features(trained["linear"], table(ids, [None] * 60, embeddings), tmp_path / "p.parquet")
    assert pq.read_table(tmp_path / "p.parquet")["prediction"].to_pylist() == labels


def test_an_empty_table_gives_an_empty_file(trained, table, tmp_path):
    """A table of no rows gives a file of no rows."""
    assert predict_features(trained["linear"], table([], [], np.empty((0, 8))), tmp_path / "p.parquet")["rows"] == 0
    assert len(pq.read_table(tmp_path / "p.parquet")) == 0


def test_another_file_is_never_overwritten(trained, tmp_path):
    """A file that holds no predictions stays as it is, with force too."""
    out = tmp_path / "p.parquet"
    out.write_text("mine", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(FeatureFileError, match="already exists"):
            predict_features(trained["linear"], trained.features, out, force=force)
    assert out.read_text(encoding="utf-8") == "mine"


def test_force_replaces_predictions(trained, tmp_path):
    """With force earlier predictions give way, with and without scores."""
    out = tmp_path / "p.parquet"
    for scores in (True, False, True):
        predict_features(trained["linear"], trained.features, out, extra=ExtraColumns(scores=scores), force=True)
        assert len(pq.read_schema(out).names) == (7 if scores else 4)


def test_predictions_may_stand_below_a_colon(trained, tmp_path, monkeypatch):
    """A relative path that looks like a URL to pyarrow is a path."""
    monkeypatch.chdir(tmp_path)
    assert predict_features(trained["linear"], trained.features, Path("a:b/p.parquet"))["rows"] == 60
    assert len(pq.read_table(tmp_path / "a:b" / "p.parquet")) == 60


def test_class_names_are_written_unchanged(table, tmp_path, points):
    """Names with any characters, also those of our own columns, give one column each."""
    names = ["", "ID", "Zoë, 2/3", "\n'\"", "a.b", "id", "prediction", "score_id", "😀"]
    ids, _, embeddings = points(noise=0.1)
    odd = table(ids, (names * 7)[:60], embeddings)
    train_head(odd, tmp_path / "head")
    predict_features(tmp_path / "head", odd, tmp_path / "p.parquet", extra=ExtraColumns(scores=True))
    actual = pq.read_table(tmp_path / "p.parquet")
    assert actual.column_names[4:] == [f"score_{name}" for name in sorted(names)]
    assert set(actual["prediction"].to_pylist()) <= set(names)


def test_another_backbone_is_refused(trained, table, tmp_path, points):
    """A table of another backbone is refused, and no file appears."""
    other = table(*points(noise=0.1), fingerprint="0" * 64)
    with pytest.raises(MismatchError, match="fingerprint"):
        predict_features(trained["linear"], other, tmp_path / "p.parquet")
    assert not (tmp_path / "p.parquet").exists()


def test_a_broken_table_leaves_no_file(trained, table, tmp_path, points):
    """When reading breaks off, nothing is left behind, neither whole nor half."""
    broken = table(*points(noise=0.1))
    (broken.path / "parts" / "part-000000.parquet").write_bytes(b"PAR1")
    with pytest.raises(FeatureFileError, match="missing or broken"):
        predict_features(trained["linear"], broken, tmp_path / "out" / "p.parquet")
    assert list((tmp_path / "out").iterdir()) == []
