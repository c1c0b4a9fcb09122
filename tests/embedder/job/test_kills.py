"""Runs killed by `kill -9` resume. As a script, this file kills its own forks: pytest must not fork."""

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from frieze.core import import_tensorflow
from frieze.embedder import BackboneRequest, JobOptions, embed_source
from frieze.features import open_features

pytestmark = pytest.mark.slow

N_IMAGES = 100
OPTIONS = {"shard_size": 16, "batch_size": 4, "workers": 2}
N_PARTS = 7
KILLED_AFTER = (0, 1, 3, 5)
"""Parts that are there when a run is killed, at a random moment of the next one."""
ENDED = os.WEXITED | os.WNOHANG | os.WNOWAIT


def run_in_fork(source, tiny, out):
    """Start a run in a fork; return its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            try:
                request = BackboneRequest(handle=str(tiny))
                embed_source(str(source), out, request=request, options=JobOptions(**OPTIONS))
                code = 0
            except BaseException:
                traceback.print_exc()
                raise
        os._exit(code)
    return child


def wait_for_parts(out, n_parts, child):
    """Wait until there are so many parts, or the process has ended: its speed depends on what else runs."""
    while len(list(out.glob("parts/*.parquet"))) < n_parts and os.waitid(os.P_PID, child, ENDED) is None:
        select.select([], [], [], 0.002)


def kill_forks(folder, source, tiny):
    """Run once without a kill, then kill run after run at a random moment after so many parts."""
    import_tensorflow()  # imported, but nothing is run on it: its threads would not survive a fork
    assert os.waitpid(run_in_fork(source, tiny, folder / "unbroken"), 0)[1] == 0
    written = [path.stat().st_mtime for path in (folder / "unbroken").glob("parts/*.parquet")]
    part_s = (max(written) - min(written)) / N_PARTS
    moments = random.Random(0)  # noqa: S311  not for secrets
    for number in KILLED_AFTER:
        child = run_in_fork(source, tiny, folder / f"killed-{number}")
        wait_for_parts(folder / f"killed-{number}", number, child)
        select.select([], [], [], part_s * moments.uniform(0, 1))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@pytest.fixture(scope="module")
def source(tmp_path_factory, write_photos):
    """100 small photographs."""
    return write_photos(tmp_path_factory.mktemp("photos"), [f"{number:03}.jpg" for number in range(N_IMAGES)])


@pytest.fixture(scope="module")
def killed(tmp_path_factory, source, tiny):
    """A folder with the table of an uninterrupted run, and those of killed runs."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, __file__, folder, source, tiny]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return folder


def glob_rows(out):
    """Count the rows that a glob over the parts reads; ids are unique."""
    ids = [name for part in out.glob("parts/*.parquet") for name in pq.read_table(part)["id"].to_pylist()]
    assert len(set(ids)) == len(ids)
    return len(ids)


def by_id(out):
    """Return a table's ids, sorted, and their vectors."""
    features = open_features(out)
    order = np.argsort(features.ids)
    return features.ids[order].tolist(), features.embeddings()[order]


def test_kills_are_of_use(killed):
    """The runs were killed at different moments, some with parts written and others to come."""
    counts = [glob_rows(killed / f"killed-{number}") for number in KILLED_AFTER]
    assert sum(0 < count < N_IMAGES for count in counts) >= 2


@pytest.mark.parametrize("number", KILLED_AFTER)
def test_killed(number, killed, source, embed):
    """After a kill the next run embeds only what is missing, and makes the table of an uninterrupted run."""
    out = killed / f"killed-{number}"
    there = glob_rows(out)
    document = embed(source, out, **OPTIONS)
    assert (document["embedded"], document["rows"]) == (N_IMAGES - there, N_IMAGES)
    ids, vectors = by_id(out)
    expected_ids, expected = by_id(killed / "unbroken")
    assert ids == expected_ids
    assert np.abs(vectors - expected).max() < 1e-4


if __name__ == "__main__":
    kill_forks(*map(Path, sys.argv[1:]))
