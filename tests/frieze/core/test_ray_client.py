"""The connection to a Ray cluster; runs on real clusters are tested by the rooms that start them."""

import importlib
import os
import time
import types

import pytest

from frieze.core import InputError, connect_to_ray, run_on_cluster
from frieze.core import ray_client as ray_cluster


@pytest.fixture
def connect(monkeypatch):
    """A fake cluster at any address, with Ray's own printing module."""
    worker = pytest.importorskip("ray._private.worker")
    fake = types.SimpleNamespace(init=lambda *_, **__: None, shutdown=lambda: None)
    modules = {"ray": fake, "ray._private.worker": worker}
    monkeypatch.setattr(ray_cluster, "importlib", types.SimpleNamespace(import_module=modules.__getitem__))
    return lambda: connect_to_ray("auto")


def test_ray_prints_to_stderr(connect, capsys):
    """Ray prints of dead machines to stderr while we are connected, and to stdout again afterwards."""
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
def test_machine_dies(cluster, capfd):
    """A real cluster's message of a dead machine goes to stderr."""
    stderr, until = "", time.monotonic() + 120
    with connect_to_ray(cluster.address):
        cluster.remove_node(cluster.add_node(num_cpus=1), allow_graceful=False)
        while "marked dead" not in stderr and time.monotonic() < until:
            os.sched_yield()
            printed = capfd.readouterr()
            stderr += printed.err
            assert printed.out == ""
    assert "marked dead" in stderr


class _FailedError(Exception):
    """The error that Ray raises for a task that raised one."""

    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class Tasks:
    """A fake of `ray` for `run_on_cluster`; a task runs when its result is fetched, and `broken` ones fail then."""

    exceptions = types.SimpleNamespace(RayTaskError=_FailedError, RayError=_FailedError)

    def __init__(self, *, n_free=2, broken=None):
        self.n_free, self.broken = n_free, broken or {}
        self.put = lambda value: value

    def cluster_resources(self):
        """Return all cores."""
        return {"CPU": 2.0}

    def available_resources(self):
        """Return the free cores; like Ray, without the key where there are none."""
        return {"CPU": float(self.n_free)} if self.n_free else {}

    def remote(self, **_):
        """Return a task of a function."""
        return lambda function: types.SimpleNamespace(remote=lambda *args: (function, args))

    def wait(self, futures, *, timeout):
        """Time out."""
        assert timeout > 1
        return [], futures

    def get(self, future):
        """Run a task."""
        function, args = future
        if args[-1] in self.broken:
            raise _FailedError(self.broken[args[-1]])
        return function(*args)


def _joined(shared, number):
    return f"{shared}{number}"


@pytest.mark.parametrize("broken", [{}, {0: OSError(5, "Input/output error")}])
def test_results(broken, caplog):
    """Results come in the order of the calls; a task that fails with an OSError runs here, with a warning."""
    results = run_on_cluster(Tasks(broken=broken), _joined, "a", ((n,) for n in range(6)))
    assert list(results) == [f"a{n}" for n in range(6)]
    assert ["done here" in message for message in caplog.messages] == [True] * len(broken)


def test_task_errors():
    """An InputError of a task is raised as it is; a bug of ours is no OSError."""
    with pytest.raises(InputError, match="not seen"):
        list(run_on_cluster(Tasks(broken={0: InputError("not seen", hint="mount it")}), _joined, "a", [(0,)]))
    with pytest.raises(RuntimeError, match="a task of the cluster failed"):
        list(run_on_cluster(Tasks(broken={0: ValueError("wrong")}), _joined, "a", [(0,)]))


def test_no_core_is_free(caplog):
    """Where no core becomes free for a while, one warning is logged."""
    assert list(run_on_cluster(Tasks(n_free=0), _joined, "a", [(0,), (1,)])) == ["a0", "a1"]
    assert caplog.messages == ["Waiting for a CPU of the cluster: 0 of 2 are free."]
