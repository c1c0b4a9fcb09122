"""`frieze train --force` over a head: omitted options keep that head's values."""

import inspect
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze
from frieze.core import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of 60 images with the columns `kind` and `day`, its twin, and a file of labels."""
    folder = tmp_path_factory.mktemp("retraining")
    rng, rows = np.random.default_rng(0), np.arange(60)
    labels = np.array(["cat", "dog"])[rows % 2]
    vectors = 0.2 * rng.normal(size=(60, 16)).astype("f4")
    vectors[rows, rows % 2] += 1
    ids = [f"{row:02}" for row in rows]
    columns = {"id": ids, "label": labels, "embedding": list(vectors), "day": rows // 4, "kind": ["x", "y"] * 30}
    pq.write_table(pa.table(columns), folder / "v.parquet")
    for name in ("a", "b"):
        frieze.import_vectors(folder / "v.parquet", out=folder / f"{name}.features")
    (folder / "l.csv").write_text("id,kind\n" + "".join(f"{name},{'mn'[row % 2]}\n" for row, name in enumerate(ids)))
    return folder


@pytest.fixture
def train(folder, tmp_path):
    """`train(**options)`: train the head of this test on the table `a`, over what stands there."""
    return lambda table="a", **options: frieze.train(
        folder / f"{table}.features", out=tmp_path / "head", force=True, **options
    )


OPTIONS = {
    "head": "prototype",
    "group": "day",
    "test_size": 0.25,
    "seed": 3,
    "shots": 5,
    "balanced": True,
    "abstain": 0.9,
}


def test_all_is_remembered(train, folder):
    """A rerun without options makes the same head again, and reports the recalled options."""
    options = OPTIONS | {"labels": str(folder / "l.csv"), "label": "kind"}
    first = train(**options)
    rerun = train()
    assert (rerun["remembered"], rerun["changed"]) == (options, {})
    same = ("head", "classes", "n_train", "n_test", "accuracy", "abstain", "shots", "naive_accuracy", "labels")
    assert [rerun[name] for name in same] == [first[name] for name in same]
    assert first["remembered"] == {}


def test_changes_are_reported(train, folder, tmp_path, run):
    """A changed option is reported in one line, with its former value; the rest stays."""
    train(**OPTIONS)
    line = ("train", folder / "a.features", "--out", tmp_path / "head", "--force", "--seed", 0, "--shots", "", "--json")
    result = run(*line, "--no-balanced", "--abstain", "")
    document = json.loads(result.stdout)
    assert document["remembered"] == {"head": "prototype", "group": "day", "test_size": 0.25}
    assert document["changed"]["shots"] == {"before": 5, "now": None}
    assert document["changed"].keys() == {"seed", "shots", "balanced", "abstain"}
    assert "Note: as the last time: --head prototype --test-size 0.25 --group day\n" in result.stderr
    assert (
        "Note: changed: --shots '' --no-balanced --abstain '' --seed 0; the last time it was: --shots 5"
        in result.stderr
    )


def test_an_empty_text_restores_the_default(train, folder, tmp_path, run):
    """Numbers and words alike go back by an empty text, on the command line and in Python."""
    options = {"head": "prototype", "test_size": 0.25, "seed": 3}
    train(**options)
    typed = ("--head", "", "--test-size", "", "--seed", "", "--kernel", "")
    line = ("train", folder / "a.features", "--out", tmp_path / "head", "--force", *typed, "--json")
    changed = json.loads(run(*line).stdout)["changed"]
    assert changed == {
        "head": {"before": "prototype", "now": "linear"},
        "test_size": {"before": 0.25, "now": 0.2},
        "seed": {"before": 3, "now": 0},
    }
    train(**options)
    assert train(**dict.fromkeys(options, ""))["changed"] == changed


def test_layers_may_be_a_number(folder, tmp_path):
    """One hidden layer may be given as a number, and is remembered as its text would be."""
    from frieze.api.remembered_options import TRAIN_DEFAULTS, resolve_train_options

    options = dict.fromkeys(TRAIN_DEFAULTS) | {"layers": 8}
    assert resolve_train_options(options, "a.features", tmp_path / "head", force=True).options["layers"] == "8"


@pytest.mark.parametrize(
    ("before", "now", "remembered"),
    [
        ({"label": "kind"}, {"labels": "l.csv"}, {}),
        ({"labels": "l.csv", "label": "kind"}, {"label": "day"}, {}),
        ({"labels": "l.csv", "label": "kind"}, {"labels": "", "seed": 1}, {}),
        ({"labels": "l.csv", "label": "kind"}, {"labels": "l.csv"}, {"label": "kind"}),
        ({"group": "day"}, {"split": "part"}, {}),
        ({"head": "svm", "kernel": "rbf"}, {"head": "ridge"}, {}),
        ({"head": "svm", "kernel": "rbf"}, {"seed": 1}, {"head": "svm", "kernel": "rbf"}),
        ({"head": "svm", "kernel": "rbf"}, {"kernel": "linear"}, {"head": "svm"}),
        ({"head": "keras", "layers": "8", "epochs": 2}, {"head": "linear"}, {}),
        ({"head": "keras", "layers": "8", "epochs": 2}, {"epochs": 3}, {"head": "keras", "layers": "8"}),
    ],
)
def test_dependent_options_are_dropped_together(before, now, remembered, folder, monkeypatch):
    """Labels and their column, split and group, kind and kernel, kind and network go with each other."""
    from frieze.api.remembered_options import TRAIN_DEFAULTS, resolve_train_options

    monkeypatch.chdir(folder)
    blank = dict.fromkeys(TRAIN_DEFAULTS)
    first = resolve_train_options(blank | before, "a.features", folder / "none", force=True).options
    monkeypatch.setattr("frieze.api.remembered_options._read_train_options", lambda *_: first)
    assert resolve_train_options(blank | now, "a.features", folder / "none", force=True).remembered == remembered


def test_a_network_is_remembered(train):
    """A `keras` head keeps its network; another kind has none."""
    pytest.importorskip("tensorflow")
    train(head="keras", layers="8", epochs=2)
    assert train()["remembered"] == {"head": "keras", "layers": "8", "epochs": 2}
    document = train(head="prototype")
    assert (document["remembered"], set(document["changed"])) == ({}, {"head"})


def test_another_table_starts_from_the_defaults(train):
    """A head of another table is replaced, and its options go with it."""
    train(head="prototype", seed=3)
    assert train("b", head="ridge")["remembered"] == {}


@pytest.mark.parametrize("text", ["{", '{"kind": "head"}'])
def test_a_broken_head_is_ignored(text, train, tmp_path):
    """A head that can't be read any more has nothing to say; whether it may be replaced is another question."""
    train(head="prototype")
    (tmp_path / "head" / "head.json").write_text(text)
    try:
        assert train(head="ridge")["remembered"] == {}
    except InputError as error:
        assert "is not a head" in error.message  # noqa: PT017


