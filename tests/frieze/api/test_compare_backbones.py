"""`frieze compare SOURCE --backbones`: the best backbone for some images."""

import re
from pathlib import Path

import pytest

import frieze
from frieze.api.comparing import advise
from frieze.core import InputError


def test_document(photos, run_json):
    """The document ranks the backbones with intervals, and each of its fields is documented."""
    exit_code, document = run_json("compare", photos, "--backbones", "builtin", "--sample", 24)
    (row,) = document["rows"]
    assert (exit_code, document["sampled"] + document["failed"], document["images"]) == (0, 24, 31)
    assert row["nearest_neighbour"]["accuracy"] == row["linear"]["accuracy"] == 1.0
    assert row["stability"] is row["agreement"] is None
    page = (Path(__file__).parents[3] / "docs" / "json.md").read_text()
    (section,) = [one for one in page.split("\n## ") if one.startswith("compare --backbones\n")]
    assert {*document, *row} <= set(re.findall(r"`(\w+)`", section))


def test_without_labels(photos):
    """Where there are no labels, crops and neighbours in common say which backbone is steady."""
    document = frieze.compare(photos, backbones=["builtin", "builtin"], sample=24, labels="none")
    assert [row["agreement"] for row in document["rows"]] == [1.0, 1.0]
    assert all(row["linear"] is None and row["stability"]["accuracy"] > 0 for row in document["rows"])
    assert "share of crops found" in document["advice"]


def test_printed(photos, run):
    """The table has a line for each backbone, with intervals; the advice is a sentence."""
    result = run("compare", photos, "--backbones", "builtin", "--sample", 24)
    header, line = result.stdout.splitlines()[:2]
    assert header.split("\t")[:2] == ["handle", "images_per_second"]
    assert re.search(r"1\.000 \(0\.\d+ to 1\.000\)", line)
    assert "Use builtin: its linear accuracy of 1.000" in result.output


def test_options_of_tables_are_refused(photos):
    """An option that is for tables is refused by its name; so is a sample that shows nothing."""
    with pytest.raises(InputError, match="`split` is for tables"):
        frieze.compare(photos, backbones="builtin", split="fold")
    with pytest.raises(InputError, match="can't tell backbones apart"):
        frieze.compare(photos, backbones="builtin", sample=3)


def row(handle, accuracy, interval, rate):
    """Return a row of the document."""
    linear = {"accuracy": accuracy, "confidence_interval": interval}
    return {"handle": handle, "linear": linear, "images_per_second": rate}


BEST = "Use best: its linear accuracy of 0.950 (0.930 to 0.970) is the highest"


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (row("quick", 0.94, [0.92, 0.96], 400.0), "; quick is 4.0 times as fast, and this sample can't tell its 0.940"),
        (row("quick", 0.80, [0.77, 0.83], 400.0), "."),
        (row("slow", 0.94, [0.92, 0.96], 20.0), "."),
    ],
)
def test_advice(other, expected):
    """The best is advised, and a faster one is named where it can't be told from the best."""
    sentence = advise([row("best", 0.95, [0.93, 0.97], 100.0), other])
    assert sentence.startswith(BEST + expected)
    assert advise([row("best", 0.95, [0.93, 0.97], 100.0)]) == BEST + "."


def labels_file(photos, folder, labels):
    """Write a file of labels for the first images."""
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.png"))
    rows = [f"{name},{label}" for name, label in zip(names, labels, strict=False)]
    (folder / "labels.csv").write_text("\n".join(["id,label", *rows]))
    return folder / "labels.csv"


@pytest.mark.parametrize("labels", [["a", "b"], ["a"] * 25])
def test_labels_that_tell_nothing(photos, tmp_path, labels):
    """Few labels, and those of one class, give no accuracy: crops are compared, and a note says why."""
    given = labels_file(photos, tmp_path, labels)
    document = frieze.compare(photos, backbones="builtin", sample=24, labels=given)
    assert document["rows"][0]["linear"] is document["classes"] is None
    assert document["rows"][0]["stability"]["accuracy"] > 0
    assert any("can't tell backbones apart in this sample" in note for note in document["notes"])


def test_labelled_images_are_drawn(photos, tmp_path):
    """Where some images have labels, these are the sample."""
    given = labels_file(photos, tmp_path, ["a", "b"] * 11)
    document = frieze.compare(photos, backbones="builtin", sample=30, labels=given)
    assert (document["sampled"] + document["failed"], document["classes"]) == (22, ["a", "b"])


def test_pixels_of_those_that_state_none(photos, onnx_network):
    """A given range and pooling serve the networks that need them; the rows tell what each has."""
    document = frieze.compare(
        photos, backbones=["builtin", str(onnx_network("tokens"))], sample=24, pixels="torch", pool="cls"
    )
    rows = {row["backbone"]: (row["pixels"], row["pool"]) for row in document["rows"]}
    assert rows == {"frieze-mini-3": ("0..1", None), "tokens": ("torch", "cls")}
    with pytest.raises(InputError, match="There is no file"):
        frieze.compare(photos, backbones="missing.onnx", sample=24, pixels="torch", pool="cls")
    with pytest.raises(InputError, match="Unknown `pool`"):
        frieze.compare(photos, backbones="builtin", pool="median")
    with pytest.raises(InputError, match="names none"):
        frieze.compare(photos, backbones=" , ")
