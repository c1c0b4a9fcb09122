"""A tiny backbone, tables of its rows, and a run that embeds without any network."""

import functools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.features import (
    LISTING,
    BackboneSpec,
    Failure,
    Manifest,
    compare,
    make_plan,
    open_writer,
    part_schema,
    to_part,
)

SPEC = BackboneSpec(name="tiny", handle="tiny/", fingerprint="ab" * 32, dim=4, image_size=(8, 8))
MANIFEST = Manifest(spec=SPEC, source="/photos", engine="numpy", versions={"numpy": "2"})
BROKEN_BYTES = 13  # an image of this size can't be decoded


def _images(*images):
    """Lay (id, size_bytes, mtime_ns) out as a source's table of images."""
    rows = [
        {"id": name, "uri": f"/photos/{name}", "label": None, "size_bytes": size, "mtime_ns": time}
        for name, size, time in images
    ]
    return pa.Table.from_pylist(rows, schema=LISTING)


def _vector(name, size, time):
    """Return the embedding of an image: another one for every id, size and time."""
    return np.array([len(name), sum(name.encode()), size, time], np.float32)


def _rows(images, spec=SPEC):
    """Return the part rows of a table of images."""
    keys = list(zip(*(images[name].to_pylist() for name in ("id", "size_bytes", "mtime_ns")), strict=True))
    columns = {name: images[name] for name in LISTING.names} | {
        "sha256": ["cd" * 32] * len(keys),
        "width": [8] * len(keys),
        "height": [6] * len(keys),
    }
    vectors = np.array([_vector(*key) for key in keys], np.float32).reshape(-1, spec.dim)
    return to_part(columns, vectors, part_schema(spec))


def _embed(images):
    """Part a table of images into rows and failures, as an embedder would."""
    is_broken = np.array(images["size_bytes"]) == BROKEN_BYTES
    failures = [
        Failure(image["id"], image["uri"], "decode", "truncated", "cut", image["size_bytes"], image["mtime_ns"])
        for image in images.take(np.flatnonzero(is_broken)).to_pylist()
    ]
    return _rows(images.take(np.flatnonzero(~is_broken))), failures


def _run(path, images, *, manifest, **options):
    """Update the table at `path` with a table of images; returns the plan."""
    with open_writer(path, manifest) as writer:
        comparison = compare(images, writer.stored(), writer.failed)
        plan = make_plan(comparison, np.full(len(images), -1), **{"shard_size": 2} | options)
        writer.replace_failures(plan.known_failures)
        for shard in plan.shards:
            writer.commit(shard, *_embed(images.take(shard.rows)))
        writer.update()
    return plan


@pytest.fixture(scope="session")
def spec():
    """The backbone behind every row: D = 4."""
    return SPEC


@pytest.fixture(scope="session")
def manifest():
    """What a run brings."""
    return MANIFEST


@pytest.fixture(scope="session")
def images():
    """(id, size, time)... -> a table of images; size 13 can't be decoded."""
    return _images


@pytest.fixture(scope="session")
def rows():
    """A table of images -> the rows of a part."""
    return _rows


@pytest.fixture(scope="session")
def run(manifest):
    """(path, images, **options of make_plan) -> the plan, carried out in shards of 2."""
    return functools.partial(_run, manifest=manifest)


@pytest.fixture(scope="session")
def glob_rows():
    """A table's path -> the rows of `parts/*.parquet`, read without our help."""
    return lambda path: [
        row for part in sorted((path / "parts").glob("*.parquet")) for row in pq.read_table(part).to_pylist()
    ]


@pytest.fixture
def table(tmp_path, run):
    """A stored table of four images in two parts: a, b | c, d."""
    path = tmp_path / "photos.features"
    run(path, _images(("a", 1, 1), ("b", 2, 1), ("c", 3, 1), ("d", 4, 1)))
    return path
