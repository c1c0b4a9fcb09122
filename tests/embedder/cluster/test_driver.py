"""A run on a cluster with fake workers in this process: crashes, stragglers, poison; the judge is a local run."""

import collections
import contextlib
import dataclasses
import sys
import types

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from frieze.core import BucketPath, ImageError, InputError
from frieze.embedder import JobOptions, SourceOptions
from frieze.embedder.cluster.worker import Worker, WorkerConfig
from frieze.embedder.cluster.worker_pool import Reply, Slot, WorkerHandle, WorkerPool, find_shortage, find_slots
from frieze.features import (
    Manifest,
    open_features,
    read_failures,
    read_manifest,
    to_embeddings,
    to_part,
)


class LocalPool:
    """A worker pool in this process: calls run in turn, and some kill their worker.

    Attributes:
        deaths: The numbers of the `embed` calls at which a worker dies.
        poison: A row that kills its worker.
        n_workers: Number of slots.
        is_backwards: Whether the last call runs first.
        stuck: Number of a slot whose worker never replies.
        hung: Number of a slot whose worker never chooses an engine.
        dies: (worker, method, number of `embed` calls) -> whether the call kills the worker.
        shortage: What the cluster lacks.
    """

    deaths = ()
    poison = None
    n_workers = 2
    is_backwards = False
    stuck = hung = shortage = None

    def dies(self, worker, method, number):
        """Let no worker die."""
        del self, worker, method, number
        return False

    def __init__(self, _, config):
        self._config = config
        self._handles = {}
        self._calls = collections.deque()
        self._workers = []
        self.n_embed = self.n_idle = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in reversed(self._workers):  # they restore what they changed of this process
            worker._held.close()

    @staticmethod
    def node_of(_):
        """Name the machine of a slot."""
        return "node"

    def start_workers(self):
        """Fill the free slots."""
        slots = [Slot(self.node_of(number), range(number, number + 1), 0) for number in range(self.n_workers)]
        started = [WorkerHandle(slot, Worker(self._config)) for slot in slots if slot not in self._handles]
        self._handles |= {handle.slot: handle for handle in started}
        self._workers += [handle.actor for handle in started]
        return started

    def call(self, worker, method, *args, context):
        """Queue a call."""
        number = worker.slot.cores.start
        if number != self.stuck and not (number == self.hung and method == "choose_engine"):
            self._calls.append((worker, method, args, context))

    def replies(self, *, timeout_s):
        """Run the next call, or report its worker dead."""
        del timeout_s
        if not self._calls:
            self.n_idle += 1
            assert self.n_idle < 1000, "no worker is called any more"
            return
        worker, method, args, context = self._calls.pop() if self.is_backwards else self._calls.popleft()
        self.n_embed += method == "embed"
        is_dead = worker not in self._handles.values() or (
            method == "embed" and (self.n_embed in self.deaths or self.poison in args[0].tolist())
        )
        is_dead = is_dead or self.dies(worker, method, self.n_embed)
        if is_dead and self._handles.get(worker.slot) is worker:
            self._handles.pop(worker.slot)
        yield Reply(worker, context, None if is_dead else getattr(worker.actor, method)(*args), is_dead)


@pytest.fixture
def local(whole):
    """The table of a run without a cluster."""
    return whole[0]


@pytest.fixture
def pool(monkeypatch):
    """The class of the worker pool that a run gets."""
    kind = type("Pool", (LocalPool,), {})
    monkeypatch.setattr("frieze.embedder.cluster.driver.connect_to_ray", contextlib.nullcontext)
    monkeypatch.setattr("frieze.embedder.cluster.driver.WorkerPool", kind)
    monkeypatch.setattr("frieze.embedder.cluster.driver._START_WORKERS_S", 0.0)
    return kind


@pytest.mark.parametrize("deaths", [(), (1,), (2, 3, 7)])
def test_as_a_local_run(pool, embed, gallery, assert_as_local, out, deaths):
    """Whichever workers die, the table equals that of a local run."""
    pool.deaths = deaths
    document = embed(gallery, out, ray="auto")
    assert_as_local(out)
    assert (document["embedded"], document["rows"], document["failed"]) == (24, 24, 0)


def test_parts_of_a_local_run(pool, embed, gallery, local, out):
    """Workers that die leave the same parts as a local run, and nothing that is staged."""
    pool.deaths = (2, 3, 7)
    embed(gallery, out, ray="auto")
    ours, theirs = (
        [pq.read_table(part)["id"].to_pylist() for part in sorted((at / "parts").iterdir())] for at in (out, local)
    )
    assert ours == theirs
    assert list((out / "staging").iterdir()) == []


