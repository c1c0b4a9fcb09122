"""A reader sees one generation of a table; the judge is what it read before anything was written."""

import errno
import fcntl
import gc
import hashlib
import json
import os
import pickle
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze.features.compaction
import frieze.features.manifest
import frieze.features.replaced_parts
import frieze.features.snapshot
from frieze.core import FeatureFileError, to_table_path
from frieze.features import Shard, open_features, open_writer, read_manifest, read_stored, replace_table

BEFORE = [("a", 1, 1), ("b", 2, 1), ("c", 3, 1), ("d", 4, 1)]
LATER = {
    "added": [*BEFORE, ("e", 5, 1), ("f", 6, 1)],
    "rewritten": [(name, size, 2) for name, size, _ in BEFORE],
    "row removed": BEFORE[1:],
    "part removed": BEFORE[2:],
    "all removed": [],
}


@pytest.fixture
def change(table, run, images, monkeypatch):
    """What changed -> the table of a, b | c, d is changed so."""

    def merge(manifest):
        monkeypatch.setattr(frieze.features.compaction, "_MAX_SMALL_PARTS", 1)
        with open_writer(table, manifest) as writer:
            writer.compact(shard_size=4)

    def replace():
        with replace_table(table, can_resume=lambda _: False) as fresh:
            run(fresh, images(("x", 9, 9)))

    others = {"merged": lambda: merge(read_manifest(table)), "replaced": replace}
    return lambda name: others[name]() if name in others else run(table, images(*LATER[name]))


CHANGES = [*LATER, "merged", "replaced"]


def read_all(table):
    """Return the whole content of a table, read in each of the ways there are."""
    ids, embeddings = zip(*table.batches(1), strict=True)
    vectors = [
        table.embeddings(),
        np.concatenate(embeddings),
        np.concatenate(list(table.vectors())),
        np.concatenate([table.part_vectors(number) for number in range(len(table.manifest.parts))]),
        np.concatenate([part.embeddings() for part in table.split()]),
    ]
    assert all(np.array_equal(one, vectors[0]) for one in vectors)
    rows = [row for part in table.row_tables() for row in part.to_pylist()]
    assert [row["id"] for row in rows] == np.concatenate(ids).tolist() == table.ids.tolist()
    assert table.rows.to_pylist() == rows
    return rows, vectors[0].tolist()


def kept(table):
    """Name what lies in `staging/`."""
    return sorted(path.name for path in (table / "staging").iterdir())


@pytest.mark.parametrize("name", CHANGES)
def test_opened_generation_is_read(name, table, change):
    """A reader sees the generation that it opened, whatever a run adds, rewrites, merges or removes."""
    expected, opened = read_all(open_features(table)), open_features(table)
    change(name)
    assert read_all(opened) == expected
    assert open_features(table).manifest != opened.manifest


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_between_two_parts(name, table, change):
    """A change after the first part was read does not affect the second one."""
    expected, opened = open_features(table).embeddings(), open_features(table)
    batches = opened.batches()
    first = next(batches)
    change(name)
    ids, vectors = zip(first, *batches, strict=True)
    assert np.concatenate(ids).tolist() == ["a", "b", "c", "d"]
    assert np.array_equal(np.concatenate(vectors), expected)


@pytest.mark.parametrize("name", [one for one in CHANGES if one != "all removed"])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_change_while_it_is_opened(is_late, name, table, change, monkeypatch):
    """A change just before or after features.json is read gives one generation, the old or the new one."""
    before, read = read_all(open_features(table)), read_manifest

    def read_and_change(folder):
        monkeypatch.setattr(frieze.features.snapshot, "read_manifest", read)
        manifest = read(folder) if is_late else None
        change(name)
        return manifest or read(folder)

    monkeypatch.setattr(frieze.features.snapshot, "read_manifest", read_and_change)
    opened = open_features(table)
    after = read_all(open_features(table))
    assert read_all(opened) == (before if is_late and name != "replaced" else after)


@pytest.mark.parametrize("name", ["rewritten", "row removed", "part removed", "merged"])
def test_half_a_commit(name, table, change, monkeypatch):
    """While a part is replaced and features.json is not yet written, readers see the generation of features.json."""
    expected, opened, actual = [read_all(open_features(table))], open_features(table), []
    write = frieze.features.manifest.write_json

    def look_and_write(path, document):
        actual.append(read_all(opened))
        if read_manifest(table) == opened.manifest:  # the first commit
            actual.append(read_all(open_features(table)))
        write(path, document)

    monkeypatch.setattr(frieze.features.manifest, "write_json", look_and_write)
    change(name)
    assert len(actual) > 1
    assert actual == expected * len(actual)


def test_pickled(table, change):
    """In another process a table is read as it was when it was opened here."""
    opened = open_features(table)
    expected = opened.embeddings()
    change("rewritten")
    assert np.array_equal(pickle.loads(pickle.dumps(opened)).embeddings(), expected)  # noqa: S301  our own bytes


