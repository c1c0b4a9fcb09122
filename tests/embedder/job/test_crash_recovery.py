"""Crash recovery: a kill or a full disk at each call that changes the disk, over a source that changed in every way.

A NumPy engine replaces TensorFlow, so that hundreds of trials take seconds. As a script, this file
kills its own forks: pytest must not fork.
"""

import contextlib
import errno
import itertools
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import frieze.embedder.embed
import frieze.embedder.job.inference
import frieze.embedder.job.pipeline
import frieze.embedder.job.run
from frieze.core import FeatureFileError
from frieze.embedder import BackboneRequest, JobOptions, embed_source
from frieze.embedder.backbones import Backbone
from frieze.embedder.job.select_engine import EngineChoice
from frieze.features import BackboneSpec, open_features, read_failures
from frieze.features import compaction as merging

SPEC = BackboneSpec(name="means", handle="means", fingerprint="ab" * 32, dim=3, image_size=(4, 4))
CALLS = {
    "fsync": (os, None),
    "link": (os, None),
    "replace": (Path, None),
    "unlink": (Path, None),
    "write_table": (pq, 1),
    "write_bytes": (Path, 0),
}
"""The calls by which a run changes the disk: their owner, and which argument is the file they write."""
STARTS = ("new", "begun")
REFUSED = [
    (start, name)
    for start in STARTS
    for name in CALLS
    if (start, name) not in (("new", "link"), ("new", "fsync"))  # nothing is replaced; the same files are written
]
KILLED = [(start, name) for start, name in REFUSED if name != "fsync"]  # the next call kills the same state


class MeansEngine:
    """Stands in for TensorFlow: an image's embedding is its mean colour."""

    name, batch_size, depth = "means", 2, 2

    def prefetch(self, batches):
        """Pass batches on."""
        yield from batches

    def submit(self, pixels):
        """Embed uint8 [B, H, W, 3] as float32 [B, 3]."""
        means = np.asarray(pixels, np.float32).mean((1, 2))
        return lambda: means


def choose(*_):
    """Stand in for the choice of an engine."""
    return EngineChoice(MeansEngine(), batch_size=2, workers=1, processes=0, tuning={}, spec=SPEC)


def plain_stream(shards, decoder, *, batch_size, **_):
    """Stand in for the pipeline's threads: the same batches, one after the other."""
    for requested in frieze.embedder.job.pipeline.cut_into_batches(shards, batch_size):
        yield decoder.batch(requested, decoder.source.read(requested.rows))


STAND_INS = (
    (frieze.embedder.embed, "open_backbone", lambda _: Backbone(SPEC, None)),
    (frieze.embedder.job.run, "choose_engine", choose),
    (frieze.embedder.job.inference, "stream", plain_stream),
    (merging, "_MAX_SMALL_PARTS", 1),
    (os, "fsync", lambda _: None),
)


def run(source, out, limit=None):
    """Update a table."""
    options = JobOptions(shard_size=3, batch_size=2, workers=1, limit=limit)
    return embed_source(str(source), out, request=BackboneRequest(handle="means"), options=options)


def draw(folder, names, seed=0):
    """Write a small image under each name."""
    for number, name in enumerate(names, seed):
        pixels = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")


def change(folder):
    """Change a source in every way there is."""
    (folder / "a.png").unlink()
    (folder / "b.png").rename(folder / "r.png")
    (folder / "g.png").rename(folder / "s.png")
    os.utime(folder / "c.png", ns=(1, 7))
    shutil.copy(folder / "d.png", folder / "k.png")
    (folder / "e.png").write_bytes(b"broken now")
    draw(folder, "fnop", seed=50)


@contextlib.contextmanager
def failing(name, n, fail):
    """Fail the n-th call, with half of its file written; yield the calls made."""
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


def prepare(path, start, begun):
    """Prepare the start of a trial: nothing, or a copy of an earlier run's table."""
    if start == "begun":
        shutil.copytree(begun, path)
    return path


def kill_forks(folder, source, begun):
    """Kill a run at each of its calls, one fork and one folder a trial; a fork that ends well is the last."""
    for owner, name, stand_in in STAND_INS:
        setattr(owner, name, stand_in)
    pa.array([""])  # imports pandas, if installed: once, and not in each fork
    for start, name in KILLED:
        for n in itertools.count(1):
            path = folder / start / name / str(n)
            path.parent.mkdir(parents=True, exist_ok=True)
            child = os.fork() or die_at(source, prepare(path, start, begun), name, n)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 9:
                break


def die_at(source, path, name, n):
    """Run in a fork until the n-th call, then end as `kill -9` ends: nothing is cleaned up."""
    try:
        with failing(name, n, lambda: os._exit(9)):
            run(source, path)
    except BaseException:  # noqa: BLE001 - a fork must not go on with its parent's work
        traceback.print_exc()
    os._exit(0)


