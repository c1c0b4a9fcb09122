import os
import signal
import subprocess
import sys
import tempfile

import pytest

from frieze.core import locked_temporary_folder

KILLED = """
import os, signal
from frieze.core import locked_temporary_folder
with locked_temporary_folder() as folder:
    (folder / "file").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """Make `tmp_path` the system's folder of temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def leave(tmp_path):
    """Kill a process that holds a temporary folder; returns the folder that it left, two minutes old."""
    done = subprocess.run([sys.executable, "-c", KILLED], check=False, env={**os.environ, "TMPDIR": str(tmp_path)})
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "file").read_text() == "half"
    past = left.stat().st_mtime - 120
    os.utime(left, (past, past))
    return left


def test_deleted_at_the_end(tmp_path):
    """The folder exists while the block runs, and is deleted after it."""
    with locked_temporary_folder() as folder:
        assert folder.parent == tmp_path
        (folder / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_sweeps_after_a_crash(leave, tmp_path):
    """Making a folder deletes the folders that killed processes left."""
    with locked_temporary_folder() as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_held_and_fresh_folders_stay(tmp_path):
    """A folder that a process holds stays, however old, and so does one that was made just now."""
    with locked_temporary_folder() as held:
        os.utime(held, (0, 0))
        fresh = tmp_path / "frieze-held-fresh"
        fresh.mkdir()
        with locked_temporary_folder():
            assert held.is_dir()
            assert fresh.is_dir()


def test_files_and_links_stay(leave, tmp_path):
    """A file or a link of such a name is not deleted."""
    precious = tmp_path / "precious"
    leave.rename(precious)
    leave.symlink_to(precious)
    leave.with_name("frieze-held-file").touch()
    with locked_temporary_folder():
        pass
    assert len(list(tmp_path.iterdir())) == 3
    assert (precious / "file").exists()


def test_no_temporary_folder(tmp_path, monkeypatch):
    """Where the folder of temporary files is missing, the system's error is raised."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError), locked_temporary_folder():
        pass