def test_poison_image(pool, embed, gallery, local, out):
    """A poison image, which kills each worker, ends as a failure; all others are stored, in as many parts."""
    pool.poison = 10
    document = embed(gallery, out, ray="auto")
    names = open_features(local).ids
    (failure,) = read_failures(out).to_pylist()
    assert (failure["id"], failure["stage"], failure["reason"]) == (names[10], "embed", "kills its worker")
    assert (document["rows"], document["failures"]) == (23, {"kills its worker": 1})
    assert len(list((out / "parts").iterdir())) == len(list((local / "parts").iterdir()))


@pytest.mark.parametrize("is_backwards", [False, True])
def test_update(pool, embed, folder, write_photos, is_backwards, assert_same):
    """A local table is updated on a cluster: new, changed, renamed and removed images.

    When the rewrite of an old part is ready first, the new part still copies from the old one.
    """
    pool.is_backwards, out, anew = is_backwards, folder.with_name("updated"), folder.with_name("anew")
    embed(folder, out)
    write_photos(folder, ["b.jpg", "k.jpg", "l.jpg"], first_seed=50)
    (folder / "c.jpg").rename(folder / "m.jpg")
    (folder / "d.jpg").unlink()
    (folder / "n.jpg").write_text("no image")
    document = embed(folder, out, ray="auto")
    assert (document["embedded"], document["renamed"], document["removed"], document["failed"]) == (3, 1, 1, 1)
    embed(folder, anew)
    assert_same(out, anew)
    assert embed(folder, out)["embedded"] == 0


def test_worker_that_never_starts(pool, embed, gallery, assert_as_local, out):
    """A worker whose machine has no room for it yet blocks no other worker."""
    pool.stuck = 0
    embed(gallery, out, ray="auto")
    assert_as_local(out)


def test_straggler_choosing_an_engine(pool, embed, gallery, out, monkeypatch, caplog):
    """When the first worker does not choose an engine, another one is asked, and a note says so."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._CHOICE_S", 0.0)
    pool.hung = 0
    document = embed(gallery, out, ray="auto")
    assert document["rows"] == 24
    (note,) = document["cluster_notes"]
    assert "has not chosen an engine yet" in note
    assert caplog.messages.count(note) == 1


def test_a_late_choice(pool, embed, gallery, out, monkeypatch):
    """A worker that was asked before there was a choice replaces its own choice by the table's."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._CHOICE_S", -1.0)
    chosen, choose_engine = [], Worker.choose_engine

    def noting(self, rows, manifest):
        chosen.append((self, manifest.engine))
        return choose_engine(self, rows, manifest)

    monkeypatch.setattr(Worker, "choose_engine", noting)
    embed(gallery, out, ray="auto")
    (first, second, third) = chosen
    assert (first[1], second[1], third[1]) == ("none", "none", "tensorflow")
    assert first[0] is not second[0] is third[0]


def test_no_room(pool, embed, gallery, out, monkeypatch, caplog):
    """A run that waits for CPUs in use logs that once, and continues when they become free."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._PATIENCE_S", 0.0)
    pool.shortage = "2 CPUs of the cluster: 0 are free"
    replies, n_calls = pool.replies, iter(range(100))
    monkeypatch.setattr(pool, "replies", lambda self, **options: replies(self, **options) if next(n_calls) > 5 else ())
    document = embed(gallery, out, ray="auto")
    assert document["rows"] == 24
    (note,) = document["cluster_notes"]
    assert note == "Waiting for 2 CPUs of the cluster: 0 are free."
    assert caplog.messages.count(note) == 1


def test_many_deaths_beside_progress(pool, embed, gallery, assert_as_local, out, monkeypatch):
    """Workers that die while loading end a run only if many do in a row and nothing is embedded in between."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._MOST_FALSE_STARTS", 1)  # of two slots
    n_loads = []

    def dies(_, worker, method, n_embed):
        is_false_start = method == "load" and worker.slot.cores.start == 1 and n_embed < 5
        n_loads.extend([method] * is_false_start)
        return is_false_start or (method == "embed" and n_embed == 5)

    monkeypatch.setattr(pool, "dies", dies)
    embed(gallery, out, ray="auto")
    assert len(n_loads) > 2
    assert_as_local(out)


def _fail_to_read(worker, rows, file, *, embed):
    """Embed on a machine that can't read one image in four."""
    source = worker._config.source

    def read(rows):
        for row, content in zip(rows, source.read(rows), strict=True):
            yield ImageError("read", "unreadable", "Input/output error") if row % 4 == 1 else content

    broken = Worker(dataclasses.replace(worker._config, source=dataclasses.replace(source, read=read)))
    broken._choice, broken._pool = worker._choice, worker._pool
    return embed(broken, rows, file)


