"""A run on a real Ray cluster of three nodes on this machine; the judge is the table of a local run."""

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
from frieze.features import open_features, read_failures

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


def test_parts(cluster, photos, assert_same, embed, out):
    """Tiles of images have the rows of a local run."""
    tiles = SourceOptions(tiles="1x2+20%")
    embed(photos, out, ray=cluster.address, source=tiles)
    embed(photos, out.with_name("local"), source=tiles)
    assert_same(out, out.with_name("local"))


def test_as_a_local_run(cluster, photos, assert_same, embed, tiny, out):
    """Sorted by id the table of a SavedModel equals that of a local run; the document has the machines' times."""
    document = embed(photos, out, backbone=tiny, ray=cluster.address)
    embed(photos, out.with_name("local"), backbone=tiny)
    assert_same(out, out.with_name("local"))
    assert (document["rows"], document["failed"]) == (N_PHOTOS, 0)
    assert document["nodes"]
    assert have_ended()


def test_an_actor_is_killed_ten_times(cluster, photos, assert_as_local, embed, out):
    """After ten random kills of workers no row is lost, and none is there twice."""
    rng, killed = np.random.default_rng(0), []

    def kill(done, total):
        alive = workers()
        if 0 < done < total and len(killed) < 10 and alive:
            killed.append(int(rng.choice(alive)))
            os.kill(killed[-1], signal.SIGKILL)

    document = embed(photos, out, ray=cluster.address, shard_size=2, progress=kill)
    assert len(killed) == 10
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


def test_a_disk_of_one_machine(cluster, photos, assert_as_local, embed, out, monkeypatch):
    """Images that one machine can't read are retried on another one."""
    import dataclasses

    import frieze.embedder.embed

    opened, bad = frieze.embedder.embed.open_source, next(iter(cluster.worker_nodes)).node_id

    def failing_there(*args):
        source = opened(*args)

        def read(rows):
            import ray

            from frieze.core import ImageError

            is_bad = ray.get_runtime_context().get_node_id() == bad
            for row, content in zip(rows, source.read(rows), strict=True):
                yield ImageError("read", "unreadable", "Input/output error") if is_bad and row % 4 == 1 else content

        return dataclasses.replace(source, read=read)

    monkeypatch.setattr(frieze.embedder.embed, "open_source", failing_there)
    monkeypatch.setattr(
        "frieze.embedder.job.run.find_renamed", lambda comparison, *_, **__: np.full(len(comparison.images), -1)
    )
    document = embed(photos, out, ray=cluster.address)
    assert (document["rows"], document["failed"]) == (N_PHOTOS, 0)
    assert_as_local(out)


def test_poison_image(cluster, photos, local, embed, out, monkeypatch):
    """A poison image that kills its workers is listed in failures.parquet; all others are stored."""
    import dataclasses

    import frieze.embedder.embed

    opened = frieze.embedder.embed.open_source

    def poison(*args):
        source = opened(*args)

        def read(rows):
            import os

            for row in rows:
                if row == 7:
                    os._exit(1)
                yield from source.read(row[None])

        return dataclasses.replace(source, read=read)

    monkeypatch.setattr(frieze.embedder.embed, "open_source", poison)
    monkeypatch.setattr(
        "frieze.embedder.job.run.find_renamed", lambda comparison, *_, **__: np.full(len(comparison.images), -1)
    )
    document = embed(photos, out, ray=cluster.address)
    assert document["rows"] == N_PHOTOS - 1
    assert [(row["id"], row["reason"]) for row in read_failures(out).to_pylist()] == [("07.jpg", "kills its worker")]


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


def embed_and_be_killed(photos, out, ray):
    """Embed in a process that is killed after a third of the images."""
    line = [sys.executable, "-c", KILLED, photos, out, ray]
    killed = subprocess.run(line, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


def test_resume_on_the_cluster(cluster, embed, write_photos, tmp_path, assert_same):
    """A killed local run resumes on the cluster, then a local run embeds ten new images: one table."""
    photos = write_photos(tmp_path / "photos", [f"{number:02d}.jpg" for number in range(40)])
    embed_and_be_killed(photos, tmp_path / "table", "")
    assert 0 < embed(photos, tmp_path / "table", ray=cluster.address)["unchanged"] < 40
    write_photos(photos, [f"new-{number}.jpg" for number in range(10)], first_seed=900)
    assert embed(photos, tmp_path / "table")["embedded"] == 10
    embed(photos, tmp_path / "anew")
    assert_same(tmp_path / "table", tmp_path / "anew")


def test_resume_locally(cluster, photos, assert_as_local, embed, out):
    """A killed run on the cluster resumes locally: the committed shards of its workers are kept."""
    embed_and_be_killed(photos, out, cluster.address)
    assert have_ended()  # Ray ends what belongs to a driver that is gone
    document = embed(photos, out)
    assert 0 < document["unchanged"] < N_PHOTOS
    assert_as_local(out)


def test_ctrl_c(cluster, photos, assert_as_local, embed, out):
    """Ctrl-C keeps committed shards, and leaves no worker; a local run resumes."""

    def interrupt(done, _):
        if done >= 20:
            raise KeyboardInterrupt

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


def labels_of(photos, folder):
    """Write a file that labels the photographs in turn."""
    labels = folder / "labels.csv"
    rows = [f"{path.name},{'ab'[number % 2]}" for number, path in enumerate(sorted(photos.iterdir()))]
    labels.write_text("\n".join(["id,label", *rows]))
    return labels


def test_predict(cluster, photos, tmp_path):
    """Predictions for images that the cluster embeds equal those of a local run."""
    import frieze

    frieze.embed(photos, out=tmp_path / "table", labels=labels_of(photos, tmp_path))
    frieze.train(tmp_path / "table", out=tmp_path / "head")
    frieze.predict(tmp_path / "head", tmp_path / "table", out=tmp_path / "here.parquet")
    frieze.predict(tmp_path / "head", photos, out=tmp_path / "there.parquet", ray=cluster.address)
    here, there = (pq.read_table(tmp_path / f"{name}.parquet").sort_by("id") for name in ("here", "there"))
    assert here["prediction"].equals(there["prediction"])


def test_predict_parts(cluster, photos, tmp_path):
    """Predictions of a table's parts on the cluster equal those of a local run, in the same order."""
    import frieze

    frieze.embed(photos, out=tmp_path / "table", shard_size=8, labels=labels_of(photos, tmp_path))
    frieze.train(tmp_path / "table", out=tmp_path / "head")
    here, there = (tmp_path / f"{name}.parquet" for name in ("here", "there"))
    frieze.predict(tmp_path / "head", tmp_path / "table", out=here, scores=True)
    document = frieze.predict(tmp_path / "head", tmp_path / "table", out=there, scores=True, ray=cluster.address)
    assert document["rows"] == N_PHOTOS
    assert pq.read_table(there).equals(pq.read_table(here))


def test_into_a_bucket(cluster, bucket, photos, assert_as_local, embed):
    """The workers write their parts into a bucket: the table equals that of a local run."""
    out = to_table_path(f"{bucket.url}/photos.features")
    document = embed(photos, out, ray=cluster.address)
    assert (document["rows"], document["failed"]) == (N_PHOTOS, 0)
    assert_as_local(out)


def test_no_cluster(embed, photos, out):
    """Without a running cluster the message says how to start one."""
    with pytest.raises(InputError, match="ray start --head"):
        embed(photos, out, ray="127.0.0.1:1")
