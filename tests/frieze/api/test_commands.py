"""Each command: its document, its exit code and its output."""

import functools
import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import frieze
from frieze.cli.main import main
from frieze.indexing.build.choose_kind import Speed

DOCUMENTS = {
    "embed": "images embedded unchanged removed failed ignored seconds images_per_second dim backbone engine precision "
    "stages startup_seconds",
    "embed --dry-run": "images to_embed unchanged removed ignored seconds images_per_second bytes dim backbone",
    "import": "rows imported unchanged failed failures dim backbone seconds out",
    "verify": "ok problems rows",
    "index": "rows dim kind recipe metric recall_at_10 ms_per_query bytes build_seconds peak_memory_bytes",
    "label": "head accuracy classes templates logit_scale n_train n_test is_calibrated seconds",
    "train": "head accuracy macro_f1 classes n_train n_test seconds fit_seconds confidence_interval "
    "expected_calibration_error",
    "evaluate": "head accuracy macro_f1 classes n_train n_test seconds fit_seconds confidence_interval "
    "expected_calibration_error",
    "finetune": "accuracy probe_accuracy macro_f1 epochs n_train n_test seconds",
    "compare": "rows classes n_train n_test n_left_out",
    "predict": "rows failed",
    "export": "out head classes checked largest_difference bytes seconds",
    "search": "index k where queries",
    "duplicates": "groups rows index min_score stale n_exact n_near n_duplicates",
    "neighbours": "features out rows k edges metric kind recall recall_rows n_zero seconds stale",
    "audit": "counts first rows n_unlabelled n_judged accuracy cost small_classes min_score features out seconds",
}
"""The fields that others rely on (docs/json.md)."""
UNREAD = {
    *("ignored", "ignored_formats", "unread_pictures", "hidden", "unread_shards"),
    *("first_of_several", "colour_profiles", "converted_profiles", "unusable_profiles", "white_by_transparency"),
}
"""Fields of `predict` for images only."""
GAPS = {"n_without_part", "similar_labels", "test_copies", "unjudged", "untested_classes"}
"""Fields of `train` for some splits only."""
MOVED = {"script", "moved", "moved_bytes", "moved_to", "emptied", "moved_back", "left", "undo"}
"""Fields of `duplicates` with `--script`, `--move-to` and `--undo` only."""
QUICK = ("--unfreeze", "top", "--epochs", "1", "--no-augment")


@pytest.fixture(scope="module")
def lines_into(world, text_world, residual):
    """`lines_into(folder)`: a call of each command on the small world, which writes into the folder."""
    return functools.partial(make_lines, world, text_world, residual)


def make_lines(world, text_world, residual, folder):
    """Return name -> the words of the call."""
    np.save(folder / "vectors.npy", np.eye(4, dtype=np.float32))
    features, index, head = (world / f"photos.{kind}" for kind in ("features", "index", "head"))
    return {
        "embed": ("embed", world / "photos", "--out", features),
        "embed --dry-run": ("embed", world / "photos", "--out", folder / "features", "--dry-run"),
        "import": ("import", folder / "vectors.npy", "--out", folder / "imported"),
        "verify": ("verify", features, "--sample", "2"),
        "index": ("index", features, "--out", folder / "index"),
        "label": ("label", text_world / "text.features", "--classes", "red,blue", "--out", folder / "label"),
        "train": ("train", features, "--out", folder / "head"),
        "evaluate": ("evaluate", head, features),
        "finetune": ("finetune", world / "photos", "--out", folder / "tuned", "--backbone", residual, *QUICK),
        "compare": ("compare", features, "--heads", "prototype,ridge"),
        "predict": ("predict", head, features, "--out", folder / "p.parquet"),
        "export": ("export", head, "--out", folder / "model"),
        "search": ("search", index, "id:red/0.png"),
        "duplicates": ("duplicates", index),
        "neighbours": ("neighbours", features, "--out", folder / "graph.parquet"),
        "audit": ("audit", features, "--out", folder / "findings.parquet"),
    }


@pytest.fixture(scope="module")
def printed(lines_into, tmp_path_factory):
    """`printed(name)`: what that call prints on stdout with --json; each is run once."""
    lines = lines_into(tmp_path_factory.mktemp("printed"))
    return functools.cache(lambda name: CliRunner().invoke(main, [*map(str, lines[name]), "--json"]).stdout)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_have_the_promised_fields(name, printed):
    """Each command's document has every field that others rely on."""
    document = json.loads(printed(name))
    assert set(DOCUMENTS[name].split()) <= set(document)


