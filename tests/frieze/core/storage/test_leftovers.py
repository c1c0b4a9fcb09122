import signal
import subprocess
import sys
from pathlib import Path

import pytest

from frieze.core import FeatureFileError, check_free, sweep_leftovers, temporary_folder, write_file

HOLD = """
import sys, time
from pathlib import Path
from frieze.core import new_folder, write_file

def wait(path):
    (path / "half" if path.is_dir() else path).write_text("half")
    print(path, flush=True)
    sys.stdin.read()

if sys.argv[2] == "file":
    write_file(Path(sys.argv[1]), wait)
with new_folder(Path(sys.argv[1]), replace=True) as folder:
    wait(folder)
"""


@pytest.fixture(params=["file", "folder"])
def writing(request, tmp_path):
    """A process that is writing `tmp_path/out`, and its temporary file or folder."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out"), request.param]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=Path(__file__).parents[4], **pipes) as process:
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_leftovers_of_a_crash_are_deleted(writing, tmp_path):
    """The temporary file of a live process stays; after a crash the next run for the same path deletes it."""
    process, left = writing
    assert left.parent == tmp_path
    check_free(tmp_path / "out", replace=False)
    assert left.exists()
    process.send_signal(signal.SIGKILL)
    process.wait()
    check_free(tmp_path / "other", replace=False)
    assert left.exists()
    check_free(tmp_path / "out", replace=False)
    assert list(tmp_path.iterdir()) == []


def test_other_files_stay(tmp_path):
    """Other results' temporary files, a link, and files of the user's own that look alike stay."""
    names = {
        ".out.b.12345.tmp",
        ".out.short.tmp",
        ".outer.12345.tmp",
        ".out.12345.bak",
        "out.12345.tmp",
        ".out.finetune",
    }
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / ".out.777.tmp").symlink_to(tmp_path / ".out.finetune")
    sweep_leftovers(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == names | {".out.777.tmp"}


def test_old_folder_stays_until_it_is_replaced(tmp_path):
    """A folder with the old result is deleted only once a new result exists."""
    (tmp_path / ".out.abcdefgh.old" / "out").mkdir(parents=True)
    sweep_leftovers(tmp_path / "out")
    assert (tmp_path / ".out.abcdefgh.old" / "out").is_dir()
    (tmp_path / "out").mkdir()
    sweep_leftovers(tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def fail_in(folder):
    """Write something into a temporary folder, then fail."""
    with temporary_folder(folder / "out") as temporary:
        (temporary / "a").touch()
        raise KeyError


def test_temporary_folder_is_deleted(tmp_path):
    """The temporary folder or file is deleted, also after an error, and no descriptor is left open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(KeyError):
        fail_in(tmp_path)
    with pytest.raises(FeatureFileError):
        write_file(tmp_path / "no" / "a", lambda path: path.write_text("a"))
    assert list(tmp_path.iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # an earlier test's may be collected meanwhile
