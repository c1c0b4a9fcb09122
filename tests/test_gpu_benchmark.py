"""benchmarks/gpu.py on CPU devices, and what it asks TensorFlow where there is a GPU."""

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
def plan(tmp_path, monkeypatch):
    """The least that can be measured: eight small images and the built-in network, in small batches."""
    monkeypatch.setitem(gpu.BATCHES, "CPU", (1, 4, 8))
    monkeypatch.setitem(gpu.TRAINED, "CPU", 2)
    for number in range(8):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return gpu.Plan(tmp_path, {"builtin": "builtin"}, seconds=0.01, n_images=4, n_finetuned=1)


def check_tables(name, printed):
    """Check that a passage's tables are there, each row with all columns, or without figures for a reason."""
    tables = dict(update_docs.tables(printed.splitlines(keepends=True)))
    assert list(tables) == TABLES[name]
    for text in tables.values():
        header, _, *rows = [line.split("|") for line in text.splitlines() if line.startswith("|")]
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        assert all("float16" in row[3] for row in rows if row[2].strip() == "none")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in gpu.PASSAGES if name != "several"])
def test_passages(name, plan, capfd):
    """Each passage prints its tables to their ends, and a figure in each row but that of a missing precision."""
    gpu.PASSAGES[name](plan)
    check_tables(name, capfd.readouterr().out)


@pytest.mark.slow
def test_a_passage_alone(plan, capfd):
    """So does one that splits the device, in a process of its own, where TensorFlow has not started."""
    assert gpu.run_alone(gpu.several, plan)
    check_tables("several", capfd.readouterr().out)


@pytest.mark.slow
def test_a_passage_that_fails(plan):
    """A passage that ends with an error is told apart from one that comes to its end."""
    assert not gpu.run_alone(len, plan)


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
