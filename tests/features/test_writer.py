import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import FeatureFileError, MismatchError
from frieze.features import (
    PART,
    Failure,
    Shard,
    check_only_table_files,
    check_table_dir,
    open_features,
    open_writer,
    part_schema,
    read_failures,
    read_manifest,
)

BROKEN = Failure("bad", "/photos/bad", "decode", "truncated", "cut", 13, 1)


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_new_table(tmp_path, manifest):
    """A new table can be opened at once and has no rows."""
    with open_writer(tmp_path / "deep" / "out", manifest):
        assert len(open_features(tmp_path / "deep" / "out")) == 0


def test_commit_is_read_at_once(tmp_path, manifest, rows, images):
    """After each commit a reader finds its rows, and no temporary file is left."""
    with open_writer(tmp_path, manifest) as writer:
        writer.commit(Shard(0, np.arange(1)), rows(images(("a", 1, 1))))
        assert open_features(tmp_path).ids.tolist() == ["a"]
        writer.commit(Shard(1, np.arange(1)), rows(images(("b", 1, 1))))
        assert open_features(tmp_path).ids.tolist() == ["a", "b"]
    assert _names(tmp_path) == [".lock", "features.json", "parts", "staging"]
    assert (_names(tmp_path / "parts"), _names(tmp_path / "staging")) == (
        ["part-000000.parquet", "part-000001.parquet"],
        [],
    )


def test_stored(table, manifest):
    """The writer returns the listed columns and the part of each stored row in reading order."""
    with open_writer(table, manifest) as writer:
        stored = writer.stored()
    assert stored.column_names == ["id", "uri", "label", "size_bytes", "mtime_ns", PART]
    assert [tuple(row.values()) for row in stored.to_pylist()] == [
        ("a", "/photos/a", None, 1, 1, 0),
        ("b", "/photos/b", None, 2, 1, 0),
        ("c", "/photos/c", None, 3, 1, 1),
        ("d", "/photos/d", None, 4, 1, 1),
    ]


def test_rewrite_keeps_the_schema(table, manifest, rows, images, spec):
    """A rewritten part holds the rows it keeps, then the new ones, in the schema of a fresh part."""
    with open_writer(table, manifest) as writer:
        writer.commit(Shard(0, np.arange(1), frozenset({"a"})), rows(images(("a", 9, 9))))
    part = pq.read_table(table / "parts" / "part-000000.parquet")
    assert (part["id"].to_pylist(), part["size_bytes"].to_pylist()) == (["b", "a"], [2, 9])
    assert part.schema.equals(part_schema(spec), check_metadata=True)


@pytest.mark.parametrize(("drop", "years"), [("b", ["1999", "unknown"]), ("ab", ["unknown"])])
def test_rewrite_with_another_type(drop, years, table, manifest, rows, images):
    """A column that kept and new rows have in different types becomes text."""
    with open_writer(table, manifest) as writer:
        for name, year, leave in ("a", 1999, "ab"), ("e", "unknown", drop):
            new = rows(images((name, 9, 9))).append_column("year", pa.array([year]))
            writer.commit(Shard(0, np.arange(1), frozenset(leave)), new)
    assert open_features(table).rows["year"].to_pylist() == [*years, None, None]


def test_type_of_the_rows_that_stay(table, manifest, rows, images):
    """The column types of dropped rows are ignored."""
    with open_writer(table, manifest) as writer:
        for years in (["unknown"], [1999]):
            new = rows(images(("a", 9, 9))).append_column("year", pa.array(years))
            writer.commit(Shard(0, np.arange(1), frozenset("ab")), new)
    assert pq.read_schema(table / "parts" / "part-000000.parquet").field("year").type == pa.int64()


