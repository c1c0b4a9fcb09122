"""`frieze finetune` from images to a model: the judge is the probe, and the model's own embeddings."""

import functools
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import frieze
import frieze.classifiers
import frieze.classifiers.finetuning.finetune
import frieze.embedder
from frieze.classifiers.finetuning.devices import Devices
from frieze.classifiers.finetuning.trainer import Trainer
from frieze.classifiers.intervals import accuracy_interval
from frieze.core import FeatureFileError, InputError, ModelError, import_keras, lock
from frieze.embedder.images.decode import VERSION

QUICK = {"unfreeze": "high", "augment": False, "epochs": 2, "learning_rate": 0.004, "batch_size": 16}
COLOURS = {"blue": (30, 60, 200), "green": (40, 170, 60), "red": (200, 40, 40)}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twenty pictures of each of three colours, pale and noisy."""
    folder = tmp_path_factory.mktemp("finetuning") / "pictures"
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for number in range(20):
            pale = 100 + 0.12 * (np.array(colour) - 100)
            pixels = np.clip(pale + rng.normal(0, 60, (16, 16, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number:02}.png")
    return folder


@pytest.fixture(scope="module")
def table(pictures, residual):
    """The pictures' table by the tiny backbone."""
    frieze.embed(pictures, out=pictures.parent / "pictures.features", backbone=str(residual))
    return pictures.parent / "pictures.features"


@pytest.fixture(scope="module")
def probe(table):
    """The linear head that fine-tuning would train by itself."""
    frieze.train(table, out=table.parent / "probe.head")
    return table.parent / "probe.head"


@pytest.fixture(scope="module")
def tuned(table, probe):
    """The folder of a model fine-tuned from the table, and the document of that run."""
    out = table.parent / "tuned.model"
    return out, frieze.finetune(table, out=out, head=probe, **QUICK)


LEARN = Trainer._epoch
IDLE_EPOCH = {"loss": 9.0, "accuracy": 0.0, "val_loss": 99.0, "val_accuracy": 0.0, "seconds": 0.0}


def watch_epochs(patch, stop=None, *, learns=False):
    """Return a list of the epochs that begin from here on; one is interrupted, as Ctrl-C does.

    Where nothing is learned, they take no time.
    """
    begun = []

    def one(trainer, epoch, *rest):
        if epoch == stop:
            raise KeyboardInterrupt
        begun.append(epoch)
        return LEARN(trainer, epoch, *rest) if learns else dict(IDLE_EPOCH)

    patch.setattr(Trainer, "_epoch", one)
    return begun


@pytest.fixture
def stop(monkeypatch):
    """`stop(epoch=None, learns=False)`: interrupts before that epoch; returns the epochs that began."""
    return functools.partial(watch_epochs, monkeypatch)


@pytest.fixture
def idle(stop):
    """Epochs in which nothing is learned, and which take no time: those that began."""
    return stop()


def parts_of(head):
    """Return the ids of each part of a head's split."""
    rows = pq.read_table(head / "split.parquet").to_pylist()
    return {part: sorted(row["id"] for row in rows if row["part"] == part) for part in ("train", "validation", "test")}


def work_of(out):
    """Return the work folder of an interrupted run."""
    return out.parent / f".{out.name}.finetune"


def test_the_document(tuned, probe):
    """It reports figures, counts and epochs, and the probe's figures beside them."""
    _, document = tuned
    stored = json.loads((probe / "head.json").read_text())["scores"]
    assert (document["n_train"], document["n_test"], document["n_unlabelled"]) == (48, 12, 0)
    assert (document["test_copies"], document["similar_labels"]) == (0, [])
    assert document["probe_accuracy"] == document["probe"]["accuracy"] == stored["accuracy"]
    assert document["probe"]["macro_f1"] == stored["macro_f1"]
    assert document["epochs"] == len(document["history"]) - 1 == 2
    assert (document["unfrozen"], document["n_unfrozen"]) == ("5 of 10 layers, from high on", 1476)
    assert (document["training_precision"], document["n_replicas"]) == ("float32", 1)


def test_it_learnt(tuned):
    """An epoch was better than the start on the validation images, and its weights are kept."""
    losses = [epoch["val_calibrated_loss"] for epoch in tuned[1]["history"]]
    assert tuned[1]["best_epoch"] == losses.index(min(losses)) > 0
    assert not [note for note in tuned[1]["notes"] if "No epoch" in note]


def test_the_parts_are_the_probes(tuned, probe):
    """Test images are the probe's; a tenth of its training images is marked as validation."""
    mine, theirs = parts_of(tuned[0]), parts_of(probe)
    assert mine["test"] == theirs["test"]
    assert sorted(mine["train"] + mine["validation"]) == theirs["train"]
    assert len(mine["validation"]) == 6


