import numpy as np
import pytest

from frieze.embedder.job.dedup import CachedEmbedding, EmbeddingCache
from frieze.embedder.job.shard_writer import embedded_rows
from frieze.features import LISTING, BackboneSpec, Manifest, Shard, open_writer

SPEC = BackboneSpec(name="two", handle="two/", fingerprint="ab" * 32, dim=2, image_size=(8, 8))
A, B, C = (bytes([number] * 32) for number in range(3))


def seen(number):
    """Give what is known of some bytes."""
    return CachedEmbedding(np.array([number, -number], np.float32), number, number + 1)


@pytest.fixture
def writer(tmp_path):
    """A table held for writing."""
    with open_writer(tmp_path / "out", Manifest(spec=SPEC, source="/photos")) as writer:
        yield writer


def write(writer, part, *digests, drop=()):
    """Write a part whose images have these hashes."""
    rows = [{"id": digest.hex(), "uri": "/x", "size_bytes": 1, "mtime_ns": 1} for digest in digests]
    images = LISTING.empty_table().from_pylist(rows, schema=LISTING)
    table = embedded_rows(images, digests, [seen(digest[0]) for digest in digests], SPEC)
    writer.commit(Shard(part, np.arange(1), frozenset(drop)), table)


def test_stored(writer):
    """What the table holds is read from its part: vector, width and height."""
    write(writer, 3, A, B)
    known = EmbeddingCache(writer.computed_columns, {A: 3, B: 3})
    found = known.get(B)
    assert (found.embedding.tolist(), found.width, found.height) == ([1, -1], 1, 2)
    assert (B in known, C in known, known.get(C)) == (True, False, None)


def test_on_its_way(writer):
    """What is embedded and not yet written is known from memory."""
    known = EmbeddingCache(writer.computed_columns, {})
    known.add(A, seen(0))
    assert known.get(A).embedding.tolist() == [0, 0]


def test_settled(writer):
    """What was written leaves memory and is read from its part, also from one that was rewritten since."""
    write(writer, 0, A)
    known = EmbeddingCache(writer.computed_columns, {A: 0})
    assert known.get(A).width == 0
    known.add(B, seen(1))
    write(writer, 0, B, drop=[B.hex()])
    known.settle(0, [B])
    assert (known.get(B).width, known.get(A).width) == (1, 0)
    assert not known._flying
