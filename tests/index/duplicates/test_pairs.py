import numpy as np
import pytest

from frieze.features import top_k
from frieze.indexing import build_index, find_duplicates, open_index
from frieze.indexing.duplicates.components import Components
from frieze.indexing.duplicates.pairs import PairThreshold, measure_group_recall, widen_search
from frieze.indexing.duplicates.threshold import draw_sample
from frieze.indexing.faiss_layer.searcher import Searcher, SearchParams

NEAR = PairThreshold(0.97, np.zeros(2_000, bool))


@pytest.fixture(scope="module")
def narrow(indexes):
    """An index of 2,000 clustered vectors that searches only one list."""
    opened = indexes("ivf").searcher
    return Searcher(opened.flat, opened.faiss_index, kind="ivf", metric="cosine", search_params=SearchParams(1, 1))


@pytest.fixture(scope="module")
def sample(narrow):
    """A thousand of its rows and their exact nearest ones."""
    return draw_sample(narrow, np.arange(2_000))


def pair_recall(searcher, sample):
    """Measure the fraction of the exact near rows among the ten nearest that a search finds."""
    actual, _ = searcher.search(sample.vectors, k=10)
    near = sample.scores[:, :10] >= NEAR.min_score
    near &= sample.neighbours[:, :10] != sample.rows[:, None]
    return (sample.neighbours[:, :10, None] == actual[:, None]).any(axis=2)[near].mean()


def test_search_is_widened(narrow, sample):
    """An index that misses near pairs gets search parameters that find 19 of 20; its own stay."""
    widened = widen_search(narrow, sample, NEAR)
    assert pair_recall(narrow, sample) < 0.95 <= pair_recall(widened, sample)
    assert (narrow.search_params.search_param, widened.search_params.search_param > 1) == (1, True)


def test_sufficient_search_params_stay(narrow, sample):
    """Search parameters that suffice are kept."""
    enough = widen_search(narrow, sample, NEAR)
    assert widen_search(enough, sample, NEAR).search_params == enough.search_params


def test_a_sample_has_its_exact_nearest(table, sample):
    """A sample's neighbours are NumPy's, best first."""
    _, expected = top_k(table.embeddings()[sample.rows], table.embeddings(), k=101)
    np.testing.assert_allclose(sample.scores, expected, atol=1e-5)
    assert len(sample.rows) == 1_000


def test_recall_is_the_share_of_pairs_in_one_group(sample):
    """Pairs of the sample count as found when both rows have one label; None without pairs."""
    components = Components(2_000)
    assert measure_group_recall(sample, components.labels(), NEAR) == 0
    components.join(np.arange(1_999), np.arange(1, 2_000))
    assert measure_group_recall(sample, components.labels(), NEAR) == 1
    assert measure_group_recall(sample, components.labels(), PairThreshold(1.1, NEAR.is_zero)) is None


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_pairs_do_not_depend_on_the_scale(scale, clustered, write_table, tmp_path):
    """With l2, vectors a hundred million times as long or short have the same look-alikes."""
    embeddings = clustered(300, 8)
    embeddings[200:210] = embeddings[:10]
    stored = (embeddings * np.float32(scale)).astype(np.float32)
    columns = {"sha256": [str(row) for row in range(300)]}
    build_index(write_table(tmp_path / "t", stored, columns=columns), tmp_path / "i", metric="l2")
    sets = find_duplicates(open_index(tmp_path / "i"), min_score=-1e-5 * scale)["look_alikes"]
    assert sorted(len(one["ids"]) for one in sets) == [2] * 10
