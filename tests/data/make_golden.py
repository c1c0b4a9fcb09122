"""Write golden-features-1/ and golden-features-1-phash/: tiny tables of fixed values that later versions must read.

It writes those that are missing: python tests/data/make_golden.py
"""

import dataclasses
import os
from pathlib import Path

import numpy as np

from frieze.features import LISTING, BackboneSpec, Failure, Manifest, Shard, open_writer, part_schema, to_part

FOLDERS = {
    Path(__file__).with_name("golden-features-1"): None,
    Path(__file__).with_name("golden-features-1-phash"): "dct-sign-1",
}

SPEC = BackboneSpec(
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
MANIFEST = Manifest(
    spec=SPEC,
    source="/photos",
    request={"backbone": "backbones/tiny", "fit": "crop"},
    engine="numpy",
    versions={"frieze": "0.1.0", "numpy": "2.0.0"},
    n_ignored=2,
)
ROWS = [
    {
        "id": "cats/one.jpg",
        "uri": "/photos/cats/one.jpg",
        "label": "cats",
        "sha256": "01" * 32,
        "size_bytes": 101,
        "mtime_ns": 1_700_000_000_000_000_001,
        "width": 640,
        "height": 480,
        "embedding": [0.0, -0.0, 1.5, -2.25],
    },
    {
        "id": 'cats/a "quoted"\nname é.png',
        "uri": '/photos/cats/a "quoted"\nname é.png',
        "label": "cats",
        "sha256": "02" * 32,
        "size_bytes": 102,
        "mtime_ns": 1_700_000_000_000_000_002,
        "width": 3,
        "height": 4000,
        "embedding": [
            3.4028234663852886e38,
            1.1754943508222875e-38,
            1.401298464324817e-45,
            0.100000001490116119384765625,
        ],
    },
    {
        "id": r"odd\xff.jpg",
        "uri": "file:///photos/odd%FF.jpg",
        "label": None,
        "sha256": "03" * 32,
        "size_bytes": 103,
        "mtime_ns": 1_700_000_000_000_000_003,
        "width": 1,
        "height": 1,
        "embedding": [1.0, 2.0, 3.0, 4.0],
    },
]
HASHES = {"phash": [2**64 - 2, 1 << 63, None], "content_phash": [2, None, None]}
FAILURE = Failure("broken.jpg", "/photos/broken.jpg", "decode", "truncated", "12 bytes are missing", 99, 4)


def part_of(rows, *, has_hashes):
    """Lay rows out as a part."""
    columns = {name: [ROWS[row][name] for row in rows] for name in [*LISTING.names, "sha256", "width", "height"]}
    columns |= {name: [values[row] for row in rows] for name, values in HASHES.items()}
    schema = part_schema(SPEC, has_perceptual_hashes=has_hashes)
    return to_part(columns, np.array([ROWS[row]["embedding"] for row in rows], np.float32), schema)


def make(folder, perceptual_hash=None):
    """Write the table, with fixed file times, so that the same libraries give the same bytes."""
    has_hashes = perceptual_hash is not None
    manifest = dataclasses.replace(MANIFEST, perceptual_hash=perceptual_hash)
    with open_writer(folder, manifest) as writer:
        writer.commit(Shard(0, np.arange(2)), part_of([0, 1], has_hashes=has_hashes))
        writer.commit(Shard(1, np.arange(1)), part_of([2], has_hashes=has_hashes), [FAILURE])
    for part in (folder / "parts").iterdir():
        os.utime(part, ns=(5, 5))
    with open_writer(folder, manifest):
        pass  # takes up the fixed times
    (folder / ".lock").unlink()
    (folder / "staging").rmdir()


if __name__ == "__main__":
    for path, perceptual_hash in FOLDERS.items():
        if not path.exists():
            make(path, perceptual_hash)
