import contextlib
import errno
import json
import os
import subprocess
import sys

import pytest

from frieze.core import FeatureFileError, lock

_HOLDER = """
import sys
from pathlib import Path
from frieze.core.storage.locks import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextlib.contextmanager
def _another_process(folder):
    """Let another process hold the folder."""
    command = [sys.executable, "-c", _HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_second_process_refused(tmp_path):
    """A folder that another process writes to is refused; the message names that process and its start."""
    with _another_process(tmp_path) as holder:
        started = json.loads((tmp_path / ".lock").read_text())["started"]
        with pytest.raises(FeatureFileError) as caught, lock(tmp_path):
            pytest.fail("the block must not run")
    assert caught.value.message == f"{tmp_path} is being written by process {holder.pid}, started {started}."
    assert caught.value.hint == "Wait until it is done, or use another `out`."


def test_dead_process_is_no_obstacle(tmp_path):
    """What a killed process left of its lock does not keep the next one out."""
    with _another_process(tmp_path) as holder:
        pass
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == holder.pid
    with lock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()


def test_same_process_refused(tmp_path):
    """One process can't hold a folder twice either."""
    with lock(tmp_path), pytest.raises(FeatureFileError, match=f"process {os.getpid()}"), lock(tmp_path):
        pytest.fail("the block must not run")


def test_released_after_an_error(tmp_path):
    """A block that ends in an error lets go."""
    with pytest.raises(RuntimeError), lock(tmp_path):
        raise RuntimeError
    with lock(tmp_path):
        pass


def test_holder_that_has_not_signed(tmp_path):
    """A holder that has not written its name yet is called another process."""
    with lock(tmp_path):
        os.truncate(tmp_path / ".lock", 0)
        with pytest.raises(FeatureFileError, match="is being written by another process"), lock(tmp_path):
            pytest.fail("the block must not run")


def test_folder_that_refuses(tmp_path):
    """A folder in which no lock can be made is a mendable error."""
    (tmp_path / ".lock").mkdir()
    with pytest.raises(FeatureFileError, match="can't be written: Is a directory"), lock(tmp_path):
        pytest.fail("the block must not run")


def test_a_link_is_not_emptied(tmp_path):
    """A `.lock` that is a link is refused, and the file behind it stays as it is."""
    (tmp_path / "thesis.txt").write_text("text")
    (tmp_path / ".lock").symlink_to(tmp_path / "thesis.txt")
    with pytest.raises(FeatureFileError, match="can't be written"), lock(tmp_path):
        pytest.fail("the block must not run")
    assert (tmp_path / "thesis.txt").read_text() == "text"


@pytest.mark.parametrize("call", ["ftruncate", "write"])
def test_a_disk_that_is_full_before_the_first_byte(call, tmp_path, monkeypatch):
    """Where even the lock finds no room the error says so, names the folder, and lets go of it."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(os, call, refuse)
        with (
            pytest.raises(FeatureFileError, match="can't be written: No space left on device") as caught,
            lock(tmp_path),
        ):
            pytest.fail("the block must not run")
    assert caught.value.hint.startswith("Free some space")
    with lock(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
