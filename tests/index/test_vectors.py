import numpy as np
import pytest

from features import FeatureFileError
from index.vectors import draw_rows, stream, take_rows


def test_stream_gives_every_row_once(table, vectors):
    """The pieces, laid at the row numbers they name, are the table."""
    pieces = list(stream(table))
    assert [start for start, _ in pieces] == [0, 700, 1_400]
    np.testing.assert_array_equal(np.vstack([embeddings for _, embeddings in pieces]), vectors)


def test_rows_are_drawn_over_the_whole_table():
    """Drawn rows differ, ascend, are the same each time, and lie in every tenth of the table."""
    rows = draw_rows(10_000, 500)
    assert len(np.unique(rows)) == 500
    assert (np.diff(rows) > 0).all()
    assert (rows == draw_rows(10_000, 500)).all()
    assert (np.bincount(rows // 1_000, minlength=10) > 25).all()


def test_take_rows_across_parts(table, vectors):
    """Rows are taken by their number, wherever their part begins and ends."""
    rows = np.array([0, 5, 699, 700, 1_399, 1_400, 1_999])
    np.testing.assert_array_equal(take_rows(table, rows), vectors[rows])


def test_an_embedding_that_is_not_finite_is_named(tmp_path, clustered, write_table):
    """A table with a NaN can't be indexed: the image is named."""
    embeddings = clustered(20, 8)
    embeddings[13, 2] = np.nan
    with pytest.raises(FeatureFileError, match=r"c03/img-13\.jpg .* not finite"):
        list(stream(write_table(tmp_path / "t", embeddings)))