@pytest.fixture
def break_disks(pool, monkeypatch):
    """`break_disks(n)`: each worker has its own machine, and the first n machines have bad disks."""
    original, start_workers, bad = Worker.embed, pool.start_workers, []

    def run(n_bad):
        def start_and_note(self):
            started = start_workers(self)
            bad.extend(worker.actor for worker in started if worker.slot.cores.start < n_bad)
            return started

        def embed(self, *args):
            return _fail_to_read(self, *args, embed=original) if self in bad else original(self, *args)

        monkeypatch.setattr(pool, "node_of", staticmethod(str))
        monkeypatch.setattr(pool, "start_workers", start_and_note)
        monkeypatch.setattr(Worker, "embed", embed)

    return run


def test_a_disk_fails(embed, gallery, assert_as_local, out, break_disks):
    """Images that one machine can't read are retried on another one, and are no failures."""
    break_disks(1)
    document = embed(gallery, out, ray="auto")
    assert (document["rows"], document["failed"]) == (24, 0)
    assert_as_local(out)


def test_all_disks_fail(embed, gallery, assert_as_local, out, break_disks):
    """What no machine can read is one failure, and the next run retries it."""
    break_disks(2)
    seen = []
    document = embed(gallery, out, ray="auto", progress=lambda done, total: seen.append((done, total)))
    assert (document["rows"], document["failures"]) == (18, {"unreadable": 6})
    assert seen[-1] == (24, 24)
    assert embed(gallery, out)["embedded"] == 6
    assert_as_local(out)


def test_interrupted_while_parts_are_registered(pool, embed, gallery, assert_as_local, out, monkeypatch):
    """Ctrl-C while features.json is written registers no part twice, and loses none."""
    write, n = Manifest.write, iter(range(100))

    def interrupt(manifest, path):
        write(manifest, path)
        if len(manifest.parts) > 1 and next(n) == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "write", interrupt)
    monkeypatch.setattr("frieze.embedder.cluster.results._REGISTER_S", 0.0)
    monkeypatch.setattr("frieze.embedder.cluster.results._REGISTER_SHARE", 1e9)
    with pytest.raises(KeyboardInterrupt):
        embed(gallery, out, ray="auto")
    names = [part.name for part in read_manifest(out).parts]
    assert len(names) == len(set(names)) > 1
    embed(gallery, out, ray="auto")
    assert_as_local(out)


def test_worker_that_loses_its_mount(pool, embed, folder, out, monkeypatch):
    """A machine that loses access to the images in mid-run raises, instead of reporting the rest as missing."""
    original = Worker.embed

    def embed_once(self, rows, file):
        result = original(self, rows, file)
        for path in folder.iterdir():
            path.unlink()
        return result

    monkeypatch.setattr(Worker, "embed", embed_once)
    with pytest.raises(InputError, match="does not see"):
        embed(folder, out, ray="auto", shard_size=3)
    assert read_failures(out).num_rows == 0


def test_a_generator(pool, embed, out, monkeypatch):
    """Images of a generator can't be sent to workers: a message says so, without a traceback."""
    ray = types.SimpleNamespace(put=pytest.importorskip("ray.cloudpickle").dumps)
    monkeypatch.setattr("frieze.embedder.cluster.driver.connect_to_ray", lambda _: contextlib.nullcontext(ray))
    monkeypatch.setattr("frieze.embedder.cluster.driver.WorkerPool", WorkerPool)
    images = (np.zeros((8, 8, 3), np.uint8) for _ in range(3))
    with pytest.raises(InputError, match="can't be sent"):
        embed(images, out, ray="auto")


def test_out_of_memory_is_a_death():
    """A worker killed for memory counts as dead and is killed for good; a bug of ours is raised."""
    ray, killed, errors = pytest.importorskip("ray"), [], []

    def get(_):
        raise errors[0]

    fake = types.SimpleNamespace(
        exceptions=ray.exceptions, put=str, wait=lambda calls, **_: (calls, []), get=get, kill=killed.append
    )
    pool = WorkerPool(fake, WorkerConfig(None, None, JobOptions(), None))
    worker = WorkerHandle(Slot("node", range(1), 0), types.SimpleNamespace(embed=types.SimpleNamespace(remote=str)))
    for error, is_dead in ((ray.exceptions.OutOfMemoryError("all"), True), (bug_of_ours(ray), False)):
        errors[:] = [error]
        pool.call(worker, "embed", context="it")
        with contextlib.nullcontext() if is_dead else pytest.raises(ray.exceptions.RayTaskError):
            assert [(reply.context, reply.is_dead) for reply in pool.replies(timeout_s=0)] == [("it", True)]
    assert killed == [worker.actor]


