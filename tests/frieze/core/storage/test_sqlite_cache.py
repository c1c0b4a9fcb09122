"""The cache of small values in one SQLite file."""

import functools
from concurrent.futures import ThreadPoolExecutor

import pytest

from frieze.core import InputError, SqliteCache

open_cache = functools.partial(SqliteCache, limit_bytes=1 << 20, what="Small values")


def keys_of(cache):
    """The keys of all values, the oldest first."""
    return [key for (key,) in cache._connection.execute("SELECT key FROM pictures ORDER BY used, key")]


def fill(cache, *, numbers=range(9)):
    """Cache a value of 8,000 bytes for each number."""
    for number in numbers:
        cache.put({f"{number:02}": bytes(8000)})
    return cache


def test_values_outlive_the_process(tmp_path):
    """A value is what was put last under its key, also for another process; other keys have none."""
    first, second = (open_cache(tmp_path / "below" / "cache") for _ in range(2))
    first.put({"a": b"1", "b": b"2"})
    first.put({"a": b"3"})
    assert second.get(["a", "b", "c"]) == {"a": b"3", "b": b"2"}


def test_many_keys(tmp_path):
    """More keys than a statement takes are found, and an empty request finds nothing."""
    cache = open_cache(tmp_path / "cache")
    values = {str(number): str(number).encode() for number in range(1201)}
    cache.put(values)
    assert (cache.get(iter(values)), cache.get([])) == (values, {})


def test_threads_share_a_cache(tmp_path):
    """Values that several threads put are there for all."""
    cache = open_cache(tmp_path / "cache")
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: cache.put({str(number): b"value"}), range(40)))
        assert len(threads.submit(cache.get, map(str, range(40))).result()) == 40


def test_the_oldest_are_evicted(tmp_path):
    """The file stays below its limit: the oldest values are evicted first."""
    cache = fill(open_cache(tmp_path / "cache", limit_bytes=100_000), numbers=range(20))
    assert cache._size_bytes() <= 100_000
    assert 5 < len(keys_of(cache)) < 20
    assert keys_of(cache) == [f"{number:02}" for number in range(20 - len(keys_of(cache)), 20)]


@pytest.mark.parametrize(("n_too_few", "n_kept"), [(0, 9), (1, 7)])
def test_a_file_of_just_the_limit(tmp_path, n_too_few, n_kept):
    """A file may have exactly its limit; one byte more, and a fifth of it is evicted, and one value."""
    size = fill(open_cache(tmp_path / "measured"))._size_bytes()
    limited = fill(open_cache(tmp_path / "limited", limit_bytes=size - n_too_few))
    assert len(keys_of(limited)) == n_kept


def test_limit_of_two(tmp_path):
    """Two processes that fill the same file keep to one limit."""
    both = [open_cache(tmp_path / "cache", limit_bytes=100_000) for _ in range(2)]
    for number in range(20):
        fill(both[number % 2], numbers=[number])
        assert both[0]._size_bytes() <= 100_000


@pytest.mark.parametrize("content", [b"no database", None])
def test_no_such_file(tmp_path, content):
    """Where the file can't be had, the message names it and what it is for."""
    path = tmp_path / "below" / "cache"
    path.parent.touch() if content is None else path.parent.mkdir()
    if content is not None:
        path.write_bytes(content * 100)
    with pytest.raises(InputError, match=f"Small values can't be stored in {path}"):
        open_cache(path)


def test_broken_meanwhile(tmp_path):
    """A file that breaks while it is used caches nothing more, without an error."""
    cache = open_cache(tmp_path / "cache")
    cache._connection.execute("DROP TABLE pictures")
    cache.put({"a": b"1"})
    assert cache.get(["a"]) == {}


def test_a_failure_is_no_end(tmp_path):
    """A value that can't be stored, as where the disk is full, hinders no later one."""
    cache = open_cache(tmp_path / "cache")
    cache._connection.execute("ALTER TABLE pictures RENAME TO others")
    cache.put({"a": b"1"})
    cache._connection.execute("ALTER TABLE others RENAME TO pictures")
    cache.put({"b": b"2"})
    assert open_cache(tmp_path / "cache").get(["a", "b"]) == {"b": b"2"}
