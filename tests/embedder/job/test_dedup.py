import numpy as np
import pytest

from frieze.embedder.job.dedup import CachedEmbedding, EmbeddingCache
from frieze.embedder.job.shard_writer import embedded_rows, to_part_schema
from frieze.features import HASH_VERSION, LISTING, BackboneSpec, Manifest, Shard, open_writer

SPEC = BackboneSpec(name="two", handle="two/", fingerprint="ab" * 32, dim=2, image_size=(8, 8))
A, B, C = (bytes([number] * 32) for number in range(3))


def cached(number):
    """Return the cached embedding of some bytes."""
    return CachedEmbedding(np.array([number, -number], np.float32), number, number + 1, 2**64 - 2, 0)


@pytest.fixture
def writer(tmp_path):
    """A table held for writing."""
    with open_writer(tmp_path / "out", Manifest(spec=SPEC, source="/photos")) as writer:
        yield writer


def write(writer, part, *digests, drop=()):
    """Write a part whose images have these hashes."""
    rows = [{"id": digest.hex(), "uri": "/x", "size_bytes": 1, "mtime_ns": 1} for digest in digests]
    images = LISTING.empty_table().from_pylist(rows, schema=LISTING)
    has_hashes = writer.manifest.has_perceptual_hashes
    schema = to_part_schema(images, SPEC, has_perceptual_hashes=has_hashes)
    table = embedded_rows(images, digests, [cached(digest[0]) for digest in digests], schema)
    writer.commit(Shard(part, np.arange(1), frozenset(drop)), table)


def test_stored(writer):
    """A stored embedding is read from its part: vector, width and height."""
    write(writer, 3, A, B)
    cache = EmbeddingCache(writer.computed_columns, {A: 3, B: 3})
    stored = cache.get(B)
    assert (stored.embedding.tolist(), stored.width, stored.height) == ([1, -1], 1, 2)
    assert (B in cache, C in cache, cache.get(C)) == (True, False, None)


def test_stored_hashes(tmp_path):
    """A stored embedding comes with the perceptual hashes of its row; one that is null is none."""
    manifest = Manifest(spec=SPEC, source="/photos", perceptual_hash=HASH_VERSION)
    with open_writer(tmp_path / "new", manifest) as writer:
        write(writer, 0, A)
        assert writer.computed_columns(0)["content_phash"].to_pylist() == [None]
        stored = EmbeddingCache(writer.computed_columns, {A: 0}).get(A)
    assert (stored.phash, stored.content_phash) == (2**64 - 2, 0)


def test_pending(writer):
    """An embedding that is not written yet is in memory."""
    cache = EmbeddingCache(writer.computed_columns, {})
    cache.add(A, cached(0))
    assert cache.get(A).embedding.tolist() == [0, 0]


def test_committed(writer):
    """A committed embedding leaves the memory and is read from its part, even if that was rewritten."""
    write(writer, 0, A)
    cache = EmbeddingCache(writer.computed_columns, {A: 0})
    assert cache.get(A).width == 0
    cache.add(B, cached(1))
    write(writer, 0, B, drop=[B.hex()])
    cache.mark_committed(0, [B])
    assert (cache.get(B).width, cache.get(A).width) == (1, 0)
    assert not cache._pending


def test_empty():
    """A cache without a table deduplicates the bytes of its own run only."""
    cache = EmbeddingCache()
    cache.mark_in_flight([A])
    assert (A in cache, B in cache, cache.get(A)) == (True, False, None)
    cache.add(A, None)  # the backbone returned nothing usable
    assert A not in cache
