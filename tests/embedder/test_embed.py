import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import ExifTags, Image, ImageOps

from frieze.core import FeatureFileError, InputError
from frieze.embedder import BackboneRequest, JobOptions, embed_source
from frieze.embedder.engines.tensorflow import TensorFlowEngine
from frieze.features import HASHES, open_features, read_failures, read_manifest


def stored(out):
    """Return id -> embedding of a table, in reading order."""
    features = open_features(out)
    return dict(zip(features.ids, features.embeddings(), strict=True))


def failures(out):
    """Return id -> (stage, reason) of a table's failures."""
    return {row["id"]: (row["stage"], row["reason"]) for row in read_failures(out).to_pylist()}


def parts(out):
    """Return each part's ids, in order."""
    return [pq.read_table(part)["id"].to_pylist() for part in sorted((out / "parts").iterdir())]


def same(some, others):
    """Check that two tables hold the same ids in the same order, with the same vectors."""
    return list(some) == list(others) and all(np.abs(some[name] - others[name]).max() < 1e-4 for name in some)


def test_agrees_with_the_plain_loop(whole, gallery, plain_loop, cosines):
    """Every stored vector has cosine >= 0.999 to the plain loop's, with or without JPEG draft mode."""
    vectors = stored(whole[0])
    expected = plain_loop([gallery / name for name in vectors])
    assert len(vectors) == 24
    assert cosines(list(vectors.values()), expected).min() >= 0.999
    assert cosines(expected[1:], expected[:-1]).max() < 0.99


def test_stored_facts(whole, gallery):
    """A row has the file's id, URI, label, hash, size, time, width and height, beside perceptual hashes."""
    row = open_features(whole[0]).rows.drop_columns([*HASHES]).to_pylist()[0]
    path = gallery / "c0" / "00.jpg"
    assert row == {
        "id": "c0/00.jpg",
        "uri": str(path),
        "label": "c0",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size_bytes": path.stat().st_size,
        "mtime_ns": path.stat().st_mtime_ns,
        "width": 40,
        "height": 30,
    }


def test_manifest(whole, tiny, gallery):
    """features.json holds source, request, engine and the versions of the libraries."""
    manifest = read_manifest(whole[0])
    assert (manifest.source, manifest.engine, manifest.request["handle"]) == (str(gallery), "tensorflow", str(tiny))
    assert {"frieze", "numpy", "pillow", "pyarrow", "tensorflow"} <= set(manifest.versions)


def test_parts_follow_the_listing(whole):
    """A part has as many images as a shard, in the order of the listing."""
    names = [f"c{label}/{number:02}.jpg" for label in range(3) for number in range(label, 24, 3)]
    assert parts(whole[0]) == [names[start : start + 4] for start in range(0, 24, 4)]


@pytest.mark.parametrize("options", [{"batch_size": 1, "workers": 1}, {"batch_size": 7, "shard_size": 9, "workers": 4}])
def test_cutting_does_not_matter(options, whole, gallery, embed, out):
    """Batch size, shard size and number of threads change no vector and no order."""
    embed(gallery, out, **options)
    assert same(stored(out), stored(whole[0]))


def test_defaults(folder, tiny, out):
    """Without options a folder becomes one part, decoded by all cores in the engine's own batches."""
    embed_source(str(folder), out, request=BackboneRequest(handle=str(tiny)), options=JobOptions())
    assert parts(out) == [[f"{name}.jpg" for name in "abcdefghij"]]


def test_order_with_failures(folder, embed, plain_loop, cosines, out):
    """Images that fail leave no gap and shift nothing: each id keeps its own vector."""
    for name in "acdj":
        (folder / f"{name}.jpg").write_text("text")
    document = embed(folder, out)
    vectors = stored(out)
    assert list(vectors) == [f"{name}.jpg" for name in "befghi"]
    assert cosines(list(vectors.values()), plain_loop([folder / name for name in vectors])).min() >= 0.999
    assert (document["embedded"], document["failed"], document["images"]) == (6, 4, 10)


def test_all_fail(folder, embed, out):
    """A folder without a usable image makes an empty table with all its failures."""
    for path in folder.iterdir():
        path.write_text("text")
    assert embed(folder, out)["failed"] == 10
    assert (stored(out), len(failures(out))) == ({}, 10)


