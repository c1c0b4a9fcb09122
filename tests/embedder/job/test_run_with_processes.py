"""A run whose images are decoded by processes: a run with threads is the judge."""

import _thread
import dataclasses
import signal

import pyarrow.parquet as pq
import pytest

from frieze.core import InputError
from frieze.embedder.images.limits import Limits
from frieze.embedder.job import run
from frieze.features import open_features, read_failures, read_manifest


@pytest.fixture
def in_processes(monkeypatch):
    """Let two processes decode, as on a machine of many cores."""
    choose = run.choose_engine

    def choose_processes(*args):
        return dataclasses.replace(choose(*args), processes=2)

    monkeypatch.setattr(run, "choose_engine", choose_processes)


def rows_of(out):
    """Return a table's rows as plain values, and its failures."""
    failures = [(one["id"], one["reason"], one["message"]) for one in read_failures(out).to_pylist()]
    return [row for part in sorted(out.glob("parts/*")) for row in pq.read_table(part).to_pylist()], failures


@pytest.fixture
def messy(folder):
    """Ten photographs, of which one is truncated, one empty, and two are equal."""
    (folder / "c.jpg").write_bytes((folder / "c.jpg").read_bytes()[:400])
    (folder / "e.jpg").write_bytes(b"")
    (folder / "h.jpg").write_bytes((folder / "a.jpg").read_bytes())
    return folder


def test_same_table(messy, embed, tmp_path, request):
    """Rows, vectors and failures are those of a run with threads, bit for bit."""
    expected = embed(messy, tmp_path / "threads.features")
    request.getfixturevalue("in_processes")
    actual = embed(messy, tmp_path / "processes.features")
    assert actual["embedded"] == expected["embedded"] == 7
    assert actual["failures"] == expected["failures"]
    assert rows_of(tmp_path / "processes.features") == rows_of(tmp_path / "threads.features")
    assert actual["cpu_seconds"]["decode"] > 0


@pytest.fixture
def interruptible():
    """Let SIGINT raise KeyboardInterrupt, also where a shell runs the tests in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_interrupted(messy, embed, out, in_processes, interruptible):
    """Ctrl-C ends the run and its processes; what was embedded stays, and the next run goes on."""
    killed = []

    def progress(n_done, _):
        if n_done >= 4 and not killed:
            killed.append(n_done)
            _thread.interrupt_main()  # as Ctrl-C does, but for the system's part

    with pytest.raises(KeyboardInterrupt):
        embed(messy, out, progress=progress)
    n_stored = len(open_features(out))
    assert 0 < n_stored < 8
    assert embed(messy, out)["rows"] == 8


def test_an_image_that_decodes_for_ever(hostile_jpeg, messy, embed, out, tmp_path):
    """It is a failure `timeout`, remembered with its limit; the other images of its batch are as ever."""
    expected = embed(messy, tmp_path / "plain.features")
    for name in ("b0.jpg", "b1.jpg"):
        (messy / name).write_bytes(hostile_jpeg)
    actual = embed(messy, out, limits=Limits(image_timeout=0.5))
    assert actual["failures"] == expected["failures"] | {"timeout": 2}
    assert rows_of(out)[0] == rows_of(tmp_path / "plain.features")[0]
    assert actual["decode_processes"]
    assert read_manifest(out).request["image_timeout"] == 0.5


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_no_such_timeout(seconds, folder, embed, out):
    """A limit that is no number of seconds above 0 is refused."""
    with pytest.raises(InputError, match="`image_timeout`"):
        embed(folder, out, limits=Limits(image_timeout=seconds))