@pytest.mark.parametrize("name", ["embed", "embed --dry-run", "verify", "train", "evaluate", "predict"])
def test_few_lines_for_people(name, lines_into, tmp_path, run):
    """Without --json a command prints one to six lines of plain text."""
    result = run(*lines_into(tmp_path)[name])
    printed = result.stdout.splitlines()
    assert result.exit_code in (0, 3)  # 3: an image of the world can't be used
    assert 1 <= len(printed) <= 6
    assert not re.search(r"None|nan|[{}\[\]]", result.stdout)


FEW_LINES = {
    "cache": "",
    "compare": "{photos}.features --heads prototype,ridge",
    "config": "",
    "duplicates": "{photos}.index",
    "export csv": "{photos}.features --format csv --out {out}.csv",
    "export datasets": "{photos}.features --format datasets --out {out}.parquet",
    "export embedding-atlas": "{photos}.features --format embedding-atlas --out {out}.parquet",
    "export fiftyone": "{photos}.features --format fiftyone --out {out}",
    "export lance": "{photos}.features --format lance --out {out}.lance",
    "index": "{photos}.features --out {out}",
    "info features": "{photos}.features",
    "info head": "{photos}.head",
    "info index": "{photos}.index",
    "look": "{photos} --no-browser",
    "map": "{photos}.features --out {out}.html",
}