def test_replaced_parts_are_kept_for_readers(table, run, images, change):
    """Replaced parts are kept while they are read, and deleted by the next run after that."""
    change("rewritten")
    assert kept(table) == []
    opened = open_features(table)
    change("part removed")
    change("added")
    assert [name[:11] for name in kept(table)] == ["part-000000", "part-000001"]
    del opened
    change("added")
    assert kept(table) == []


def test_kept_for_a_day(table, change, monkeypatch):
    """With constant readers a replaced part is deleted after a day; a reader that still needs it gets an error."""
    opened = open_features(table)
    monkeypatch.setattr(frieze.features.replaced_parts, "_READ_S", -1)
    change("rewritten")
    assert kept(table) == []
    with pytest.raises(FeatureFileError, match="was replaced while the table was being read"):
        opened.embeddings()


def test_replaced_table_is_deleted(table, change):
    """A table that --force replaced is kept while it is read, and deleted by the next run."""
    opened = open_features(table)
    change("replaced")
    assert len(list(table.parent.iterdir())) == 2
    assert len(opened.embeddings()) == 4
    del opened
    change("added")
    assert [path.name for path in table.parent.iterdir()] == [table.name]


def test_readers_block_no_writer(table, change):
    """A table that is being read can be updated, replaced, and read with a glob."""
    opened = open_features(table)
    for name in ("rewritten", "added", "part removed", "replaced", "added"):
        change(name)
    assert sorted(open_features(table).ids) == ["a", "b", "c", "d", "e", "f"]
    assert len(opened) == 4


@pytest.fixture
def _no_locks(monkeypatch):
    """A file system that can't lock a folder."""
    flock = fcntl.flock

    def refuse(file, how):
        if stat.S_ISDIR(os.fstat(file if isinstance(file, int) else file.fileno()).st_mode):
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("_no_locks")
def test_without_locks(table, change, monkeypatch):
    """Without locks a replaced part is kept for an hour; a later reader gets an error."""
    opened = open_features(table)
    expected = read_all(opened)
    change("rewritten")
    assert read_all(opened) == expected
    monkeypatch.setattr(frieze.features.replaced_parts, "KEPT_S", -1)
    change("rewritten")
    assert kept(table) == []
    with pytest.raises(
        FeatureFileError, match=r"part-000000\.parquet was replaced while the table was being read"
    ) as caught:
        opened.embeddings()
    assert caught.value.hint.startswith("Type the same command again")
    with pytest.raises(FeatureFileError, match="was replaced while"):
        list(opened.batches())


def test_without_hard_links(table, change, monkeypatch):
    """Where the disk has no hard links, a replaced part is kept as a copy."""

    def refuse(*_):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    opened = open_features(table)
    expected = read_all(opened)
    change("rewritten")
    assert read_all(opened) == expected


def test_a_copy_is_read(table, tmp_path, monkeypatch):
    """A copy, whose files have other times, is read; features.json is read once for all parts."""
    shutil.copytree(table, tmp_path / "copy", copy_function=shutil.copyfile)
    opened, read, calls = open_features(tmp_path / "copy"), read_manifest, []
    monkeypatch.setattr(frieze.features.snapshot, "read_manifest", lambda folder: calls.append(folder) or read(folder))
    assert read_all(opened) == read_all(open_features(table))
    assert calls.count(tmp_path / "copy") == 1


def test_descriptor_is_closed(table):
    """Once the table is garbage-collected, no descriptor of it is open."""

    def descriptors():
        return [path for path in Path("/dev/fd").iterdir() if path.exists() and path.samefile(table)]

    opened = open_features(table)
    list(opened.batches(1))
    assert descriptors()
    del opened
    gc.collect()
    assert not descriptors()


def test_read_stored(table, manifest, rows, images):
    """While a run is writing, `read_stored` returns the rows of features.json."""
    expected = read_stored(table)
    with open_writer(table, manifest) as writer:
        writer.write_part(Shard(0, np.arange(1)), rows(images(("z", 5, 1))))
        assert read_stored(table).equals(expected)
    assert read_stored(table)["id"].to_pylist() == ["z", "c", "d"]  # as that run had been cut short


