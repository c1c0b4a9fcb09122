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
