import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.features import (
    HASHES,
    BackboneSpec,
    open_features,
    open_writer,
    perceptual_hash_columns,
    read_failures,
    read_manifest,
)

DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "golden-features-1"
HASHED = DATA / "golden-features-1-phash"
IDS = ["cats/one.jpg", 'cats/a "quoted"\nname é.png', r"odd\xff.jpg"]
BITS = [
    [0x00000000, 0x80000000, 0x3FC00000, 0xC0100000],  # 0, -0, 1.5, -2.25
    [0x7F7FFFFF, 0x00800000, 0x00000001, 0x3DCCCCCD],  # largest, smallest normal, smallest, 0.1
    [0x3F800000, 0x40000000, 0x40400000, 0x40800000],  # 1, 2, 3, 4
]
PARTS = ["part-000000.parquet", "part-000001.parquet"]


@pytest.fixture(scope="module")
def today(tmp_path_factory):
    """The same rows, written by today's code."""
    folder = tmp_path_factory.mktemp("golden") / "today"
    runpy.run_path(str(DATA / "make_golden.py"))["make"](folder)
    return folder


def test_ids_and_labels():
    """The golden table's ids and labels are read as they were stored: quotes, newline, odd bytes, null."""
    features = open_features(GOLDEN)
    assert features.ids.tolist() == IDS
    assert features.labels.tolist() == ["cats", "cats", None]


def test_embeddings():
    """The golden table's embeddings are read bit by bit."""
    embeddings = open_features(GOLDEN).embeddings()
    assert (embeddings.dtype, embeddings.view(np.uint32).tolist()) == (np.float32, BITS)


def test_batches():
    """The golden table streams one batch a part."""
    actual = [
        (ids.tolist(), embeddings.view(np.uint32).tolist()) for ids, embeddings in open_features(GOLDEN).batches()
    ]
    assert actual == [(IDS[:2], BITS[:2]), (IDS[2:], BITS[2:])]


def test_other_columns():
    """The golden table's other columns are read as they were stored."""
    rows = open_features(GOLDEN).rows
    assert rows["uri"].to_pylist() == [f"/photos/{IDS[0]}", f"/photos/{IDS[1]}", "file:///photos/odd%FF.jpg"]
    assert rows["sha256"].to_pylist() == ["01" * 32, "02" * 32, "03" * 32]
    assert rows["size_bytes"].to_pylist() == [101, 102, 103]
    assert rows["mtime_ns"].to_pylist() == [1_700_000_000_000_000_000 + n for n in (1, 2, 3)]
    assert list(zip(rows["width"].to_pylist(), rows["height"].to_pylist(), strict=True)) == [
        (640, 480),
        (3, 4000),
        (1, 1),
    ]


def test_failures():
    """The golden table's failure is read as it was stored."""
    assert read_failures(GOLDEN).to_pylist() == [
        {
            "id": "broken.jpg",
            "uri": "/photos/broken.jpg",
            "stage": "decode",
            "reason": "truncated",
            "message": "12 bytes are missing",
            "size": 99,
            "mtime": 4,
        }
    ]


def test_manifest():
    """The golden table's features.json is read as it was stored."""
    manifest = read_manifest(GOLDEN)
    assert (manifest.source, manifest.engine, manifest.generation) == ("/photos", "numpy", "be926b2a0f29ad0f")
    assert (manifest.n_rows, manifest.n_failed, manifest.n_ignored) == (3, 1, 2)
    assert manifest.versions == {"frieze": "0.1.0", "numpy": "2.0.0"}
    assert manifest.request == {"backbone": "backbones/tiny", "fit": "crop"}
    assert [(part.name, part.rows, part.size_bytes, part.mtime_ns) for part in manifest.parts] == [
        (PARTS[0], 2, 3090, 5),
        (PARTS[1], 1, 2940, 5),
    ]


