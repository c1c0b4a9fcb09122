import numpy as np
import pyarrow as pa
import pytest

from frieze.core import FeatureFileError
from frieze.embedder.job.dedup import CachedEmbedding, EmbeddingCache
from frieze.embedder.job.pipeline import Batch, Piece
from frieze.embedder.job.shard_writer import ShardWriter, embedded_rows
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


def batch(rows, *, is_last=False):
    """Give a decoded batch."""
    rows = np.array(rows, np.int64)
    return Batch(Piece(0, is_last, rows), rows, [digest(row) for row in rows])


def digest(row):
    """Give what stands for the hash of a row's bytes."""
    return bytes([row] * 32)


def vectors(rows):
    """Give the embeddings of rows: row, -row."""
    return np.array([[row, -row] for row in rows], np.float32).reshape(-1, 2)


def seen(rows):
    """Give what is known of rows."""
    return [CachedEmbedding(vector, 10 + row, 20 + row) for row, vector in zip(rows, vectors(rows), strict=True)]


def filler_of(writer, shards=SHARDS, known=None):
    """Give a filler of shards."""
    comparison = compare(IMAGES, writer.stored(), writer.failed)
    return ShardWriter(
        writer, comparison, shards, EmbeddingCache(writer.computed_columns, {}) if known is None else known
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


def fill(writer, *batches, shards=SHARDS, error=None):
    """Add batches of rows to the shards, then break off if an error is given."""
    with filler_of(writer, shards) as filler:
        for rows, is_last in batches:
            filler.add(batch(rows, is_last=is_last), seen(rows))
        if error:
            raise error


def test_full_shards_are_committed(writer, tmp_path):
    """Each shard becomes one part when its last batch comes; vectors, facts and ids stay together."""
    fill(writer, ([0, 1], False), ([2], True), ([3, 5], True))
    features = open_features(tmp_path / "out")
    assert [part.rows for part in features.manifest.parts] == [3, 2]
    assert features.ids.tolist() == ["a", "b", "c", "d", "f"]
    assert features.embeddings().tolist() == vectors([0, 1, 2, 3, 5]).tolist()
    assert features.rows["sha256"].to_pylist() == [digest(row).hex() for row in (0, 1, 2, 3, 5)]
    assert features.rows["width"].to_pylist() == [10, 11, 12, 13, 15]


def test_not_finite(writer, tmp_path, ids):
    """An image that the backbone gave nothing for is a failure of stage embed, and its neighbours keep their facts."""
    first, _, last = seen([0, 1, 2])
    with filler_of(writer) as filler:
        filler.add(batch([0, 1, 2], is_last=True), [first, None, last])
    (failure,) = read_failures(tmp_path / "out").to_pylist()
    assert (failure["id"], failure["stage"], failure["reason"]) == ("b", "embed", "not finite")
    assert (failure["size"], failure["mtime"]) == (1, 7)
    assert ids() == ["a", "c"]
    assert open_features(tmp_path / "out").rows["sha256"].to_pylist() == [digest(0).hex(), digest(2).hex()]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_cut_short(error, writer, ids):
    """A run that ends by an error or Ctrl-C keeps the images of the shard that it had begun."""
    with pytest.raises(error):
        fill(writer, ([0, 1, 2], True), ([3], False), error=error)
    assert ids() == ["a", "b", "c", "d"]


def test_rewrite_cut_short(writer, ids):
    """A part that is rewritten stays as it was: half of it would lose the rows that are not yet embedded anew."""
    fill(writer, ([0, 1, 2], True), shards=SHARDS[:1])
    again = [Shard(0, np.array([0, 1]), drop=frozenset("ab"))]
    with pytest.raises(KeyboardInterrupt):
        fill(writer, ([0], False), shards=again, error=KeyboardInterrupt)
    assert ids() == ["a", "b", "c"]


def test_rewrite(writer, ids):
    """Rows that come anew leave their part and are added to it."""
    fill(writer, ([0, 1, 2], True), shards=SHARDS[:1])
    fill(writer, ([1], True), shards=[Shard(0, np.array([1]), drop=frozenset("b"))])
    assert ids() == ["a", "c", "b"]


def test_refused_write(writer, ids, monkeypatch):
    """A shard that can't be written ends the run with the disk's words, and no later shard is written."""
    commit, seen = writer.commit, []

    def refusing(shard, *rest):
        seen.append(shard.part)
        if shard.part == 1:
            raise FeatureFileError("The disk is full.")
        commit(shard, *rest)

    monkeypatch.setattr(writer, "commit", refusing)
    with pytest.raises(FeatureFileError, match="The disk is full"):
        fill(writer, ([0, 1, 2], True), ([3, 4, 5], True))
    assert (ids(), seen) == (["a", "b", "c"], [0, 1])


def test_waits_for_its_commits(writer, ids):
    """After the wait all that was handed over stands."""
    with filler_of(writer) as filler:
        filler.add(batch([0, 1, 2], is_last=True), seen([0, 1, 2]))
        filler.wait()
        assert ids() == ["a", "b", "c"]


def test_settled(writer, ids):
    """What is written is known from then on, and read from the table."""
    known = EmbeddingCache(writer.computed_columns, {})
    with filler_of(writer, known=known) as filler:
        filler.add(batch([0, 1, 2], is_last=True), seen([0, 1, 2]))
    found = known.get(digest(1))
    assert (found.embedding.tolist(), found.width, found.height) == ([1, -1], 11, 21)


def test_copies_stand_beside_the_embedded(writer, tmp_path):
    """A shard's copies take hash, size and vector of the stored row, and all else from the listing."""
    fill(writer, ([0, 1, 2], True), shards=SHARDS[:1])
    renamed = Shard(1, np.array([3]), copies=np.array([4, 5]), source_rows=np.array([2, 0]))
    fill(writer, ([3], True), shards=[renamed])
    features = open_features(tmp_path / "out")
    assert features.ids.tolist() == ["a", "b", "c", "e", "f", "d"]
    assert features.embeddings()[3:].tolist() == vectors([2, 0, 3]).tolist()
    assert features.rows["sha256"].to_pylist()[3:] == [digest(row).hex() for row in (2, 0, 3)]
    assert features.rows["size_bytes"].to_pylist()[3:] == [4, 5, 3]


def test_user_columns():
    """Columns that a source adds are stored after ours, untouched."""
    images = IMAGES.append_column("camera", pa.array([f"camera {row}" for row in range(6)])).take([4, 2])
    table = embedded_rows(images, [digest(4), digest(2)], seen([4, 2]), SPEC)
    assert table.schema.names[-2:] == ["embedding", "camera"]
    assert table["camera"].to_pylist() == ["camera 4", "camera 2"]
    assert table["embedding"].to_pylist() == [[4, -4], [2, -2]]
