import os
import signal
import subprocess
import sys
import tempfile

import pytest

from frieze.core import locked_temporary_folder

KILLED = """
import os, signal
from frieze.core import held_folder
with held_folder() as folder:
    (folder / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Let `tmp_path` be where the system has its temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def leave(tmp_path):
    """Have a process make a folder of `tmp_path` and be killed; gives what it has left, two minutes old."""
    done = subprocess.run([sys.executable, "-c", KILLED], check=False, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "file").read_text() == "half"
    past = left.stat().st_mtime - 120
    os.utime(left, (past, past))
    return left


def test_gone_at_the_end(tmp_path):
    """The folder is there while the block runs, and gone after it."""
    with locked_temporary_folder() as folder:
        assert folder.parent == tmp_path
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left(leave, tmp_path):
    """The next folder of the same place sweeps what a killed process has left there."""
    with locked_temporary_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_what_others_use(tmp_path):
    """A folder that somebody holds stays however old it is, and so does one that was made just now."""
    with locked_temporary_folder() as held:
        os.utime(held, (0, 0))
        fresh = tmp_path / "frieze-held-fresh"
        fresh.mkdir()
        with locked_temporary_folder():
            assert held.is_dir()
            assert fresh.is_dir()


def test_what_is_no_folder_of_ours(leave, tmp_path):
    """What is no folder, or a link to one, is left alone."""
    precious = tmp_path / "precious"
    leave.rename(precious)
    leave.symlink_to(precious)
    leave.with_name("frieze-held-file").touch()
    with locked_temporary_folder():
        pass
    assert len(list(tmp_path.iterdir())) == 3
    assert (precious / "file").exists()


def test_where_it_can_not_be_made(tmp_path, monkeypatch):
    """A place that is not there is the error of the system."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError), locked_temporary_folder():
        pass
