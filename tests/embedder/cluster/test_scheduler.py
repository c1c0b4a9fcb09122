"""Which worker is given what; the judge is a count of the rows that came back."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.embedder.cluster.scheduler import Schedule


def schedule_of(*sizes):
    """Make a schedule of shards of so many rows."""
    ends = np.cumsum(sizes)
    return Schedule([np.arange(end - size, end) for end, size in zip(ends, sizes, strict=True)])


def test_two_at_once():
    """A worker is handed two pieces, in order, and no third before one is done."""
    schedule = schedule_of(4, 4, 4)
    first, second = schedule.take("a")
    assert (first.shard, second.shard) == (0, 1)
    assert list(schedule.take("a")) == []
    assert schedule.end("a", first)
    assert [piece.shard for piece in schedule.take("a")] == [2]


def test_the_slow_are_overtaken():
    """Who has nothing left to do is given what another one has had longest; the first to end it counts, once."""
    schedule = schedule_of(4, 4)
    slow = next(iter(schedule.take("a")))
    other = next(iter(schedule.take("b")))
    assert schedule.end("b", other)
    (again,) = schedule.take("b")
    assert again is slow
    assert schedule.end("b", again)
    assert not schedule.end("a", slow)
    assert not schedule


def test_a_dead_workers_pieces_come_back():
    """Both of its pieces are handed to others, in order; the schedule is not done before."""
    schedule = schedule_of(4, 4)
    list(schedule.take("a"))
    assert schedule.lose("a") is None
    assert [piece.shard for piece in schedule.take("b")] == [0, 1]
    assert schedule


def test_what_another_one_has_too_stays_there():
    """A piece that was overtaken is not handed out a third time when its first worker dies."""
    schedule = schedule_of(4)
    (piece,) = schedule.take("a")
    list(schedule.take("b"))
    schedule.lose("a")
    assert [one is piece for one in schedule.take("c")] == [True]  # overtaken anew, by who has nothing
    assert schedule.end("b", piece)
    assert not schedule


def test_the_deadly_that_was_overtaken_is_taken_apart():
    """Deaths of those who had a piece at once all count: it does not go round among the idle for ever."""
    schedule = schedule_of(4)
    for dies, takes in (("", "a"), ("", "b"), ("a", "c"), ("b", "d")):
        schedule.lose(dies)
        assert len(list(schedule.take(takes))) == (takes != "d")
    schedule.lose("c")
    assert [len(piece.rows) for piece in schedule.take("d")] == [2, 2]


def test_who_was_overtaken_dies_of_that():
    """A death is blamed on the piece that the worker was at, though another one has ended it, and on no other."""
    schedule = schedule_of(4, 4)
    slow, next_one = schedule.take("a")
    list(schedule.take("b"))
    assert schedule.end("b", slow)
    schedule.lose("a")
    assert (slow.deaths, next_one.deaths) == (1, 0)


def test_a_deadly_image_is_found():
    """A shard that kills its worker twice is halved until the one row that does it is alone and has done it thrice."""
    schedule, done, n_deaths = schedule_of(64, 64), [], 0
    poison = None
    while schedule:
        pieces = list(schedule.take("a"))
        for piece in pieces:
            if 37 in piece.rows:
                n_deaths += 1
                poison = schedule.lose("a") or poison
                break
            done.extend(piece.rows)
            schedule.end("a", piece)
    assert poison.rows.tolist() == [37]
    assert sorted(done) == [row for row in range(128) if row != 37]
    assert n_deaths == 2 + 5 + 3
    assert schedule.is_whole(0)
    assert schedule.is_whole(1)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_nothing_lost_nothing_twice(data):
    """Whatever workers do, each row counts once, and a shard is whole when all of its rows are done."""
    sizes = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    schedule, counted, held = schedule_of(*sizes), collections.Counter(), collections.defaultdict(list)
    for _ in range(10_000):
        if not schedule:
            break
        worker = data.draw(st.sampled_from("abc"))
        held[worker] += schedule.take(worker)
        does = data.draw(st.sampled_from(["end", "end", "die"]))
        if does == "die":
            poison = schedule.lose(worker)
            held[worker] = []
            counted.update(() if poison is None else poison.rows.tolist())
        elif held[worker]:
            piece = held[worker].pop(0)
            counted.update(piece.rows.tolist() if schedule.end(worker, piece) else ())
    assert not schedule
    assert counted == collections.Counter(range(sum(sizes)))
    assert all(schedule.is_whole(shard) for shard in range(len(sizes)))


@pytest.mark.parametrize("worker", ["a", "b"])
def test_a_stranger_dies(worker):
    """One that never had anything may die."""
    assert schedule_of(1).lose(worker) is None
