"""The command; an interrupted run is compared with an uninterrupted one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import frieze.embedder
from frieze.core import import_keras, unit_rows
from tools.distill.cli import main

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "tools.distill"]


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A folder of 132 smooth pictures: a batch, and four that are left out."""
    folder = tmp_path_factory.mktemp("pool")
    for number, coarse in enumerate(np.random.default_rng(0).integers(0, 256, (132, 5, 5, 3), np.uint8)):
        Image.fromarray(coarse).resize((90, 70), Image.Resampling.BICUBIC).save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A small `.keras` file that rescales its pixels: 300 numbers an image."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    images = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(300, 5, strides=2, activation="relu")(keras.layers.Rescaling(1 / 255)(images))
    path = tmp_path_factory.mktemp("teacher") / "teacher.keras"
    keras.Model(images, keras.layers.GlobalAveragePooling2D()(maps)).save(path)
    return path


@pytest.fixture(scope="module")
def judged(pool, tmp_path_factory):
    """Four images of the pool in two classes, in another size and format."""
    folder = tmp_path_factory.mktemp("scored") / "judged"
    for number in range(4):
        path = folder / str(number % 2) / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(pool / f"{number:03d}.png").resize((180, 140)).save(path)
    return folder


@pytest.fixture(scope="module")
def options(pool, teacher, judged):
    """`options(out, epochs=3)`: the arguments of a short run, its work beside `out`."""

    def build(out, epochs=3):
        scored = ["--work", f"{out}-work", "--score", str(judged)]
        short = ["--views", "2", "--epochs", str(epochs), "--no-compile"]
        return [str(pool), "--teacher", str(teacher), "--out", str(out), *scored, *short]

    return build


def embed(path, pool):
    """Embed some of the pool by what was written."""
    request = frieze.embedder.BackboneRequest(handle=str(path), pixels="0..1")
    return frieze.embedder.embed_images(sorted(pool.iterdir())[:20], frieze.embedder.open_backbone(request))


