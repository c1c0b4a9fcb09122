"""A run on a real Ray cluster of two nodes on this machine; the judge is the table of a local run.

test_driver.py has the rest, with fake workers: what poison images and unreadable disks do, and the document.
"""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from frieze.core import InputError, to_table_path
from frieze.embedder.sources import SourceOptions
from frieze.features import open_features

pytestmark = pytest.mark.slow
N_PHOTOS = 60


@pytest.fixture(scope="module")
def photos(write_photos, tmp_path_factory):
    """Sixty small photographs, one of them a second time."""
    folder = tmp_path_factory.mktemp("cluster") / "photos"
    write_photos(folder, [f"{number:02d}.jpg" for number in range(N_PHOTOS - 1)])
    (folder / "twin.jpg").write_bytes((folder / "00.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def embed(embed):
    """`embed` of the built-in backbone: workers that start without TensorFlow start many times sooner."""
    return functools.partial(embed, backbone="builtin")


@pytest.fixture(scope="module")
def local(photos, embed, tmp_path_factory):
    """The table of a run in this process."""
    out = tmp_path_factory.mktemp("local") / "photos.features"
    embed(photos, out)
    return out


def workers():
    """Return the process ids of the running actors."""
    pids = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            pids += [int(path.parent.name)] if path.read_bytes().startswith(b"ray::Worker") else []
        except OSError:  # it ended meanwhile
            continue
    return pids


def have_ended():
    """Check that all actors end within a minute: Ray ends them in its own time."""
    until = time.monotonic() + 60
    while workers() and time.monotonic() < until:
        os.sched_yield()
    return not workers()


def test_as_a_local_run(cluster, photos, assert_same, embed, tiny, out):
    """Sorted by id the table of a SavedModel equals that of a local run; the document has the machines' times."""
    document = embed(photos, out, backbone=tiny, ray=cluster.address)
    embed(photos, out.with_name("local"), backbone=tiny)
    assert_same(out, out.with_name("local"))
    assert (document["rows"], document["failed"]) == (N_PHOTOS, 0)
    assert document["nodes"]
    assert have_ended()


def test_an_actor_is_killed_three_times(cluster, photos, assert_as_local, embed, out):
    """After three random kills of workers no row is lost, and none is there twice."""
    rng, killed = np.random.default_rng(0), []

    def kill(done, total):
        alive = workers()
        if 0 < done < total and len(killed) < 3 and alive:
            killed.append(int(rng.choice(alive)))
            os.kill(killed[-1], signal.SIGKILL)

    document = embed(photos, out, ray=cluster.address, shard_size=2, progress=kill)
    assert len(killed) == 3
    assert document["failed"] == 0
    assert_as_local(out)


def test_a_node_is_killed(cluster, photos, assert_as_local, embed, out):
    """When a machine goes down in mid-run, the others do its work."""
    victim = cluster.add_node(num_cpus=1)
    nodes = [victim]

    def pull_the_plug(done, _):
        if done > N_PHOTOS / 4 and nodes:
            cluster.remove_node(nodes.pop(), allow_graceful=False)

    document = embed(photos, out, ray=cluster.address, progress=pull_the_plug)
    assert not nodes
    assert document["failed"] == 0
    assert_as_local(out)


KILLED = """
import os, signal, sys
from pathlib import Path
from frieze.embedder import BackboneRequest, JobOptions, embed_source
source, out, ray = sys.argv[1:]
def kill(done, total):
    if done >= 20:
        os.kill(os.getpid(), signal.SIGKILL)
options = JobOptions(shard_size=4, batch_size=2, ray=ray or None)
embed_source(source, Path(out), request=BackboneRequest(handle="builtin"), options=options, progress=kill)
"""


def interrupt(done, _):
    """Interrupt a run after a third of the images."""
    if done >= 20:
        raise KeyboardInterrupt


def test_resume_on_the_cluster(cluster, embed, write_photos, tmp_path, assert_same):
    """An interrupted local run resumes on the cluster, then a local run embeds ten new images: one table."""
    photos = write_photos(tmp_path / "photos", [f"{number:02d}.jpg" for number in range(40)])
    with pytest.raises(KeyboardInterrupt):
        embed(photos, tmp_path / "table", progress=interrupt)
    assert 0 < embed(photos, tmp_path / "table", ray=cluster.address)["unchanged"] < 40
    write_photos(photos, [f"new-{number}.jpg" for number in range(10)], first_seed=900)
    assert embed(photos, tmp_path / "table")["embedded"] == 10
    embed(photos, tmp_path / "anew")
    assert_same(tmp_path / "table", tmp_path / "anew")


def test_resume_locally(cluster, photos, assert_as_local, embed, out):
    """A killed run on the cluster resumes locally: the committed shards of its workers are kept."""
    line = [sys.executable, "-c", KILLED, photos, out, cluster.address]
    killed = subprocess.run(line, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert have_ended()  # Ray ends what belongs to a driver that is gone
    document = embed(photos, out)
    assert 0 < document["unchanged"] < N_PHOTOS
    assert_as_local(out)


def test_ctrl_c(cluster, photos, assert_as_local, embed, out):
    """Ctrl-C keeps committed shards, and leaves no worker; a local run resumes."""
    with pytest.raises(KeyboardInterrupt):
        embed(photos, out, ray=cluster.address, progress=interrupt)
    assert len(open_features(out)) >= 16
    assert have_ended()
    assert embed(photos, out)["unchanged"] >= 16
    assert_as_local(out)


def test_error_of_a_worker(cluster, photos, embed, out):
    """An error that the user can fix comes back from a worker like one of a local run."""
    with pytest.raises(InputError, match="There is no device gpu"):
        embed(photos, out, ray=cluster.address, device="gpu")


@pytest.fixture(scope="module")
def trained(photos, tmp_path_factory):
    """A folder with a head, the table that it was trained on, and its predictions for it."""
    import frieze

    folder = tmp_path_factory.mktemp("trained")
    rows = [f"{path.name},{'ab'[number % 2]}" for number, path in enumerate(sorted(photos.iterdir()))]
    (folder / "labels.csv").write_text("\n".join(["id,label", *rows]))
    frieze.embed(photos, out=folder / "table", shard_size=8, labels=folder / "labels.csv")
    frieze.train(folder / "table", out=folder / "head")
    frieze.predict(folder / "head", folder / "table", out=folder / "here.parquet", scores=True)
    return folder


def test_predict(cluster, photos, trained, tmp_path):
    """Predictions for images that the cluster embeds equal those of a local run."""
    import frieze

    frieze.predict(trained / "head", photos, out=tmp_path / "there.parquet", ray=cluster.address)
    here, there = (pq.read_table(path).sort_by("id") for path in (trained / "here.parquet", tmp_path / "there.parquet"))
    assert here["prediction"].equals(there["prediction"])


def test_predict_parts(cluster, trained, tmp_path):
    """Predictions of a table's parts on the cluster equal those of a local run, in the same order."""
    import frieze

    there = tmp_path / "there.parquet"
    document = frieze.predict(trained / "head", trained / "table", out=there, scores=True, ray=cluster.address)
    assert document["rows"] == N_PHOTOS
    assert pq.read_table(there).equals(pq.read_table(trained / "here.parquet"))


def test_into_a_bucket(cluster, bucket, photos, assert_same, embed, out):
    """The workers write their parts into a bucket: tiles of images have the rows of a local run."""
    there, tiles = to_table_path(f"{bucket.url}/photos.features"), SourceOptions(tiles="1x2+20%")
    document = embed(photos, there, ray=cluster.address, source=tiles)
    embed(photos, out, source=tiles)
    assert (document["rows"], document["failed"]) == (2 * N_PHOTOS, 0)
    assert_same(there, out)


def test_no_cluster(embed, photos, out):
    """Without a running cluster the message says how to start one."""
    with pytest.raises(InputError, match="ray start --head"):
        embed(photos, out, ray="127.0.0.1:1")