@pytest.mark.parametrize("name", FEW_LINES)
def test_few_lines_of_other_commands(name, world, tmp_path, run, monkeypatch):
    """Without --verbose and --json other commands print six lines at most, those on stderr included."""
    monkeypatch.setattr("frieze.api.looking.serve_at", lambda *_, **__: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    arguments = FEW_LINES[name].format(photos=world / "photos", out=tmp_path / "out").split()
    result = run(name.split()[0], *arguments)
    assert result.exit_code == 0, result.output
    assert len(result.output.splitlines()) <= 6


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_field_is_documented(name, printed):
    """docs/json.md documents each field of each document, and no other field."""
    document = json.loads(printed(name))
    page = (Path(__file__).parents[3] / "docs" / "json.md").read_text()
    (section,) = [one for one in page.split("\n## ") if name in one.splitlines()[0].split(", ")]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert set(document) <= documented
    assert documented - set(document) <= {
        "abstain",
        "cluster_notes",
        "float32_layers",
        "learning_curve",
        "naive_accuracy",
        "narrow_range",
        "nodes",
        "notes",
        "predictions",
        "setting",
        "shots",
        "start",
        "tried",
        *({"classes", "files", "stale"} if name == "verify" else ()),
        *(UNREAD if name == "predict" else ()),
        *({"remembered", "changed", "constant", "peak_memory_bytes"} | GAPS if name == "evaluate" else ()),
        *({"n_copies", "n_relatives", "unknown_labels"} if name == "train" else ()),
        *({"opened_by"} if name == "export" else ()),  # of tables
        *({"members"} | MOVED if name == "duplicates" else ()),  # `members` of each group
        "converged",
        "failures",
        "n_unknown_label",
        "note",
        "out",
        "report",
        "rows",
        "stale",
    }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_stdout_is_one_document_with_sorted_keys(name, printed):
    """With --json stdout holds one JSON document, keys sorted, and nothing else."""
    stdout = printed(name)
    assert stdout == json.dumps(json.loads(stdout), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def test_embed_counts_and_exits_3(world, run_json):
    """A run that skipped some inputs says how many, and its exit code is 3."""
    code, document = run_json("embed", world / "photos", "--out", world / "photos.features")
    counts = {name: document[name] for name in ("images", "embedded", "unchanged", "removed", "failed", "ignored")}
    assert code == 3
    assert counts == {"images": 31, "embedded": 0, "unchanged": 30, "removed": 0, "failed": 1, "ignored": 1}


def test_embed_stages_are_four(world, run_json):
    """The waits are reported for reading, decoding, inferring and writing."""
    _, document = run_json("embed", world / "photos", "--out", world / "photos.features")
    assert set(document["stages"]) == {"read", "decode", "infer", "write"}


def test_search_finds_the_image_itself_first(world, run_json):
    """A stored image is its own nearest, with a cosine of 1; hits come best first with id, score, label and uri."""
    code, document = run_json("search", world / "photos.index", "id:red/0.png", "-k", 4)
    hits = document["queries"][0]["hits"]
    assert code == 0
    assert (hits[0]["id"], round(hits[0]["score"], 5)) == ("red/0.png", 1.0)
    assert [hit["label"] for hit in hits] == ["red"] * 4
    assert sorted((hit["score"] for hit in hits), reverse=True) == [hit["score"] for hit in hits]
    assert hits[0]["uri"] == str(world / "photos" / "red" / "0.png")


def test_search_with_a_filter(world, run_json):
    """With --where only images that pass are hits, k of them where so many pass; the stored query need not pass."""
    line = ("search", world / "photos.index", "id:red/0.png", "-k", 4, "--where")
    code, document = run_json(*line, "label in ('blue', 'green') and width = 64")
    hits = document["queries"][0]["hits"]
    assert (code, document["where"], document["k"]) == (0, "label in ('blue', 'green') and width = 64", 4)
    assert len(hits) == 4
    assert {hit["label"] for hit in hits} <= {"blue", "green"}
    assert [hit["id"] for hit in run_json(*line, "id = 'blue/3.png'")[1]["queries"][0]["hits"]] == ["blue/3.png"]
    assert run_json(*line, "label is null")[1]["queries"][0]["hits"] == []


def test_search_without_a_filter(world, run_json):
    """Without --where the document's `where` is null."""
    assert run_json("search", world / "photos.index", "id:red/0.png")[1]["where"] is None


def test_search_takes_images_ids_and_vectors_together(world, run_json, tmp_path):
    """Queries of all three kinds return the same hits for the same image, in the order of the queries."""
    table = frieze.open_features(world / "photos.features")
    np.save(tmp_path / "two.npy", table.embeddings()[[5, 25]])
    queries = ["id:green/3.png", world / "photos" / "green" / "3.png", tmp_path / "two.npy"]
    _, document = run_json("search", world / "photos.index", *queries, "-k", 1)
    first = [(one["query"], one["hits"][0]["id"]) for one in document["queries"]]
    names = [str(queries[0]), str(queries[1]), f"{queries[2]}[0]", f"{queries[2]}[1]"]
    assert first == list(zip(names, ["green/3.png", "green/3.png", table.ids[5], table.ids[25]], strict=True))


def test_min_score_leaves_out_what_is_below(world, run_json):
    """With --min-score only nearer hits remain."""
    _, document = run_json("search", world / "photos.index", "id:red/0.png", "--min-score", "0.99999", "-k", 30)
    assert [hit["id"] for hit in document["queries"][0]["hits"]] == ["red/0.png"]


@pytest.mark.parametrize("query", ["id:no-such", "missing.jpg", "missing.npy"])
def test_search_refuses_what_is_not_there(world, run, query):
    """An unknown id, image or file of vectors ends with exit code 1 and its name."""
    result = run("search", world / "photos.index", query)
    assert result.exit_code == 1
    assert query.removeprefix("id:") in result.stderr


def test_search_prints_a_table_for_programs(world, run):
    """Into a pipe goes one TSV table, whatever the number of queries."""
    result = run("search", world / "photos.index", "id:blue/1.png", "id:red/2.png", "-k", 2)
    head, *lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert head == ["query", "score", "label", "id"]
    assert [line[0] for line in lines] == ["id:blue/1.png"] * 2 + ["id:red/2.png"] * 2
    assert [lines[0][3], lines[2][3]] == ["blue/1.png", "red/2.png"]
    assert result.stderr == ""


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_hits_in_a_file(suffix, world, run_json, tmp_path):
    """The hits of all queries go into one table, in the form that the suffix says; another suffix is refused."""
    out, line = tmp_path / f"h.{suffix}", ("search", world / "photos.index", "id:blue/1.png", "id:red/2.png", "-k", 3)
    code, document = run_json(*line, "--out", out)
    read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": functools.partial(pd.read_json, lines=True)}
    table = read[suffix](out)
    assert (code, document["out"], table["rank"].tolist()) == (0, str(out), [1, 2, 3, 1, 2, 3])
    hits = [hit for actual in document["queries"] for hit in actual["hits"]]
    assert table["id"].tolist() == [hit["id"] for hit in hits]
    np.testing.assert_allclose(table["score"], [hit["score"] for hit in hits], rtol=1e-6)
    assert table["width"].tolist() == [64] * 6


def test_search_prints_a_table_for_people(world, run, monkeypatch):
    """On a terminal the hits come as lines with score, label and id."""
    monkeypatch.setattr("frieze.terminal.is_terminal", lambda: True)
    lines = run("search", world / "photos.index", "id:blue/1.png", "-k", 2).stdout.splitlines()
    assert any("blue/1.png" in line and "1" in line for line in lines)


def test_predict_on_features_and_images_agree(world, run_json, tmp_path):
    """New images get the predictions that their stored features get."""
    run_json("predict", world / "photos.head", world / "photos.features", "--out", tmp_path / "a.parquet")
    code, document = run_json("predict", world / "photos.head", world / "photos", "--out", tmp_path / "b.parquet")
    stored, fresh = pq.read_table(tmp_path / "a.parquet"), pq.read_table(tmp_path / "b.parquet")
    assert (code, document["rows"], document["failed"]) == (3, 30, 1)
    assert fresh.column_names == ["id", "prediction", "probability", "familiarity"]
    assert fresh.select(["id", "prediction"]).equals(stored.select(["id", "prediction"]))
    for name in ("probability", "familiarity"):
        assert np.allclose(fresh[name], stored[name], atol=1e-3)


def test_predict_a_table_by_workers(world, run, tmp_path):
    """Nothing of a table is embedded, so no worker that does has cores; the message says so."""
    line = ("predict", world / "photos.head", world / "photos.features", "--out", tmp_path / "a.parquet")
    result = run(*line, "--ray", "auto", "--cpus-per-worker", "2")
    assert (result.exit_code, "Leave --cpus-per-worker out" in result.stderr) == (1, True)


def test_predict_reports_what_it_does_not_read(world, run, run_json, tmp_path):
    """For a folder it reports what is ignored, as `embed` does; for a table it reports nothing."""
    result = run("predict", world / "photos.head", world / "photos", "--out", tmp_path / "a.parquet")
    assert "Note: files that are no images and are ignored: 1 (1 .txt)." in result.stderr
    _, document = run_json("predict", world / "photos.head", world / "photos", "--out", tmp_path / "b.parquet")
    assert (document["ignored"], document["ignored_formats"]) == (1, {".txt": 1})
    _, document = run_json("predict", world / "photos.head", world / "photos.features", "--out", tmp_path / "c.parquet")
    assert "ignored" not in document


def test_predict_by_another_network_is_refused_before_embedding(world, run, monkeypatch, tmp_path):
    """Where the head's network was replaced by another, no image is embedded."""
    monkeypatch.setattr("frieze.embedder.backbones.fingerprint.of_file", lambda *_: "another")
    monkeypatch.setattr("frieze.embedder.job.run.Run.embed", lambda *_: pytest.fail("it embeds"))
    result = run("predict", world / "photos.head", world / "photos", "--out", tmp_path / "p.parquet")
    assert result.exit_code == 1
    assert f"{world / 'photos.head'} holds those of" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_predict_leaves_nothing_else_behind(world, run_json, tmp_path):
    """The temporary embeddings of a prediction are removed."""
    run_json("predict", world / "photos.head", world / "photos" / "red", "--out", tmp_path / "p.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


def test_predict_does_not_overwrite(world, run, tmp_path):
    """Predictions are replaced with --force alone, and anything else not even then."""
    mine, out = tmp_path / "mine.txt", tmp_path / "p.parquet"
    mine.write_text("mine")
    line = ("predict", world / "photos.head", world / "photos.features", "--out")
    assert [run(*line, mine, *force).exit_code for force in ([], ["--force"])] == [1, 1]
    assert [run(*line, out, *force).exit_code for force in ([], [], ["--force"])] == [0, 1, 0]
    assert mine.read_text() == "mine"


def test_heads_agree_from_python_and_command_line(world, run_json, tmp_path):
    """The same features, head and seed yield the same figures either way."""
    python = frieze.train(world / "photos.features", out=tmp_path / "a", head="svm", seed=3)
    features = world / "photos.features"
    _, line = run_json("train", features, "--out", tmp_path / "b", "--head", "svm", "--seed", 3)
    same = ("accuracy", "macro_f1", "n_train", "n_test", "confidence_interval", "expected_calibration_error")
    assert {name: python[name] for name in same} == {name: line[name] for name in same}


def test_a_kernel_is_chosen_either_way(world, run_json, tmp_path):
    """An svm with an RBF kernel is named svm-rbf in the document, from Python and the command line alike."""
    features = world / "photos.features"
    python = frieze.train(features, out=tmp_path / "a", head="svm", kernel="rbf")
    _, line = run_json("train", features, "--out", tmp_path / "b", "--head", "svm", "--kernel", "rbf")
    assert (python["head"], line["head"]) == ("svm-rbf", "svm-rbf")
    assert python["expected_calibration_error"] == line["expected_calibration_error"]


def test_only_svm_has_a_kernel(world, run, tmp_path):
    """--kernel rbf of another head is refused with what to type, before anything is written."""
    result = run("train", world / "photos.features", "--out", tmp_path / "a", "--head", "knn", "--kernel", "rbf")
    assert result.exit_code == 1
    assert "The head knn has no kernel rbf" in result.stderr
    assert "--head svm --kernel rbf" in result.stderr
    assert not (tmp_path / "a").exists()


def test_train_writes_a_report(world):
    """A head's folder holds a page with its classes."""
    page = (world / "photos.head" / "report.html").read_text()
    assert all(f"<th>{name}</th>" in page for name in ("blue", "green", "red"))


@pytest.mark.parametrize("kind", ["features", "index", "head"])
def test_info_knows_our_folders(world, run_json, kind):
    """Info says of each folder which kind it is."""
    assert run_json("info", world / f"photos.{kind}")[1]["kind"] == kind


def test_info_counts_labels_and_failures(world, run_json):
    """Info on features counts rows by label and failures by reason."""
    _, document = run_json("info", world / "photos.features")
    assert document["labels"] == {"blue": 10, "green": 10, "red": 10}
    assert document["failures"] == {"not an image": 1}
    assert document["counts"] == {"rows": 30, "failed": 1, "ignored": 1}


def test_a_search_without_hits_says_so(world, run):
    """Where no image passes the filter, a line says that, beside an empty table; with a hit it says nothing."""
    line = ("search", world / "photos.index", "id:red/0.png", "--where")
    empty, with_hits = run(*line, "label = 'none'"), run(*line, "label = 'red'")
    assert (empty.exit_code, with_hits.exit_code) == (0, 0)
    assert "no image passes the filter" in empty.stderr
    assert "no image passes" not in with_hits.stderr


def test_backbones_lists_names(run_json):
    """The list names handle, width, input size and parameters."""
    rows = {row["handle"]: row for row in run_json("backbones")[1]}
    assert rows["keras:MobileNetV2"]["dim"] == 1280
    assert rows["keras:VGG16"]["parameters"] == 14_714_688
    assert rows["builtin"]["image_size"] == 128


def test_another_backbone_is_refused_everywhere(world, run, tmp_path):
    """A table of another image size is refused by the index, the head and the table of the first one."""
    small = tmp_path / "small.features"
    line = ("embed", world / "photos" / "red", "--fit", "crop", "--out")
    assert run(*line, small).exit_code == 0
    assert run(*line, world / "photos.features").exit_code == 1
    assert run("index", small, "--out", world / "photos.index").exit_code == 1
    assert run("evaluate", world / "photos.head", small).exit_code == 1
    assert run("predict", world / "photos.head", small, "--out", tmp_path / "p").exit_code == 1


def test_index_prints_the_kinds_it_tried(world, run, monkeypatch, tmp_path):
    """With --verbose, where kinds were tried, a table of them stands below the facts."""
    monkeypatch.setattr("frieze.indexing.build.choose_kind.time_exact", lambda _: Speed(100.0, 10.0))
    monkeypatch.setattr("frieze.indexing.build.choose_kind.count_lists", lambda _: 2)
    result = run("index", world / "photos.features", "--out", tmp_path / "tried.index", "-v")
    table = [line.split() for line in result.stdout.splitlines()]
    header = table.index(["kind", "recall_at_10", "queries_per_second", "memory_bytes", "recipe"])
    assert {row[0] for row in table[header + 1 :]} == {"ivf", "fp16", "sq8", "rabitq", "hnsw"}


def test_near_duplicates_come_on_one_side(tmp_path, run_json):
    """With --group duplicates an image and its copy stay on one side, and the naive accuracy is reported."""
    rng = np.random.default_rng(0)
    for label in ("blue", "red"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            tiles = np.kron(rng.integers(0, 256, (3, 4, 3), dtype=np.uint8), np.ones((16, 16, 1), np.uint8))
            for twin in ("a", "b"):
                Image.fromarray(tiles).save(tmp_path / "photos" / label / f"{number}{twin}.png")
    frieze.embed(tmp_path / "photos", out=tmp_path / "f")
    code, document = run_json(
        "train", tmp_path / "f", "--out", tmp_path / "h", "--group", "duplicates", "--head", "knn"
    )
    assert (code, document["n_train"] + document["n_test"]) == (0, 80)
    assert document["naive_accuracy"] > document["accuracy"]
    parts = {row["id"]: row["part"] for row in pq.read_table(tmp_path / "h" / "split.parquet").to_pylist()}
    assert all(parts[name] == parts[name.replace("a.png", "b.png")] for name in parts if name.endswith("a.png"))
    assert set(parts.values()) == {"train", "test"}
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["f", "h", "photos"]


def test_heads_are_ranked(world, run, monkeypatch):
    """On a terminal `compare` prints a row for each head, the best first."""
    monkeypatch.setattr("frieze.terminal.is_terminal", lambda: True)
    result = run("compare", world / "photos.features", "--heads", "prototype, ridge")
    assert result.exit_code == 0
    assert result.stdout.index("accuracy") < min(result.stdout.index("prototype"), result.stdout.index("ridge"))
    assert "scored on 6 held-out" in result.stdout


def test_an_unknown_head_is_refused(world, run):
    """A head that is not there is refused with those that are."""
    result = run("compare", world / "photos.features", "--heads", "forest")
    assert result.exit_code == 1
    assert "linear, svm, svm-rbf, ridge, knn, prototype, keras" in result.stderr


def test_train_shapes_a_network(world, run_json, tmp_path):
    """Layers, epochs and the like reach the network; a run that stops early reports that it did not converge."""
    line = ("train", world / "photos.features", "--out", tmp_path / "head", "--head", "keras")
    code, document = run_json(*line, "--layers", "32,16", "--dropout", 0.2, "--epochs", 1, "--patience", 3)
    assert (code, document["converged"]) == (0, False)
    with zipfile.ZipFile(tmp_path / "head" / "head.keras") as archive:
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    assert [layer["config"]["units"] for layer in layers if layer["class_name"] == "Dense"] == [32, 16, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "big"), "--layers is big"),
        (("--dropout", "0.5"), "A linear head has no layers"),
        (("--shots", "99"), "99 a class were requested"),
        (("--max-memory", "plenty"), "plenty is no size of memory"),
        (("--head", "knn", "--max-memory", "1KB"), "To fit a knn head"),
    ],
)
def test_train_refuses_what_does_not_fit(world, run, tmp_path, options, message):
    """An option that can't be met ends with exit code 1, a message, and nothing written."""
    result = run("train", world / "photos.features", "--out", tmp_path / "head", *options)
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "head").exists()


