"""`frieze audit`: its file, its document, its table and its page."""

import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze

CLASSES = ("ant", "bee", "<b>cow</b>")


@pytest.fixture(scope="module")
def vectors():
    """300 vectors [300, 32] around three corners, 100 each."""
    corners = np.repeat(np.eye(32, dtype="f4")[:3], 100, axis=0)
    return corners + 0.12 * np.random.default_rng(0).normal(size=(300, 32)).astype("f4")


@pytest.fixture(scope="module")
def planted(vectors, tmp_path_factory):
    """A table and a head of it; planted in it are wrong labels, copies and edits, an outlier and a class of two."""
    folder = tmp_path_factory.mktemp("planted")
    labels = np.repeat(CLASSES, 100).astype(object)
    labels[[10, 110]] = "bee", "ant"
    embeddings, rng = vectors.copy(), np.random.default_rng(1)
    embeddings[100:105] = embeddings[:5] * 3  # longer, and under another label
    embeddings[20:60] = embeddings[60:100] + 0.002 * rng.normal(size=(40, 32))  # edits
    embeddings[250] = np.eye(32)[9]
    labels[298:] = "dot"
    columns = {"id": [f"{row:03}" for row in range(300)], "label": labels, "embedding": list(embeddings)}
    pq.write_table(pa.table(columns), folder / "v.parquet")
    frieze.import_vectors(folder / "v.parquet", out=folder / "v.features")
    frieze.train(folder / "v.features", out=folder / "v.head")
    return folder


@pytest.fixture(scope="module")
def audited(planted):
    """The document of an audit with a head and a page, and the findings by kind as id -> row."""
    options = {name: planted / f"f.{suffix}" for name, suffix in (("out", "parquet"), ("html", "html"))}
    document = frieze.audit(planted / "v.features", head=planted / "v.head", **options)
    rows = pq.read_table(planted / "f.parquet").to_pylist()
    return document, {kind: {row["id"]: row for row in rows if row["kind"] == kind} for kind in document["counts"]}


def test_planted_errors_are_found(audited):
    """Wrong labels come first, with the right ones; they are those of the copies, too."""
    document, findings = audited
    first = {name: row["suggested"] for name, row in list(findings["label"].items())[:7]}
    assert first == {"010": "ant", "110": "bee"} | {f"{row}": "ant" for row in range(100, 105)}
    assert [row["id"] for row in document["first"]["label"]] == list(findings["label"])[:5]
    assert document["counts"]["label"] == len(findings["label"]) <= 8


def test_all_planted_copies_under_two_labels_are_found(audited):
    """Copies whose label differs are found, both of each pair in one group, and no others."""
    findings = audited[1]["duplicate_labels"]
    assert set(findings) == {f"{row:03}" for row in (*range(5), *range(100, 105))}
    assert all(findings[f"{row:03}"]["group"] == findings[f"{row + 100:03}"]["group"] for row in range(5))
    assert all(row["score"] == pytest.approx(1) for row in findings.values())


def test_all_planted_edits_across_the_split_are_found(audited, planted):
    """Every pair of near-duplicates with one held out is found, and no pair that is on one side."""
    split = pq.read_table(planted / "v.head" / "split.parquet")
    parts = dict(zip(split["id"].to_pylist(), split["part"].to_pylist(), strict=True))
    pairs = [(f"{row:03}", f"{row + 40:03}") for row in range(20, 60)]
    pairs += [(f"{row:03}", f"{row + 100:03}") for row in range(5)]
    across = {name for pair in pairs if parts[pair[0]] != parts[pair[1]] for name in pair}
    assert len(across) > 20
    assert {name: row["part"] for name, row in audited[1]["duplicate_split"].items()} == {
        name: parts[name] for name in across
    }


def test_min_score_is_that_of_a_pair(planted, run_json, tmp_path):
    """With --min-score pairs below it are no near-duplicates, and the document stores it."""
    line = ("audit", planted / "v.features", "--out", tmp_path / "f.parquet", "--head", planted / "v.head")
    code, document = run_json(*line, "--min-score", "0.99999")
    assert (code, document["min_score"]) == (0, 0.99999)
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    copies = {f"{row:03}" for row in (*range(5), *range(100, 105))}
    assert {row["id"] for row in rows if row["group"] is not None} == copies


def test_outlier_and_small_class_are_found(audited):
    """The image in a direction of its own and the class of two images are found, and no others."""
    document, findings = audited
    assert [set(findings[kind]) for kind in ("outlier", "small_class")] == [{"250"}, {"298", "299"}]
    assert document["small_classes"] == {"dot": 2}


def test_the_page_shows_every_kind_escaped(audited, planted):
    """The page has a section a kind, a figure a finding, and class names as text."""
    document, page = audited[0], (planted / "f.html").read_text()
    assert page.count("<figure") == sum(document["counts"].values())
    assert page.count("<h2 ") == 5
    assert "<b>cow" not in page
    assert "&lt;b&gt;cow&lt;/b&gt;" in page
    assert f"bee, rather ant ({document['first']['label'][0]['probability']:.0%})" in page or "ant, rather bee" in page


