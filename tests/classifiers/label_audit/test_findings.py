import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.classifiers.data.labelled_examples import Examples
from frieze.classifiers.label_audit.findings import KINDS, SCHEMA, Finding, check_findings, summarise, to_table
from frieze.core import FeatureFileError, write_table_file

NAMES = np.array([f"{name}.jpg" for name in "abcdefgh"], object)
GROUPS = np.array([5, 2, 5, 2, -1, -1, -1, -1])
PARTS = np.array(["train", "test", *[None] * 6], object)
FINDINGS = [
    Finding("outlier", 7, 0.25),
    Finding("duplicate_labels", 2, 0.9, "a"),
    Finding("duplicate_labels", 1, 0.9),
    Finding("duplicate_labels", 0, 0.9),
    Finding("duplicate_labels", 3, 0.9),
    Finding("label", 0, 0.75, "c", 0.7, 0.5),
    Finding("label", 4, 0.5, "b", 0.5, 2.0),
]


@pytest.fixture
def findings():
    """The findings above as a table."""
    table = pa.table({"id": NAMES, "sha256": pa.nulls(8, pa.string()), "uri": "/p/" + NAMES})
    examples = Examples(np.arange(8), np.repeat(["x", "y"], 4).astype(object), table)
    return to_table(FINDINGS, examples, groups=GROUPS, parts=PARTS)


def test_the_order_is_kind_then_seriousness_then_group(findings):
    """Kinds come in their order, labels by log odds, others by score, a group's rows together."""
    assert findings["kind"].to_pylist() == ["label"] * 2 + ["duplicate_labels"] * 4 + ["outlier"]
    assert [name[0] for name in findings["id"].to_pylist()] == list("eabdach")


def test_the_columns(findings):
    """Each row has what is known of its image; what is not there is null."""
    assert findings.schema == SCHEMA
    assert findings.slice(1, 1).to_pylist() == [
        {
            "kind": "label",
            "id": "a.jpg",
            "label": "x",
            "suggested": "c",
            "probability": pytest.approx(0.7),
            "score": 0.75,
            "group": 5,
            "part": "train",
            "uri": "/p/a.jpg",
            "log_odds": 0.5,
        }
    ]
    last = findings.slice(6, 1).to_pylist()[0]
    empty = {name for name, value in last.items() if value is None}
    assert empty == {"suggested", "probability", "group", "part", "log_odds"}


def test_the_file_is_the_table(findings, tmp_path):
    """What is read back is what was written, into a folder that is made for it."""
    write_table_file(tmp_path / "new" / "f.parquet", SCHEMA, [findings])
    assert pq.read_table(tmp_path / "new" / "f.parquet").equals(findings)


def test_findings_of_an_earlier_version_are_replaced(findings, tmp_path):
    """A file without the column `log_odds`, as earlier versions wrote it, is one of ours."""
    pq.write_table(findings.drop_columns(["log_odds"]), tmp_path / "findings.parquet")
    check_findings(tmp_path / "findings.parquet", force=True)


def test_a_parent_that_is_no_folder(findings, tmp_path):
    """A file where a folder should be is an error that names the path."""
    (tmp_path / "file").touch()
    with pytest.raises(FeatureFileError, match=r"f\.parquet can't be written"):
        write_table_file(tmp_path / "file" / "f.parquet", SCHEMA, [findings])


def test_the_summary_counts_every_kind(findings, monkeypatch):
    """Each kind has its count, also none, and its first findings, as many as wanted."""
    monkeypatch.setattr("frieze.classifiers.label_audit.findings._FIRST", 3)
    summary = summarise(findings)
    assert summary["counts"] == dict(zip(KINDS, [2, 0, 0, 4, 0, 1, 0, 0, 0, 0], strict=True))
    first = {kind: [one["id"][0] for one in rows] for kind, rows in summary["first"].items()}
    assert first == dict(zip(KINDS, [["e", "a"], [], [], ["b", "d", "a"], [], ["h"], [], [], [], []], strict=True))


def test_no_findings():
    """Without a finding the table is empty and still has its columns."""
    nobody = np.empty(0, object)
    table = pa.table({name: pa.array([], pa.string()) for name in ("id", "sha256", "uri")})
    examples = Examples(np.arange(0), nobody, table)
    table = to_table([], examples, groups=np.empty(0, np.int64), parts=nobody)
    assert (len(table), table.schema, set(summarise(table)["counts"].values())) == (0, SCHEMA, {0})