def bug_of_ours(ray):
    """Return the error of a worker with a bug."""
    return ray.exceptions.RayTaskError("embed", "traceback", ValueError("wrong"))


@pytest.mark.parametrize("deaths", [(), (1, 2)])
def test_equal_bytes(pool, embed, folder, out, deaths, monkeypatch):
    """Equal bytes are deduplicated to one vector, to the last bit, though two workers round differently.

    This holds across two workers' shards, and across the halves of a shard that was split.
    """
    from frieze.embedder.job.shard_writer import ShardBuffer

    to_table = ShardBuffer.to_table

    def rounded_elsewhere(buffer, *args, **options):
        table = to_table(buffer, *args, **options)
        vectors = to_embeddings(table["embedding"]) + np.float32(1e-3) * buffer.rows[0][0]
        return to_part({name: table[name] for name in table.column_names}, vectors, table.schema)

    monkeypatch.setattr(ShardBuffer, "to_table", rounded_elsewhere)
    pool.deaths = deaths
    (folder / "z.jpg").write_bytes((folder / "a.jpg").read_bytes())
    embed(folder, out, ray="auto", shard_size=100 if deaths else 4)
    pool.deaths = ()
    (folder / "zz.jpg").write_bytes((folder / "a.jpg").read_bytes())
    embed(folder, out, ray="auto")
    features = open_features(out)
    table = dict(zip(features.ids, features.embeddings(), strict=True))
    assert (table["a.jpg"] == table["z.jpg"]).all()
    assert (table["a.jpg"] == table["zz.jpg"]).all()
    assert len(table) == 12


def test_into_a_bucket(pool, embed, gallery, assert_as_local, bucket):
    """Workers write their rows into the bucket themselves; the table equals that of a local run."""
    pool.deaths = (2, 4)
    path = BucketPath(f"{bucket.url}/photos.features")
    assert embed(gallery, path, ray="auto")["rows"] == 24
    assert_as_local(path)
    assert list((path / "staging").iterdir()) == []


def test_local_run_has_no_nodes(whole):
    """A local run's document has no nodes."""
    assert "nodes" not in whole[1]


def test_times_by_node(pool, embed, gallery, out):
    """A cluster's document has the seconds of each stage, by machine and in total."""
    document = embed(gallery, out, ray="auto")
    (node,) = document["nodes"].values()
    assert node == {"stages": document["stages"], "cpu_seconds": document["cpu_seconds"]}


_OF_THE_MACHINES = {
    "seconds",
    "images_per_second",
    "startup_seconds",
    "stages",
    "cpu_seconds",
    "nodes",
    "cluster_notes",
}
_OF_THE_RUN = {"out", "other_programs", "bound_by", "advice"}


@pytest.mark.usefixtures("pool")
def test_same_document(embed, folder, out, tmp_path):
    """All other fields of the document equal those of a local run."""
    levels = np.linspace(1000, 1040, 64 * 64).astype(np.uint16)
    Image.fromarray(levels.reshape(64, 64)).save(folder / "narrow.png")
    Image.new("L", (9, 9)).save(folder / "moves.gif", save_all=True, append_images=[Image.new("L", (9, 9), 255)])
    (folder / "raw.cr2").write_bytes(b"II*\0" + bytes(90))
    (folder / "._a.jpg").write_bytes(bytes(90))
    (folder / "bad.jpg").write_bytes(b"no image")
    source = SourceOptions(exclude=("c.*",))
    cluster = embed(folder, out, ray="auto", source=source)
    local = embed(folder, tmp_path / "local", source=source)
    assert local["narrow_range"]
    assert (local["hidden"], local["excluded"], local["first_of_several"]) == (1, {"c.*": 1}, 1)
    for name in local.keys() - _OF_THE_MACHINES - _OF_THE_RUN:
        assert cluster[name] == local[name], name
    assert cluster.keys() - local.keys() == {"nodes", "cluster_notes"}


def test_every_worker_dies_while_loading(pool, embed, gallery, out, monkeypatch):
    """When every worker dies while it loads the backbone, the run ends with an error that says so."""
    monkeypatch.setattr(pool, "replies", _all_die)
    with pytest.raises(InputError, match="died while they loaded the backbone"):
        embed(gallery, out, ray="auto")


