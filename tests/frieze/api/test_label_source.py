"""Labels from a column or a file, for train, evaluate, compare and audit."""

import json
import shlex
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze
from frieze.classifiers import open_head
from frieze.core import InputError

LABELS = np.array(["cat", "dog"])[np.arange(80) % 2]
KINDS = np.array(["young", "old"])[np.arange(80) // 2 % 2]
IDS = [f"{row:02}" for row in range(80)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of 80 images, whose vectors separate label and kind; one without the kinds; and files of these."""
    folder = tmp_path_factory.mktemp("labelling")
    vectors = 0.12 * np.random.default_rng(0).normal(size=(80, 32)).astype("f4")
    vectors[np.arange(80), (LABELS == "dog") * 1] += 1
    vectors[np.arange(80), 2 + (KINDS == "old")] += 1
    columns = {
        "kind": [None if row < 4 else kind for row, kind in enumerate(KINDS)],
        "year": pa.array(np.where(KINDS == "old", 1900, 2020)),
        "gap": pa.array([np.nan, *np.where(KINDS == "old", 0.5, 2)[1:]]),
        "blank": ["", *KINDS[1:]],
        "pair": [{"first": 1}] * 80,
        "shot": [row // 8 for row in range(80)],
        "lost": pa.nulls(80, pa.string()),
    }
    pq.write_table(pa.table({"id": IDS, "label": LABELS, "embedding": list(vectors)} | columns), folder / "v.parquet")
    frieze.import_vectors(folder / "v.parquet", out=folder / "a.features")
    (part,) = (shutil.copytree(folder / "a.features", folder / "bare.features") / "parts").iterdir()
    pq.write_table(pq.read_table(part).drop_columns("kind"), part)
    kinds = {"id": [*IDS[4:], "ghost"], "kind": [*KINDS[4:], "young"]}
    pq.write_table(pa.table(kinds), folder / "kinds.parquet")
    rows = list(zip(*kinds.values(), strict=True))
    (folder / "kinds.csv").write_text("id,kind\n" + "".join(f"{name},{kind}\n" for name, kind in rows))
    (folder / "kinds.tsv").write_text("id\tlabel\n" + "".join(f"{name}\t{kind}\n" for name, kind in rows))
    lines = (json.dumps({"path": name, "class": kind}) for name, kind in rows)
    (folder / "kinds.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def heads(folder):
    """A head for each way: `stored`, `column`, `file` (a copy of kinds.csv, named mine.csv), and its document."""
    shutil.copy(folder / "kinds.csv", folder / "mine.csv")
    ways = {"stored": {}, "column": {"label": "kind"}, "file": {"labels": folder / "mine.csv", "label": "kind"}}
    options = {"head": "prototype"}
    return {
        way: frieze.train(folder / "a.features", out=folder / f"{way}.head", **requested, **options)
        for way, requested in ways.items()
    }


def predicted(folder, way):
    """Return the prediction of a head for each image."""
    labels, _ = open_head(folder / f"{way}.head").predict(frieze.open_features(folder / "a.features").embeddings())
    return labels.tolist()


def test_a_column_is_learnt(folder, heads):
    """With --label the values of a column are learned instead of the stored labels, except nulls."""
    assert predicted(folder, "stored") == LABELS.tolist()
    assert predicted(folder, "column") == KINDS.tolist()
    assert heads["column"]["classes"] == ["old", "young"]
    assert (heads["stored"]["n_unlabelled"], heads["column"]["n_unlabelled"]) == (0, 4)
    assert heads["column"]["n_train"] + heads["column"]["n_test"] == 76


def test_a_file_is_learnt(folder, heads):
    """With --labels a file is joined by id; images that it does not name are left out."""
    assert predicted(folder, "file") == KINDS.tolist()
    same = ("accuracy", "classes", "n_train", "n_test", "n_unlabelled")
    assert [heads["file"][name] for name in same] == [heads["column"][name] for name in same]


def test_documents_name_the_source_of_labels(folder, heads):
    """`labels` is the column, or the file and its column, or null; `unmatched_labels` counts rows left over."""
    mine = {"file": str(folder / "mine.csv"), "column": "kind"}
    command = {way: (document["labels"], document["unmatched_labels"]) for way, document in heads.items()}
    assert command == {"stored": (None, None), "column": ({"column": "kind"}, None), "file": (mine, 1)}
    noted = {way: json.loads((folder / f"{way}.head" / "head.json").read_text()).get("labels") for way in heads}
    assert noted == {"stored": None, "column": {"column": "kind"}, "file": mine}


@pytest.mark.parametrize(("column", "classes", "n_unlabelled"), [
    ("year", ["1900", "2020"], 0), ("gap", ["0.5", "2"], 1), ("blank", ["old", "young"], 1),
    ("label", ["cat", "dog"], 0),
])  # fmt: skip
def test_values_are_text(folder, run_json, tmp_path, column, classes, n_unlabelled):
    """Values of any plain type are labels as text; what is empty or no number is none."""
    line = ("train", folder / "a.features", "--out", tmp_path / "h", "--head", "prototype", "--label", column)
    code, document = run_json(*line)
    assert (code, document["classes"], document["n_unlabelled"]) == (0, classes, n_unlabelled)


@pytest.mark.parametrize("options", [
    ("kinds.csv", "--label", "kind"), ("kinds.parquet", "--label", "kind"), ("kinds.tsv",), ("kinds.jsonl",),
])  # fmt: skip
def test_each_kind_of_file(folder, run, run_json, options):
    """CSV, TSV, JSONL and Parquet yield the same, under usual names or named ones; stderr reports unmatched rows."""
    file, *label = options
    line = ("compare", folder / "a.features", "--heads", "prototype", "--labels", folder / file, *label)
    code, document = run_json(*line)
    assert (code, document["classes"], document["unmatched_labels"]) == (0, ["old", "young"], 1)
    assert document["rows"][0]["accuracy"] == 1
    assert "Note: rows of labels that name no image: 1.\n" in run(*line).stderr


def test_a_file_matched_by_name(folder, run, run_json, tmp_path):
    """Where no id of the file is an image's, rows are matched by file name; a note says so, and what is missing."""
    rows = [f"x/{name}.jpg,{kind if row else 'NaN'}\n" for row, (name, kind) in enumerate(zip(IDS, KINDS, strict=True))]
    (tmp_path / "kinds.csv").write_text("id,kind\n" + "".join(rows))
    line = (
        "compare",
        folder / "a.features",
        "--heads",
        "prototype",
        "--labels",
        tmp_path / "kinds.csv",
        "--label",
        "kind",
    )
    code, document = run_json(*line)
    assert (code, document["classes"], document["unmatched_labels"]) == (0, ["old", "young"], 0)
    stderr = run(*line).stderr
    assert [note in stderr for note in document["label_notes"]] == [True, True]
    assert "kinds.csv was matched by file name without its extension" in stderr
    assert "read as missing: NaN (1)" in stderr


REFUSED = {
    ("--label", "nosuch"): "a.features has no column nosuch; there are: id, uri, label,",
    ("--label", "pair"): "The column pair is of type struct",
    ("--label", "lost"): "None of the 80 rows has a label.",
    ("--labels", "nosuch.csv"): "nosuch.csv can't be read: No such file or directory",
    ("--labels", "folder"): "--labels is {}/folder, which is no table of labels.",
    ("--labels", "others.csv"): "names no image of the table: its ids are x, y, the table's 00, 01,",
    ("--labels", "twice.csv"): "twice.csv names 1 id more than once: 00.",
    ("--labels", "kinds.csv"): "kinds.csv has no column of labels; there are: id, kind.",
    ("--labels", "kinds.csv", "--label", "label"): "has no column of labels of the name label; there are: id, kind.",
}


@pytest.mark.parametrize("options", REFUSED, ids=" ".join)
@pytest.mark.parametrize(
    "command", ["train {a} --out {out}", "evaluate {head} {a}", "compare {a}", "audit {a} --out {out}.csv"]
)
def test_refusals(folder, heads, run, tmp_path, command, options):
    """A column or file that can't be used ends with exit code 1 and says why; nothing is written."""
    (folder / "others.csv").write_text("id,label\nx,a\ny,b\n")
    (folder / "twice.csv").write_text("id,label\n00,a\n00,b\n")
    paths = {"a": folder / "a.features", "head": folder / "stored.head", "out": tmp_path / "out"}
    option, value, *rest = options
    value = folder / value if option == "--labels" else value
    result = run(*command.format(**paths).split(), option, value, *rest)
    assert (result.exit_code, result.stdout, list(tmp_path.iterdir())) == (1, "", [])
    assert REFUSED[options].format(folder) in result.stderr
    assert len(result.stderr.splitlines()) == 2  # what is wrong, then the mend


@pytest.mark.parametrize("way", ["stored", "column", "file"])
def test_evaluate_takes_the_labels_of_training(folder, heads, run_json, way):
    """On its own table a head has the figures of its training, whose labels need not be named again."""
    code, document = run_json("evaluate", folder / f"{way}.head", folder / "a.features")
    same = ("accuracy", "classes", "n_test", "n_unlabelled", "labels", "unmatched_labels", "macro_f1")
    assert (code, document["n_unknown_label"]) == (0, 0)
    assert {name: document[name] for name in same} == {name: heads[way][name] for name in same}


@pytest.mark.parametrize("options", [("--label", "label"), ("--labels", "LABELS")])
def test_evaluate_takes_other_labels(folder, heads, run, tmp_path, options):
    """Named labels count before those of training; here they are none that the head knows."""
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{name},cat\n" for name in IDS))
    args = [tmp_path / "labels.csv" if word == "LABELS" else word for word in options]
    result = run("evaluate", folder / "column.head", folder / "a.features", *args)
    assert result.exit_code == 1
    assert "rows with a label that the head does not know" in result.stderr


def test_evaluate_names_the_missing_column(folder, heads, run):
    """A table without the column of the head's labels is refused, with what to type."""
    result = run("evaluate", folder / "column.head", folder / "bare.features")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"bare.features has no column kind, which the labels of {folder}/column.head came from." in result.stderr
    assert "--label label for those stored in the table" in result.stderr


def test_evaluate_names_the_missing_file(folder, heads, run):
    """A head whose file of labels is missing requires another."""
    moved = shutil.move(folder / "mine.csv", folder / "elsewhere.csv")
    result = run("evaluate", folder / "file.head", folder / "a.features")
    given = run("evaluate", folder / "file.head", folder / "a.features", "--labels", moved, "--label", "kind")
    shutil.move(moved, folder / "mine.csv")
    assert (result.exit_code, given.exit_code) == (1, 0)
    assert (
        f"The labels of {folder}/file.head came from {folder}/mine.csv, which is not there any more." in result.stderr
    )


def test_predict_needs_no_labels(folder, heads, run, tmp_path):
    """A head of a column predicts on a table without that column."""
    line = ("predict", folder / "column.head", folder / "bare.features", "--out", tmp_path / "p.parquet")
    assert run(*line).exit_code == 0
    assert pq.read_table(tmp_path / "p.parquet")["prediction"].to_pylist() == KINDS.tolist()


def test_audit_looks_through_a_file(folder, run_json, tmp_path):
    """An audit of a file of labels finds the wrong one that is planted in it first."""
    kinds = ["old" if row == 4 else kind for row, kind in enumerate(KINDS)]
    (tmp_path / "k.csv").write_text("id,label\n" + "".join(f"{n},{k}\n" for n, k in zip(IDS, kinds, strict=True)))
    line = ("audit", folder / "a.features", "--out", tmp_path / "f.parquet", "--labels", tmp_path / "k.csv")
    code, document = run_json(*line)
    actual = [(row["id"], row["label"], row["suggested"]) for row in document["first"]["label"]]
    assert (code, actual[0], document["unmatched_labels"]) == (0, ("04", "old", "young"), 0)
    assert document["labels"] == {"file": str(tmp_path / "k.csv"), "column": "label"}


def test_several_tables_under_one_column(folder):
    """Compared tables are labelled alike; one without the column is refused by name."""
    tables = [folder / "a.features", folder / "bare.features"]
    document = frieze.compare(tables, heads="prototype", labels=folder / "kinds.tsv")
    assert (len(document["rows"]), document["n_left_out"]) == (2, 0)
    with pytest.raises(InputError, match=r"bare\.features has no column kind"):
        frieze.compare(tables, heads="prototype", label="kind")


def test_the_command_to_train_again_runs(folder, run, run_json, tmp_path):
    """After the table has changed, the command that is reported makes a head of the same labels, split and options."""
    table, head = shutil.copytree(folder / "a.features", tmp_path / "a.features"), tmp_path / "my head"
    line = ("train", table, "--out", head, "--head", "prototype", "--label", "kind", "--group", "shot")
    assert run(*line, "--balanced", "--abstain", "0.9").exit_code == 0
    before = json.loads((head / "head.json").read_text())
    manifest = json.loads((table / "features.json").read_text())
    manifest["parts"][0]["sha256"] = "0" * 64  # as if it had been written anew
    (table / "features.json").write_text(json.dumps(manifest))
    command = run_json("evaluate", head, table)[1]["stale"].partition("Train again with: frieze ")[2]
    assert run(*shlex.split(command)).exit_code == 0
    after = json.loads((head / "head.json").read_text())
    assert after["features"]["generation"] != before["features"]["generation"]
    same = ("head", "labels", "split", "recipe", "classes")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["scores"]["abstain"] == before["scores"]["abstain"]