def content(path):
    """Return the rows of a table with their vectors, and its failures, sorted by id."""
    features = open_features(path)
    rows = zip(features.rows.to_pylist(), features.embeddings().tolist(), strict=True)
    by_id = sorted(rows, key=lambda row: row[0]["id"])
    return by_id, sorted((row["id"], row["reason"]) for row in read_failures(path).to_pylist())


def check_glob(path, vectors):
    """Check what a reader of `parts/*.parquet` may rely on at any moment: unique ids, and the vector of each image."""
    rows = [row for part in path.glob("parts/*.parquet") for row in pq.read_table(part).to_pylist()]
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(row["embedding"] == vectors.get(row["sha256"], row["embedding"]) for row in rows)


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    for owner, name, stand_in in STAND_INS:
        monkeypatch.setattr(owner, name, stand_in)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A changed source, the table of its earlier state, and that of an uninterrupted run over its present state."""
    folder = tmp_path_factory.mktemp("begun")
    (folder / "photos").mkdir()
    draw(folder / "photos", "abcdefghij")
    with pytest.MonkeyPatch.context() as patch:
        for owner, name, stand_in in STAND_INS:
            patch.setattr(owner, name, stand_in)
        run(folder / "photos", folder / "before")
        change(folder / "photos")
        run(folder / "photos", folder / "fresh")
    return folder


@pytest.fixture(scope="module")
def expected(begun):
    """The content of the table of an uninterrupted run."""
    return content(begun / "fresh")


@pytest.fixture(scope="module")
def vectors(begun):
    """sha256 -> the embedding of those bytes, before the change and after."""
    tables = [open_features(begun / name) for name in ("before", "fresh")]
    return {
        sha: vector
        for table in tables
        for sha, vector in zip(table.rows["sha256"].to_pylist(), table.embeddings().tolist(), strict=True)
    }


@pytest.fixture(scope="module")
def killed(tmp_path_factory, begun):
    """A folder of tables, each killed at another call."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, __file__, folder, begun / "photos", begun / "before"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    return folder


def test_source_has_every_change(begun, tmp_path):
    """One run covers every change, copies, rewrites and compacts, so that the trials below prove something."""
    shutil.copytree(begun / "before", tmp_path / "out")
    document = run(begun / "photos", tmp_path / "out")
    counts = ("embedded", "unchanged", "renamed", "duplicates", "removed", "failed", "rows")
    assert [document[name] for name in counts] == [4, 5, 2, 1, 1, 1, 12]
    assert len(list((tmp_path / "out" / "parts").iterdir())) == 5  # two of six are merged
    assert content(tmp_path / "out") == content(begun / "fresh")


@pytest.mark.parametrize(("start", "name"), KILLED)
def test_killed(start, name, killed, begun, expected, vectors):
    """After a kill at any call the glob is consistent, and the next run makes the table of an uninterrupted one."""
    trials = sorted((killed / start / name).iterdir())
    assert len(trials) > 2
    for path in trials:
        check_glob(path, vectors)
        run(begun / "photos", path)
        assert content(path) == expected, path
        assert not list((path / "staging").iterdir())


@pytest.mark.parametrize(("start", "name"), REFUSED)
def test_refused(start, name, begun, expected, vectors, tmp_path):
    """Whichever call a full disk refuses, the glob stays consistent, and the next run completes the table."""

    def refuse():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for n in itertools.count(1):
        path = prepare(tmp_path / str(n), start, begun / "before")
        with failing(name, n, refuse) as calls, contextlib.suppress(FeatureFileError):
            run(begun / "photos", path)
        check_glob(path, vectors)
        run(begun / "photos", path)
        assert content(path) == expected, path
        if len(calls) < n:
            break
    assert n > 2


NAMES = ("a", "b", "c", "in/a", "in/b", "d", "e")
_STATE = st.dictionaries(st.sampled_from(NAMES), st.tuples(st.integers(0, 5), st.integers(1, 3)), min_size=1)


def write_source(folder, state, contents):
    """Write exactly these images into a source: name -> (content, time)."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, (number, time) in state.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number])
        os.utime(path, ns=(1, 10 * number + time))  # other bytes have another time


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    states=st.lists(_STATE, min_size=2, max_size=4), limits=st.lists(st.sampled_from([None, 1]), min_size=4, max_size=4)
)
@pytest.mark.slow
def test_any_changes(states, limits, begun, tmp_path_factory):
    """However a source changes from run to run, limited or not, the table ends equal to that of a fresh run."""
    folder = tmp_path_factory.mktemp("any")
    contents = [path.read_bytes() for path in sorted((begun / "photos").glob("[cdfhi].png"))] + [b"broken"]
    for state, limit in zip(states, limits, strict=False):
        write_source(folder / "photos", state, contents)
        run(folder / "photos", folder / "out", limit=limit)
        check_glob(folder / "out", {})
    document = run(folder / "photos", folder / "out")
    run(folder / "photos", folder / "fresh")
    assert content(folder / "out") == content(folder / "fresh")
    assert document["left"] == 0
    assert document["rows"] + document["failed"] == len(states[min(len(states), len(limits)) - 1])


if __name__ == "__main__":
    kill_forks(*map(Path, sys.argv[1:]))
