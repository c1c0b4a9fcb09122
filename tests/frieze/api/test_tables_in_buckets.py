"""A table in a bucket, on a real S3 server on loopback; the judge is the same table on disk."""

import json
import threading
import time

import numpy as np
import pytest

import frieze
import frieze.core.storage.locks
from frieze.core import BucketPath, FeatureFileError, InputError, read_json, write_json
from frieze.core.storage.locks import lock_bucket
from frieze.features import open_writer, read_manifest

OTHER = {"pid": 1, "host": "elsewhere", "started": "now"}
"""Who holds a lock that is not ours."""


@pytest.fixture
def url(bucket):
    """Where a test's table goes."""
    return f"{bucket.url}/tables/photos.features"


@pytest.fixture
def embedded(photos, url):
    """The world's photographs, embedded into the bucket: the document."""
    return frieze.embed(photos, out=url, shard_size=8)


def test_as_on_disk(world, url, embedded):
    """Ids, labels, vectors and failures are those of the table on disk, and `verify` finds nothing wrong."""
    ours, theirs = frieze.open_features(url), frieze.open_features(world / "photos.features")
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert ours.labels.tolist() == theirs.labels.tolist()
    assert np.abs(ours.embeddings() - theirs.embeddings()).max() < 1e-5
    assert (embedded["rows"], embedded["failed"], embedded["out"]) == (30, 1, url)
    assert frieze.verify(url)["ok"]
    assert frieze.info(url)["labels"] == frieze.info(world / "photos.features")["labels"]


def test_run_again(photos, url, embedded):
    """A second run embeds nothing; nothing else than a table lies there afterwards, no lock and no staging."""
    rerun = frieze.embed(photos, out=url, shard_size=8)
    assert (rerun["embedded"], rerun["unchanged"]) == (0, embedded["rows"])
    assert sorted(path.name for path in BucketPath(url).iterdir()) == ["failures.parquet", "features.json", "parts"]


@pytest.mark.slow
def test_changes(world, photos, url, embedded, tmp_path):
    """New, renamed and removed images update the table as on disk; small parts are compacted."""
    import shutil

    changed = shutil.copytree(photos, tmp_path / "photos")
    frieze.embed(changed, out=f"{url}-2", shard_size=2)
    (changed / "red" / "0.png").rename(changed / "red" / "renamed.png")
    (changed / "blue" / "1.png").unlink()
    shutil.copy(photos / "green" / "2.png", changed / "green" / "copy.png")
    document = frieze.embed(changed, out=f"{url}-2", shard_size=30)
    assert (document["renamed"], document["removed"], document["rows"]) == (1, 1, 30)
    assert len(read_manifest(BucketPath(f"{url}-2")).parts) < 15
    assert frieze.verify(f"{url}-2")["ok"]
    frieze.embed(changed, out=tmp_path / "anew")
    assert sorted(frieze.open_features(f"{url}-2").ids) == sorted(frieze.open_features(tmp_path / "anew").ids)


@pytest.mark.slow
def test_readers(world, photos, url, embedded, tmp_path):
    """An index and a head are made of it, and predictions, as of the table on disk; a changed table is reported."""
    frieze.index(url, out=tmp_path / "photos.index")
    trained = frieze.train(url, out=tmp_path / "head")
    assert trained["accuracy"] == frieze.evaluate(tmp_path / "head", url)["accuracy"]
    assert frieze.predict(tmp_path / "head", url, out=tmp_path / "p.parquet")["rows"] == 30
    actual = frieze.search(tmp_path / "photos.index", "id:red/0.png", k=3)["queries"][0]["hits"]
    expected = frieze.search(world / "photos.index", "id:red/0.png", k=3)["queries"][0]["hits"]
    assert [hit["id"] for hit in actual] == [hit["id"] for hit in expected]
    assert frieze.open_index(tmp_path / "photos.index").staleness() is None
    with open_writer(BucketPath(url), read_manifest(BucketPath(url))) as writer:
        writer.update(parts=writer.manifest.parts[1:])
    assert "older state" in frieze.open_index(tmp_path / "photos.index").staleness()


@pytest.mark.slow
def test_a_killed_run(photos, url, monkeypatch):
    """What stands when a run ends stays, also a part that features.json does not name yet."""
    import frieze.embedder.job.shard_writer

    commit, n = frieze.embedder.job.shard_writer.commit, iter(range(100))

    def fail(*args):
        if next(n) == 2:
            raise KeyboardInterrupt
        commit(*args)

    monkeypatch.setattr(frieze.embedder.job.shard_writer, "commit", fail)
    with pytest.raises(KeyboardInterrupt):
        frieze.embed(photos, out=url, shard_size=8)
    monkeypatch.setattr(frieze.embedder.job.shard_writer, "commit", commit)
    document = read_json(BucketPath(url) / "features.json", hint="")
    write_json(BucketPath(url) / "features.json", document | {"parts": document["parts"][:1]})
    assert 0 < frieze.embed(photos, out=url, shard_size=8)["unchanged"] < 30
    assert (len(frieze.open_features(url)), frieze.verify(url)["ok"]) == (30, True)


