import numpy as np
import pyarrow as pa
import pytest

from frieze.core import FeatureFileError
from frieze.embedder.job.decoder import Batch, BatchRows
from frieze.embedder.job.dedup import CachedEmbedding, EmbeddingCache
from frieze.embedder.job.inference import EmbeddedBatch
from frieze.embedder.job.shard_writer import ShardWriter, embedded_rows, to_part_schema
from frieze.features import LISTING, BackboneSpec, Manifest, Shard, compare, open_features, open_writer, read_failures

SPEC = BackboneSpec(name="two", handle="two/", fingerprint="ab" * 32, dim=2, image_size=(8, 8))
IMAGES = pa.Table.from_pylist(
    [
        {"id": name, "uri": f"/photos/{name}", "label": None, "size_bytes": size, "mtime_ns": 7}
        for size, name in enumerate("abcdef")
    ],
    schema=LISTING,
)
SHARDS = [Shard(0, np.array([0, 1, 2])), Shard(1, np.array([3, 4, 5]))]


def batch(rows, embeddings=None, *, is_last=False):
    """Make an embedded batch."""
    rows = np.array(rows, np.int64)
    decoded = Batch(BatchRows(0, is_last, rows), rows, [digest(row) for row in rows])
    return EmbeddedBatch(decoded, cached(rows) if embeddings is None else embeddings, len(rows))


def digest(row):
    """Return a stand-in for the hash of a row's bytes."""
    return bytes([row] * 32)


def vectors(rows):
    """Return the embeddings of rows: row, -row."""
    return np.array([[row, -row] for row in rows], np.float32).reshape(-1, 2)


def cached(rows):
    """Return the cached embeddings of rows."""
    return [CachedEmbedding(vector, 10 + row, 20 + row) for row, vector in zip(rows, vectors(rows), strict=True)]


def shard_writer_of(writer, shards=SHARDS, cache=None):
    """Make a writer of shards."""
    comparison = compare(IMAGES, writer.stored(), writer.failed)
    return ShardWriter(
        writer, comparison, shards, EmbeddingCache(writer.computed_columns, {}) if cache is None else cache
    )


@pytest.fixture
def writer(tmp_path):
    """A new table, held for writing."""
    with open_writer(tmp_path / "out", Manifest(spec=SPEC, source="/photos")) as writer:
        yield writer


@pytest.fixture
def ids(tmp_path):
    """`ids()`: the ids that the table has now."""

    def read():
        return open_features(tmp_path / "out").ids.tolist()

    return read


def write(writer, *batches, shards=SHARDS, error=None):
    """Add batches of rows to the shards, then raise the error if there is one."""
    with shard_writer_of(writer, shards) as shard_writer:
        for rows, is_last in batches:
            shard_writer.add(batch(rows, is_last=is_last))
        if error:
            raise error


def test_full_shards_are_committed(writer, tmp_path):
    """Each shard becomes one part when its last batch comes; vectors, facts and ids stay together."""
    write(writer, ([0, 1], False), ([2], True), ([3, 5], True))
    features = open_features(tmp_path / "out")
    assert [part.rows for part in features.manifest.parts] == [3, 2]
    assert features.ids.tolist() == ["a", "b", "c", "d", "f"]
    assert features.embeddings().tolist() == vectors([0, 1, 2, 3, 5]).tolist()
    assert features.rows["sha256"].to_pylist() == [digest(row).hex() for row in (0, 1, 2, 3, 5)]
    assert features.rows["width"].to_pylist() == [10, 11, 12, 13, 15]


def test_not_finite(writer, tmp_path, ids):
    """An image without a finite embedding is a failure of stage embed; the other rows keep their facts."""
    first, _, last = cached([0, 1, 2])
    with shard_writer_of(writer) as shard_writer:
        shard_writer.add(batch([0, 1, 2], [first, None, last], is_last=True))
    (failure,) = read_failures(tmp_path / "out").to_pylist()
    assert (failure["id"], failure["stage"], failure["reason"]) == ("b", "embed", "not finite")
    assert (failure["size"], failure["mtime"]) == (1, 7)
    assert ids() == ["a", "c"]
    assert open_features(tmp_path / "out").rows["sha256"].to_pylist() == [digest(0).hex(), digest(2).hex()]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_cut_short(error, writer, ids):
    """A run that ends by an error or Ctrl-C keeps the images of the unfinished shard."""
    with pytest.raises(error):
        write(writer, ([0, 1, 2], True), ([3], False), error=error)
    assert ids() == ["a", "b", "c", "d"]