def test_odd_files(folder, embed, photo, out):
    """Unusable files are listed with stage and reason; files that only look odd are embedded."""
    whole = (folder / "a.jpg").read_bytes()
    for name, content in {"text": b"text", "empty": b"", "cut": whole[: len(whole) // 2]}.items():
        (folder / f"{name}.jpg").write_bytes(content)
    photo(1).save(folder / "png.jpg", "PNG")
    photo(1).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(folder / "deep.png")
    photo(1).save(folder / "moving.gif", save_all=True, append_images=[photo(2)])
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "notes.txt").write_text("text")
    document = embed(folder, out)
    reasons = {"text": "not an image", "empty": "empty", "cut": "truncated"}
    expected = {f"{name}.jpg": ("decode", reason) for name, reason in reasons.items()}
    assert failures(out) == expected | {"gone.jpg": ("list", "dangling link")}
    assert [document[name] for name in ("images", "embedded", "failed", "ignored")] == [18, 14, 4, 1]


def test_odd_names(folder, embed, out):
    """Spaces, quotes, line ends and non-UTF-8 bytes in names change no vector, in two runs."""
    for name in (b"a b.jpg", b'it\'s "it".jpg', b"two\nlines.jpg", b"\xff\xe9.jpg"):
        shutil.copy2(folder / "a.jpg", os.fsencode(folder) + b"/k " + name)
    document = embed(folder, out)
    assert (document["embedded"], document["duplicates"]) == (10, 4)
    vectors = stored(out)
    copies = [vector for name, vector in vectors.items() if name.startswith("k ")]
    assert "k \\xff\\xe9.jpg" in vectors
    assert np.abs(np.stack(copies) - vectors["a.jpg"]).max() < 1e-4
    assert embed(folder, out)["unchanged"] == 14


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation, tmp_path, photo, embed, cosines, out):
    """A photograph with an EXIF orientation has the vector of its upright twin."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (tmp_path / "photos").mkdir()
    photo(5, 400, 300).save(tmp_path / "photos" / "lying.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "photos" / "lying.jpg") as lying:
        ImageOps.exif_transpose(lying).save(tmp_path / "photos" / "upright.jpg", quality=95)
    embed(tmp_path / "photos", out)
    lying, upright = stored(out).values()
    assert cosines([lying], [upright])[0] >= 0.999
    sizes = [(row["width"], row["height"]) for row in open_features(out).rows.to_pylist()]
    assert sizes == [(300, 400) if orientation > 4 else (400, 300)] * 2


def test_not_finite(folder, embed, monkeypatch, out):
    """An image without a finite vector is a failure of stage embed."""
    infer = TensorFlowEngine.infer_on
    monkeypatch.setattr(TensorFlowEngine, "infer_on", lambda *args: infer(*args) + np.float32("nan"))
    document = embed(folder, out)
    assert (document["embedded"], document["failed"], stored(out)) == (0, 10, {})
    assert set(failures(out).values()) == {("embed", "not finite")}


def test_something_else_is_there(folder, embed):
    """A folder with other files is refused and left unchanged."""
    before = sorted(folder.iterdir())
    with pytest.raises(FeatureFileError, match="is not a table of features"):
        embed(folder, folder)
    assert sorted(folder.iterdir()) == before


def test_table_inside_its_source(folder, embed):
    """A table inside its source is not listed as part of it, nor are the remains of a killed --force."""
    out = folder / "photos.features"
    assert embed(folder, out)["ignored"] == 0
    shutil.copytree(out, folder / ".photos.features.new")
    assert embed(folder, out)["ignored"] == 0
    assert embed(folder, out, force=True)["ignored"] == 0


def test_relative_paths(folder, embed, monkeypatch):
    """A table's path may be relative, even one that looks like a URL, also for a replacement."""
    monkeypatch.chdir(folder.parent)
    for force in (False, True):
        document = embed("photos", Path("a:b.features"), force=force)
        assert (document["embedded"], document["out"]) == (10, str(folder.parent / "a:b.features"))


@pytest.mark.parametrize("source", ["nowhere", "empty"])
def test_no_source(source, embed, tmp_path, out):
    """A missing source or one without images makes no table."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="There is no"):
        embed(tmp_path / source, out)
    assert not out.exists()