def test_what_is_left(tuned):
    """Beside the model nothing is left, and it holds a head, a SavedModel, the split, the report and its page."""
    out = tuned[0]
    assert sorted(path.name for path in out.iterdir()) == [
        "familiarity.npz", "head.json", "head.skops", "report.html", "report.json", "saved_model", "split.parquet",
        "weights.npz",
    ]  # fmt: skip
    assert not list(out.parent.glob(".*"))


def test_a_table_of_the_first_decoding_is_tuned_with_it(table, probe, tmp_path, idle):
    """A table that was begun with an earlier version of decoding is fine-tuned, scored and used with that version."""
    first = shutil.copytree(table, tmp_path / "first.features")
    text = (first / "features.json").read_text()
    (first / "features.json").write_text(text.replace(VERSION, "pillow-draft-bilinear-1"))
    out = tmp_path / "tuned.model"
    frieze.finetune(first, out=out, **QUICK)
    document = json.loads((out / "head.json").read_text())
    decodings = {document["backbone"]["decoding"], document["finetuned"]["backbone"]["decoding"]}
    assert decodings == {"pillow-draft-bilinear-1"}


def test_head_json_names_both_backbones(tuned, table):
    """head.json has the new backbone, and under `finetuned` the first one and the course."""
    document = json.loads((tuned[0] / "head.json").read_text())
    assert document["backbone"]["handle"] == str(tuned[0])
    assert document["finetuned"]["backbone"] == frieze.open_features(table).spec.to_json()
    assert document["backbone"]["fingerprint"] != document["finetuned"]["backbone"]["fingerprint"]
    assert (document["finetuned"]["course"]["epochs"], document["finetuned"]["course"]["augments"]) == (2, False)


def test_head_json_stores_the_options(tuned, table):
    """head.json has the versions of what fine-tunes, and every option, --unfreeze among them."""
    document = json.loads((tuned[0] / "head.json").read_text())
    assert {"frieze", "keras", "tensorflow"} <= document["versions"].keys()
    options = document["finetuned"]["asked"]
    assert document["finetuned"]["unfreeze"] == options["unfreeze"] == "high"
    assert (options["source"], options["learning_rate"], options["schedule"]) == (str(table), 0.004, "cosine")
    assert not {"out", "force", "trust_backbone"} & options.keys()


@pytest.fixture(scope="module")
def embedded(tuned, pictures):
    """The pictures' table by the fine-tuned backbone."""
    out = pictures.parent / "tuned.features"
    frieze.embed(pictures, out=out, backbone=str(tuned[0]))
    return out


def test_evaluate_repeats_the_figures(tuned, embedded):
    """Embedded with the model and evaluated, the held-out images have exactly the figures of the run."""
    actual = frieze.evaluate(tuned[0], embedded)
    same = ("accuracy", "macro_f1", "confidence_interval", "n_test", "n_train", "head", "classes", "fit_seconds")
    assert {name: actual[name] for name in same} == {name: tuned[1][name] for name in same}
    assert actual["expected_calibration_error"] == pytest.approx(tuned[1]["expected_calibration_error"], abs=1e-4)
    assert (actual["rows"], actual["stale"]) == ("held-out", None)


def test_predict_and_export_take_the_model(tuned, embedded, pictures, tmp_path):
    """New images go through the model's own backbone, as its table did; with it the head becomes one SavedModel."""
    frieze.predict(tuned[0], embedded, out=tmp_path / "a.parquet")
    frieze.predict(tuned[0], pictures, out=tmp_path / "b.parquet")
    one, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in "ab")
    assert one.select(["id", "prediction"]).equals(other.select(["id", "prediction"]))
    assert frieze.export(tuned[0], out=tmp_path / "exported")["largest_difference"] < 1e-3


def test_a_moved_model_takes_its_backbone_along(tuned, pictures, tmp_path):
    """Moved or copied elsewhere, a model predicts new images by the backbone that lies in it."""
    moved = shutil.copytree(tuned[0], tmp_path / "moved.model")
    assert frieze.open_head(moved).spec.handle == str(moved)
    assert frieze.predict(moved, pictures, out=tmp_path / "p.parquet")["failed"] == 0


def test_info_and_verify_know_it(tuned):
    """It is a head, and whole."""
    assert frieze.info(tuned[0])["kind"] == "head"
    assert frieze.verify(tuned[0])["problems"] == []


@pytest.mark.slow
def test_it_can_be_fine_tuned_again(tuned, embedded, tmp_path):
    """From the model's own table and head training continues where the model was."""
    actual = frieze.finetune(
        embedded, out=tmp_path / "again", head=tuned[0], **QUICK | {"unfreeze": "top/*", "epochs": 1}
    )
    assert (actual["probe_accuracy"], actual["unfrozen"]) == (tuned[1]["accuracy"], "2 of 14 variables")


