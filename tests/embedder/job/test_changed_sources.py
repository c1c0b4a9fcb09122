"""Updates over a source that changes: renamed, touched, copied and relabelled images are never embedded again."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.embedder import Limits, SourceOptions
from frieze.features import OURS, PART, open_features

COUNTS = ("embedded", "unchanged", "renamed", "duplicates", "removed", "rows")


def counts(document):
    """Return the counts of a run: embedded, unchanged, renamed, duplicates, removed, rows."""
    return tuple(document[name] for name in COUNTS)


def vectors(out):
    """Return id -> embedding."""
    features = open_features(out)
    return dict(zip(features.ids, features.embeddings(), strict=True))


@pytest.fixture
def table(folder, embed, out):
    """The ten photographs' table, its ids and vectors."""
    embed(folder, out)
    return vectors(out)


def test_renamed(folder, embed, out, table):
    """A renamed image keeps its embedding to the bit, under its new id, and is not embedded again."""
    (folder / "c.jpg").rename(folder / "z.jpg")
    (folder / "new").mkdir()
    (folder / "a.jpg").rename(folder / "new" / "a.jpg")
    assert counts(embed(folder, out)) == (0, 8, 2, 0, 0, 10)
    after = vectors(out)
    assert np.array_equal(after["z.jpg"], table["c.jpg"])
    assert np.array_equal(after["new/a.jpg"], table["a.jpg"])
    rows = {row["id"]: row for row in open_features(out).rows.to_pylist()}
    assert (rows["new/a.jpg"]["label"], rows["new/a.jpg"]["uri"]) == ("new", str(folder / "new" / "a.jpg"))


def test_a_copy_of_a_renamed_one(folder, embed, out, table):
    """A renamed image and a new copy of it count as renamed and duplicate: the counts sum to the images."""
    (folder / "c.jpg").rename(folder / "z.jpg")
    shutil.copyfile(folder / "z.jpg", folder / "y.jpg")
    document = embed(folder, out)
    assert counts(document) == (0, 9, 1, 1, 0, 11)
    assert document["images"] == 11
    assert np.array_equal(vectors(out)["y.jpg"], table["c.jpg"])


def test_renamed_beside_a_changed_one(folder, photo, embed, out, table):
    """A renamed image that fills a new part alone is copied before the changed one's part is rewritten."""
    (folder / "c.jpg").rename(folder / "z.jpg")
    photo(99).save(folder / "b.jpg", quality=95)
    assert counts(embed(folder, out)) == (1, 8, 1, 0, 0, 10)
    assert np.array_equal(vectors(out)["z.jpg"], table["c.jpg"])


def test_whole_folder_renamed(folder, embed, out, table):
    """A collection moved into a subfolder is renamed as a whole; no part of the old names stays."""
    inner = folder / "all"
    inner.mkdir()
    for path in folder.glob("*.jpg"):
        path.rename(inner / path.name)
    assert counts(embed(folder, out)) == (0, 0, 10, 0, 0, 10)
    assert {name: vector.tolist() for name, vector in vectors(out).items()} == {
        f"all/{name}": vector.tolist() for name, vector in table.items()
    }
    assert counts(embed(folder, out)) == (0, 10, 0, 0, 0, 10)


def test_touched(folder, embed, out, table):
    """A file that was only touched is unchanged; its new time is stored, so that it is not read again."""
    os.utime(folder / "b.jpg", ns=(1, 7))
    assert counts(embed(folder, out)) == (0, 10, 0, 0, 0, 10)
    rows = {row["id"]: row for row in open_features(out).rows.to_pylist()}
    assert rows["b.jpg"]["mtime_ns"] == 7
    assert np.array_equal(vectors(out)["b.jpg"], table["b.jpg"])


def test_same_size_other_bytes(folder, embed, out, table):
    """A changed file is embedded again even if its size is the same."""
    data = bytearray((folder / "b.jpg").read_bytes())
    data[-20] ^= 0x55
    (folder / "b.jpg").write_bytes(data)
    assert counts(embed(folder, out)) == (1, 9, 0, 0, 0, 10)


