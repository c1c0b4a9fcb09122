import dataclasses
import errno
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frieze.core import FeatureFileError, InputError, MismatchError
from frieze.features import open_features, open_writer, part_schema, read_manifest
from frieze.features.part_files import read_part, write_part
from frieze.features.recovery import scan_parts


def test_unnamed_part_is_recovered(table, manifest, rows, images):
    """A part that a crash left unnamed is in features.json as soon as the table is opened for writing."""
    write_part(rows(images(("e", 5, 1))), table / "parts" / "part-000002.parquet")
    with open_writer(table, manifest):
        assert open_features(table).ids.tolist() == ["a", "b", "c", "d", "e"]


def test_rewritten_part_is_recovered(table, manifest, rows, images):
    """A part that was rewritten before a crash is described again when the table is opened for writing."""
    write_part(rows(images(("c", 3, 1))), table / "parts" / "part-000001.parquet")
    with open_writer(table, manifest):
        assert open_features(table).ids.tolist() == ["a", "b", "c"]


def test_copy_is_the_same_generation(table, tmp_path, manifest):
    """A copy with other file times resumes as the same generation."""
    shutil.copytree(table, tmp_path / "copy", copy_function=shutil.copyfile)
    with open_writer(tmp_path / "copy", manifest):
        assert read_manifest(tmp_path / "copy").generation == read_manifest(table).generation


def test_foreign_part_refused(table, manifest, spec):
    """A part of another backbone in the folder is never recovered."""
    other = part_schema(dataclasses.replace(spec, fingerprint="cd" * 32))
    write_part(other.empty_table(), table / "parts" / "part-000002.parquet")
    with pytest.raises(MismatchError, match=r"part-000002\.parquet"), open_writer(table, manifest):
        pytest.fail("the block must not run")


def test_truncated_part_is_deleted(table, manifest):
    """A truncated part is reported and deleted, so that its images are embedded again."""
    part = table / "parts" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    with open_writer(table, manifest) as writer:
        assert writer.broken_parts == [part.name]
        assert writer.stored()["id"].to_pylist() == ["c", "d"]
    assert not part.exists()


def test_unreadable_part_stays(table, manifest, monkeypatch):
    """A part that can't be read from disk is named, and not deleted: it may be valid."""
    part = table / "parts" / "part-000000.parquet"
    shutil.copyfile(table / "parts" / "part-000001.parquet", part)

    def refuse(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with (
        pytest.raises(FeatureFileError, match=r"part-000000\.parquet is missing or broken"),
        open_writer(table, manifest),
    ):
        pytest.fail("the block must not run")
    assert part.exists()


def test_touched_part_stays(table, manifest, monkeypatch):
    """A part that was only touched or copied is valid without its rows being read."""
    os.utime(table / "parts" / "part-000000.parquet", ns=(1, 1))
    monkeypatch.setattr("frieze.features.recovery.read_part", lambda *_, **__: pytest.fail("it was read"))
    with open_writer(table, manifest):
        assert [part.mtime_ns == 1 for part in read_manifest(table).parts] == [True, False]


def test_broken_link(table, manifest):
    """A broken link is no part: its images are embedded again."""
    part = table / "parts" / "part-000000.parquet"
    part.unlink()
    part.symlink_to("elsewhere.parquet")
    with open_writer(table, manifest) as writer:
        assert writer.stored()["id"].to_pylist() == ["c", "d"]


def with_nan(rows):
    """Write a NaN in the first vector."""
    kind = rows.schema.field("embedding")
    flat = np.asarray(rows["embedding"].combine_chunks().flatten()).copy()
    flat[1] = np.nan
    return rows.set_column(8, kind, pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind.type))


SPOILT = {
    "NaN": with_nan,
    "no embedding": lambda rows: rows.drop_columns("embedding"),
    "no sha256": lambda rows: rows.drop_columns("sha256"),
    "no label": lambda rows: rows.drop_columns("label"),
    "list": lambda rows: rows.set_column(8, "embedding", rows["embedding"].cast(pa.list_(pa.float32()))),
    "text": lambda rows: rows.set_column(4, "size_bytes", rows["size_bytes"].cast(pa.string())),
    "twice": lambda rows: rows.append_column("uri", rows["uri"]),
}


@pytest.mark.parametrize("name", SPOILT)
def test_corrupt_part_is_deleted(name, table, manifest):
    """A part with a missing column, another type, or a vector that is not finite is embedded again."""
    part = table / "parts" / "part-000000.parquet"
    pq.write_table(SPOILT[name](read_part(part)), part)
    with open_writer(table, manifest) as writer:
        assert (writer.broken_parts, writer.stored()["id"].to_pylist()) == ([part.name], ["c", "d"])


@pytest.fixture(scope="module")
def forty(tmp_path_factory, run, images):
    """A table of one part with forty rows; its bytes and its rows."""
    path = tmp_path_factory.mktemp("forty") / "out"
    run(path, images(*((f"image {number}", number, 1) for number in range(20, 60))), shard_size=40)
    part = path / "parts" / "part-000000.parquet"
    return part, part.read_bytes(), read_part(part)


@settings(max_examples=120)
@given(data=st.data())
def test_corrupt_bytes_are_never_recovered(data, forty):
    """Whatever byte of a part changes, it is reported, refused or irrelevant: no wrong row gets into the table."""
    part, whole, rows = forty
    at, change = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    part.write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
    folder = part.parents[1]
    try:
        live, broken = scan_parts(folder, read_manifest(folder))
    except InputError:  # it no longer says what made it
        return
    assert broken == (part,) or (live[0].rows == 40 and read_part(part).equals(rows))