def test_rewrite_cut_short(writer, ids):
    """An interrupted rewrite leaves the part as it was: half of it would lose rows that are not embedded yet."""
    write(writer, ([0, 1, 2], True), shards=SHARDS[:1])
    rewritten = [Shard(0, np.array([0, 1]), drop=frozenset("ab"))]
    with pytest.raises(KeyboardInterrupt):
        write(writer, ([0], False), shards=rewritten, error=KeyboardInterrupt)
    assert ids() == ["a", "b", "c"]


def test_rewrite(writer, ids):
    """Rows that are embedded again replace themselves in their part."""
    write(writer, ([0, 1, 2], True), shards=SHARDS[:1])
    write(writer, ([1], True), shards=[Shard(0, np.array([1]), drop=frozenset("b"))])
    assert ids() == ["a", "c", "b"]


def test_refused_write(writer, ids, monkeypatch):
    """A shard that can't be written ends the run with the disk's error, and no later shard is written."""
    commit, committed = writer.commit, []

    def refusing(shard, *rest):
        committed.append(shard.part)
        if shard.part == 1:
            raise FeatureFileError("The disk is full.")
        commit(shard, *rest)

    monkeypatch.setattr(writer, "commit", refusing)
    with pytest.raises(FeatureFileError, match="The disk is full"):
        write(writer, ([0, 1, 2], True), ([3, 4, 5], True))
    assert (ids(), committed) == (["a", "b", "c"], [0, 1])


def test_waits_for_its_commits(writer, ids):
    """After `wait` every full shard is committed."""
    with shard_writer_of(writer) as shard_writer:
        shard_writer.add(batch([0, 1, 2], is_last=True))
        shard_writer.wait()
        assert ids() == ["a", "b", "c"]


def test_cache_of_committed_rows(writer):
    """The cache finds committed rows, and reads them from the table."""
    cache = EmbeddingCache(writer.computed_columns, {})
    with shard_writer_of(writer, cache=cache) as shard_writer:
        shard_writer.add(batch([0, 1, 2], is_last=True))
    stored = cache.get(digest(1))
    assert (stored.embedding.tolist(), stored.width, stored.height) == ([1, -1], 11, 21)


def test_copied_rows(writer, tmp_path):
    """Copied rows take hash, size and vector from the stored row, and all else from the listing."""
    write(writer, ([0, 1, 2], True), shards=SHARDS[:1])
    renamed = Shard(1, np.array([3]), copies=np.array([4, 5]), source_rows=np.array([2, 0]))
    write(writer, ([3], True), shards=[renamed])
    features = open_features(tmp_path / "out")
    assert features.ids.tolist() == ["a", "b", "c", "e", "f", "d"]
    assert features.embeddings()[3:].tolist() == vectors([2, 0, 3]).tolist()
    assert features.rows["sha256"].to_pylist()[3:] == [digest(row).hex() for row in (2, 0, 3)]
    assert features.rows["size_bytes"].to_pylist()[3:] == [4, 5, 3]


def test_user_columns():
    """Columns of the source are stored after ours, unchanged."""
    images = IMAGES.append_column("camera", pa.array([f"camera {row}" for row in range(6)])).take([4, 2])
    schema = to_part_schema(images, SPEC, has_perceptual_hashes=False)
    table = embedded_rows(images, [digest(4), digest(2)], cached([4, 2]), schema)
    assert table.schema.names[-2:] == ["embedding", "camera"]
    assert table["camera"].to_pylist() == ["camera 4", "camera 2"]
    assert table["embedding"].to_pylist() == [[4, -4], [2, -2]]
