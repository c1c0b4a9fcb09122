"""`frieze evaluate FEATURES`: retrieval figures by label."""

import numpy as np
import pytest

import frieze
from frieze.core import InputError

FIELDS = {
    *("features", "map", "r_precision", "precision_at_1", "precision_at_5", "precision_at_10", "chance", "per_class"),
    *("map_interval", "r_precision_interval", *(f"precision_at_{k}_interval" for k in (1, 5, 10))),
    *("classes", "metric", "rows", "n_queries", "n_alone", "n_unlabelled", "seconds"),
    *("labels", "unmatched_labels", "label_notes"),
}


def test_a_table_alone(world, run_json, run):
    """The command without a head ranks the table's images; it prints the figures, and the document has its fields."""
    code, document = run_json("evaluate", world / "photos.features")
    assert (code, set(document)) == (0, FIELDS)
    assert (document["precision_at_1"], document["n_queries"], document["classes"]) == (1, 30, ["blue", "green", "red"])
    stdout = run("evaluate", world / "photos.features").stdout
    assert stdout.startswith(f"mAP {document['map']:.3f} (")
    assert "Lowest mAP: " in stdout


def test_labels_from_a_file(world, tmp_path):
    """Labels may be those of a file, as for a head; random ones are found as often as by chance."""
    names = frieze.open_features(world / "photos.features").ids
    sides = np.random.default_rng(0).permutation(["left", "right"] * 15)
    lines = ["id,side", *(f"{name},{side}" for name, side in zip(names, sides, strict=True))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    document = frieze.evaluate(world / "photos.features", labels=tmp_path / "labels.csv", label="side")
    assert document["labels"]["column"] == "side"
    assert document["chance"] == pytest.approx(14 / 29)
    assert document["r_precision"] == pytest.approx(document["chance"], abs=0.1)


def test_a_head_needs_a_table(world, run):
    """A head alone is a wrong call; an index in the place of a table is named."""
    result = run("evaluate", world / "photos.head")
    assert (result.exit_code, "Missing argument 'FEATURES'" in result.stderr) == (2, True)
    with pytest.raises(InputError, match="is an index; expected a table of features"):
        frieze.evaluate(world / "photos.index")
