"""`frieze index`, run again: omitted options keep their values."""

import json
import shutil

import numpy as np
import pytest

import frieze
from frieze.api.remembered_options import INDEX_DEFAULTS
from frieze.indexing import open_index

OPTIONS = {"metric": "l2", "recall": 0.9, "kind": "hnsw", "max_memory": "500MB"}


@pytest.fixture
def table(tmp_path):
    """A table of 60 imported vectors."""
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(60, 8)).astype("f4"))
    frieze.import_vectors(tmp_path / "v.npy", out=tmp_path / "t")
    return tmp_path / "t"


def stored_options(out):
    """The options that an index stores."""
    return open_index(out).document["request"]


@pytest.mark.parametrize("force", [False, True])
def test_all_is_remembered(force, table, tmp_path):
    """A rerun without options keeps the index's options; without --force nothing is rebuilt."""
    first = frieze.index(table, out=tmp_path / "i", **OPTIONS)
    rerun = frieze.index(table, out=tmp_path / "i", force=force)
    assert (first["remembered"], first["changed"]) == ({}, {})
    assert (rerun["remembered"], rerun["changed"], rerun["rebuilt"]) == (OPTIONS, {}, force)
    assert stored_options(tmp_path / "i") == OPTIONS


def test_changed_options_are_reported(table, tmp_path, run):
    """An option that is given holds, and the change is reported in a line and in the document; '' is the default."""
    frieze.index(table, out=tmp_path / "i", **OPTIONS)
    result = run("index", table, "--out", tmp_path / "i", "--metric", "dot", "--max-memory", "", "--json")
    document = json.loads(result.stdout)
    assert document["remembered"] == {"recall": 0.9, "kind": "hnsw"}
    assert document["changed"] == {
        "metric": {"before": "l2", "now": "dot"},
        "max_memory": {"before": "500MB", "now": None},
    }
    assert "Note: as the last time: --recall 0.9 --kind hnsw\n" in result.stderr
    assert "Note: changed: --metric dot --max-memory ''; the last time it was: --metric l2" in result.stderr
    assert stored_options(tmp_path / "i") == {"metric": "dot", "recall": 0.9, "kind": "hnsw", "max_memory": None}


def test_an_empty_text_restores_the_default(table, tmp_path):
    """Every option goes back to its default by an empty text."""
    frieze.index(table, out=tmp_path / "i", **OPTIONS)
    frieze.index(table, out=tmp_path / "i", **dict.fromkeys(OPTIONS, ""))
    assert stored_options(tmp_path / "i") == INDEX_DEFAULTS


def test_another_tables_index_is_ignored(table, tmp_path):
    """The options of another table's index are not recalled."""
    frieze.index(table, out=tmp_path / "i", **OPTIONS)
    np.save(tmp_path / "w.npy", np.ones((3, 8), "f4"))
    frieze.import_vectors(tmp_path / "w.npy", out=tmp_path / "other")
    assert frieze.index(tmp_path / "other", out=tmp_path / "i", force=True)["remembered"] == {}
    assert stored_options(tmp_path / "i") == INDEX_DEFAULTS


def test_a_moved_table_is_the_same(table, tmp_path):
    """A table that lies elsewhere now is still the one that the index is of."""
    frieze.index(table, out=tmp_path / "i", **OPTIONS)
    shutil.move(table, tmp_path / "moved")
    rerun = frieze.index(tmp_path / "moved", out=tmp_path / "i")
    assert (rerun["remembered"], rerun["rebuilt"]) == (OPTIONS, False)


def test_a_broken_index_is_ignored(table, tmp_path):
    """An index.json that can't be read is replaced with --force, with the defaults."""
    frieze.index(table, out=tmp_path / "i", **OPTIONS)
    (tmp_path / "i" / "index.json").write_text("{")
    assert frieze.index(table, out=tmp_path / "i", force=True)["remembered"] == {}
    assert stored_options(tmp_path / "i") == INDEX_DEFAULTS
