"""Processes that compare pairs: a `Decider` in the test's own thread is the judge."""

import contextlib
import os
import signal
import sys

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.search.edits import EDITS
from benchmarks.search.made_images import photograph
from frieze.api.confirming import picture_reader
from frieze.indexing import PairProcesses
from frieze.indexing.duplicates import confirm
from frieze.indexing.duplicates.confirm import Confirmer
from frieze.indexing.duplicates.decide import Decider, Image, Pair
from frieze.indexing.duplicates.image_facts import ImageFacts
from frieze.indexing.duplicates.pair_processes import share_out, take

KINDS = ["mirrored", None, "cropped", "cropped+mirrored", None, None]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Pairs of a photograph, its mirror image, a crop, another one and two files that can't be read."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    first, second = photograph(0), photograph(1)
    made = [first, EDITS["mirror"].apply(first, rng), EDITS["crop 20 %"].apply(first, rng), second]
    for row, image in enumerate(made):
        image.save(folder / f"{row}.png")
    images = [Image(row, str(folder / f"{row}.png"), f"version {row}") for row in range(6)]
    return [Pair(images[a], images[b], by_features=True) for a, b in ((0, 1), (0, 3), (0, 2), (1, 2), (1, 4), (2, 5))]


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    """Thumbnails go to a folder of their own, by the processes too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def processes():
    """Two processes."""
    with contextlib.closing(PairProcesses(picture_reader, 2)) as both:
        yield both


def kinds(matches):
    """Name the matches."""
    return [match and match.kind() for match in matches]


def confirm_pairs(pairs, processes):
    """Compare the pairs with a `Confirmer`: the kinds, and the rows that could not be read."""
    uris = sorted({(image.row, image.uri) for pair in pairs for image in pair[:2]})
    rows = np.arange(len(uris))
    facts = ImageFacts(
        pa.chunked_array([[uri for _, uri in uris]]),
        np.array([f"version {row}" for row in rows], object),
        *[rows] * 3,
        np.zeros(len(rows), np.int64),
        np.zeros((len(rows), 2), np.uint64),
        has_hashes=False,
    )
    with picture_reader() as read:
        confirmer = Confirmer(read, facts, None, processes)
        matches = confirmer.compare(np.array([(a.row, b.row) for a, b, _ in pairs]), np.ones(len(pairs), bool))
    return kinds(matches), confirmer.unreadable


def test_same_as_a_thread(pairs, processes):
    """Each pair gets the decision of a thread, in the order of the pairs, and who could not be read is told."""
    with picture_reader() as read:
        decider = Decider(read)
        expected = [decider.decide(pair) for pair in pairs]
    assert kinds(expected) == KINDS
    assert processes.decide(pairs) == (expected, {4, 5})
    assert processes.decide(pairs[::-1])[0] == expected[::-1]


def test_many_pairs_are_compared_in_processes(pairs, processes, monkeypatch):
    """From a number of pairs on processes decide; fewer start none."""
    few = PairProcesses(picture_reader, 2)
    assert confirm_pairs(pairs, few) == (KINDS, {4, 5})
    assert few._processes == []
    monkeypatch.setattr(confirm, "_N_IN_THREADS", 5)
    monkeypatch.setattr(confirm.Decider, "decide", pytest.fail)
    assert confirm_pairs(pairs, processes) == (KINDS, {4, 5})


@pytest.mark.parametrize("end", ["killed", "can't begin", "one core"])
def test_without_processes_threads_decide(pairs, monkeypatch, end):
    """Where a process is killed, or can't begin, or would be alone, threads decide, and none is left behind."""
    monkeypatch.setattr(confirm, "_N_IN_THREADS", 5)
    with contextlib.closing(PairProcesses(picture_reader, 1 if end == "one core" else 2)) as some:
        if end == "can't begin":
            monkeypatch.setattr(sys, "executable", "/bin/false")
        children = []
        if end == "killed":
            some.decide([])
            children = [process._child for process in some._processes]
            children[1].send_signal(signal.SIGKILL)
        assert confirm_pairs(pairs, some) == (KINDS, {4, 5})
        assert some._processes == []
        assert all(child.poll() is not None for child in children)


def test_processes_end():
    """A terminal's Ctrl-C does not reach the processes; closed, none is left behind, a stopped one neither."""
    both = PairProcesses(picture_reader, 2)
    both.decide([])
    children = [process._child for process in both._processes]
    assert os.getsid(0) not in {os.getsid(child.pid) for child in children}
    children[0].send_signal(signal.SIGSTOP)
    both.close()
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)


@pytest.mark.parametrize(("n_pairs", "n_shares"), [(0, 2), (1, 3), (7, 2), (2048, 2), (2047, 8)])
def test_shares_are_even(n_pairs, n_shares):
    """Each process has a run of pairs, as long as the others', in portions of 32 at most; together they are all."""
    places = [[at for part in share for at in range(n_pairs)[part]] for share in share_out(n_pairs, n_shares)]
    assert [at for share in places for at in share] == list(range(n_pairs))
    assert max(map(len, places)) - min(map(len, places)) <= 1
    assert all(part.stop - part.start <= 32 for share in share_out(n_pairs, n_shares) for part in share)


def test_none_waits_for_the_slowest():
    """Portions become smaller; a process that is through with its share takes the end of the fullest."""
    shares, starts = share_out(64, 2), [0, 8, 14, 19, 23, 26, 28, 29, 30, 31]
    assert [take(shares, 0).start for _ in range(12)] == [*starts, 63, 62]
    assert [take(shares, 1).start for _ in range(8)] == [32 + start for start in starts[:8]]
    assert take(shares, 0) is None
