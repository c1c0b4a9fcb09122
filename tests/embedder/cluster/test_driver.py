"""A run on a cluster, its workers played by this process; the judge is the table of a local run."""

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
from frieze.embedder.cluster.worker import Work, Worker
from frieze.embedder.cluster.worker_pool import Answer, Place, WorkerHandle, WorkerPool, find_lack, find_places
from frieze.features import (
    Manifest,
    open_features,
    read_failures,
    read_manifest,
    to_embeddings,
    to_part,
    verify_features,
)


class Here:
    """A crew in this process: questions are answered in turn, and some are the end of who was asked.

    Attributes:
        deaths: The numbers of the `embed` questions at which a worker dies.
        poison: A row that kills who takes it up.
        n_workers: Its size.
        is_backwards: Whether the last question is answered first.
        stuck: Number of a place whose worker never answers.
        hung: Number of a place whose worker never chooses an engine.
        dies: Tells of a question whether it is its worker's end: of the member, the question and its number.
        lack: What the cluster does not have.
    """

    deaths = ()
    poison = None
    n_workers = 2
    is_backwards = False
    stuck = hung = lack = None

    def dies(self, member, question, number):
        """Let nobody die."""
        del self, member, question, number
        return False

    def __init__(self, _, work):
        self._work = work
        self._members = {}
        self._questions = collections.deque()
        self._workers = []
        self.n_asked = self.n_idle = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in reversed(self._workers):  # what they changed of the process is as before, in a process of all
            worker._held.close()

    @staticmethod
    def node_of(_):
        """Name the machine of a place."""
        return "node"

    def start_workers(self):
        """Fill the empty places."""
        places = [Place(self.node_of(number), range(number, number + 1), 0) for number in range(self.n_workers)]
        fresh = [WorkerHandle(place, Worker(self._work)) for place in places if place not in self._members]
        self._members |= {member.place: member for member in fresh}
        self._workers += [member.actor for member in fresh]
        return fresh

    def ask(self, member, question, *words, about):
        """Note a question."""
        number = member.place.cores.start
        if number != self.stuck and not (number == self.hung and question == "choose"):
            self._questions.append((member, question, words, about))

    def answers(self, *, seconds):
        """Answer the next question, or tell that its member is dead."""
        del seconds
        if not self._questions:
            self.n_idle += 1
            assert self.n_idle < 1000, "nobody is asked anything any more"
            return
        member, question, words, about = self._questions.pop() if self.is_backwards else self._questions.popleft()
        self.n_asked += question == "embed"
        is_dead = member not in self._members.values() or (
            question == "embed" and (self.n_asked in self.deaths or self.poison in words[0].tolist())
        )
        is_dead = is_dead or self.dies(member, question, self.n_asked)
        if is_dead and self._members.get(member.place) is member:
            self._members.pop(member.place)
        yield Answer(member, about, None if is_dead else getattr(member.actor, question)(*words), is_dead)


@pytest.fixture
def crew(monkeypatch):
    """The class of the crew that a run gets."""
    kind = type("Crew", (Here,), {})
    monkeypatch.setattr("frieze.embedder.cluster.driver.connect_to_ray", contextlib.nullcontext)
    monkeypatch.setattr("frieze.embedder.cluster.driver.WorkerPool", kind)
    monkeypatch.setattr("frieze.embedder.cluster.driver._LOOK_AROUND_S", 0.0)
    return kind


def table_of(out):
    """Give id -> embedding, sorted."""
    features = open_features(out)
    return dict(sorted(zip(features.ids, features.embeddings(), strict=True)))


def assert_same(out, other):
    """Hold two tables against each other, and the first against its own checksums."""
    ours, theirs = table_of(out), table_of(other)
    assert list(ours) == list(theirs)
    assert all(np.abs(ours[name] - theirs[name]).max() < 1e-5 for name in ours)
    assert verify_features(out)["problems"] == []


