"""Several labels an image, from the command line: lists in a column of the table or of a file."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze
from frieze.api.label_source import open_labelled

NAMES = ["cat", "dog", "sky"]
IDS = [f"{row:03}" for row in range(120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of 120 vectors with lists `tags`, `one` (of one item each) and files of these; and a head of the tags."""
    folder = tmp_path_factory.mktemp("multilabel")
    vectors = np.random.default_rng(0).normal(size=(120, 16)).astype("f4")
    has_label = vectors[:, :3] > [0, 0.5, 1]
    tags = [[NAMES[code] for code in np.flatnonzero(row)] for row in has_label]
    one = [[NAMES[int(row.argmax())]] for row in vectors[:, :3]]
    labels = [NAMES[row % 3] for row in range(120)]
    columns = {"id": IDS, "label": labels, "embedding": list(vectors), "tags": tags, "one": one}
    pq.write_table(pa.table(columns), folder / "v.parquet")
    frieze.import_vectors(folder / "v.parquet", out=folder / "a.features")
    lines = (json.dumps({"id": name, "tags": of_row}) for name, of_row in zip(IDS, tags, strict=True))
    (folder / "tags.jsonl").write_text("\n".join(lines))
    frieze.train(folder / "a.features", label="tags", out=folder / "a.head")
    return folder


@pytest.mark.parametrize("source", [("--label", "tags"), ("--labels", "{}/tags.jsonl", "--label", "tags")])
def test_lists_of_a_column_or_a_file(folder, run_json, run, tmp_path, source):
    """Lists of either place train the same head; the head remembers where they came from, and evaluate reads them."""
    options = [one.format(folder) for one in source]
    code, document = run_json("train", folder / "a.features", *options, "--out", tmp_path / "h.head")
    assert (code, document["multilabel"], document["classes"]) == (0, True, NAMES)
    assert document["map"] == frieze.info(folder / "a.head")["scores"]["map"]
    code, evaluated = run_json("evaluate", tmp_path / "h.head", folder / "a.features")
    assert (code, evaluated["map"], evaluated["labels"]) == (0, document["map"], document["labels"])
    assert frieze.info(tmp_path / "h.head")["multilabel"] is True
    assert "mAP" in run("info", tmp_path / "h.head").stdout
    assert "Macro F1" in run("evaluate", tmp_path / "h.head", folder / "a.features").stdout
    assert run("verify", tmp_path / "h.head").exit_code == 0
    assert "Surest mistakes" in (tmp_path / "h.head" / "report.html").read_text()


def test_lists_of_one_item_are_labels(folder, run_json, tmp_path):
    """A column of lists with exactly one item each is one of ordinary labels, for every command."""
    code, document = run_json("train", folder / "a.features", "--label", "one", "--out", tmp_path / "h.head")
    assert (code, document["classes"]) == (0, NAMES)
    assert "multilabel" not in document
    code, document = run_json("compare", folder / "a.features", "--label", "one", "--heads", "linear,prototype")
    assert (code, document["classes"]) == (0, NAMES)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """The folder of a table of six vectors whose columns are lists of all kinds."""
    folder = tmp_path_factory.mktemp("odd")
    columns = {
        "fixed": pa.array([["a", "b"], None, ["b", None]] * 2, pa.list_(pa.string(), 2)),
        "large": pa.array([["a", "b"], [], None] * 2, pa.large_list(pa.string())),
        "numbers": [[1.0, 2.5], [float("nan")], None] * 2,
        "missing": [["a", None], ["", "b"], ["a"]] * 2,
        "pairs": [[{"first": "a"}]] * 6,
        "text": ['["a", "b"]', "[]", None] * 2,
    }
    vectors = list(np.eye(6, dtype="f4"))
    pq.write_table(pa.table({"id": IDS[:6], "embedding": vectors} | columns), folder / "v.parquet")
    frieze.import_vectors(folder / "v.parquet", out=folder / "a.features")
    return folder


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("fixed", [["a", "b"], None, ["b"]]),
        ("large", [["a", "b"], [], None]),
        ("numbers", [["1", "2.5"], [], None]),
        ("missing", ["a", "b", "a"]),
    ],
)
def test_lists_of_any_type(odd, column, expected):
    """Lists of any type and of numbers are labels, missing items are none, and one that is left is the label."""
    table, _ = open_labelled(odd / "a.features", labels=None, label=column)
    assert table.rows["label"].to_pylist() == expected * 2


def test_lists_of_what_is_no_label(odd, run, tmp_path):
    """Lists of structs are refused in a sentence."""
    result = run("train", odd / "a.features", "--label", "pairs", "--out", tmp_path / "h.head")
    assert result.exit_code == 1
    assert "labels are text, numbers or dates, or lists of these" in result.stderr


