import numpy as np
import pytest

from frieze.classifiers.data import embedding_rows as stored_rows
from frieze.classifiers.data.embedding_rows import EmbeddingRows, as_row_blocks, load_or_stream, map_rows
from frieze.core import unit_rows
from frieze.features import Shard, open_features, open_writer, part_schema, to_part


@pytest.fixture
def parts(table, points, tmp_path):
    """A table of 180 rows in three parts."""
    first = table(*points(noise=0.4))
    spec, schema = first.spec, part_schema(first.spec)
    with open_writer(first.path, first.manifest) as writer:
        for number in (1, 2):
            ids, labels, embeddings = points(noise=0.4, seed=number)
            ids = [f"{number}/{name}" for name in ids]
            columns = {"id": ids, "uri": ids, "label": labels, "sha256": ids}
            columns |= dict.fromkeys(("size_bytes", "mtime_ns", "width", "height"), [1] * len(ids))
            writer.commit(Shard(number, np.arange(len(ids))), to_part(columns, embeddings, schema))
    assert spec.dim == 8
    return open_features(first.path)


@pytest.fixture
def rows():
    """Row numbers of the table, in no order."""
    return np.random.default_rng(0).permutation(180)[:50]


def test_rows_are_those_of_the_table(parts, rows):
    """What is read is the chosen rows at unit length, in the order they were asked for."""
    stored = EmbeddingRows(parts, rows)
    assert (len(stored), stored.shape) == (50, (50, 8))
    assert np.array_equal(stored.read(), unit_rows(parts.embeddings())[rows])


def test_some_of_the_rows(parts, rows):
    """Places choose among the rows, as they do in an array."""
    chosen = np.array([40, 3, 17])
    assert np.array_equal(EmbeddingRows(parts, rows)[chosen].read(), unit_rows(parts.embeddings())[rows[chosen]])


def test_blocks_come_in_the_order_of_the_table(parts, rows):
    """Gone through twice, each row comes once each time, with its position."""
    stored, unit = EmbeddingRows(parts, rows), unit_rows(parts.embeddings())
    for _ in range(2):
        positions = np.concatenate([positions for _, positions in stored])
        assert positions.tolist() == stored.order.tolist() == np.argsort(rows).tolist()
        assert all(np.array_equal(block, unit[rows[positions]]) for block, positions in stored)


def test_shuffled_blocks_mix_parts(parts, rows, monkeypatch):
    """Pools hold parts drawn at random, and each row once."""
    monkeypatch.setattr(stored_rows, "_SHUFFLED_PARTS", 2)
    stored, unit = EmbeddingRows(parts, rows), unit_rows(parts.embeddings())
    shuffled_blocks = list(stored.shuffled_blocks(np.random.default_rng(1)))
    assert [len(set(rows[positions] // 60)) for _, positions in shuffled_blocks] == [2, 1]
    assert sorted(np.concatenate([positions for _, positions in shuffled_blocks])) == list(range(50))
    assert all(np.array_equal(embeddings, unit[rows[positions]]) for embeddings, positions in shuffled_blocks)


def test_parts_without_a_row_are_skipped(parts, monkeypatch):
    """Parts that hold none of the rows give no pool."""
    monkeypatch.setattr(stored_rows, "_SHUFFLED_PARTS", 1)
    assert len(list(EmbeddingRows(parts, np.array([3, 150])).shuffled_blocks(np.random.default_rng(0)))) == 2


def test_a_function_of_rows(parts, rows):
    """A function over stored rows gives what it gives over the same rows in memory, in their order."""
    unit = unit_rows(parts.embeddings())[rows]
    assert np.array_equal(map_rows(lambda actual: 2 * actual[:, :3], EmbeddingRows(parts, rows)), 2 * unit[:, :3])
    assert np.array_equal(map_rows(lambda actual: 2 * actual, unit), 2 * unit)


@pytest.mark.parametrize(("most_rows", "is_stored"), [(50, False), (49, True), (None, False)])
def test_rows_are_loaded_where_they_fit(parts, rows, most_rows, is_stored):
    """50 rows lie in memory where so many may, else they stay in the table."""
    assert isinstance(load_or_stream(parts, rows, most_rows=most_rows), EmbeddingRows) == is_stored


def test_half_of_the_free_memory_is_the_limit(parts, rows, monkeypatch):
    """Without a limit, half of what is free is one: 50 rows of 8 floats take 1600 bytes, a fit twice as much."""
    monkeypatch.setattr(stored_rows, "free_memory", lambda: 6399)
    assert isinstance(load_or_stream(parts, rows), EmbeddingRows)


def test_codes_and_weights_go_with_their_rows(parts, rows):
    """The solver's blocks have each row with its own code and weight."""
    codes, weights = np.arange(50), np.arange(50, dtype="f4")
    row_blocks, ordered = as_row_blocks(EmbeddingRows(parts, rows), codes, weights)
    actual = list(row_blocks)
    assert np.array_equal(np.concatenate([weight for _, weight in actual]), ordered)
    assert np.array_equal(np.concatenate([block for block, _ in actual]), unit_rows(parts.embeddings())[np.sort(rows)])