def test_the_page(tuned):
    """The page shows probe and fine-tuned side by side, and each epoch."""
    page, document = (tuned[0] / "report.html").read_text(), tuned[1]
    assert f"<th>probe</th><td>{document['probe_accuracy']:.1%}</td>" in page
    assert f"<th>fine-tuned</th><td>{document['accuracy']:.1%}</td>" in page
    assert f"<th>0</th><td></td><td></td><td>{document['history'][0]['val_loss']:.4f}</td>" in page
    assert f"number {document['best_epoch']} is kept" in page


@pytest.mark.slow
def test_from_images(pictures, residual, tuned, tmp_path):
    """From images it embeds, trains the probe and fine-tunes, and comes to what it comes to from table and head."""
    document = frieze.finetune(pictures, out=tmp_path / "m", backbone=str(residual), **QUICK)
    assert document["probe"] == tuned[1]["probe"]
    assert document["accuracy"] == tuned[1]["accuracy"]
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.slow
def test_kept_maps_change_nothing(table, probe, tuned, tmp_path, caplog):
    """With --cache the frozen part runs once, and the losses are those of the whole network but for float16."""
    with caplog.at_level("INFO", "frieze"):
        actual = frieze.finetune(table, out=tmp_path / "m", head=probe, cache=True, **QUICK)
    one, other = ([epoch["val_loss"] for epoch in document["history"]] for document in (actual, tuned[1]))
    assert np.allclose(one, other, atol=0.02)
    assert re.search(r"Cached activations take up to \d+(\.\d)?KB on disk\.", caplog.text)


def test_both_are_scored_on_the_same_images(probe, pictures, residual, tmp_path, idle):
    """Where a test image of the probe is missing, the probe's figures, too, are of the remaining images."""
    source, held_out = shutil.copytree(pictures, tmp_path / "pictures"), parts_of(probe)["test"]
    (source / held_out[0]).unlink()
    frieze.embed(source, out=tmp_path / "f", backbone=str(residual))
    document = frieze.finetune(tmp_path / "f", out=tmp_path / "m", head=probe, **QUICK | {"epochs": 1})
    n_right = round(11 * document["probe_accuracy"])
    assert document["n_test"] == len(held_out) - 1 == 11
    assert document["probe"]["confidence_interval"] == accuracy_interval(n_right, 11)


@pytest.fixture(scope="module")
def new_head(table, probe):
    """A model that was to learn hidden layers, named by numbers, and learned nothing: its folder and the document."""
    out = table.parent / "new.model"
    with pytest.MonkeyPatch.context() as patch:
        watch_epochs(patch)
        options = QUICK | {"unfreeze": 2, "layers": 8, "epochs": 1}
        return out, frieze.finetune(table, out=out, head=probe, **options)


@pytest.mark.slow
def test_a_new_head_replaces_the_probe(new_head):
    """With --layers a network with hidden layers learns on top, and is stored as one, whatever the probe was."""
    out, document = new_head
    assert document["head"] == "keras"
    assert document["probe"]["head"] == "linear"
    assert frieze.open_head(out).classifier.architecture.layers == (8,)


@pytest.mark.slow
def test_a_new_head_that_learnt_nothing(new_head):
    """Where hidden layers replaced the probe and no epoch was better, a note says that they learned nothing."""
    start = "No epoch was better than the start: the new head has learnt nothing."
    assert [note.startswith(start) for note in new_head[1]["notes"]] == [True]


@pytest.mark.slow
def test_numbers_are_as_good_as_their_text(new_head):
    """A number of last layers may be given as one, and is noted as its text would be."""
    stored = json.loads((new_head[0] / "head.json").read_text())["finetuned"]
    assert (stored["unfreeze"], stored["asked"]["layers"], new_head[1]["epochs"]) == ("2", "8", 1)


def test_where_nothing_helps_the_probe_stays(table, probe, tmp_path, idle):
    """Where no epoch is better than the start, head and figures are the probe's, and that is said."""
    document = frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK)
    assert (document["best_epoch"], document["accuracy"]) == (0, document["probe_accuracy"])
    assert document["notes"] == ["No epoch was better than the start: the probe is unchanged."]
    embeddings = frieze.open_features(table).embeddings()
    mine, theirs = (frieze.open_head(path).probabilities(embeddings) for path in (tmp_path / "m", probe))
    assert np.array_equal(mine, theirs)


def test_no_gain_is_reported(table, probe, tmp_path, run, monkeypatch):
    """A model that is no better than the probe on the held-out images is kept, and its note has both figures."""
    epoch = {"loss": 0.1, "accuracy": 1.0, "val_loss": 0.0, "val_accuracy": 1.0, "seconds": 0.0}
    monkeypatch.setattr(Trainer, "_epoch", lambda *_: epoch)
    monkeypatch.setattr(
        "frieze.classifiers.finetuning.finetune.score", _scores_of(iter([0.75, 0.625]))
    )  # the probe comes first
    done = run("finetune", table, "--out", tmp_path / "m", "--head", probe, "--epochs", 1, "--unfreeze", "top")
    message = "Fine-tuning gained nothing: 0.625 of the held-out images are right, of the probe's 0.750."
    assert f"Note: {message}" in done.stderr
    assert json.loads((tmp_path / "m" / "report.json").read_text())["notes"] == [message]


