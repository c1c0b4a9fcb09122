import contextlib
import errno
import itertools
import os
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frieze.core import FeatureFileError
from frieze.features import open_features, open_writer
from frieze.features.compaction import _MAX_SMALL_PARTS, groups_to_compact
from frieze.features.manifest import Part
from frieze.features.part_files import read_part, write_part


def parts_of(rows):
    """Return a part for each number of rows."""
    return [Part(f"part-{number:06d}.parquet", count, 1, 1, "ab") for number, count in enumerate(rows)]


@given(rows=st.lists(st.integers(1, 40), max_size=60), shard_size=st.integers(1, 50))
def test_groups_to_compact(rows, shard_size):
    """Only small parts are merged, each once, in order, into parts that are no larger than a shard."""
    parts = parts_of(rows)
    groups = groups_to_compact(parts, shard_size=shard_size)
    merged = [part for group in groups for part in group]
    assert merged == [part for part in parts if part in merged]
    assert all(part.rows <= shard_size // 2 for part in merged)
    assert all(len(group) > 1 and sum(part.rows for part in group) <= shard_size for group in groups)


def test_few_parts_are_not_merged():
    """A few small parts are not merged; with one more, all are."""
    assert groups_to_compact(parts_of([1] * _MAX_SMALL_PARTS), shard_size=100) == []
    assert groups_to_compact(parts_of([1] * (_MAX_SMALL_PARTS + 1)), shard_size=100) == [
        parts_of([1] * (_MAX_SMALL_PARTS + 1))
    ]


@pytest.fixture
def pile(tmp_path, run, images, monkeypatch):
    """A table of five parts of one row each, when three are too many."""
    monkeypatch.setattr("frieze.features.compaction._MAX_SMALL_PARTS", 3)
    path = tmp_path / "photos.features"
    for count in range(1, 6):
        run(path, images(*((name, 1, 1) for name in "abcde"[:count])))
    return path


def merge(path, manifest, shard_size=4):
    """Merge small parts."""
    with open_writer(path, manifest) as writer:
        writer.compact(shard_size=shard_size)


def test_merged(pile, manifest, glob_rows):
    """Merged parts hold the same rows in the same order, and the table names them."""
    before = glob_rows(pile)
    merge(pile, manifest)
    assert glob_rows(pile) == before
    features = open_features(pile)
    assert [(part.name, part.rows) for part in features.manifest.parts] == [
        ("part-000000.parquet", 4),
        ("part-000004.parquet", 1),
    ]
    assert (features.ids.tolist(), list((pile / "staging").iterdir())) == (list("abcde"), [])


def test_merged_types(pile, manifest):
    """A column of several types is merged as text."""
    for number, years in enumerate([[1999], ["unknown"]]):
        path = pile / "parts" / f"part-{number:06d}.parquet"
        write_part(read_part(path).append_column("year", pa.array(years)), path)
    merge(pile, manifest)
    assert open_features(pile).rows["year"].to_pylist() == ["1999", "unknown", None, None, None]


@contextlib.contextmanager
def refusing(n):
    """Let the n-th rename or deletion fail; yields the calls made."""
    calls, real = [], {name: getattr(Path, name) for name in ("replace", "unlink")}

    def maybe(name):
        def call(path, *args, **options):
            calls.append(name)
            if len(calls) == n:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real[name](path, *args, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in real:
            patch.setattr(Path, name, maybe(name))
        yield calls


def test_interrupted_compaction(pile, manifest, glob_rows):
    """Wherever a compaction is interrupted, no id is in the glob twice, and the next writer recovers all rows."""
    before = glob_rows(pile)
    for n in itertools.count(1):
        with refusing(n) as calls, contextlib.suppress(FeatureFileError, OSError):
            merge(pile, manifest)
        ids = [row["id"] for row in glob_rows(pile)]
        assert len(set(ids)) == len(ids)
        with open_writer(pile, manifest) as writer:
            assert sorted(writer.stored()["id"].to_pylist()) == list("abcde")
        if len(calls) < n:
            break
    assert n > 5
    assert sorted(glob_rows(pile), key=lambda row: row["id"]) == before
