import errno
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

from frieze.core import FeatureFileError
from frieze.features import top_k
from frieze.indexing import build_index, open_index
from frieze.indexing.faiss_layer.searcher import save

STEPS = [(os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "mkdir")]


def fail_at(monkeypatch, owner, name, nth):
    """Make the n-th call of a file operation fail as on a full disk; return the list that records whether it did."""
    real, calls = getattr(owner, name), itertools.count(1)
    failed = []

    def step(*args, **kwargs):
        if next(calls) == nth:
            failed.append(name)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, step)
    return failed


def build_or_fail(table, out, metric):
    """Build; a failure must be the error with the disk's message."""
    try:
        build_index(table, out, metric=metric)
    except FeatureFileError as error:
        return "can't be written: No space left on device" in error.message
    return True


def is_right(out, table):
    """Return whether an index opens and answers as NumPy does."""
    index, embeddings = open_index(out), table.embeddings()
    rows, _ = top_k(embeddings, embeddings, k=3, metric=index.metric)
    return (index.top_k(embeddings, 3)[0] == table.ids[rows]).all()


@pytest.mark.parametrize(("owner", "name"), STEPS)
def test_a_failing_step_leaves_an_index(owner, name, small, tmp_path):
    """Whichever write, rename or sync fails, the old or the new index answers and the next build succeeds."""
    out = tmp_path / "i"
    build_index(small, out)
    for nth in itertools.count(1):
        with pytest.MonkeyPatch.context() as patch:
            failed = fail_at(patch, owner, name, nth)
            assert build_or_fail(small, out, "l2")
        assert is_right(out, small)
        assert build_index(small, out, metric="cosine")["metric"] == "cosine"
        assert sorted(child.name.split("-")[0] for child in out.iterdir()) == [".lock", "generation", "index.json"]
        if not failed:
            break
    assert nth > 1


def test_a_full_disk_under_faiss(indexes):
    """A disk that is full at the last bytes is noticed, which FAISS alone does not."""
    with pytest.raises(OSError, match="No space left on device"):
        save(indexes("ivf")._searcher.faiss_index, Path("/dev/full"))


_KILLED_BUILD = """
import os, sys
from pathlib import Path
from frieze.features import open_features
from frieze.indexing import build_index; from frieze.indexing.build import build

real, calls = getattr(build, sys.argv[3]), []
def die(*args, **kwargs):
    if sys.argv[4] == "after":
        real(*args, **kwargs)
    os._exit(9)
setattr(build, sys.argv[3], die)
build_index(open_features(sys.argv[1]), Path(sys.argv[2]), metric="l2", kind="ivf")
"""


@pytest.mark.parametrize(
    ("step", "when", "live"),
    [("save", "after", "cosine"), ("write_document", "before", "cosine"), ("write_document", "after", "l2")],
)
def test_a_killed_build_leaves_an_index(step, when, live, small, tmp_path):
    """A process killed during a build leaves the old index or the new one, no lock, and no files that stay behind."""
    out = tmp_path / "i"
    build_index(small, out)
    command = [sys.executable, "-c", _KILLED_BUILD, small.path, out, step, when]
    assert subprocess.run(command, check=False).returncode == 9
    assert open_index(out).metric == live
    assert build_index(small, out, metric="dot")["rebuilt"]
    assert len(list(out.glob("*generation*"))) == 1