def _scores_of(accuracies):
    real = frieze.classifiers.finetuning.finetune.score
    return lambda *args, **options: real(*args, **options) | {"accuracy": next(accuracies)}


@pytest.fixture(scope="module")
def interrupted(table, probe):
    """The path of the model of a run that was interrupted after its first epoch."""
    out = table.parent / "interrupted.model"
    with pytest.MonkeyPatch.context() as patch:
        watch_epochs(patch, 2, learns=True)
        with pytest.raises(KeyboardInterrupt):
            frieze.finetune(table, out=out, head=probe, **QUICK)
    return out


@pytest.fixture
def half(interrupted, table, probe, tmp_path):
    """`half(**options)`: resumes, with other options, a run interrupted after its first epoch."""
    shutil.copytree(work_of(interrupted), work_of(tmp_path / "m"))
    return lambda **options: frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK | options)


def test_an_interrupted_run_resumes(interrupted, half, tuned, tmp_path, stop):
    """Cut off, it leaves no model but its work; the same again resumes with the epochs that are missing."""
    assert (interrupted.exists(), work_of(interrupted).is_dir()) == (False, True)
    begun = stop(learns=True)
    document = half()
    assert (begun, document["epochs"], document["accuracy"]) == ([2], 2, tuned[1]["accuracy"])
    assert not work_of(tmp_path / "m").exists()


@pytest.fixture
def mixed(monkeypatch):
    """A machine that trains in mixed precision."""
    monkeypatch.setattr(Devices, "find", lambda: Devices(policy="mixed_float16"))


@pytest.mark.slow
def test_a_run_resumes_in_mixed_precision(half, tuned, tmp_path, mixed, stop, tf):
    """A run of float32 resumes in mixed precision: its losses are those of float32 within a hundredth, as is stored."""
    begun, document = stop(learns=True), half()
    assert (begun, document["training_precision"]) == ([2], "mixed_float16")
    one, other = ([epoch["val_loss"] for epoch in run["history"]] for run in (document, tuned[1]))
    assert one != other
    assert one == pytest.approx(other, abs=0.01)
    stored = tf.saved_model.load(str(tmp_path / "m" / "saved_model"))
    assert {variable.dtype for variable in stored.variables} == {tf.float32}


@pytest.mark.slow
def test_float32_takes_over_where_float16_overflows(pictures, residual, tmp_path, mixed, caplog):
    """A network whose activations are too large for float16 is trained in float32, and that is said."""
    keras = import_keras()
    network = keras.saving.load_model(residual)
    large = keras.layers.Rescaling(1e9, name="large")(network.get_layer("add").output)
    small = keras.layers.Rescaling(1e-9, name="small")(large)
    maps = network.get_layer("top")(small)
    keras.Model(network.inputs[0], keras.layers.GlobalAveragePooling2D()(maps)).save(tmp_path / "large.keras")
    options = QUICK | {"unfreeze": "top", "epochs": 1}
    document = frieze.finetune(pictures, out=tmp_path / "m", backbone=str(tmp_path / "large.keras"), **options)
    assert (document["training_precision"], document["best_epoch"]) == ("float32", 1)
    assert "The loss is not finite in float16: training continues in float32." in caplog.text


TWO_PROCESSORS = """
import json, sys
from frieze.core import import_tensorflow
config = import_tensorflow().config
processors = [config.LogicalDeviceConfiguration() for _ in range(2)]
config.set_logical_device_configuration(config.list_physical_devices("CPU")[0], processors)
import frieze
from frieze.classifiers.finetuning.devices import Devices
for policy, options in json.loads(sys.argv[1]).items():
    Devices.find = lambda: Devices(("/device:CPU:0", "/device:CPU:1"), policy)
    sys.stdout.write(json.dumps(frieze.finetune(**options)) + "\\n")
"""


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory, tf):
    """How a SavedModel of one variable is fine-tuned."""
    handle = save_dense(tmp_path_factory.mktemp("saved") / "module", tf)
    return QUICK | {"unfreeze": "dense", "epochs": 1, "backbone": handle}


