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
            "frieze.embedder.engines.devices.import_tensorflow", lambda: types.SimpleNamespace(config=config)
        )

    return make


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("auto", ("GPU:0", "GPU:1")),
        ("gpu", ("GPU:0", "GPU:1")),
        ("gpu:1", ("GPU:1",)),
        ("/GPU:1", ("GPU:1",)),
        ("cpu", ("CPU:0",)),
        ("gpu:1, gpu:0, gpu:1", ("GPU:1", "GPU:0")),
    ],
)
def test_asked(asked, found, machine):
    """`auto` takes every GPU; other words name kinds or single devices, each once."""
    machine("CPU:0", "GPU:0", "GPU:1")
    assert find_devices(asked) == found


def test_without_gpu(machine):
    """Without a GPU `auto` is the CPU."""
    machine("CPU:0")
    assert find_devices() == ("CPU:0",)


def test_several_kinds(machine):
    """GPUs and CPUs together are refused: they do not have the same precisions."""
    machine("CPU:0", "GPU:0")
    with pytest.raises(InputError, match="--device gpu,cpu names several kinds of device"):
        find_devices("gpu,cpu")


def test_not_there(machine):
    """A device that is not there is refused with those that are."""
    machine("CPU:0", "GPU:0")
    with pytest.raises(InputError, match=r"There is no device gpu:3 here; there are: cpu:0, gpu:0\."):
        find_devices("gpu:3")
