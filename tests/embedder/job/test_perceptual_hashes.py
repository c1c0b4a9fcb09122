"""Perceptual hashes in a table: those of the pixels that the network sees, in new tables and in no others."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from frieze.embedder.images.prepare import decode_for
from frieze.features import HASHES, OURS, hash_images, open_features, verify_features


def hashes(out):
    """Return id -> the two hashes."""
    rows = open_features(out).rows
    pairs = zip(*(rows[name].to_pylist() for name in HASHES), strict=True)
    return dict(zip(rows["id"].to_pylist(), pairs, strict=True))


def columns(out):
    """Return the columns of each part."""
    return [pq.read_schema(part).names for part in sorted((out / "parts").iterdir())]


@pytest.fixture
def embed_as_before(embed, monkeypatch):
    """Embeds as a version that knows no perceptual hashes does."""

    def run(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr("frieze.embedder.embed.HASH_VERSION", None)
            patch.setattr("frieze.embedder.embed._with_reserved", lambda source, _: source)
            return embed(*args, **options)

    return run


@pytest.fixture
def numbered(folder):
    """`numbered("abc")`: a manifest of these photographs with numbers in a column `phash`."""

    def write(names):
        path = folder / "all.csv"
        path.write_text("".join(["path,phash\n", *(f"{name}.jpg,{number}\n" for number, name in enumerate(names))]))
        return path

    return write


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_of_what_the_network_sees(folder, embed, out, fit):
    """A new table has the hashes of the pixels that the network sees; of an image without contrast they are null."""
    Image.new("RGB", (8, 8)).save(folder / "k.png")
    embed(folder, out, fit=fit)
    spec = open_features(out).spec
    files = sorted(path for path in folder.iterdir() if path.suffix == ".jpg")
    expected = hash_images(np.stack([decode_for(path.read_bytes(), spec)[0] for path in files]))
    stored = hashes(out)
    assert stored.pop("k.png") == (None, None)
    assert stored == {path.name: pair for path, pair in zip(files, zip(*map(list, expected), strict=True), strict=True)}
    assert columns(out) == [[*OURS, *HASHES]] * 3


def test_equal_bytes_and_renamed_images(folder, embed, out):
    """Equal bytes share their hashes, in one batch and from run to run, and a renamed image keeps them."""
    shutil.copyfile(folder / "a.jpg", folder / "aa.jpg")
    embed(folder, out)
    before = hashes(out)
    shutil.copyfile(folder / "a.jpg", folder / "z.jpg")
    (folder / "c.jpg").rename(folder / "y.jpg")
    document = embed(folder, out)
    after = hashes(out)
    assert (document["embedded"], document["renamed"]) == (0, 1)
    assert after["aa.jpg"] == after["z.jpg"] == after["a.jpg"] == before["a.jpg"] != (None, None)
    assert after["y.jpg"] == before["c.jpg"]


def test_an_older_table_stays_without(folder, embed, embed_as_before, out, write_photos):
    """A table without hashes is extended, changed and renamed in without them; `force` makes a new one, with them."""
    embed_as_before(folder, out)
    write_photos(folder, ["k.jpg", "a.jpg"], first_seed=20)
    (folder / "c.jpg").rename(folder / "z.jpg")
    document = embed(folder, out)
    assert (document["embedded"], document["renamed"], document["unchanged"]) == (2, 1, 8)
    assert columns(out) == [[*OURS]] * len(columns(out))
    assert verify_features(out)["problems"] == []
    assert embed(folder, out)["unchanged"] == 11
    embed(folder, out, force=True)
    assert columns(out) == [[*OURS, *HASHES]] * 3


def test_a_column_of_the_user_in_an_older_table(numbered, embed, embed_as_before, out):
    """A user's column `phash` of an older table stays the user's, and what is unchanged is not written again."""
    embed_as_before(numbered("abc"), out)
    assert embed(numbered("abc"), out)["unchanged"] == 3
    assert embed(numbered("abcd"), out)["unchanged"] == 3
    assert open_features(out).rows["phash"].to_pylist() == [0, 1, 2, 3]
    assert columns(out) == [[*OURS, "phash"]] * 2
    assert verify_features(out)["problems"] == []


def test_a_column_of_the_user_in_a_new_table(numbered, embed, out):
    """A user's column `phash` of a new table is stored as `source_phash`, in each run."""
    embed(numbered("abc"), out)
    assert embed(numbered("abcd"), out)["unchanged"] == 3
    assert open_features(out).rows["source_phash"].to_pylist() == [0, 1, 2, 3]
    assert columns(out) == [[*OURS, *HASHES, "source_phash"]] * 2


def test_an_unfinished_table_without_is_not_completed(folder, embed, embed_as_before, out):
    """What a `force` run of an older version left half done is made anew, with hashes."""
    embed_as_before(folder, out)
    embed_as_before(folder, out.with_name(f".{out.name}.new"))
    assert embed(folder, out, force=True)["embedded"] == 10
    assert columns(out) == [[*OURS, *HASHES]] * 3


def test_verify_misses_them(folder, embed, out):
    """A part that lacks the hashes of its table is reported."""
    embed(folder, out)
    part = out / "parts" / "part-000001.parquet"
    pq.write_table(pq.read_table(part).drop_columns([*HASHES]), part)
    problems = [problem["message"] for problem in verify_features(out)["problems"] if problem["check"] == "columns"]
    assert problems == [f"expected pyarrow.Field<{name}: uint64>, but found nothing" for name in HASHES]