@pytest.fixture(scope="module")
def on_two_devices(table, probe, pictures, saved_model, tmp_path_factory):
    """The documents of two runs on two devices: with kept maps, and of a SavedModel in mixed precision."""
    folder = tmp_path_factory.mktemp("two")
    cached = QUICK | {"source": str(table), "head": str(probe), "out": str(folder / "cached"), "cache": True}
    saved = saved_model | {"source": str(pictures), "out": str(folder / "saved")}
    command = [sys.executable, "-c", TWO_PROCESSORS, json.dumps({"float32": cached, "mixed_float16": saved})]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


@pytest.mark.slow
def test_two_devices_come_to_what_one_does(on_two_devices, tuned):
    """With two devices and kept maps a run has the losses and the accuracy of one device and the whole network."""
    document, _ = on_two_devices
    assert (document["n_replicas"], document["accuracy"]) == (2, tuned[1]["accuracy"])
    losses = [epoch["val_loss"] for epoch in document["history"]]
    assert losses == pytest.approx([epoch["val_loss"] for epoch in tuned[1]["history"]], abs=0.02)


@pytest.mark.slow
def test_a_saved_model_on_two_devices(on_two_devices, pictures, saved_model, tmp_path):
    """A SavedModel on two devices has the losses of one, in the float32 of its graph whatever is chosen."""
    _, two = on_two_devices
    one = frieze.finetune(pictures, out=tmp_path / "m", **saved_model)
    assert (two["n_replicas"], two["training_precision"]) == (2, "float32")
    losses = [[epoch["val_loss"] for epoch in document["history"]] for document in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


KILL = """
import json, os, signal, sys
import frieze
from frieze.classifiers.finetuning.trainer import Trainer

real = Trainer._epoch

def dying(learning, epoch, draw, watched, step):
    def told(done, total):
        step(done, total)
        if epoch == 2 and done == learning.n_steps + 2:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(learning, epoch, draw, watched, told)

Trainer._epoch = dying
frieze.finetune(**json.loads(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_killed_run_resumes(table, probe, tuned, tmp_path, stop):
    """Killed within its second epoch, a run resumes with that epoch, and ends as the one that was not killed."""
    options = QUICK | {"source": str(table), "head": str(probe), "out": str(tmp_path / "m")}
    assert subprocess.run([sys.executable, "-c", KILL, json.dumps(options)], check=False).returncode == -9
    assert [path.name for path in tmp_path.iterdir()] == [".m.finetune"]
    begun, document = stop(learns=True), frieze.finetune(**options)
    losses = [[epoch["val_loss"] for epoch in one["history"]] for one in (document, tuned[1])]
    assert (begun, document["accuracy"]) == ([2], tuned[1]["accuracy"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_other_options_over_a_half_done_one(half, idle):
    """Options that differ are refused by name over an interrupted run; with --force it restarts."""
    with pytest.raises(InputError, match=r"half done here: learning_rate 0\.004 then, 0\.001 now") as caught:
        half(learning_rate=0.001)
    assert "`force=True`" in caught.value.hint
    assert half(learning_rate=0.001, force=True)["epochs"] == 2
    assert idle == [1, 2]


def test_force_restarts(half, idle):
    """With --force an interrupted run is discarded, though the options are the same."""
    assert half(force=True)["epochs"] == 2
    assert idle == [1, 2]


@pytest.mark.parametrize(
    "what", ["labels", pytest.param("generation", marks=pytest.mark.slow), pytest.param("head", marks=pytest.mark.slow)]
)
def test_other_inputs_restart_it(half, tmp_path, caplog, idle, what):
    """Where images, labels or the head to begin from are others by now, it restarts and says so."""
    noted = work_of(tmp_path / "m") / "table.json"
    noted.write_text(json.dumps(json.loads(noted.read_text()) | {what: "another"}))
    half()
    assert idle == [1, 2]
    assert "or the head have changed since this run began: it starts again." in caplog.text


def test_an_interrupted_replacement_resumes(tuned, table, probe, tmp_path, stop):
    """Started with --force and interrupted, a run resumes without, and replaces only the model it was started for."""
    out, begun = shutil.copytree(tuned[0], tmp_path / "m"), stop(2)
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(table, out=out, head=probe, force=True, **QUICK | {"seed": 1})
    resumed = stop()
    before = (out / "head.json").read_bytes()
    (out / "head.json").write_bytes(before + b"\n")
    with pytest.raises(FeatureFileError, match="already exists"):
        frieze.finetune(table, out=out)
    (out / "head.json").write_bytes(before)
    document = frieze.finetune(table, out=out)
    assert (begun, resumed, document["remembered"]["seed"]) == ([1], [2], 1)
    assert (out / "head.json").read_bytes() != before


def test_a_lost_group_column_is_said(pictures, residual, tmp_path, caplog, idle):
    """Where the images no longer have the column of the head's groups, a note says what that means."""
    days = {path: str(number % 20) for number, path in enumerate(sorted(pictures.glob("*/*.png")))}
    for name, header in (("days", "path,label,day"), ("later", "path,label,week")):
        rows = [f"{path},{path.parent.name},{day}" for path, day in days.items()]
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *rows]))
        frieze.embed(tmp_path / f"{name}.csv", out=tmp_path / name, backbone=str(residual))
    frieze.train(tmp_path / "days", out=tmp_path / "head", group="day")
    frieze.finetune(tmp_path / "later", out=tmp_path / "m", head=tmp_path / "head", **QUICK)
    assert "no column day now" in caplog.text