@pytest.mark.parametrize(
    ("before", "now", "remembered"),
    [
        ({"unfreeze": "top/*", "epochs": 3}, {}, {"unfreeze": "top/*", "epochs": 3}),
        ({"unfreeze": "top/*", "epochs": 3}, {"unfreeze": ""}, {"epochs": 3}),
        ({"backbone": "keras:A", "unfreeze": "9", "epochs": 3}, {"backbone": "keras:B"}, {"epochs": 3}),
        ({"group": "day", "augment": False}, {"split": "part"}, {"augment": False}),
        ({"image_size": "64x96"}, {"image_size": (64, 96)}, {}),
        ({"epochs": 10, "of a later version": 1}, {}, {}),
    ],
)
def test_options_that_fine_tuning_keeps(before, now, remembered):
    """It is as with `train --force`: what is left out is as before, and what is of another backbone goes with it."""
    from frieze.api.remembered_options import FINETUNE_DEFAULTS, resolve_finetune_options

    actual = resolve_finetune_options(dict.fromkeys(FINETUNE_DEFAULTS) | now, before)
    assert actual.remembered == remembered
    assert actual.options.keys() == FINETUNE_DEFAULTS.keys()


def test_the_options_of_a_fine_tuning_are_those_of_the_function():
    """Each option that shapes the model is remembered."""
    from frieze.api.remembered_options import FINETUNE_DEFAULTS

    names = set(inspect.signature(frieze.finetune).parameters) - {"source", "out", "trust_backbone", "force"}
    assert names == FINETUNE_DEFAULTS.keys()


@pytest.mark.parametrize("extra", [{"novel": 1}, {"seed": None}])
def test_an_option_without_a_default_is_an_error(extra, tmp_path):
    """An option that no field stores, or a field that no option fills, is a TypeError, not silently lost."""
    from frieze.api.remembered_options import TRAIN_DEFAULTS, resolve_train_options

    options = dict.fromkeys(TRAIN_DEFAULTS) | extra
    if "novel" not in extra:
        del options["seed"]
    with pytest.raises(TypeError, match=next(iter(extra))):
        resolve_train_options(options, "a.features", tmp_path, force=False)