def test_rewrite_touches_no_other_part(table, manifest):
    """Dropping rows of one part changes no other file."""
    before = (table / "parts" / "part-000001.parquet").stat()
    with open_writer(table, manifest) as writer:
        writer.commit(Shard(0, np.arange(0), frozenset({"a"})))
    assert (table / "parts" / "part-000001.parquet").stat() == before
    assert open_features(table).ids.tolist() == ["b", "c", "d"]


def test_empty_part_is_deleted(table, manifest):
    """A part without rows is deleted."""
    with open_writer(table, manifest) as writer:
        writer.commit(Shard(0, np.arange(0), frozenset({"a", "b"})))
    assert _names(table / "parts") == ["part-000001.parquet"]
    assert open_features(table).ids.tolist() == ["c", "d"]


def test_failures_add_up(tmp_path, manifest, rows, images):
    """Failures of each commit are added to failures.parquet and counted in features.json."""
    other = dataclasses.replace(BROKEN, id="worse")
    with open_writer(tmp_path, manifest) as writer:
        writer.commit(Shard(0, np.arange(2)), rows(images(("a", 1, 1))), [BROKEN])
        writer.commit(Shard(1, np.arange(1)), rows(images()), [other])
    assert [Failure(**row) for row in read_failures(tmp_path).to_pylist()] == [BROKEN, other]
    assert json.loads((tmp_path / "features.json").read_text())["counts"]["failed"] == 2
    assert _names(tmp_path / "parts") == ["part-000000.parquet"]


def test_other_backbone_refused(table, manifest, spec):
    """A table never takes another backbone's rows; the hint names the table's backbone."""
    other = dataclasses.replace(
        manifest, spec=dataclasses.replace(spec, name="other", handle="o", fingerprint="cd" * 32)
    )
    with pytest.raises(MismatchError, match="come from other") as caught, open_writer(table, other):
        pytest.fail("the block must not run")
    assert "`backbone='tiny/'" in caught.value.hint


def test_other_source_refused(table, manifest):
    """A table can't resume with another source, which would remove every row."""
    other = dataclasses.replace(manifest, source="/pictures")
    with pytest.raises(FeatureFileError, match="was made from /photos, not from /pictures"), open_writer(table, other):
        pytest.fail("the block must not run")


def test_deleted_part(table, manifest):
    """A part that somebody deleted is dropped from the manifest, so that its images are embedded again."""
    (table / "parts" / "part-000000.parquet").unlink()
    with open_writer(table, manifest) as writer:
        assert writer.stored()["id"].to_pylist() == ["c", "d"]
    assert open_features(table).ids.tolist() == ["c", "d"]


def test_leftovers_are_deleted(table, manifest):
    """The next run deletes the temporary files of a crash."""
    leftovers = [table / "staging" / ".part-000009.parquet.1.tmp", table / ".features.json.1.tmp"]
    for path in leftovers:
        path.write_text("half")
    with open_writer(table, manifest):
        assert not any(path.exists() for path in leftovers)


def test_a_link_for_staging(table, manifest, tmp_path):
    """A `staging/` that is a link is refused: no file behind it is deleted, moved or overwritten."""
    (tmp_path / "others").mkdir()
    names = [".part-000000.parquet.1.tmp", "part-000007.parquet"]
    for name in names:
        (tmp_path / "others" / name).write_text("text")
    (table / "staging").rmdir()
    (table / "staging").symlink_to(tmp_path / "others")
    with pytest.raises(FeatureFileError, match="staging is a link") as caught, open_writer(table, manifest):
        pytest.fail("the block must not run")
    assert caught.value.hint == f"Delete the link: rm {table / 'staging'}"
    with pytest.raises(FeatureFileError, match=r"staging is no part of a table"):
        check_only_table_files(table)
    assert sorted(path.name for path in (tmp_path / "others").iterdir()) == names


@pytest.mark.parametrize("name", ["photo.jpg", "staging2", ".hidden"])
def test_other_folder_refused(name, tmp_path):
    """A folder that holds something else is refused."""
    (tmp_path / name).touch()
    with pytest.raises(FeatureFileError, match=r"is not a table of features(?s:.)*Use another `out`"):
        check_table_dir(tmp_path)