def test_groups_stay_together_while_it_learns(pictures, residual, tmp_path, idle):
    """With --group no image of a validation image's group is trained on."""
    paths = sorted(pictures.glob("*/*.png"))
    day = {str(path): f"{path.parent.name} {int(path.stem) // 2}" for path in paths}
    lines = [f"{path},{path},{path.parent.name},{day[str(path)]}" for path in paths]
    (tmp_path / "days.csv").write_text("\n".join(["image,id,label,day", *lines]))
    frieze.finetune(tmp_path / "days.csv", out=tmp_path / "m", backbone=str(residual), **QUICK | {"group": "day"})
    days = {part: {day[name] for name in ids} for part, ids in parts_of(tmp_path / "m").items()}
    assert days["validation"]
    assert not days["validation"] & (days["train"] | days["test"])


@pytest.mark.slow
def test_changed_images_restart_it(pictures, residual, tmp_path, stop):
    """Where the images have changed since, it restarts: an interrupted run goes by row numbers."""
    source, begun = shutil.copytree(pictures, tmp_path / "pictures"), stop(2)
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(source, out=tmp_path / "m", backbone=str(residual), **QUICK)
    (source / "blue" / "00.png").unlink()
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(source, out=tmp_path / "m", backbone=str(residual), **QUICK)
    assert begun == [1, 1]


def test_before_an_epoch_options_may_change(pictures, residual, tmp_path, stop):
    """Where no epoch is done, other options are taken, and what was embedded is kept."""
    begun, part = stop(1), work_of(tmp_path / "m") / "features" / "parts" / "part-000000.parquet"
    written = []
    for batch_size in (16, 8):
        with pytest.raises(KeyboardInterrupt):
            frieze.finetune(pictures, out=tmp_path / "m", backbone=str(residual), **QUICK | {"batch_size": batch_size})
        written.append(part.stat().st_mtime_ns)
    assert (begun, written[0]) == ([], written[1])


def test_a_mistake_is_no_obstacle(table, probe, tmp_path, stop):
    """After a refused option the run may be repeated with a valid one."""
    stop(1)
    with pytest.raises(InputError):
        frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK | {"unfreeze": "hihg"})
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK)


def test_a_second_process_is_refused(table, probe, tmp_path):
    """While one process works on a model, another one is reported so."""
    work = work_of(tmp_path / "m")
    work.mkdir()
    with lock(work), pytest.raises(FeatureFileError, match="is being written by process"):
        frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK)


def test_a_head_of_another_backbone_is_refused(table, pictures, residual, tmp_path):
    """A head that was trained on another layer's table does not go with this one."""
    frieze.embed(pictures, out=tmp_path / "f", backbone=str(residual), layer="add")
    frieze.train(tmp_path / "f", out=tmp_path / "head")
    with pytest.raises(InputError) as caught:
        frieze.finetune(table, out=tmp_path / "m", head=tmp_path / "head", **QUICK)
    assert "leave `head` out" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "keras:VGG16"}, "was made with `backbone`"),
        ({"layer": "top"}, "was made with `layer` None, not top"),
        ({"image_size": 32}, "was made with `image_size` 16, not 32"),
        ({"pixels": "0..1"}, "was made with `pixels` 0..255, not 0..1"),
        ({"unfreeze": "nothing"}, "residual has 10 layers, and none named nothing"),
        ({"cache": True, "augment": True}, "can't be augmented"),
        ({"layers": "big"}, "`layers` is big"),
        ({"epochs": 0}, "`epochs` is 0"),
    ],
)
def test_what_does_not_fit(table, tmp_path, options, message):
    """An option that the table or the backbone contradicts is refused, and no model is written."""
    with pytest.raises(InputError, match=message):
        frieze.finetune(table, out=tmp_path / "m", **QUICK | options)
    assert not (tmp_path / "m").exists()


def test_the_backbone_of_the_table_may_be_named(table, probe, residual, tmp_path, monkeypatch, stop):
    """The backbone that the table was made with may be named, also by a relative path."""
    monkeypatch.chdir(residual.parent)
    stop(1)
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK | {"backbone": residual.name})


@pytest.fixture
def embeds_nothing(monkeypatch):
    """Fails where images are embedded."""
    monkeypatch.setattr(frieze.embedder, "embed_source", lambda *_args, **_options: pytest.fail("images were embedded"))


