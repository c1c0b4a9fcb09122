"""The scheduler: stragglers, crashes, poison images; the judge is a count of the rows that came back."""

import collections
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.embedder.cluster.scheduler import Scheduler, ShardSlice


def scheduler_of(*sizes):
    """Make a scheduler of shards of so many rows."""
    ends = np.cumsum(sizes)
    return Scheduler([np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)])


def test_two_at_once():
    """A worker gets two slices, in order, and no third before one is done."""
    scheduler = scheduler_of(4, 4, 4)
    first, second = scheduler.take("a")
    assert (first.shard, second.shard) == (0, 1)
    assert list(scheduler.take("a")) == []
    assert scheduler.finish("a", first)
    assert [one.shard for one in scheduler.take("a")] == [2]


def test_straggler_is_copied():
    """An idle worker copies the oldest straggler; only the first worker to finish it counts."""
    scheduler = scheduler_of(4, 4)
    slow = next(iter(scheduler.take("a")))
    other = next(iter(scheduler.take("b")))
    assert scheduler.finish("b", other)
    (copied,) = scheduler.take("b")
    assert copied is slow
    assert scheduler.finish("b", copied)
    assert not scheduler.finish("a", slow)
    assert not scheduler


def test_slices_of_a_dead_worker():
    """Both slices of a dead worker go to others, in order."""
    scheduler = scheduler_of(4, 4)
    list(scheduler.take("a"))
    assert scheduler.on_worker_death("a") is None
    assert [one.shard for one in scheduler.take("b")] == [0, 1]
    assert scheduler


def test_copied_slice_is_not_queued_again():
    """A copied slice is not queued again when its first worker dies."""
    scheduler = scheduler_of(4)
    (only,) = scheduler.take("a")
    list(scheduler.take("b"))
    scheduler.on_worker_death("a")
    assert [one is only for one in scheduler.take("c")] == [True]  # an idle worker copies it again
    assert scheduler.finish("b", only)
    assert not scheduler


def test_copied_poison_is_split():
    """Deaths of all holders of a copied slice count: it is split, and not copied for ever."""
    scheduler = scheduler_of(4)
    for dead, worker in (("", "a"), ("", "b"), ("a", "c"), ("b", "d")):
        scheduler.on_worker_death(dead)
        assert len(list(scheduler.take(worker))) == (worker != "d")
    scheduler.on_worker_death("c")
    assert [len(one.rows) for one in scheduler.take("d")] == [2, 2]


def test_death_counts_for_the_running_slice():
    """A death counts for the slice that the worker was at, even if another one finished it, and for no other."""
    scheduler = scheduler_of(4, 4)
    slow, next_one = scheduler.take("a")
    list(scheduler.take("b"))
    assert scheduler.finish("b", slow)
    scheduler.on_worker_death("a")
    assert (slow.deaths, next_one.deaths) == (1, 0)


def test_poison_image_is_found():
    """A shard that kills its worker twice is bisected until the poison image is alone and has killed three times."""
    scheduler, done, n_deaths = scheduler_of(64, 64), [], 0
    poison = None
    while scheduler:
        slices = list(scheduler.take("a"))
        for one in slices:
            if 37 in one.rows:
                n_deaths += 1
                poison = scheduler.on_worker_death("a") or poison
                break
            done.extend(one.rows)
            scheduler.finish("a", one)
    assert poison.rows.tolist() == [37]
    assert sorted(done) == [row for row in range(128) if row != 37]
    assert n_deaths == 2 + 5 + 3
    assert scheduler.is_complete(0)
    assert scheduler.is_complete(1)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_nothing_lost_nothing_twice(data):
    """Whatever workers do, each row counts once, and a shard is complete when all of its rows are done."""
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    scheduler, counted, held = scheduler_of(*sizes), collections.Counter(), collections.defaultdict(list)
    for _ in range(10_000):
        if not scheduler:
            break
        worker = data.draw(st.sampled_from("abc"))
        held[worker] += scheduler.take(worker)
        event = data.draw(st.sampled_from(["finish", "finish", "die"]))
        if event == "die":
            poison = scheduler.on_worker_death(worker)
            held[worker] = []
            counted.update(() if poison is None else poison.rows.tolist())
        elif held[worker]:
            one = held[worker].pop(0)
            counted.update(one.rows.tolist() if scheduler.finish(worker, one) else ())
    assert not scheduler
    assert counted == collections.Counter(range(sum(sizes)))
    assert all(scheduler.is_complete(shard) for shard in range(len(sizes)))


@pytest.mark.parametrize("worker", ["a", "b"])
def test_death_of_an_idle_worker(worker):
    """A worker that never had a slice may die."""
    assert scheduler_of(1).on_worker_death(worker) is None


@pytest.mark.parametrize(("age_s", "is_free"), [(30, False), (90, True)])
def test_avoided_workers_wait_a_minute(age_s, is_free):
    """A slice that a worker could not read is for others only, and after a minute for anyone."""
    shard_slice = ShardSlice(0, np.arange(3), avoided={"a"}, created_at=time.monotonic() - age_s)
    assert (shard_slice.is_for("a"), shard_slice.is_for("b")) == (is_free, True)