@pytest.mark.parametrize("deaths", [(), (1,), (2, 3, 7)])
def test_as_a_local_run(crew, embed, gallery, whole, out, deaths):
    """Whoever dies, the table is the one that a local run makes, part by part."""
    crew.deaths = deaths
    document = embed(gallery, out, ray="auto")
    assert_same(out, whole[0])
    assert (document["embedded"], document["rows"], document["failed"]) == (24, 24, 0)
    ours, theirs = (
        [pq.read_table(part)["id"].to_pylist() for part in sorted((at / "parts").iterdir())] for at in (out, whole[0])
    )
    assert ours == theirs
    assert list((out / "staging").iterdir()) == []


def test_a_deadly_image(crew, embed, gallery, whole, out):
    """An image that kills each worker is a failure in the end; all others stand, in as many parts."""
    crew.poison = 10
    document = embed(gallery, out, ray="auto")
    names = open_features(whole[0]).ids
    (failure,) = read_failures(out).to_pylist()
    assert (failure["id"], failure["stage"], failure["reason"]) == (names[10], "embed", "kills its worker")
    assert (document["rows"], document["failures"]) == (23, {"kills its worker": 1})
    assert len(list((out / "parts").iterdir())) == len(list((whole[0] / "parts").iterdir()))


@pytest.mark.parametrize("is_backwards", [False, True])
def test_changes(crew, embed, folder, write_photos, out, is_backwards):
    """What was embedded here is brought up to date there: new, changed, renamed and removed images.

    Where the worker that rewrites an old part is done first, the new part still finds in it what it is to copy.
    """
    crew.is_backwards = is_backwards
    embed(folder, out)
    write_photos(folder, ["b.jpg", "k.jpg", "l.jpg"], first_seed=50)
    (folder / "c.jpg").rename(folder / "m.jpg")
    (folder / "d.jpg").unlink()
    (folder / "n.jpg").write_text("no image")
    document = embed(folder, out, ray="auto")
    assert (document["embedded"], document["renamed"], document["removed"], document["failed"]) == (3, 1, 1, 1)
    anew = out.with_name("anew")
    embed(folder, anew)
    assert_same(out, anew)
    assert embed(folder, out)["embedded"] == 0


def test_a_worker_that_never_comes(crew, embed, gallery, whole, out):
    """A worker whose machine has no room for it yet keeps nobody waiting."""
    crew.stuck = 0
    embed(gallery, out, ray="auto")
    assert_same(out, whole[0])


def test_a_worker_that_never_chooses(crew, embed, gallery, out, monkeypatch, caplog):
    """Where the worker that is asked for an engine first does not answer, another one is, and that is said."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._CHOICE_S", 0.0)
    crew.hung = 0
    document = embed(gallery, out, ray="auto")
    assert document["rows"] == 24
    (note,) = document["cluster_notes"]
    assert "has not chosen an engine yet" in note
    assert caplog.messages.count(note) == 1


def test_a_late_choice(crew, embed, gallery, out, monkeypatch):
    """A worker that chose by itself, for it was asked before there was a choice, takes the table's."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._CHOICE_S", -1.0)
    chosen, choose = [], Worker.choose

    def noting(self, rows, manifest):
        chosen.append((self, manifest.engine))
        return choose(self, rows, manifest)

    monkeypatch.setattr(Worker, "choose", noting)
    embed(gallery, out, ray="auto")
    (first, second, third) = chosen
    assert (first[1], second[1], third[1]) == ("none", "none", "tensorflow")
    assert first[0] is not second[0] is third[0]


