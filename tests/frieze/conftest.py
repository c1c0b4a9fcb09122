"""A small world: three classes of images, and what each command makes of them, once a session."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import frieze
from frieze.cli.main import main

collect_ignore = [] if importlib.util.find_spec("fastapi") else ["web", "test_serve.py"]
COLOURS = {"blue": (30, 60, 200), "green": (40, 170, 60), "red": (200, 40, 40)}


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Ten noisy images of each of three colours, a broken one and a note."""
    folder = tmp_path_factory.mktemp("world") / "photos"
    rng = np.random.default_rng(0)
    for label, colour in COLOURS.items():
        (folder / label).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(np.array(colour) + rng.normal(0, 25, (48, 64, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{number}.png")
    (folder / "broken.jpg").write_text("no image")
    (folder / "notes.txt").write_text("a note")
    return folder


@pytest.fixture(scope="session")
def world(photos) -> Path:
    """The folder above `photos`, with photos.features, photos.index and photos.head beside it."""
    folder = photos.parent
    frieze.embed(photos, out=folder / "photos.features")
    frieze.index(folder / "photos.features", out=folder / "photos.index")
    frieze.train(folder / "photos.features", out=folder / "photos.head")
    return folder


@pytest.fixture(scope="session")
def text_world(world, tmp_path_factory, write_text_tower) -> Path:
    """A folder with text.features and text.index of the world's photographs, and `tower`, which knows its colours."""
    pytest.importorskip("openvino")
    folder, table = tmp_path_factory.mktemp("text"), frieze.open_features(world / "photos.features")
    vectors, labels = table.embeddings(), np.array(table.labels)
    colours = {label: vectors[labels == label].mean(axis=0) - vectors.mean(axis=0) for label in COLOURS}
    write_text_tower(folder / "tower", colours)
    frieze.embed(world / "photos", out=folder / "text.features", text_encoder=folder / "tower")
    frieze.index(folder / "text.features", out=folder / "text.index")
    return folder


@pytest.fixture
def run():
    """Run a command in this process: `run("info", path)` returns click's result, stdout and stderr apart."""
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture
def run_json(run):
    """Run a command with --json; return the exit code and the document."""

    def run_and_read(*args):
        result = run(*args, "--json")
        return result.exit_code, json.loads(result.stdout)

    return run_and_read