@pytest.mark.slow
def test_a_second_writer(url, photos):
    """While one process writes, another one is refused by name; what a dead one held is free after two minutes."""
    with lock_bucket(BucketPath(url)), pytest.raises(FeatureFileError, match="is being written by process"):
        frieze.embed(photos, out=url)
    write_json(BucketPath(url) / ".lock", OTHER)
    with pytest.raises(FeatureFileError, match="process 1 on elsewhere"):
        frieze.embed(photos, out=url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frieze.core.storage.locks, "_STALE_S", 0.0)
        assert frieze.embed(photos, out=url)["rows"] == 30


def test_a_clock_that_is_wrong(url, monkeypatch):
    """Whether a writer still lives goes by the store's clock: a local clock that is an hour ahead lets nobody in."""
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 3600)
    held, waiting = lock_bucket(BucketPath(url)), lock_bucket(BucketPath(url))
    with held, pytest.raises(FeatureFileError, match="is being written"), waiting:
        pass


def test_a_writer_that_was_taken_for_dead(url, monkeypatch):
    """Who finds another's name in the lock leaves it there, and ends with an error: two have written."""
    file = BucketPath(url) / ".lock"
    with pytest.raises(FeatureFileError, match="Another process began to write"), lock_bucket(BucketPath(url)):
        write_json(file, OTHER)
    monkeypatch.setattr(frieze.core.storage.locks, "_HEARTBEAT_S", 0.0)
    frieze.core.storage.locks._beat(file, {"pid": 2}, threading.Event())  # ends, as it is not its own
    assert read_json(file, hint="") == OTHER


def test_two_at_the_same_moment(url, monkeypatch):
    """Of two that found a table free, the one whose name does not stand in the lock is refused, and leaves it."""
    file = BucketPath(url) / ".lock"
    monkeypatch.setattr(time, "sleep", lambda _: write_json(file, OTHER))
    with pytest.raises(FeatureFileError, match="process 1 on elsewhere"), lock_bucket(BucketPath(url)):
        pass
    assert read_json(file, hint="") == OTHER


def test_ctrl_c_while_it_is_locked(url, monkeypatch):
    """Ctrl-C before the work begins leaves no lock behind."""

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt), lock_bucket(BucketPath(url)):
        pass
    assert not (BucketPath(url) / ".lock").exists()


def test_server_does_not_answer(photos, url, monkeypatch):
    """A store that can't be reached is an error that says what to look at, not a traceback."""

    def refuse(place):
        raise OSError(f"no route to {place}")

    monkeypatch.setattr("frieze.core.storage.bucket_path.open_file_system", refuse)
    with pytest.raises(InputError, match="can't be reached: no route"):
        frieze.embed(photos, out=url)


def test_force(photos, url, embedded):
    """A table in a bucket is not replaced in one step, so --force says what to do instead."""
    with pytest.raises(InputError, match="delete it first"):
        frieze.embed(photos, out=url, force=True)


def test_no_such_bucket(photos, bucket):
    """A bucket that is not there is an error before anything is embedded."""
    with pytest.raises(InputError, match=r"not-there"):
        frieze.embed(photos, out="s3://not-there/photos.features")


def test_a_key_in_the_url(photos):
    """A URL with a key in it is refused, and not repeated: it would be stored."""
    with pytest.raises(InputError, match="has credentials") as caught:
        frieze.embed(photos, out="s3://me:secret@bucket/photos.features")
    assert "secret" not in str(caught.value)


def test_dry_run(photos, url):
    """A dry run estimates; a bucket has no end, and nothing is written."""
    document = frieze.embed(photos, out=url, dry_run=True)
    assert (document["to_embed"], document["free_bytes"]) == (31, None)
    assert not BucketPath(url).exists()


def test_other_things_stay_on_disk(world, run, bucket):
    """An index in a bucket is refused, and the message says what can be there."""
    result = run("index", world / "photos.features", "--out", f"{bucket.url}/photos.index")
    assert (result.exit_code, "only tables are read from and written to buckets" in result.stderr) == (1, True)


def test_by_command(photos, run, url):
    """The command takes the URL as it stands."""
    result = run("embed", photos, "--out", url, "--json")
    assert (result.exit_code, json.loads(result.stdout)["rows"]) == (3, 30)
    assert json.loads(run("info", url, "--json").stdout)["path"] == url
