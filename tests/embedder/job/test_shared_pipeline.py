"""Rows of several tables merged into shared batches; each table's own batches are the judge."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from frieze.embedder.job.decoder import Batch, BatchRows
from frieze.embedder.job.pipeline import cut_into_batches
from frieze.embedder.job.shared_pipeline import TableRows, join_batches, share_rows

_SHARD = st.sets(st.integers(0, 30), min_size=1, max_size=9).map(lambda rows: np.array(sorted(rows)))


@st.composite
def tables_of_rows(draw):
    """Draw tables whose shards may have any rows, new parts first."""
    shards = draw(st.lists(_SHARD, min_size=1, max_size=4))
    return TableRows(shards, draw(st.integers(0, len(shards))), draw(st.integers(1, 5)))


def batches_of(table, units, number):
    """Return the batches that a table gets, as (shard, is_last, rows)."""
    batches, rows = [], []
    for unit in units:
        piece = unit.by_table[number]
        rows += piece.rows.tolist()
        if unit.ends[number]:
            batches.append((piece.shard, piece.is_last, rows))
            rows = []
    assert not rows
    return batches


@given(st.lists(tables_of_rows(), min_size=1, max_size=3))
def test_each_table_gets_its_own_batches(tables):
    """Whatever the others lack, a table's batches are those of a run of its own; rows of a call ascend."""
    units = list(share_rows(tables))
    for number, table in enumerate(tables):
        expected = [
            (one.shard, one.is_last, one.rows.tolist()) for one in cut_into_batches(table.shards, table.batch_size)
        ]
        assert batches_of(table, units, number) == expected
    assert all((np.diff(unit.rows) > 0).all() for unit in units)


@given(st.lists(st.sets(st.integers(0, 40), min_size=1), min_size=2, max_size=3))
def test_new_rows_are_shared(rows):
    """A row that several tables lack as a new one is read once."""
    tables = [TableRows([np.array(sorted(one))], 1, 4) for one in rows]
    read = np.concatenate([unit.rows for unit in share_rows(tables)])
    assert read.tolist() == sorted(set.union(*rows))


def piece(shard, rows, digests, *, is_last=False):
    """Return a piece of a batch: the pixel of an image is its digest."""
    batch = Batch(BatchRows(shard, is_last, np.array(rows)), np.array(rows), digests)
    batch.sizes = dict.fromkeys(digests, (1, 1))
    batch.hashes = dict.fromkeys(digests, (2, 3))
    batch.pixels = np.array([list(one) for one in batch.sizes], np.uint8).reshape(-1, 1, 1, 1)
    return batch


def test_pieces_of_a_batch():
    """Pieces are joined in order; equal bytes of two pieces keep one row of pixels."""
    joined = join_batches([piece(2, [4, 5], [b"a", b"b"]), piece(2, [7, 8], [b"b", b"c"], is_last=True)])
    assert (joined.requested.shard, joined.requested.is_last) == (2, True)
    assert (joined.rows.tolist(), joined.requested.rows.tolist()) == ([4, 5, 7, 8], [4, 5, 7, 8])
    assert (joined.digests, list(joined.sizes)) == ([b"a", b"b", b"b", b"c"], [b"a", b"b", b"c"])
    assert joined.pixels.ravel().tolist() == [97, 98, 99]