@pytest.mark.parametrize("is_file", [False, True])
def test_lists_that_are_texts_are_told(odd, tmp_path, is_file):
    """Labels that are the JSON of lists, as in a CSV, are classes, and a note says what to write instead."""
    rows = zip(IDS, ['"[""a"", ""b""]"', "[]", "c"], strict=False)
    (tmp_path / "l.csv").write_text("id,text\n" + "".join(f"{name},{label}\n" for name, label in rows))
    labels = tmp_path / "l.csv" if is_file else None
    (note,) = open_labelled(odd / "a.features", labels=labels, label="text")[1]["label_notes"]
    n = 2 if is_file else 4
    assert f'each of them one class: {n}, such as ["a", "b"]. For several labels an image write lists' in note


def test_lines_with_a_list_or_a_single_label(odd, tmp_path):
    """In JSON lines a single label is a list of one where other lines have lists; null and an empty text are none."""
    labels = [["a", "b"], "a", None, "", 3, []]
    lines = [json.dumps({"id": name, "tags": one}) for name, one in zip(IDS, labels, strict=False)]
    (tmp_path / "l.jsonl").write_text("\n".join(lines))
    table, _ = open_labelled(odd / "a.features", labels=tmp_path / "l.jsonl", label="tags")
    assert table.rows["label"].to_pylist() == [["a", "b"], ["a"], None, None, ["3"], []]


def test_predictions_are_lists(folder, run, run_json, tmp_path):
    """`predict` gives the labels of each image, in a file, as JSON and as a table."""
    line = ("predict", folder / "a.head", folder / "a.features")
    code, document = run_json(*line)
    head = frieze.open_multilabel_head(folder / "a.head")
    expected = head.predict(frieze.open_features(folder / "a.features").embeddings())
    assert (code, [row["prediction"] for row in document["predictions"]]) == (0, expected)
    assert run(*line, "--scores", "--out", tmp_path / "p.parquet").exit_code == 0
    assert pq.read_table(tmp_path / "p.parquet").column_names[-3:] == ["score_cat", "score_dog", "score_sky"]
    assert "cat" in run(*line).stdout


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train {0}/a.features --label tags --head knn --out {1}", "A knn head takes one label an image"),
        ("train {0}/a.features --label tags --shots 2 --out {1}", "--shots is for one label an image"),
        ("compare {0}/a.features --label tags", "The labels are lists; this takes one label an image"),
        ("predict {0}/a.head {0}/a.features --confidence 0.9", "predicts several labels an image, by a threshold each"),
        ("drift {0}/a.head {0}/a.features", "this takes a head of one label an image"),
        ("export {0}/a.head --out {1}", "this takes a head of one label an image"),
        ("evaluate {0}/a.head {0}/a.features --label label", "Each image has one label; this takes lists"),
        ("predict {0}/a.head {0}/a.features --ray auto", "a million in seconds in one process"),
    ],
)
def test_what_takes_one_label_says_so(folder, run, tmp_path, line, message):
    """A command or option for one label an image refuses lists and their heads in a sentence, and writes nothing."""
    result = run(*line.format(folder, tmp_path / "out").split())
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert message in result.stderr


def test_a_head_is_replaced_by_one_of_the_other_kind(folder, run_json, tmp_path):
    """With --force a head of lists takes the place of one of labels, and the other way round."""
    shutil.copytree(folder / "a.head", tmp_path / "h.head")
    line = ("train", folder / "a.features", "--out", tmp_path / "h.head", "--force", "--label")
    assert frieze.info(tmp_path / "h.head")["multilabel"] is True
    assert run_json(*line, "one")[0] == 0
    assert frieze.info(tmp_path / "h.head")["multilabel"] is False
    assert run_json(*line, "tags")[0] == 0
    assert frieze.info(tmp_path / "h.head")["multilabel"] is True


def test_lists_are_audited(folder, run, run_json, tmp_path):
    """`audit` of lists finds labels that may be missing or wrong, also as pictures; the line tells the mAP."""
    line = ("audit", folder / "a.features", "--label", "tags", "--out", tmp_path / "f.csv")
    code, document = run_json(*line, "--html", tmp_path / "f.html")
    assert code == 0
    assert document["counts"]["missing_label"] + document["counts"]["wrong_label"] > 0
    assert document["map"] > 0.5
    assert "Labels that may be missing" in (tmp_path / "f.html").read_text()
    assert "mAP" in run(*line, "--force").stderr
