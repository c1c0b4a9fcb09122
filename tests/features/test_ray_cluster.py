"""What is Ray's own in the connection to a cluster; runs on real ones are tested by the rooms that make them."""

import importlib
import types

import pytest

from features import connected, ray_cluster


@pytest.fixture
def connect(monkeypatch):
    """A cluster that answers, whatever its address; the module that prints what its machines tell is Ray's own."""
    worker = pytest.importorskip("ray._private.worker")
    fake = types.SimpleNamespace(init=lambda *_, **__: None, shutdown=lambda: None)
    modules = {"ray": fake, "ray._private.worker": worker}
    monkeypatch.setattr(ray_cluster, "importlib", types.SimpleNamespace(import_module=modules.__getitem__))
    return lambda: connected("auto")


def test_stdout_is_ours(connect, capsys):
    """What Ray prints of machines that died stands on stderr while we are connected, and where it prints it after."""
    worker = importlib.import_module("ray._private.worker")
    died = {"lines": ["A machine died."], "pid": "raylet", "is_err": False}
    before = worker.print_to_stdstream
    with connect():
        worker.print_to_stdstream(died, ignore_prefix=False)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "A machine died." in printed.err
    assert worker.print_to_stdstream is before
