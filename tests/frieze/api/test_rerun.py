"""`frieze embed`, run again: omitted options that shape the rows keep their values."""

import json

import numpy as np
import pytest
from PIL import Image

import frieze
from frieze.api.remembered_options import FINETUNE_DEFAULTS, INDEX_DEFAULTS, TRAIN_DEFAULTS
from frieze.cli.commands.embed import embed
from frieze.cli.commands.finetune import finetune
from frieze.cli.commands.index import index
from frieze.cli.commands.train import train
from frieze.core import InputError, MismatchError
from frieze.embedder.job.stored_request import _NAMES
from frieze.features import open_features, read_manifest


@pytest.fixture
def source(tmp_path):
    """Four images in the folders `a` and `b`, and beside it a file of labels that swaps two of these."""
    rng = np.random.default_rng(0)
    for name in ("a/0.png", "a/1.png", "b/2.png", "b/3.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
    rows = ["path,kind,fold", "a/0.png,b,1", "a/1.png,a,2", "b/2.png,a,3", "b/3.png,b,4"]
    (tmp_path / "fixed.csv").write_text("\n".join(rows))
    return tmp_path / "photos"


@pytest.fixture
def table(source, tmp_path):
    """The table `t` of these images with the labels of the file, from its column `kind`."""
    frieze.embed(source, out=tmp_path / "t", labels=tmp_path / "fixed.csv", label="kind")
    return tmp_path / "t"


def labels(table):
    """Return id -> label."""
    actual = open_features(table)
    return dict(zip(actual.ids, actual.labels, strict=True))


FIXED = {"a/0.png": "b", "a/1.png": "a", "b/2.png": "a", "b/3.png": "b"}
FOLDERS = {name: name[0] for name in FIXED}


def test_labels_are_remembered(source, table):
    """A rerun that does not say where labels come from takes them from the same file and column."""
    document = frieze.embed(source, out=table)
    assert (labels(table), document["unchanged"], document["relabelled"]) == (FIXED, 4, 0)
    assert document["remembered"] == {"labels": str(table.parent / "fixed.csv"), "label": "kind"}
    assert document["changed"] == {}


def test_a_corrected_file_of_labels(source, table, run):
    """What a rerun finds in the remembered file is taken over, and how many labels that changed is reported."""
    (table.parent / "fixed.csv").write_text("path,kind\na/0.png,b\na/1.png,b\nb/2.png,a\nb/3.png,b\n")
    result = run("embed", source, "--out", table)
    assert "Note: relabelled 1.\n" in result.stderr
    assert labels(table) == FIXED | {"a/1.png": "b"}


def test_all_labels_changed(source, table, run):
    """A rerun that changes all labels is reported, with its consequence."""
    (table.parent / "fixed.csv").write_text("path,kind\na/0.png,x\na/1.png,y\nb/2.png,y\nb/3.png,x\n")
    result = run("embed", source, "--out", table)
    assert "Note: relabelled 4, all images that were there: retrain heads on these labels.\n" in result.stderr


def test_back_to_the_folders(source, table, run):
    """A rerun with other labels is reported what changed; no column of the file stays behind, in any row."""
    result = run("embed", source, "--out", table, "--labels", "folder", "--label", "", "--json")
    document = json.loads(result.stdout)
    assert (document["relabelled"], document["embedded"], document["unchanged"]) == (2, 0, 4)
    before = {"labels": str(table.parent / "fixed.csv"), "label": "kind"}
    assert document["changed"] == {
        "labels": {"before": before["labels"], "now": "folder"},
        "label": {"before": "kind", "now": None},
    }
    assert result.stderr == (
        f"Note: changed: --labels folder --label ''; the last time it was: --labels {before['labels']} --label kind\n"
        "Note: relabelled 2.\n"
    )
    assert labels(table) == FOLDERS
    folds = open_features(table).rows.to_pydict().get("fold", [None] * 4)
    assert folds == [None] * 4


def test_labels_alone_go_back(source, table):
    """`--labels folder` alone goes back: the name of the file's column is dropped with the file."""
    document = frieze.embed(source, out=table, labels="folder")
    assert (labels(table), document["relabelled"]) == (FOLDERS, 2)
    assert read_manifest(table).request["labels"] == "folder"


@pytest.mark.parametrize("force", [False, True])
def test_a_missing_file_of_labels(source, table, force):
    """A rerun whose remembered file of labels is missing is refused, with what to type; the table stays."""
    (table.parent / "fixed.csv").unlink()
    with pytest.raises(InputError, match=r"fixed\.csv can't be read") as caught:
        frieze.embed(source, out=table, force=force)
    assert "`labels='FILE'`" in caught.value.hint
    assert "`labels='folder'`" in caught.value.hint
    assert labels(table) == FIXED


def test_force_remembers_too(source, table):
    """A table that is remade from the same source keeps its options."""
    document = frieze.embed(source, out=table, force=True)
    assert (document["embedded"], labels(table)) == (4, FIXED)


def test_force_with_another_source(source, table):
    """A table that is remade from another source starts from the defaults."""
    document = frieze.embed(source / "a", out=table, force=True)
    assert (labels(table), document["remembered"]) == ({"0.png": None, "1.png": None}, {})


def test_the_backbone_is_remembered(source, tmp_path):
    """The backbone and its options need not be typed again; another one starts from its own defaults."""
    frieze.embed(source, out=tmp_path / "t", fit="crop", image_size=128)
    document = frieze.embed(source, out=tmp_path / "t")
    assert (document["unchanged"], document["remembered"]) == (4, {"image_size": 128, "fit": "crop"})
    with pytest.raises(MismatchError, match="fit: squash here, crop there"):
        frieze.embed(source, out=tmp_path / "t", fit="squash")


def test_limits_are_remembered(source, tmp_path):
    """Limits stay; a narrower or wider one is reported, and images that failed for the old one are tried again."""
    table = tmp_path / "t"
    assert frieze.embed(source, out=table, max_pixels=100)["failures"] == {"too large": 4}
    document = frieze.embed(source, out=table)
    assert (document["failed"], document["remembered"]) == (4, {"max_pixels": 100})
    document = frieze.embed(source, out=table, max_pixels=10_000)
    assert (document["failed"], document["embedded"]) == (0, 4)
    assert document["changed"] == {"max_pixels": {"before": 100, "now": 10_000}}


OTHERWISE = {"engine": "tensorflow", "max_pixels": 9000, "max_bytes": 90_000}


def test_an_empty_text_restores_the_default(source, tmp_path, run):
    """Numbers and words alike go back by an empty text, on the command line and in Python; all of them are reported."""
    frieze.embed(source, out=tmp_path / "t", **OTHERWISE)
    typed = [word for name in OTHERWISE for word in (f"--{name.replace('_', '-')}", "")]
    document = json.loads(run("embed", source, "--out", tmp_path / "t", *typed, "--dry-run", "--json").stdout)
    assert {name: one["before"] for name, one in document["changed"].items()} == OTHERWISE
    rerun = frieze.embed(source, out=tmp_path / "t", **dict.fromkeys(OTHERWISE, ""), dry_run=True)
    assert rerun["changed"] == document["changed"]


def test_every_remembered_option_takes_an_empty_text():
    """Every option that a table, a head, a model or an index remembers is restored by an empty text or a value."""
    for command, names in (
        (embed, _NAMES),
        (train, TRAIN_DEFAULTS),
        (finetune, FINETUNE_DEFAULTS),
        (index, INDEX_DEFAULTS),
    ):
        options = {option.name: option for option in command.params}
        for name in names:
            with command.make_context("it", ["x", "--out", "y"]) as context:
                is_switch = bool(options[name].secondary_opts)
                value = [""] if options[name].multiple else ""
                assert is_switch or options[name].type_cast_value(context, value) == (value if value == "" else ("",))


def test_accept_truncated_is_remembered(source, tmp_path):
    """Truncated images are taken again until a run says otherwise."""
    path, table = source / "a" / "0.jpg", tmp_path / "t"
    Image.effect_noise((64, 64), 50).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    frieze.embed(source, out=table, accept_truncated=True, limit=1)
    assert frieze.embed(source, out=table)["failed"] == 0
    assert frieze.embed(source, out=table, accept_truncated=False)["changed"] == {
        "accept_truncated": {"before": True, "now": False}
    }


def test_paths_are_remembered_from_everywhere(source, tmp_path, monkeypatch):
    """Paths that were typed relative mean the same when the rerun begins in another folder."""
    monkeypatch.chdir(tmp_path)
    frieze.embed("photos", out="t", labels="fixed.csv", label="kind")
    monkeypatch.chdir(source)
    assert frieze.embed(".", out="../t")["relabelled"] == 0
    assert labels(tmp_path / "t") == FIXED


def test_images_in_memory_keep_their_options(tmp_path):
    """A table of a program's own images remembers, too."""
    images = [(name, np.full((24, 24, 3), number, np.uint8)) for number, name in enumerate("ab")]
    (tmp_path / "labels.csv").write_text("id,label\na,x\nb,y\n")
    frieze.embed(images, out=tmp_path / "t", labels=tmp_path / "labels.csv")
    frieze.embed(iter(images), out=tmp_path / "t")
    assert labels(tmp_path / "t") == {"a": "x", "b": "y"}


def test_a_dry_run_recalls_the_same_options(source, table, run_json):
    """--dry-run recalls the same options and reports what would change; the table stays."""
    assert run_json("embed", source, "--out", table, "--dry-run")[1]["relabelled"] == 0
    _, document = run_json("embed", source, "--out", table, "--dry-run", "--labels", "folder")
    assert (document["relabelled"], document["changed"]["labels"]["now"]) == (2, "folder")
    assert labels(table) == FIXED


def test_a_table_without_the_new_fields(source, table):
    """A table of an earlier version, which stored fewer options, resumes with the defaults."""
    path = table / "features.json"
    document = json.loads(path.read_text())
    document["request"] = {"labels": "folder", "handle": "builtin"}
    path.write_text(json.dumps(document))
    assert frieze.embed(source, out=table)["relabelled"] == 2
    assert labels(table) == FOLDERS


def test_labels_from_paths_are_remembered(run_json, tmp_path):
    """A rerun without the option keeps it, another one relabels, and '' goes back to folders."""
    shots, out = tmp_path / "shots", tmp_path / "shots.features"
    for name in ("batch_1/a-cat.png", "batch_1/b-dog.png", "batch_22/deep/c-cat.png", "d.png"):
        (shots / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(shots / name)
    for options, expected in (
        (["--label-from", "(cat|dog)"], ["cat", "dog", "cat", None]),
        ([], ["cat", "dog", "cat", None]),
        (["--label-from", r"batch_(\d+)"], ["1", "1", "22", None]),
        (["--label-from", ""], ["batch_1", "batch_1", "deep", None]),
    ):
        code, document = run_json("embed", shots, "--out", out, *options)
        assert code == 0
        rows = open_features(out).rows
        labels = dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))
        assert [labels[name] for name in sorted(labels)] == expected
    assert document["embedded"] == 0