@pytest.fixture(scope="module")
def uninterrupted(options, tmp_path_factory):
    """An uninterrupted run's file and stderr."""
    out = tmp_path_factory.mktemp("uninterrupted") / "mini.keras"
    done = subprocess.run([*COMMAND, *options(out)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stderr


def test_learns(uninterrupted):
    """The loss falls."""
    losses = [float(line.split()[-1]) for line in uninterrupted[1].splitlines() if "loss" in line]
    assert len(losses) == 3
    assert losses[-1] < 0.95 * losses[0]


def test_card(uninterrupted, pool):
    """The card holds training images, teachers, epochs, seed and versions of libraries."""
    card = json.loads(uninterrupted[0].with_suffix(".card.json").read_text())
    assert (card["images"]["number"], card["images"]["folder"], card["seed"]) == (132, pool.name, 0)
    assert (card["epochs"], card["steps"], card["images_seen"], card["views"]) == (3, 3, 384, 2)
    assert [(one["name"], one["image_size"], one["weight"]) for one in card["teachers"]] == [("teacher", 32, 1.0)]
    assert {"keras", "torch", "tensorflow"} <= set(card["versions"])


def test_whitened(uninterrupted):
    """The exported network is whitened: no direction in which crops differ from their images outweighs the others."""
    request = frieze.embedder.BackboneRequest(handle=str(uninterrupted[0]), pixels="0..1")
    views = [np.load(f"{uninterrupted[0]}-work/view-{number:03d}.npy") for number in range(2)]
    whole, crop = (frieze.embedder.open_backbone(request).call(np.float32(view) / 255).numpy() for view in views)
    variances = np.linalg.eigvalsh(np.cov(unit_rows(crop) - unit_rows(whole), rowvar=False))
    assert variances[-1] < 0.1 * variances.sum()


def test_killed(pool, options, uninterrupted, tmp_path, capfd):
    """A run that is killed after an epoch resumes there, and ends with an uninterrupted run's weights."""
    arguments, work = options(tmp_path / "mini.keras"), tmp_path / "mini.keras-work"
    shutil.copytree(f"{uninterrupted[0]}-work", work, ignore=shutil.ignore_patterns("checkpoint.pt"))
    with subprocess.Popen([*COMMAND, *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        next(message for message in process.stderr if "epoch 1" in message)
        os.kill(process.pid, signal.SIGKILL)
        process.stderr.read()  # ends when the process that trains has ended too
    assert CliRunner().invoke(main, arguments, catch_exceptions=False).exit_code == 0
    epochs = [line.split()[2] for line in capfd.readouterr().err.splitlines() if "loss" in line]
    assert (epochs[-1], "1:" in epochs) == ("3:", False)
    ours, theirs = embed(tmp_path / "mini.keras", pool), embed(uninterrupted[0], pool)
    assert ours == pytest.approx(theirs, abs=2e-2 * float(np.abs(theirs).max()))


def test_other_work(uninterrupted, options):
    """A folder of work with other options is refused, with the options that differ."""
    done = CliRunner().invoke(main, options(uninterrupted[0], epochs=4))
    assert done.exit_code == 1
    assert "was begun with other epochs, steps, images_seen" in done.stderr


def test_judged_images_are_left_out(uninterrupted, judged):
    """A test image is not trained on, whatever its size and format in the pool."""
    card = json.loads(uninterrupted[0].with_suffix(".card.json").read_text())
    assert card["left_out"] == [f"{number:03d}.png" for number in range(4)]
    paths = sorted(judged.rglob("*.jpg"))
    request = frieze.embedder.BackboneRequest(handle=str(uninterrupted[0]), pixels="0..1")
    rows = unit_rows(frieze.embedder.embed_images(paths, frieze.embedder.open_backbone(request)))
    nearest = (rows @ rows.T - 9 * np.eye(4)).argmax(axis=1)
    right = np.mean([paths[row].parent == paths[other].parent for row, other in enumerate(nearest)])
    assert card["nearest_neighbour_accuracy"]["judged"] == right


def test_what_ships(tmp_path):
    """The Keras file gives PyTorch's vectors up to the rounding to float16, and equal weights are equal bytes."""
    from tools.distill.export_keras import write_keras

    subprocess.run([sys.executable, "-c", STUDENT, str(tmp_path)], cwd=ROOT, check=True)
    with np.load(tmp_path / "student.npz") as file:
        weights, images, theirs = dict(file), *(np.load(tmp_path / f"{name}.npy") for name in ("images", "rows"))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_keras(weights, tmp_path / name / "mini.keras", name="mini")
    request = frieze.embedder.BackboneRequest(handle=str(tmp_path / "a" / "mini.keras"), pixels="0..1")
    ours = frieze.embedder.open_backbone(request).call(images).numpy()
    assert ours == pytest.approx(theirs, abs=2e-3 * float(np.abs(theirs).max()))
    one, other = ((tmp_path / name / "mini.keras").read_bytes() for name in "ab")
    assert one == other
    assert b"shared_object_id" not in zipfile.ZipFile(tmp_path / "a" / "mini.keras").read("config.json")
    assert len(one) <= 2.5e6


STUDENT = """
import sys, numpy as np, torch
from tools.distill.student import Student
torch.manual_seed(0)
student = Student()
for unit in student.modules():
    if isinstance(unit, torch.nn.BatchNorm2d):  # as if it had seen something
        unit.running_mean.normal_(0, 0.2); unit.running_var.uniform_(0.5, 2)
        torch.nn.init.uniform_(unit.weight, 0.5, 1.5); torch.nn.init.normal_(unit.bias, 0, 0.2)
student.eval()
images = np.random.default_rng(0).random((4, 128, 128, 3), np.float32)
with torch.no_grad():
    rows = student(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
np.savez(f"{sys.argv[1]}/student.npz", **{name: value.double().numpy() for name, value in student.state_dict().items()})
np.save(f"{sys.argv[1]}/images.npy", images); np.save(f"{sys.argv[1]}/rows.npy", rows)
"""
