"""What a kill or a refusing disk leaves behind. As a script, this file kills its own forks: pytest must not fork."""

import contextlib
import errno
import itertools
import os
import runpy
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features import FeatureFileError, open_features, read_failures, read_manifest

TINY = runpy.run_path(str(Path(__file__).with_name("conftest.py")))  # a script has no fixtures
BEFORE = TINY["_images"](*((name, 1, 1) for name in "abcdefg"))
NOW = TINY["_images"](
    ("a", 1, 1),
    ("b", 2, 1),  # changed; c and d are gone, which empties their part
    ("f", 13, 1),  # can't be decoded any more; e is gone, which empties their part too
    ("g", 1, 1),
    ("h", 1, 1),  # new, as are the two below
    ("i", 13, 1),
    ("j", 1, 1),
)
CALLS = {
    "fsync": (os, None),
    "replace": (Path, None),
    "unlink": (Path, None),
    "write_table": (pq, 1),
    "write_text": (Path, 0),
}
"""The calls by which a run changes the disk: whose they are, and which argument is the file they write."""

REFUSED = [("new", "replace"), *(("begun", name) for name in CALLS)]
"""What a trial starts from, and the call that fails in it."""
KILLED = [trial for trial in REFUSED if trial[1] != "fsync"]  # the next call kills in the same state


@contextlib.contextmanager
def failing(name, n, fail):
    """Let the n-th call fail, half done where it writes; yields the calls made."""
    owner, file_at = CALLS[name]
    call, calls = getattr(owner, name), []

    def broken(*args, **options):
        calls.append(args)
        if len(calls) != n:
            return call(*args, **options)
        if file_at is not None:
            call(*args, **options)
            os.truncate(args[file_at], args[file_at].stat().st_size // 2)
        return fail()

    setattr(owner, name, broken)
    try:
        yield calls
    finally:
        setattr(owner, name, call)


def run(path, images=NOW):
    """Bring the table at `path` up to date."""
    TINY["_run"](path, images, manifest=TINY["MANIFEST"])


def begin(path, start, begun):
    """Lay down what a trial starts from: nothing, or a copy of an earlier run's table."""
    if start == "begun":
        shutil.copytree(begun, path)
    return path


def refuse():
    """Do what a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def kill_forks(folder, begun):
    """Kill a run at each of its calls, one fork and one folder a trial; a fork that ends well is the last."""
    os.fsync = lambda _: None  # it matters only when the power goes
    for start, name in KILLED:
        for n in itertools.count(1):
            path = folder / start / name / str(n)
            child = os.fork() or die_at(begin(path, start, begun), name, n)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 9:
                break


def die_at(path, name, n):
    """Run in a fork until the n-th call, then end as `kill -9` ends: nothing is cleaned up."""
    try:
        with failing(name, n, lambda: os._exit(9)):
            run(path)
    except BaseException:  # noqa: BLE001 - a fork must not go on with its parent's work
        traceback.print_exc()
    os._exit(0)


def content(path):
    """Give all that a table says: rows in reading order, vectors, failures, generation."""
    features = open_features(path)
    rows = features.rows.select(["id", "size_bytes", "mtime_ns"]).to_pylist()
    return rows, features.embeddings().tolist(), read_failures(path).to_pylist(), read_manifest(path).generation


def check_whole(path):
    """Hold what any reader of `parts/*.parquet` may rely on at any moment."""
    rows = [row for part in path.glob("parts/*.parquet") for row in pq.read_table(part).to_pylist()]
    assert {part.suffix for part in path.glob("parts/*")} <= {".parquet"}
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        assert row["embedding"] == TINY["_vector"](row["id"], row["size_bytes"], row["mtime_ns"]).tolist()


@pytest.fixture(autouse=True)
def _quick_sync(monkeypatch):
    """Sync nothing: that matters only when the power goes."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The table of an earlier run."""
    path = tmp_path_factory.mktemp("begun") / "out"
    run(path, BEFORE)
    return path


@pytest.fixture(scope="module")
def killed(tmp_path_factory, begun):
    """A folder of tables, each killed at another call."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run([sys.executable, __file__, folder, begun], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return folder


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, begun):
    """What a run that nothing breaks makes: of an empty folder, and of an earlier table."""
    paths = {start: begin(tmp_path_factory.mktemp(start) / "out", start, begun) for start in ("new", "begun")}
    for path in paths.values():
        run(path)
    return {start: content(path) for start, path in paths.items()}


def test_trials_are_of_use(unbroken):
    """The source changes in every way there is, so that the trials below prove something."""
    rows, _, failures, _ = unbroken["begun"]
    assert [row["id"] for row in rows] == ["a", "b", "g", "h", "j"]
    assert {failure["id"] for failure in failures} == {"f", "i"}


@pytest.mark.parametrize(("start", "name"), KILLED)
def test_killed(start, name, killed, unbroken):
    """Killed at any call, the glob is whole, and the next run gives the table of an unbroken one."""
    trials = sorted((killed / start / name).iterdir())
    assert len(trials) > 3
    for path in trials:
        check_whole(path)
        run(path)
        assert content(path) == unbroken[start], path
        assert not list((path / "staging").iterdir())


@pytest.mark.parametrize(("start", "name"), REFUSED)
def test_refused(start, name, tmp_path, unbroken, begun):
    """Whatever call the disk refuses, the error is mendable, the glob is whole, and the next run mends the table."""
    for n in itertools.count(1):
        path = begin(tmp_path / str(n), start, begun)
        with failing(name, n, refuse) as calls, contextlib.suppress(FeatureFileError):
            run(path)
        check_whole(path)
        run(path)
        assert content(path) == unbroken[start], path
        if len(calls) < n:
            break
    assert n > 3


if __name__ == "__main__":
    kill_forks(Path(sys.argv[1]), Path(sys.argv[2]))