def test_no_room(crew, embed, gallery, out, monkeypatch, caplog):
    """A run that waits for CPUs which others hold says so once, and goes on when they come free."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._PATIENCE_S", 0.0)
    crew.lack = "2 CPUs of the cluster: 0 are free"
    answers, n_looks = crew.answers, iter(range(100))
    monkeypatch.setattr(crew, "answers", lambda self, **words: answers(self, **words) if next(n_looks) > 5 else ())
    document = embed(gallery, out, ray="auto")
    assert document["rows"] == 24
    (note,) = document["cluster_notes"]
    assert note == "Waiting for 2 CPUs of the cluster: 0 are free."
    assert caplog.messages.count(note) == 1


def test_many_deaths_beside_progress(crew, embed, gallery, whole, out, monkeypatch):
    """Workers that die while they load end a run only where so many do in a row, and nothing is embedded between."""
    monkeypatch.setattr("frieze.embedder.cluster.driver._MOST_FALSE_STARTS", 1)  # of two places
    n_loads = []

    def dies(_, member, question, n_embedded):
        is_false_start = question == "load" and member.place.cores.start == 1 and n_embedded < 5
        n_loads.extend([question] * is_false_start)
        return is_false_start or (question == "embed" and n_embedded == 5)

    monkeypatch.setattr(crew, "dies", dies)
    embed(gallery, out, ray="auto")
    assert len(n_loads) > 2
    assert_same(out, whole[0])


def _fail_to_read(worker, rows, file, *, embed):
    """Embed on a machine that can't read one image in four."""
    source = worker._work.source

    def read(rows):
        for row, content in zip(rows, source.read(rows), strict=True):
            yield ImageError("read", "unreadable", "Input/output error") if row % 4 == 1 else content

    broken = Worker(dataclasses.replace(worker._work, source=dataclasses.replace(source, read=read)))
    broken._choice = worker._choice
    return embed(broken, rows, file)


@pytest.fixture
def break_disks(crew, monkeypatch):
    """`break_disks(n)`: workers are on machines of their own, and the first n of these have bad disks."""
    began, start_workers, bad = Worker.embed, crew.start_workers, []

    def run(n_bad):
        def hire_and_note(self):
            fresh = start_workers(self)
            bad.extend(member.actor for member in fresh if member.place.cores.start < n_bad)
            return fresh

        def embed(self, *words):
            return _fail_to_read(self, *words, embed=began) if self in bad else began(self, *words)

        monkeypatch.setattr(crew, "node_of", staticmethod(str))
        monkeypatch.setattr(crew, "start_workers", hire_and_note)
        monkeypatch.setattr(Worker, "embed", embed)

    return run


def test_a_disk_fails(embed, gallery, whole, out, break_disks):
    """Images that one machine can't read are tried by another one, and are no failures."""
    break_disks(1)
    document = embed(gallery, out, ray="auto")
    assert (document["rows"], document["failed"]) == (24, 0)
    assert_same(out, whole[0])


def test_all_disks_fail(embed, gallery, whole, out, break_disks):
    """What no machine can read is a failure, once, and is tried again by the next run."""
    break_disks(2)
    seen = []
    document = embed(gallery, out, ray="auto", progress=lambda done, total: seen.append((done, total)))
    assert (document["rows"], document["failures"]) == (18, {"unreadable": 6})
    assert seen[-1] == (24, 24)
    assert embed(gallery, out)["embedded"] == 6
    assert_same(out, whole[0])


def test_interrupted_while_parts_are_named(crew, embed, gallery, whole, out, monkeypatch):
    """Ctrl-C while features.json is written names no part twice, and none is lost."""
    write, n = Manifest.write, iter(range(100))

    def interrupt(manifest, path):
        write(manifest, path)
        if len(manifest.parts) > 1 and next(n) == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(Manifest, "write", interrupt)
    monkeypatch.setattr("frieze.embedder.cluster.results._SETTLE_S", 0.0)
    monkeypatch.setattr("frieze.embedder.cluster.results._SETTLE_SHARE", 1e9)
    with pytest.raises(KeyboardInterrupt):
        embed(gallery, out, ray="auto")
    names = [part.name for part in read_manifest(out).parts]
    assert len(names) == len(set(names)) > 1
    embed(gallery, out, ray="auto")
    assert_same(out, whole[0])


def test_a_worker_that_sees_no_more(crew, embed, folder, out, monkeypatch):
    """A machine that loses sight of the images in the middle says so, instead of calling the rest missing."""
    began = Worker.embed

    def embed_once(self, rows, file):
        outcome = began(self, rows, file)
        for path in folder.iterdir():
            path.unlink()
        return outcome

    monkeypatch.setattr(Worker, "embed", embed_once)
    with pytest.raises(InputError, match="does not see"):
        embed(folder, out, ray="auto", shard_size=3)
    assert read_failures(out).num_rows == 0