def test_spec():
    """The golden table's backbone is read as it was stored."""
    assert open_features(GOLDEN).spec == BackboneSpec(
        name="tiny",
        handle="backbones/tiny",
        fingerprint="ab" * 32,
        dim=4,
        image_size=(8, 6),
        fit="crop",
        pixels="-1..1",
        layer="pool",
        weights="imagenet",
        precision="float32",
        decoding="pillow-1",
    )


@pytest.mark.parametrize("name", [*(f"parts/{name}" for name in PARTS), "failures.parquet"])
def test_schema_today(name, today):
    """Today's code writes the golden file's columns, types, nullability and file metadata."""
    expected, actual = pq.read_schema(GOLDEN / name), pq.read_schema(today / name)
    assert actual.equals(expected, check_metadata=True), actual


def test_perceptual_hashes():
    """The golden table's perceptual hashes are read as they were stored, beside the rows of the table without them."""
    hashed, plain = open_features(HASHED), open_features(GOLDEN)
    assert hashed.rows["phash"].to_pylist() == [2**64 - 2, 1 << 63, None]
    assert hashed.rows["content_phash"].to_pylist() == [2, None, None]
    assert hashed.rows.drop_columns([*HASHES]).equals(plain.rows)
    assert (hashed.manifest.perceptual_hash, plain.manifest.perceptual_hash) == ("dct-sign-1", None)


@pytest.mark.parametrize("name", PARTS)
def test_hashed_schema_today(name, tmp_path):
    """Today's code writes the golden columns of perceptual hashes, marked as ours."""
    runpy.run_path(str(DATA / "make_golden.py"))["make"](tmp_path / "today", "dct-sign-1")
    expected, actual = (pq.read_schema(folder / "parts" / name) for folder in (HASHED, tmp_path / "today"))
    assert actual.equals(expected, check_metadata=True)
    assert perceptual_hash_columns(actual) == [*HASHES]


def test_columns():
    """The columns of a part and of failures.parquet are those of docs/format.md, in its order."""
    kinds = {field.name: field.type for field in pq.read_schema(GOLDEN / "parts" / PARTS[0])}
    assert kinds == {
        "id": pa.string(),
        "uri": pa.string(),
        "label": pa.dictionary(pa.int32(), pa.string()),
        "sha256": pa.string(),
        "size_bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "embedding": pa.list_(pa.field("element", pa.float32(), nullable=False), 4),
    }
    assert list(kinds)[-1] == "embedding"


def test_file_metadata():
    """A part's file metadata holds the backbone and the contract version, so that it explains itself alone."""
    metadata = pq.read_schema(GOLDEN / "parts" / PARTS[0]).metadata
    assert json.loads(metadata[b"frieze:backbone"]) == json.loads((GOLDEN / "features.json").read_text())["backbone"]
    assert metadata[b"frieze:contract"] == b"1"
    assert set(metadata) == {b"frieze:backbone", b"frieze:contract"}


def test_features_json_today(today):
    """Today's features.json has the golden one's fields and values, but for hashes that the Parquet library decides."""
    expected, actual = (json.loads((folder / "features.json").read_text()) for folder in (GOLDEN, today))
    for document in (expected, actual):
        document["generation"] = len(document["generation"])
        for part in document["parts"]:
            part["sha256"], part["size_bytes"] = len(part["sha256"]), part["size_bytes"] > 0
    assert actual == expected


def test_layout(today):
    """A table is features.json, failures.parquet and numbered parts, and nothing else while nobody writes."""
    expected = ["failures.parquet", "features.json", *(f"parts/{name}" for name in PARTS)]
    for folder in (GOLDEN, today):
        assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == expected


def test_can_be_gone_on_with(tmp_path):
    """A run of today goes on with a copy of the golden table, and its generation stays."""
    shutil.copytree(GOLDEN, tmp_path / "copy", copy_function=shutil.copyfile)
    manifest = read_manifest(tmp_path / "copy")
    with open_writer(tmp_path / "copy", manifest) as writer:
        assert writer.stored()["id"].to_pylist() == IDS
    assert read_manifest(tmp_path / "copy").generation == manifest.generation