def test_copied(folder, embed, out, table):
    """A copy of a stored image reuses its embedding, without the backbone."""
    shutil.copy(folder / "c.jpg", folder / "copy.jpg")
    assert counts(embed(folder, out)) == (0, 10, 0, 1, 0, 11)
    assert np.array_equal(vectors(out)["copy.jpg"], table["c.jpg"])


def test_equal_bytes_run_once(folder, embed, out, infers):
    """Equal bytes run through the backbone once, in one batch, in two, and in two shards; all rows stay."""
    for name in ("b", "c", "e", "j"):
        shutil.copy(folder / "a.jpg", folder / f"{name}.jpg")
    assert counts(embed(folder, out, batch_size=3)) == (6, 0, 0, 4, 0, 10)
    assert sum(infers[1:]) == 6
    actual = vectors(out)
    assert all(np.array_equal(actual[f"{name}.jpg"], actual["a.jpg"]) for name in "bcej")


def test_two_names_swapped(folder, embed, out, table):
    """Two images that swap their names swap their vectors."""
    (folder / "a.jpg").rename(folder / "x")
    (folder / "h.jpg").rename(folder / "a.jpg")
    (folder / "x").rename(folder / "h.jpg")
    embed(folder, out)
    after = vectors(out)
    assert np.abs(after["a.jpg"] - table["h.jpg"]).max() < 1e-4
    assert np.abs(after["h.jpg"] - table["a.jpg"]).max() < 1e-4


def test_names_rotated_over_three_parts(folder, embed, out, table):
    """An image whose new bytes were in a part that this run has rewritten already is embedded again."""
    data = {name: (folder / f"{name}.jpg").read_bytes() for name in "aei"}
    for name, other in ("ae", "ei", "ia"):
        (folder / f"{name}.jpg").write_bytes(data[other])
    embed(folder, out)
    after = vectors(out)
    assert all(np.abs(after[f"{name}.jpg"] - table[f"{other}.jpg"]).max() < 1e-4 for name, other in ("ae", "ei", "ia"))


def test_bytes_of_a_removed_image(folder, photo, embed, out, table):
    """An image whose new bytes were those of an image that left such a part is embedded again."""
    (folder / "a.jpg").rename(folder / "i.jpg")
    for seed, name in enumerate("be", 60):
        photo(seed).save(folder / f"{name}.jpg", quality=95)
    assert counts(embed(folder, out)) == (3, 6, 0, 0, 1, 9)
    assert np.abs(vectors(out)["i.jpg"] - table["a.jpg"]).max() < 1e-4


def test_known_failure_is_not_read_again(folder, embed, out, table, monkeypatch):
    """A stored image that was damaged at the same size is a failure, and is not read again."""
    path = folder / "b.jpg"
    path.write_bytes(bytes(path.stat().st_size))
    assert embed(folder, out)["failures"] == {"not an image": 1}
    monkeypatch.setattr("frieze.embedder.sources.files.open_uri", lambda _: pytest.fail("it was read"))
    assert counts(embed(folder, out)) == (0, 9, 0, 0, 0, 9)


def test_all_at_once(folder, write_photos, embed, out, table):
    """New, changed, touched, renamed, copied and removed images in one run make the table of a fresh one."""
    (folder / "a.jpg").unlink()
    (folder / "b.jpg").rename(folder / "r.jpg")
    os.utime(folder / "c.jpg", ns=(1, 7))
    shutil.copy(folder / "d.jpg", folder / "k.jpg")
    write_photos(folder, ["e.jpg", "n.jpg"], first_seed=50)
    assert counts(embed(folder, out)) == (2, 7, 1, 1, 1, 11)
    embed(folder, out.with_name("fresh"))
    after, fresh = vectors(out), vectors(out.with_name("fresh"))
    assert sorted(after) == sorted(fresh)
    assert all(np.abs(after[name] - fresh[name]).max() < 1e-4 for name in fresh)