def test_a_generator(crew, embed, out, monkeypatch):
    """Images that no file holds can't be sent to workers, which is said; nothing of it is a traceback."""
    ray = types.SimpleNamespace(put=pytest.importorskip("ray.cloudpickle").dumps)
    monkeypatch.setattr("frieze.embedder.cluster.driver.connect_to_ray", lambda _: contextlib.nullcontext(ray))
    monkeypatch.setattr("frieze.embedder.cluster.driver.WorkerPool", WorkerPool)
    images = (np.zeros((8, 8, 3), np.uint8) for _ in range(3))
    with pytest.raises(InputError, match="can't be sent"):
        embed(images, out, ray="auto")


def test_deaths_of_other_kinds():
    """A worker that the system killed for memory is dead as any other, and surely so; a fault of ours is raised."""
    ray, killed, errors = pytest.importorskip("ray"), [], []

    def get(_):
        raise errors[0]

    fake = types.SimpleNamespace(
        exceptions=ray.exceptions, put=str, wait=lambda asked, **_: (asked, []), get=get, kill=killed.append
    )
    crew = WorkerPool(fake, Work(None, None, JobOptions(), None))
    member = WorkerHandle(Place("node", range(1), 0), types.SimpleNamespace(embed=types.SimpleNamespace(remote=str)))
    for error, is_dead in ((ray.exceptions.OutOfMemoryError("all"), True), (a_fault_of_ours(ray), False)):
        errors[:] = [error]
        crew.ask(member, "embed", about="it")
        with contextlib.nullcontext() if is_dead else pytest.raises(ray.exceptions.RayTaskError):
            assert [(one.about, one.is_dead) for one in crew.answers(seconds=0)] == [("it", True)]
    assert killed == [member.actor]


def a_fault_of_ours(ray):
    """Give what comes back of a worker in which something is wrong."""
    return ray.exceptions.RayTaskError("embed", "traceback", ValueError("wrong"))


@pytest.mark.parametrize("deaths", [(), (1, 2)])
def test_equal_bytes(crew, embed, folder, out, deaths, monkeypatch):
    """Equal bytes have one vector, to the last bit, though two workers differ in how they round.

    So it is of two workers' shards, and of the halves of one that was taken apart.
    """
    from frieze.embedder.job.shard_writer import ShardBuffer

    laid_out = ShardBuffer.laid_out

    def rounded_elsewhere(filling, images, spec):
        table = laid_out(filling, images, spec)
        vectors = to_embeddings(table["embedding"]) + np.float32(1e-3) * filling.rows[0][0]
        return to_part({name: table[name] for name in table.column_names}, vectors, table.schema)

    monkeypatch.setattr(ShardBuffer, "laid_out", rounded_elsewhere)
    crew.deaths = deaths
    (folder / "z.jpg").write_bytes((folder / "a.jpg").read_bytes())
    embed(folder, out, ray="auto", shard_size=100 if deaths else 4)
    crew.deaths = ()
    (folder / "zz.jpg").write_bytes((folder / "a.jpg").read_bytes())
    embed(folder, out, ray="auto")
    table = table_of(out)
    assert (table["a.jpg"] == table["z.jpg"]).all()
    assert (table["a.jpg"] == table["zz.jpg"]).all()
    assert len(table) == 12


def test_into_a_bucket(crew, embed, gallery, whole, bucket):
    """Workers put their rows into the bucket themselves; the table there is the local run's."""
    crew.deaths = (2, 4)
    place = BucketPath(f"{bucket.url}/photos.features")
    assert embed(gallery, place, ray="auto")["rows"] == 24
    ours, theirs = table_of(place), table_of(whole[0])
    assert list(ours) == list(theirs)
    assert all(np.abs(ours[name] - theirs[name]).max() < 1e-5 for name in ours)
    assert verify_features(place)["problems"] == []
    assert list((place / "staging").iterdir()) == []


def test_no_word_of_nodes(whole):
    """A local run's document has no machines."""
    assert "nodes" not in whole[1]


def test_machines_are_told(crew, embed, gallery, out):
    """A cluster's document says where the time went, machine by machine, and in all."""
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


