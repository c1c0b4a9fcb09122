import numpy as np
import pytest

from frieze.classifiers.solver import row_blocks
from frieze.classifiers.solver.row_blocks import map_blocks, mean_products, sample_rows, small_blocks


def draw(n, dim=3):
    """Draw rows whose mean is not zero, and number them."""
    embeddings = np.random.default_rng(0).normal(size=(n, dim)) * np.resize([1, 2, 0.1], dim) + 1
    return embeddings.astype("f4"), np.arange(n)


def products(embeddings, weights=1):
    """Compute the weighted mean of x x' of all rows."""
    rows = np.column_stack([embeddings, np.ones(len(embeddings))]).astype("f8")
    return (rows * np.reshape(weights, (-1, 1))).T @ rows / np.broadcast_to(weights, len(rows)).sum()


def test_blocks_give_each_row_once():
    """Blocks hold all rows in order, with their weights, none longer than 1,024."""
    embeddings, codes = draw(3000)
    weights = codes.astype("f4")
    actual = list(small_blocks([(embeddings[:2500], codes[:2500]), (embeddings[2500:], codes[2500:])], weights))
    assert [len(block) for _, block, _ in actual] == [1024, 1024, 452, 500]
    assert np.array_equal(np.concatenate([one for one, _, _ in actual]), embeddings)
    assert np.array_equal(np.concatenate([one for _, one, _ in actual]), codes)
    assert np.array_equal(np.concatenate([one for _, _, one in actual]), weights)


def test_blocks_are_views():
    """No block copies its embeddings."""
    embeddings, codes = draw(3000)
    assert all(np.shares_memory(one, embeddings) for one, _, _ in small_blocks([(embeddings, codes)], None))


@pytest.mark.parametrize("n", [1500, 20_000])
def test_blocks_on_all_cores_come_in_order(n, monkeypatch):
    """Whatever the number of cores, each block is passed once, results come in order, and few blocks wait."""
    monkeypatch.setattr(row_blocks, "count_cores", lambda: 3)
    embeddings, codes = draw(n)
    drawn = []

    def blocks():
        for block in small_blocks([(embeddings, codes)], None):
            drawn.append(block)
            yield block

    most, firsts = 0, []
    for first in map_blocks(lambda _, block_codes, __: int(block_codes[0]), blocks()):
        firsts.append(first)
        most = max(most, len(drawn) - len(firsts))
    assert firsts == list(range(0, n, 1024))
    assert most <= 7


def test_products_of_few_rows_are_exact():
    """Up to a block, all rows count, each by its weight."""
    embeddings, codes = draw(500)
    weights = np.linspace(0, 3, 500, dtype="f4")
    assert mean_products([(embeddings, codes)], weights) == pytest.approx(products(embeddings, weights), rel=1e-4)


def test_products_of_sorted_rows_stand_for_all():
    """Of many rows a part is looked at, but a part of every stretch: sorted classes do not mislead."""
    embeddings, codes = draw(60_000, dim=100)
    order = np.argsort(embeddings[:, 0])
    actual = mean_products([(embeddings[order], codes)], None)
    expected = products(embeddings)
    assert actual[0, [0, -1]] == pytest.approx(expected[0, [0, -1]], rel=0.01)
    assert np.trace(actual) == pytest.approx(np.trace(expected), rel=0.02)


def test_products_look_at_few_of_many_rows(monkeypatch):
    """Of 100,000 rows of width 3 fewer than 2,000 are looked at."""
    sizes, stack = [], np.column_stack
    monkeypatch.setattr(np, "column_stack", lambda rows: (sizes.append(len(rows[0])), stack(rows))[1])
    mean_products([draw(100_000)], None)
    assert 1024 <= sum(sizes) < 2000


def test_weights_of_zero_give_zero():
    """Where no row weighs anything, the products are zero, not a division by it."""
    assert not mean_products([draw(10)], np.zeros(10, "f4")).any()


@pytest.mark.parametrize(("n", "most", "stride"), [(2000, 3000, 1), (2000, 1999, 2), (5000, 1000, 8)])
def test_rows_are_drawn_evenly(n, most, stride):
    """Drawn is every row, or every second, fourth and so on, with its weight, so many that half of `most` are left."""
    embeddings, codes = draw(n)
    weights = codes.astype("f4")
    row_blocks = [(embeddings[:1500], codes[:1500]), (embeddings[1500:], codes[1500:])]
    rows, row_weights = sample_rows(row_blocks, weights, most=most)
    assert np.array_equal(rows, embeddings[::stride])
    assert np.array_equal(row_weights, weights[::stride])