def test_train_reports_passes_over_the_table(world, run, tmp_path):
    """A fit in passes is said aloud, on stderr and on the page; so are draws of few images."""
    line = ("train", world / "photos.features", "--out", tmp_path / "head")
    result = run(*line, "--head", "prototype", "--max-memory", "1KB", "--shots", 2)
    assert "Note: The 6 embeddings do not fit in memory" in result.stderr
    page = (tmp_path / "head" / "report.html").read_text()
    assert "they are streamed from the table in passes" in page
    assert "Over 10 draws of 2 images a class the accuracy is" in page


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"meets_target": True, "many_meets_target": True}, ""),
        ({"meets_target": None, "many_meets_target": None}, ""),
        ({"meets_target": False, "many_meets_target": False}, "pq misses --recall 0.95: it finds 0.862 of the 10"),
        ({"meets_target": True, "many_meets_target": False}, "of the 100 nearest it finds 0.780"),
    ],
)
def test_a_missed_recall_is_a_warning(figures, message, run, monkeypatch):
    """An index that misses its target recall prints one warning on stderr, and stdout is the document alone."""
    document = {"kind": "pq", "recall_target": 0.95, "recall_at_10": 0.862, "recall_interval": [0.84, 0.88]}
    document |= {"recall_at_100": 0.78, "n_zero": 0, "remembered": {}, "changed": {}} | figures
    monkeypatch.setattr("frieze.api.searching.index", lambda *_, **__: document)
    result = run("index", "t", "--out", "i", "--json")
    assert json.loads(result.stdout) == document
    assert message in result.stderr
    assert result.stderr.count("\n") == bool(message)


@pytest.mark.slow
def test_private_addresses(run, tmp_path):
    """Where URLs lead into the own network, a note says how to allow that."""
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:1/a.jpg\n")
    result = run("embed", tmp_path / "urls.txt", "--out", tmp_path / "t")
    assert "not public: 1; where they are of your own network, add: --allow-private --retry-failures" in result.stderr