@pytest.mark.usefixtures("crew")
def test_same_document(embed, folder, out, tmp_path):
    """All else that a run says, of what it left out, of narrow ranges and animations too, is what a local run says."""
    levels = np.linspace(1000, 1040, 64 * 64).astype(np.uint16)
    Image.fromarray(levels.reshape(64, 64)).save(folder / "narrow.png")
    Image.new("L", (9, 9)).save(folder / "moves.gif", save_all=True, append_images=[Image.new("L", (9, 9), 255)])
    (folder / "raw.cr2").write_bytes(b"II*\0" + bytes(90))
    (folder / "._a.jpg").write_bytes(bytes(90))
    (folder / "bad.jpg").write_bytes(b"no image")
    source = SourceOptions(exclude=("c.*",))
    there, here = embed(folder, out, ray="auto", source=source), embed(folder, tmp_path / "here", source=source)
    assert here["narrow_range"]
    assert (here["hidden"], here["excluded"], here["first_of_several"]) == (1, {"c.*": 1}, 1)
    for name in here.keys() - _OF_THE_MACHINES - _OF_THE_RUN:
        assert there[name] == here[name], name
    assert there.keys() - here.keys() == {"nodes", "cluster_notes"}


def test_who_never_begins(crew, embed, gallery, out, monkeypatch):
    """Where every worker dies over the backbone the run ends and says so."""
    monkeypatch.setattr(crew, "answers", _all_die)
    with pytest.raises(InputError, match="died while they loaded the backbone"):
        embed(gallery, out, ray="auto")


def _all_die(crew, *, seconds):
    del seconds
    for member, _, _, about in crew._questions:
        crew._members.pop(member.place, None)
        yield Answer(member, about, None, is_dead=True)
    crew._questions.clear()


def test_a_worker_that_sees_nothing(crew, embed, folder, out, monkeypatch):
    """A machine without the images says so, instead of calling every image missing."""
    began = Worker.load

    def load(self):
        for path in folder.iterdir():
            path.unlink()
        began(self)

    monkeypatch.setattr(Worker, "load", load)
    with pytest.raises(InputError, match="does not see"):
        embed(folder, out, ray="auto")
    assert read_failures(out).num_rows == 0


def test_ray_is_not_there(embed, folder, out, monkeypatch):
    """Without Ray the message says what to install."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"frieze\[ray\]"):
        embed(folder, out, ray="auto")


def test_cores_of_nobody(embed, folder, out):
    """Cores of workers mean nothing without a cluster."""
    with pytest.raises(InputError, match="--ray"):
        embed(folder, out, cpus_per_worker=1)


def node(name, cpus, gpus=0, *, host=None, alive=True):
    """Give a machine as Ray tells of it."""
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
def test_places(nodes, cpus, device, expected):
    """One worker a GPU, else one a machine or as many as the cores make; each has cores of its own."""
    assert [(place.node, place.cores, place.gpus) for place in find_places(nodes, cpus, device)] == expected


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        ({"CPU": 4.0, "GPU": 1.0}, None),
        ({"CPU": 1.0, "GPU": 1.0}, "4 CPUs of the cluster: 1 is free"),
        ({"CPU": 4.0}, "1 GPU of the cluster: 0 are free"),
    ],
)
def test_lack(free, expected):
    """What a cluster does not have for its workers is told with what it has."""
    assert find_lack([Place("a", range(2), 1), Place("b", range(2), 0)], free) == expected


def test_all_machines_go(monkeypatch):
    """A cluster without a machine is refused at the start, and waited for where it had one."""
    nodes = []
    fake = types.SimpleNamespace(nodes=lambda: nodes, put=str, available_resources=lambda: {"CPU": 1.0})
    monkeypatch.setattr(WorkerPool, "_employ", lambda *_: None)
    crew = WorkerPool(fake, Work(None, None, JobOptions(ray="auto"), None))
    with pytest.raises(InputError, match="No machine of the cluster has 1 CPU"):
        crew.start_workers()
    nodes.append(node("a", 1))
    (member,) = crew.start_workers()
    nodes.clear()
    crew._members.pop(member.place)  # as when it died
    assert crew.start_workers() == []
    assert crew.lack == "a machine with 1 CPU: the cluster has none left"