def test_a_wrong_pattern_costs_no_embedding(pictures, residual, tmp_path, embeds_nothing):
    """A layer that is not there is refused before the images are embedded."""
    with pytest.raises(InputError, match="none named nothing"):
        frieze.finetune(pictures, out=tmp_path / "m", backbone=str(residual), **QUICK | {"unfreeze": "nothing"})


@pytest.mark.parametrize("options", [{}, {"group": "duplicates"}])
def test_too_few_images_cost_no_embedding(pictures, residual, tmp_path, embeds_nothing, options):
    """Four images a class are refused before they are embedded."""
    for path in sorted(pictures.glob("*/0[0-3].png")):
        few = tmp_path / "few" / path.parent.name / path.name
        few.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, few)
    with pytest.raises(InputError, match=r"There are \d+ images of 3 classes to fine-tune"):
        frieze.finetune(tmp_path / "few", out=tmp_path / "m", backbone=str(residual), **QUICK, **options)


def test_a_rerun_keeps_the_options(table, probe, tmp_path, idle, caplog):
    """Made again without options, a model is made as it was; with one, that is said, and the others stay."""
    frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK)
    caplog.clear()
    document = frieze.finetune(table, out=tmp_path / "m", epochs=1, force=True)
    stderr = caplog.text
    assert "as the last time: --unfreeze high --head" in stderr
    assert "changed: --epochs 1; the last time it was: --epochs 2\n" in stderr
    assert document["remembered"] == {name: value for name, value in QUICK.items() if name != "epochs"} | {
        "head": str(probe)
    }
    assert document["changed"] == {"epochs": {"before": 2, "now": 1}}
    options = json.loads((tmp_path / "m" / "head.json").read_text())["finetuned"]["asked"]
    assert (options["unfreeze"], options["epochs"], options["learning_rate"]) == ("high", 1, 0.004)


def test_of_another_source_nothing_is_taken_over(tuned, pictures, residual, tmp_path, stop):
    """The options of one source are not recalled for another."""
    out = shutil.copytree(tuned[0], tmp_path / "m")
    stop(1)
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(pictures, out=out, backbone=str(residual), force=True)
    noted = json.loads((work_of(out) / "options.json").read_text())
    assert (noted["unfreeze"], noted["learning_rate"]) == (None, 3e-4)


def test_resumes_without_options(half, table, probe, tmp_path, idle):
    """An interrupted run resumes with its own options, where none are given."""
    document = frieze.finetune(table, out=tmp_path / "m")
    assert (idle, document["remembered"]) == ([2], QUICK | {"head": str(probe)})


@pytest.mark.slow
def test_augmented_images_go_on_as_they_would_have(table, probe, tmp_path, stop):
    """Cut after its first epoch, with images changed at random, the losses are those of the unbroken run."""
    options = QUICK | {"augment": True, "patience": 9}
    whole = frieze.finetune(table, out=tmp_path / "whole", head=probe, **options)
    stop(2, learns=True)
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(table, out=tmp_path / "m", head=probe, **options)
    stop(learns=True)
    resumed = frieze.finetune(table, out=tmp_path / "m", head=probe, **options)
    for name in ("loss", "val_loss"):
        mine, theirs = ([epoch[name] for epoch in one["history"][1:]] for one in (resumed, whole))
        assert mine == pytest.approx(theirs, rel=1e-4)


@pytest.mark.slow
def test_a_probe_for_comparison_takes_means(pictures, residual, tmp_path):
    """Where a new head of hidden layers takes maps as they are, the probe beside it takes the mean of each."""
    options = QUICK | {"layer": "top:flatten", "unfreeze": "top", "layers": "6", "epochs": 1}
    actual = frieze.finetune(pictures, out=tmp_path / "m", backbone=str(residual), **options)
    frieze.embed(pictures, out=tmp_path / "f", backbone=str(residual), layer="top")
    assert actual["probe_accuracy"] == frieze.train(tmp_path / "f", out=tmp_path / "head")["accuracy"]
    assert frieze.open_head(tmp_path / "m").spec.dim == 6 * 6 * 12


def test_images_need_a_backbone(pictures, tmp_path):
    """Images require a backbone."""
    with pytest.raises(InputError, match="is no table of features") as caught:
        frieze.finetune(pictures, out=tmp_path / "m", **QUICK)
    assert "`backbone=" in caught.value.hint


def test_a_missing_image_is_reported(pictures, residual, tmp_path):
    """An image that is missing when its table is fine-tuned ends the run with its name."""
    source = shutil.copytree(pictures, tmp_path / "pictures")
    frieze.embed(source, out=tmp_path / "f", backbone=str(residual))
    (source / "red" / "03.png").unlink()
    (source / "blue" / "03.png").unlink()
    (source / "green" / "03.png").unlink()
    with pytest.raises(InputError, match=r"03\.png can't be read any more"):
        frieze.finetune(tmp_path / "f", out=tmp_path / "m", **QUICK)
    assert not (tmp_path / "m").exists()