def _all_die(pool, *, timeout_s):
    del timeout_s
    for worker, _, _, context in pool._calls:
        pool._handles.pop(worker.slot, None)
        yield Reply(worker, context, None, is_dead=True)
    pool._calls.clear()


def test_worker_that_sees_no_images(pool, embed, folder, out, monkeypatch):
    """A machine without the images raises, instead of reporting every image as missing."""
    original = Worker.load

    def load(self):
        for path in folder.iterdir():
            path.unlink()
        original(self)

    monkeypatch.setattr(Worker, "load", load)
    with pytest.raises(InputError, match="does not see"):
        embed(folder, out, ray="auto")
    assert read_failures(out).num_rows == 0


def test_without_ray(embed, folder, out, monkeypatch):
    """Without Ray the message says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"frieze\[ray\]"):
        embed(folder, out, ray="auto")


def test_cpus_per_worker_without_a_cluster(embed, folder, out):
    """`cpus_per_worker` without a cluster is refused."""
    with pytest.raises(InputError, match="`ray="):
        embed(folder, out, cpus_per_worker=1)


def node(name, cpus, gpus=0, *, host=None, alive=True):
    """Return a machine as `ray.nodes()` lists it."""
    return {
        "NodeID": name,
        "Alive": alive,
        "NodeManagerHostname": host or name,
        "Resources": {"CPU": cpus, "GPU": gpus},
    }


@pytest.mark.parametrize(
    ("nodes", "cpus", "device", "expected"),
    [
        ([node("a", 8)], None, "auto", [("a", range(8), 0)]),
        ([node("a", 8)], 3, "auto", [("a", range(3), 0), ("a", range(3, 6), 0)]),
        ([node("a", 8, 2)], None, "auto", [("a", range(4), 1), ("a", range(4, 8), 1)]),
        ([node("a", 8, 2)], None, "cpu", [("a", range(8), 0)]),
        ([node("a", 8, 4)], 1, "auto", [("a", range(n, n + 1), 1) for n in range(4)]),
        ([node("a", 2), node("b", 2, alive=False), node("c", 0)], None, "auto", [("a", range(2), 0)]),
        ([node("a", 1, host="x"), node("b", 1, host="x")], None, "auto", [("a", range(1), 0), ("b", range(1, 2), 0)]),
        ([node("a", 2)], 4, "auto", []),
    ],
)
def test_slots(nodes, cpus, device, expected):
    """A slot per GPU, else per machine or as many as its cores allow; no two share a core."""
    assert [(slot.node, slot.cores, slot.gpus) for slot in find_slots(nodes, cpus, device)] == expected


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        ({"CPU": 4.0, "GPU": 1.0}, None),
        ({"CPU": 1.0, "GPU": 1.0}, "4 CPUs of the cluster: 1 is free"),
        ({"CPU": 4.0}, "1 GPU of the cluster: 0 are free"),
    ],
)
def test_shortage(available, expected):
    """The phrase of a shortage names the required and the free resources."""
    assert find_shortage([Slot("a", range(2), 1), Slot("b", range(2), 0)], available) == expected


def test_all_machines_go(monkeypatch):
    """A cluster without a machine is an error at the start; later the run waits for machines."""
    nodes = []
    fake = types.SimpleNamespace(nodes=lambda: nodes, put=str, available_resources=lambda: {"CPU": 1.0})
    monkeypatch.setattr(WorkerPool, "_start", lambda *_: None)
    pool = WorkerPool(fake, WorkerConfig(None, None, JobOptions(ray="auto"), None))
    with pytest.raises(InputError, match="No machine of the cluster has 1 CPU"):
        pool.start_workers()
    nodes.append(node("a", 1))
    (worker,) = pool.start_workers()
    nodes.clear()
    pool._workers.pop(worker.slot)  # as when it died
    assert pool.start_workers() == []
    assert pool.shortage == "a machine with 1 CPU: the cluster has none left"


@pytest.mark.usefixtures("needs_openvino")
def test_onnx(pool, embed, gallery, onnx_network, tmp_path):
    """Workers embed by an ONNX file as a run on this machine alone does."""
    del pool
    options = {"backbone": onnx_network("tokens"), "pixels": "torch", "pool": "gem"}
    tables = {
        name: embed(gallery, tmp_path / str(name), ray=name, **options) and tmp_path / str(name)
        for name in ("auto", None)
    }
    ours, theirs = (open_features(table) for table in tables.values())
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert np.allclose(ours.embeddings(), theirs.embeddings(), atol=1e-5)
