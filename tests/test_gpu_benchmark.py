"""benchmarks/gpu.py on CPU devices, and what it asks TensorFlow where there is a GPU."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import devices, gpu, update_docs

TABLES = {
    "device": ["gpu device"],
    "network": ["gpu network", "gpu drift"],
    "embed": ["gpu embed"],
    "finetuning": ["gpu finetuning"],
    "several": ["gpu several"],
}


@pytest.fixture
def plan(tmp_path):
    """The least that can be measured: eight small images and the built-in network."""
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return gpu.Plan(tmp_path, {"builtin": "builtin"}, seconds=0.01, n_images=4, n_finetuned=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", gpu.PASSAGES)
def test_passages(name, plan, capfd):
    """Each passage prints its tables to their ends, and a figure in each row but that of a missing precision."""
    assert gpu.run_alone(gpu.PASSAGES[name], plan)
    tables = dict(update_docs.tables(capfd.readouterr().out.splitlines(keepends=True)))
    assert list(tables) == TABLES[name]
    for text in tables.values():
        header, _, *rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        assert all("float16" in row[3] for row in rows if row[2].strip() == "none")


@pytest.mark.slow
def test_a_passage_that_fails(plan, tmp_path):
    """A passage that ends with an error is told apart from one that comes to its end."""
    assert not gpu.run_alone(gpu.device, dataclasses.replace(plan, folder=tmp_path / "none"))


@pytest.fixture
def one_gpu(tf, monkeypatch):
    """A machine on which TensorFlow finds a GPU; calls that change it are listed."""
    calls, experimental = [], tf.config.experimental
    available = {"GPU": [SimpleNamespace(name="/physical_device:GPU:0")], "CPU": []}
    details = {"device_name": "NVIDIA X", "compute_capability": (9, 0)}
    monkeypatch.setattr(tf.config, "list_physical_devices", available.get)
    monkeypatch.setattr(tf.config, "set_logical_device_configuration", lambda *given: calls.append(given))
    logical = [SimpleNamespace(name=f"/device:GPU:{number}") for number in range(3)]
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: logical)
    monkeypatch.setattr(experimental, "get_device_details", lambda _: details)
    monkeypatch.setattr(experimental, "reset_memory_stats", calls.append)
    monkeypatch.setattr(experimental, "get_memory_info", lambda name: {"peak": 5_000_000, "current": len(name)})
    return calls


def test_a_gpu_is_named(one_gpu):
    """The table of the device has the GPU's name and compute capability."""
    rows = list(devices.describe_devices())
    assert rows[:2] == [
        ["GPUs that TensorFlow finds", 1],
        ["/physical_device:GPU:0", "NVIDIA X, compute capability 9.0"],
    ]


def test_peak_of_a_gpu(one_gpu):
    """The peak of a GPU is its allocator's, from the moment on when it was reset."""
    devices.reset_peak("GPU:0")
    assert (one_gpu, devices.peak_mb("GPU:0")) == (["GPU:0"], "5")


def test_split_of_a_gpu(one_gpu, tf):
    """A GPU is split into two halves of limited memory; those of other GPUs are left alone."""
    assert devices.split_device(300) == ["GPU:0", "GPU:1"]
    assert [one.memory_limit for one in one_gpu[0][1]] == [300, 300]
