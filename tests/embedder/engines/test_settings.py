import types

import pytest

from frieze.core import InputError
from frieze.embedder.engines import find_devices


@pytest.fixture
def machine(monkeypatch):
    """`machine(*names)`: a machine with these devices."""

    def make(*names):
        devices = [types.SimpleNamespace(name=f"/device:{name}") for name in names]
        config = types.SimpleNamespace(list_logical_devices=lambda: devices)
        monkeypatch.setattr(
            "frieze.embedder.engines.settings.import_tensorflow", lambda: types.SimpleNamespace(config=config)
        )

    return make


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("auto", ("GPU:0", "GPU:1")),
        ("gpu", ("GPU:0", "GPU:1")),
        ("gpu:1", ("GPU:1",)),
        ("/GPU:1", ("GPU:1",)),
        ("cpu", ("CPU:0",)),
        ("gpu:1, gpu:0, gpu:1", ("GPU:1", "GPU:0")),
    ],
)
def test_names(names, expected, machine):
    """`auto` takes every GPU; other names are kinds or single devices, each once."""
    machine("CPU:0", "GPU:0", "GPU:1")
    assert find_devices(names) == expected


def test_without_gpu(machine):
    """Without a GPU `auto` is the CPU."""
    machine("CPU:0")
    assert find_devices() == ("CPU:0",)


def test_several_kinds(machine):
    """A mix of GPUs and CPUs is refused: they support different precisions."""
    machine("CPU:0", "GPU:0")
    with pytest.raises(InputError, match="`device='gpu,cpu'` names several kinds of device"):
        find_devices("gpu,cpu")


def test_unknown_device(machine):
    """An unknown device is refused with a list of those that exist."""
    machine("CPU:0", "GPU:0")
    with pytest.raises(InputError, match=r"There is no device gpu:3 here; there are: cpu:0, gpu:0\."):
        find_devices("gpu:3")
