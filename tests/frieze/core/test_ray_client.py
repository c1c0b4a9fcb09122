"""What is Ray's own in the connection to a cluster; runs on real ones are tested by the rooms that make them."""

import importlib
import os
import time
import types

import pytest

from frieze.core import InputError, connected, results
from frieze.core import ray_client as ray_cluster


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


@pytest.mark.slow
def test_a_machine_dies(cluster, capfd):
    """What a real cluster tells of a machine that went down stands on stderr."""
    told, until = "", time.monotonic() + 120
    with connected(cluster.address):
        cluster.remove_node(cluster.add_node(num_cpus=1), allow_graceful=False)
        while "marked dead" not in told and time.monotonic() < until:
            os.sched_yield()
            printed = capfd.readouterr()
            told += printed.err
            assert printed.out == ""
    assert "marked dead" in told


class _FailedError(Exception):
    """What Ray raises of a task that raised something."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Tasks:
    """What `results` wants of Ray; calls are made when their answer is fetched, and `broken` ones fail there."""

    exceptions = types.SimpleNamespace(RayTaskError=_FailedError, RayError=_FailedError)

    def __init__(self, *, n_free=2, broken=None):
        self.n_free, self.broken = n_free, broken or {}
        self.put = lambda value: value

    def cluster_resources(self):
        """Give all cores."""
        return {"CPU": 2.0}

    def available_resources(self):
        """Give the cores that nobody has, as Ray does: no word of them where there are none."""
        return {"CPU": float(self.n_free)} if self.n_free else {}

    def remote(self, **_):
        """Make a function a task."""
        return lambda function: types.SimpleNamespace(remote=lambda *words: (function, words))

    def wait(self, answers, *, timeout):
        """Wait in vain."""
        assert timeout > 1
        return [], answers

    def get(self, answer):
        """Make a call."""
        function, words = answer
        if words[-1] in self.broken:
            raise _FailedError(self.broken[words[-1]])
        return function(*words)


def _joined(shared, number):
    return f"{shared}{number}"


@pytest.mark.parametrize("broken", [{}, {0: OSError(5, "Input/output error")}])
def test_results(broken, caplog):
    """Results come in the order of the calls; what a machine's disk failed at is done here, which is said."""
    assert list(results(Tasks(broken=broken), _joined, "a", ((n,) for n in range(6)))) == [f"a{n}" for n in range(6)]
    assert ["done here" in message for message in caplog.messages] == [True] * len(broken)


def test_faults_of_tasks():
    """What the user can mend comes back as it was raised; a fault of ours does not look like one of the disk."""
    with pytest.raises(InputError, match="not seen"):
        list(results(Tasks(broken={0: InputError("not seen", hint="mount it")}), _joined, "a", [(0,)]))
    with pytest.raises(RuntimeError, match="a task of the cluster failed"):
        list(results(Tasks(broken={0: ValueError("wrong")}), _joined, "a", [(0,)]))


def test_no_core_is_free(caplog):
    """Where others hold all cores, and nothing comes for a while, that is said once."""
    assert list(results(Tasks(n_free=0), _joined, "a", [(0,), (1,)])) == ["a0", "a1"]
    assert caplog.messages == ["Waiting for a CPU of the cluster: 0 of 2 are free."]