def test_pictures_are_in_the_page(photos, run, tmp_path):
    """The images of a table that was embedded stand in the page, and nothing else is left behind."""
    shutil.copytree(photos / "red", tmp_path / "photos" / "red")
    shutil.copytree(photos / "blue", tmp_path / "photos" / "blue")
    shutil.copy(photos / "red" / "0.png", tmp_path / "photos" / "blue" / "red.png")
    frieze.embed(tmp_path / "photos", out=tmp_path / "t.features")
    out = ("--out", tmp_path / "new" / "f.parquet", "--html", tmp_path / "f.html")
    assert run("audit", tmp_path / "t.features", *out).exit_code == 0
    assert (tmp_path / "f.html").read_text().count("data:image/jpeg;base64,") >= 3
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["f.parquet"]


def test_a_long_page_is_cut(planted, tmp_path, monkeypatch):
    """A page shows so many of each kind, and says how many it leaves out."""
    from frieze.reports import audit_page

    monkeypatch.setattr(audit_page, "_MOST_IMAGES", 1)
    document = frieze.audit(planted / "v.features", out=tmp_path / "f.parquet", html=tmp_path / "f.html")
    page = (tmp_path / "f.html").read_text()
    assert page.count("<figure") == 4
    assert (
        f"<p>{document['counts']['duplicate_labels'] - 1} more are left out; the file of the findings has all.</p>"
        in page
    )
    assert "<li>Near-duplicates on both sides of the split: none" in page
    assert f'<li><a href="#label">Labels in doubt</a>: {document["counts"]["label"]}' in page


def test_the_command_is_the_function(audited, planted, run_json, tmp_path):
    """The command prints the function's document, and the same seed finds the same."""
    line = ("audit", planted / "v.features", "--out", tmp_path / "f.parquet", "--head", planted / "v.head")
    code, document = run_json(*line)
    same = set(document) - {"out", "seconds"}
    assert code == 0
    assert {name: document[name] for name in same} == {name: audited[0][name] for name in same}
    assert document["out"] == str(tmp_path / "f.parquet")


def test_a_table_for_people(planted, run, tmp_path, monkeypatch):
    """On a terminal the counts and the first findings are printed."""
    monkeypatch.setattr("frieze.terminal.is_terminal", lambda: True)
    stdout = run("audit", planted / "v.features", "--out", tmp_path / "f.parquet").stdout
    lines = [" ".join(line.split()) for line in stdout.splitlines()]
    assert any(line.startswith("Of 300 images: 8 labels likely wrong, 10 near-duplicates") for line in lines)
    assert any(line.startswith("small_class 0.6000 dot - -") and line.endswith("298") for line in lines)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_findings_in_other_forms(suffix, planted, audited, tmp_path):
    """As CSV or JSON lines the findings are those of the Parquet file."""
    out = tmp_path / f"f.{suffix}"
    frieze.audit(planted / "v.features", head=planted / "v.head", out=out, html=tmp_path / "f.html")
    findings = (
        pd.read_csv(out, dtype={"id": str}) if suffix == "csv" else pd.read_json(out, lines=True, dtype={"id": str})
    )
    rows = [row for kind in audited[1].values() for row in kind.values()]
    assert findings["kind"].value_counts().to_dict() == {k: len(v) for k, v in audited[1].items() if v}
    assert set(findings["id"]) == {row["id"] for row in rows}
    assert list(findings.columns) == list(rows[0])


def test_labels_that_look_alike_are_named(planted, run, tmp_path):
    """Labels that differ in case only, which would look like wrong ones, are named."""
    rows = [f"{row:03},{name}" for row, name in enumerate(["ant", "Ant"] * 6)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *rows]))
    line = ("audit", planted / "v.features", "--labels", tmp_path / "labels.csv", "--out", tmp_path / "f.parquet")
    assert "'Ant' and 'ant'" in run(*line).stderr


def test_findings_are_replaced_with_force_only(planted, run, tmp_path):
    """Findings are replaced with --force alone, and anything else not even then."""
    mine, out = tmp_path / "mine.parquet", tmp_path / "f.parquet"
    mine.write_text("mine")
    line = ("audit", planted / "v.features", "--out")
    assert [run(*line, mine, *force).exit_code for force in ([], ["--force"])] == [1, 1]
    assert [run(*line, out, *force).exit_code for force in ([], [], ["--force"])] == [0, 1, 0]
    assert mine.read_text() == "mine"


def test_what_can_not_be_audited_is_refused_first(planted, run, tmp_path, monkeypatch):
    """No labels, a foreign page and a head that is none are reported before an index is built."""
    monkeypatch.setattr("frieze.indexing.build_index", lambda *_args, **_kwargs: pytest.fail("an index was built"))
    np.save(tmp_path / "v.npy", np.eye(4, dtype="f4"))
    frieze.import_vectors(tmp_path / "v.npy", out=tmp_path / "bare.features")
    (tmp_path / "mine.html").write_text("mine")
    messages = {
        (
            planted / "v.features",
            "--min-score",
            "1.5",
        ): "The minimum score is 1.5, but scores with cosine are from -1 to 1.",
        ("bare.features",): "None of the 4 rows has a label.",
        (planted / "v.features", "--html", tmp_path / "mine.html"): "is not a page written by Frieze",
        (planted / "v.features", "--head", planted / "v.features"): "expected a head",
    }
    for (table, *options), message in messages.items():
        result = run("audit", tmp_path / table, "--out", tmp_path / "f.parquet", *options)
        assert (result.exit_code, message in result.stderr, result.stdout) == (1, True, "")
    assert (tmp_path / "mine.html").read_text() == "mine"