def test_no_tensorflow_for_a_rename(folder, tiny, embed, out, table):
    """A run that only renames, touches and removes imports no TensorFlow."""
    (folder / "c.jpg").rename(folder / "z.jpg")
    os.utime(folder / "b.jpg", ns=(1, 7))
    (folder / "a.jpg").unlink()
    code = (
        "import sys; from pathlib import Path; from frieze.embedder import BackboneRequest, JobOptions, embed_source\n"
        "embed_source(sys.argv[1], Path(sys.argv[3]), request=BackboneRequest(handle=sys.argv[2]),"
        " options=JobOptions(shard_size=4))\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, folder, tiny, out], check=True)
    assert sorted(vectors(out)) == [f"{name}.jpg" for name in "bdefghijz"]


def test_small_parts_are_merged(folder, write_photos, embed, out, monkeypatch):
    """The parts of many small runs are merged into few, and no vector changes."""
    monkeypatch.setattr("frieze.features.compaction._MAX_SMALL_PARTS", 3)
    embed(folder, out)
    for number in range(8):
        write_photos(folder, [f"n{number}.jpg"], first_seed=100 + number)
        embed(folder, out, shard_size=6)
    assert len(list((out / "parts").iterdir())) <= 7
    embed(folder, out.with_name("fresh"))
    after, fresh = vectors(out), vectors(out.with_name("fresh"))
    assert sorted(after) == sorted(fresh)
    assert all(np.abs(after[name] - fresh[name]).max() < 1e-4 for name in fresh)


def test_truncated_accepted_on_request(folder, embed, out):
    """A truncated image is refused by default, and accepted with `accept_truncated`."""
    data = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(data[: len(data) * 2 // 3])
    assert embed(folder, out)["failures"] == {"truncated": 1}
    document = embed(folder, out, limits=Limits(accept_truncated=True))
    assert (document["embedded"], document["failed"]) == (1, 0)


def test_other_limits_try_again(folder, embed, out):
    """An image that was too large is retried under another limit, and not under the same."""
    document = embed(folder, out, limits=Limits(max_pixels=1000))
    assert document["failures"] == {"too large": 10}
    assert embed(folder, out, limits=Limits(max_pixels=1000))["failures"] == {"too large": 10}
    assert counts(embed(folder, out)) == (10, 0, 0, 0, 0, 10)


def test_changed_labels(folder, embed, out, table, tmp_path, monkeypatch):
    """A changed label is updated in the table; the image is neither read nor embedded again."""
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\na.jpg,one\nb.jpg,two\n")
    out = out.with_name("labelled")
    embed(folder, out, labels=str(labels))
    labels.write_text("id,label\na.jpg,one\nb.jpg,three\n")
    monkeypatch.setattr("frieze.embedder.sources.files.open_uri", lambda _: pytest.fail("an image was read"))
    assert counts(embed(folder, out, labels=str(labels))) == (0, 10, 0, 0, 0, 10)
    assert dict(zip(open_features(out).ids, open_features(out).labels, strict=True))["b.jpg"] == "three"
    part = pq.read_table(out / "parts" / "part-000000.parquet")
    assert pa.types.is_dictionary(part.schema.field("label").type)


def test_shard_with_ids_of_its_own_that_is_cut(folder, embed, out):
    """Images behind a shard's damage stay in the table, even if their ids do not contain the shard's name."""
    shard = folder / "1.tar"
    with tarfile.open(shard, "w") as archive:
        for name in "abc":
            begin = archive.offset
            archive.add(folder / f"{name}.jpg", f"{name}.jpg")
            text = json.dumps({"name": f"image {name}"}).encode()
            member = tarfile.TarInfo(f"{name}.json")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    assert counts(embed(shard, out, source=SourceOptions(id="name"))) == (3, 0, 0, 0, 0, 3)
    os.truncate(shard, begin + 600)
    document = embed(shard, out, source=SourceOptions(id="name"))
    assert (document["removed"], document["rows"], document["failures"]) == (0, 3, {"damaged archive": 1})


@pytest.mark.parametrize("name", [*OURS[3:], PART])
def test_columns_named_as_ours(name, folder, embed, out):
    """User columns with the name of one of ours, even with the prefix `source_`, are kept apart from run to run."""
    manifest = folder / "all.csv"
    for n_rows in (1, 2):
        rows = [f"{image}.jpg,{image}1,{image}2\n" for image in "ab"[:n_rows]]
        manifest.write_text("".join([f"path,{name},source_{name}\n", *rows]))
        assert counts(embed(manifest, out)) == (1, n_rows - 1, 0, 0, 0, n_rows)
    actual = open_features(out).rows
    assert [actual[f"{prefix}{name}"].to_pylist() for prefix in ("source_source_", "source_")] == [
        ["a1", "b1"],
        ["a2", "b2"],
    ]


@pytest.fixture
def years(folder, embed, out):
    """`years("1", "x")`: embed a manifest of the first photographs, each with a year; return the counts."""

    def run(*values):
        rows = [f"{name}.jpg,{value}\n" for name, value in zip("abcdefghij", values, strict=False)]
        (folder / "all.csv").write_text("".join(["path,year\n", *rows]))
        return counts(embed(folder / "all.csv", out))

    return run


def kinds_of(out, name):
    """Return a column's type in each part."""
    return [pq.read_schema(part).field(name).type for part in sorted((out / "parts").iterdir())]


def test_column_changes_its_type(years, out):
    """A column that changes its type changes it in every part, and nothing is embedded again."""
    years("1", "2", "3", "4", "5")
    assert years("1", "2", "3", "4", "5", "unknown") == (1, 5, 0, 0, 0, 6)
    assert kinds_of(out, "year") == [pa.string()] * 3
    assert open_features(out).rows["year"].to_pylist() == ["1", "2", "3", "4", "5", "unknown"]
    assert years("1", "2", "3", "4", "5", "6") == (0, 6, 0, 0, 0, 6)
    assert kinds_of(out, "year") == [pa.int64()] * 3


def test_column_changes_its_type_in_a_run_cut_short(years, out, monkeypatch):
    """After a run interrupted between two types the next one rewrites the other parts."""
    years("1", "2")
    with monkeypatch.context() as patch:
        patch.setattr("frieze.embedder.job.run.Run.remove", mock.Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            years("1", "2", "unknown")
    assert kinds_of(out, "year") == [pa.int64(), pa.string()]
    assert open_features(out).rows["year"].to_pylist() == ["1", "2", "unknown"]
    assert years("1", "2", "unknown") == (0, 3, 0, 0, 0, 3)
    assert kinds_of(out, "year") == [pa.string()] * 2


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_part_cut_by_hand(share, folder, embed, out, table):
    """A truncated part is made anew from its images, and the document names it."""
    part = out / "parts" / "part-000001.parquet"
    os.truncate(part, int(part.stat().st_size * share))
    document = embed(folder, out)
    assert (document["broken_parts"], counts(document)) == ([part.name], (4, 6, 0, 0, 0, 10))
    after = vectors(out)
    assert sorted(after) == sorted(table)
    assert all(np.abs(after[name] - table[name]).max() < 1e-4 for name in table)


@pytest.mark.parametrize("source", [".", "*/*.jpg", "**/*.jpg", "m.csv"])
@pytest.mark.parametrize("mode", [0, 0o444])
def test_folder_that_can_not_be_read(mode, source, tmp_path, write_photos, embed, lock):
    """Images of a folder that can't be read stay in the table, in every kind of source; deleted ones are removed."""
    names = ["in/k.jpg", "in/l.jpg", "out/m.jpg", "out/n.jpg"]
    folder = write_photos(tmp_path / "photos", names)
    (folder / "m.csv").write_text("\n".join(["path", *names]))
    embed(str(folder / source), tmp_path / "features")
    lock(folder / "in", mode)
    (folder / "out" / "m.jpg").unlink()
    document = embed(str(folder / source), tmp_path / "features")
    assert (document["removed"], document["rows"]) == (1, 3)
    assert document["failures"]["unreadable"] == (1 if mode == 0 and source != "m.csv" else 2)