def test_force_replaces_a_model(tuned, table, probe, tmp_path, idle):
    """A model is replaced with --force alone, and not where a file of somebody else's lies in it."""
    out = shutil.copytree(tuned[0], tmp_path / "m")
    options = QUICK | {"epochs": 1}
    with pytest.raises(FeatureFileError, match="already exists"):
        frieze.finetune(table, out=out, head=probe, **options)
    assert frieze.finetune(table, out=out, head=probe, force=True, **options)["epochs"] == 1
    (out / "notes.txt").write_text("mine")
    with pytest.raises(FeatureFileError, match=r"notes\.txt is no part of a head"):
        frieze.finetune(table, out=out, head=probe, force=True, **options)
    assert (out / "notes.txt").read_text() == "mine"


def test_another_backbone_on_disk_is_found_out(table, probe, tmp_path, monkeypatch, idle):
    """Where what was written is not what was trained, no model is left."""
    real = frieze.embedder.open_backbone

    def open_other(request):
        opened = real(request)
        return type(opened)(opened.spec, lambda images: 1 - opened.call(images))

    monkeypatch.setattr(frieze.embedder, "open_backbone", open_other)
    with pytest.raises(InputError, match="is not the one that was trained"):
        frieze.finetune(table, out=tmp_path / "m", head=probe, **QUICK | {"epochs": 1})
    assert not (tmp_path / "m").exists()


def save_dense(path, tf, factor=lambda: 1.0):
    """Save a SavedModel in hub form with one variable, `dense`: [B, 16, 16, 3] -> [B, 6]."""
    module = tf.train.Checkpoint()
    module.dense = tf.Variable(np.random.default_rng(0).normal(size=(48, 6)).astype("f4"), name="dense")
    images = tf.TensorSpec([None, 16, 16, 3], tf.float32)
    module.__call__ = tf.function(
        lambda images: factor() * (tf.reshape(tf.nn.avg_pool2d(images, 4, 4, "VALID"), [-1, 48]) @ module.dense),
        [images],
        autograph=False,
    )
    tf.saved_model.save(module, str(path))
    return str(path)


def test_a_saved_model_learns_too(tmp_path, pictures, saved_model, mixed):
    """A SavedModel is fine-tuned by names of variables, in float32 on any machine, and embeds as it was scored."""
    document = frieze.finetune(pictures, out=tmp_path / "m", **saved_model)
    frieze.embed(pictures, out=tmp_path / "f", backbone=str(tmp_path / "m"))
    assert (document["unfrozen"], document["training_precision"]) == ("1 of 1 variables", "float32")
    assert frieze.evaluate(tmp_path / "m", tmp_path / "f")["accuracy"] == document["accuracy"]


@pytest.mark.slow
def test_a_trusted_saved_model(tmp_path, pictures, tf):
    """A SavedModel that reads a file is refused; trusted, it learns and is stored, and wants trust again."""
    (tmp_path / "one.txt").write_text("1.0")
    handle = save_dense(
        tmp_path / "module", tf, lambda: tf.strings.to_number(tf.io.read_file(str(tmp_path / "one.txt")))
    )
    options = QUICK | {"unfreeze": "dense", "epochs": 1, "backbone": handle}
    with pytest.raises(ModelError, match="reads files"):
        frieze.finetune(pictures, out=tmp_path / "m", **options)
    assert frieze.finetune(pictures, out=tmp_path / "m", trust_backbone=True, **options)["epochs"] == 1
    with pytest.raises(ModelError, match="reads files"):
        frieze.embed(pictures, out=tmp_path / "f", backbone=str(tmp_path / "m"))


def test_unusable_images_are_reported(photos, residual, tmp_path, caplog, stop):
    """What can't be embedded is left out and counted by reason, on stderr."""
    stop(1)
    with pytest.raises(KeyboardInterrupt):
        frieze.finetune(photos, out=tmp_path / "m", backbone=str(residual), **QUICK)
    assert "1 can't be used and are left out: not an image." in caplog.text


def test_the_command_prints_the_epochs(table, probe, tmp_path, run, idle):
    """With --verbose a table of the epochs stands above the facts; talk goes to stderr."""
    options = ("--verbose", "--head", probe, "--unfreeze", "top", "--epochs", 1, "--no-augment")
    result = run("finetune", table, "--out", tmp_path / "m", *options)
    assert result.exit_code == 0
    assert result.stdout.index("val_loss") < result.stdout.index("probe_accuracy")
    assert "Fine-tuning 2 of 10 layers, from top on: 876 numbers." in result.stderr


def test_help_is_quick():
    """The command's help imports no TensorFlow."""
    code = "import sys; from frieze.cli.commands.finetune import finetune; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