def test_file_refused(tmp_path):
    """A file in place of the folder is refused."""
    (tmp_path / "out").touch()
    with pytest.raises(FeatureFileError, match="is not a table of features"):
        check_table_dir(tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    [
        "parts/part-000001.parquet",
        "staging/.part-000001.parquet.7.tmp",
        ".lock",
        ".features.json.7.tmp",
        "failures.parquet",
    ],
)
def test_interrupted_folder_can_resume(name, tmp_path):
    """A folder of a run that crashed before its first features.json can resume."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    check_table_dir(tmp_path)


FOREIGN = ["parts/a.jpg", "staging/a.jpg", "staging/.photo.tmp", ".photo.tmp", "notes/a.txt"]


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_refused(name, tmp_path):
    """A user's file is refused, also in a folder or under a name like ours."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(FeatureFileError, match="is not a table of features"):
        check_table_dir(tmp_path)


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_stay(name, table, manifest):
    """Other files in a table's folder survive a run and prevent its replacement."""
    (table / name).parent.mkdir(exist_ok=True)
    (table / name).touch()
    with open_writer(table, manifest):
        pass
    assert (table / name).exists()
    with pytest.raises(FeatureFileError, match="is not replaced"):
        check_only_table_files(table)


def test_another_features_json_is_not_ours(tmp_path):
    """A features.json of another program does not make a folder replaceable."""
    (tmp_path / "features.json").write_text('{"type": "FeatureCollection"}')
    with pytest.raises(FeatureFileError, match="is not replaced"):
        check_only_table_files(tmp_path)


def test_a_broken_table_is_replaceable(table):
    """A table with an empty features.json may be replaced."""
    (table / "features.json").write_text("")
    check_only_table_files(table)


def test_repeated_ids_are_named(table, manifest):
    """A part that repeats stored ids is refused by name."""
    first = next((table / "parts").iterdir())
    (table / "parts" / "part-000900.parquet").write_bytes(first.read_bytes())
    with open_writer(table, manifest) as writer, pytest.raises(FeatureFileError, match=r"part-000900\.parquet repeats"):
        writer.stored()


def test_colon_in_a_relative_path(tmp_path, monkeypatch, run, images):
    """A relative path that looks like a URL is a path."""
    monkeypatch.chdir(tmp_path)
    run(Path("photos:v1"), images(("a", 1, 1)))
    assert open_features("photos:v1").embeddings().tolist() == [[1, 97, 1, 1]]


def test_folder_that_refuses(tmp_path, manifest):
    """A folder that can't be created is an error with a hint."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(FeatureFileError, match="can't be written: Not a directory"),
        open_writer(tmp_path / "file" / "out", manifest),
    ):
        pytest.fail("the block must not run")


def test_full_disk(table, manifest, monkeypatch, rows, images):
    """On a full disk a commit fails with a hint, and the table is unchanged."""
    before = read_manifest(table)
    monkeypatch.setattr("frieze.features.part_files.pq.write_table", lambda *_, **__: _full())
    with pytest.raises(FeatureFileError) as caught, open_writer(table, manifest) as writer:
        writer.commit(Shard(2, np.arange(1)), rows(images(("e", 5, 1))))
    assert "No space left on device" in caught.value.message
    assert caught.value.hint == "Free some space and type the same command again; what is stored already is kept."
    assert (read_manifest(table), _names(table / "staging")) == (before, [])


def _full():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_changed_backbone_refused(table, manifest, spec):
    """Where the same handle holds another network now, the hint says so."""
    other = dataclasses.replace(manifest, spec=dataclasses.replace(spec, fingerprint="cd" * 32))
    with pytest.raises(MismatchError) as caught, open_writer(table, other):
        pytest.fail("the block must not run")
    assert "It has changed since: put the first one back" in caught.value.hint