@pytest.mark.parametrize("name", [one for one in CHANGES if one != "replaced"])
def test_an_outside_reader(name, table, change):
    """What docs/format.md tells other readers to do gives the rows of features.json, whatever a run does meanwhile."""
    held = os.open(table, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    document = json.loads((table / "features.json").read_text())
    change(name)
    actual = []
    for part in document["parts"]:
        path, kept_path = (
            table / "parts" / part["name"],
            table / "staging" / f"{part['name'].removesuffix('.parquet')}.{part['sha256'][:16]}.parquet",
        )
        data = path.read_bytes() if path.exists() else b""
        data = kept_path.read_bytes() if kept_path.exists() else data
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
        actual.extend(pq.read_table(pa.BufferReader(data))["id"].to_pylist())
    os.close(held)
    assert actual == ["a", "b", "c", "d"]


@pytest.fixture
def table_in_bucket(bucket, run, images):
    """The table of a, b | c, d in a bucket."""
    path = to_table_path(f"{bucket.url}/tables/photos.features")
    run(path, images(*BEFORE))
    return path


@pytest.mark.parametrize("name", ["rewritten", "row removed", "part removed"])
def test_in_a_bucket(name, table_in_bucket, run, images):
    """In a bucket a reader sees the generation that it opened; replaced parts are kept for an hour."""
    opened, control = open_features(table_in_bucket), open_features(table_in_bucket)
    expected = read_all(control)
    run(table_in_bucket, images(*LATER[name]))
    assert read_all(opened) == expected
    assert len(kept(table_in_bucket)) == (2 if name == "rewritten" else 1)
    assert open_features(table_in_bucket).ids.tolist() == [image[0] for image in LATER[name]]


def test_replaced_in_a_bucket_while_it_is_read(table_in_bucket, run, images, monkeypatch):
    """A part in a bucket that becomes another object between two reads of its bytes is read as it was."""
    expected, opened = read_all(open_features(table_in_bucket)), open_features(table_in_bucket)
    check = frieze.features.snapshot.Snapshot._check_rows

    def check_and_change(*args):
        monkeypatch.setattr(frieze.features.snapshot.Snapshot, "_check_rows", check)
        check(*args)
        run(table_in_bucket, images(*LATER["rewritten"]))

    monkeypatch.setattr(frieze.features.snapshot.Snapshot, "_check_rows", check_and_change)
    assert read_all(opened) == expected


@pytest.mark.parametrize("name", ["rewritten", "row removed", "part removed"])
def test_replaced_in_a_bucket_long_ago(name, table_in_bucket, run, images, monkeypatch):
    """After more than an hour a part in a bucket may be gone: the reader is told, and never gets other rows."""
    opened = open_features(table_in_bucket)
    monkeypatch.setattr(frieze.features.replaced_parts, "KEPT_S", -1)
    monkeypatch.setattr(frieze.features.snapshot, "KEPT_S", -1)
    run(table_in_bucket, images(*LATER[name]))
    assert kept(table_in_bucket) == []
    with pytest.raises(FeatureFileError, match="was replaced while the table was being read"):
        opened.embeddings()


_WRITER = """
import json, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
import conftest
import frieze.features.manifest
from frieze.features import open_features

table, written = Path(sys.argv[1]), {}
write = frieze.features.manifest.Manifest.write

def write_and_note(manifest, folder):
    write(manifest, folder)
    print(manifest.generation, open_features(folder).embeddings().sum(axis=0).tolist(), flush=True)

frieze.features.manifest.Manifest.write = write_and_note
step = 1
while not Path(sys.argv[3]).exists():
    step += 1
    images = [(f"{n:02}", 1 + n % 7, step) for n in range(4 + step % 5)]
    conftest._run(table, conftest._images(*images[step % 3:]), manifest=conftest.MANIFEST)
"""


@pytest.mark.slow
def test_many_opens_beside_a_writer(table, tmp_path):
    """Each of 300 opens beside a process that commits all the time reads the rows of one generation; none fails."""
    log, stop = tmp_path / "log", tmp_path / "stop"
    command = [sys.executable, "-c", _WRITER, str(table), str(Path(__file__).parent), str(stop)]
    with log.open("w") as file, subprocess.Popen(command, stdout=file) as writer:
        try:
            while not log.stat().st_size:  # it starts
                read_all(open_features(table))
            actual = [(opened.manifest.generation, _sums(opened)) for opened in map(open_features, [table] * 300)]
            assert writer.poll() is None
        finally:
            stop.touch()
    written = dict(line.split(" ", 1) for line in log.read_text().splitlines())
    assert len({generation for generation, _ in actual}) > 20
    assert [sums for _, sums in actual] == [written[generation] for generation, _ in actual]


def _sums(table):
    """Return the sum of each column, once the ids were found to fit the vectors."""
    vectors = table.embeddings()
    assert len(table.ids) == len(vectors) == len(table)
    assert [sum(name.encode()) for name in table.ids] == vectors[:, 1].tolist()
    return str(vectors.sum(axis=0).tolist())


@pytest.mark.parametrize("read", ["embeddings", "rows"])
def test_an_altered_value_is_found_while_it_is_read(read, table):
    """A bit that flipped on the disk fails the page's checksum: no reader gets a wrong number."""
    (part,) = {one.name for one in read_manifest(table).parts} & {"part-000000.parquet"}
    path = table / "parts" / part
    column = next(
        chunk
        for number in range(pq.ParquetFile(path).metadata.num_columns)
        if (chunk := pq.ParquetFile(path).metadata.row_group(0).column(number)).path_in_schema.startswith(
            "embedding" if read == "embeddings" else "sha256"
        )
    )
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size - 2] ^= 1
    path.write_bytes(data)
    opened = open_features(table)
    with pytest.raises(FeatureFileError):
        opened.embeddings() if read == "embeddings" else opened.rows
