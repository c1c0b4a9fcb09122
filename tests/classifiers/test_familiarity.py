import numpy as np
import pytest

from frieze.classifiers.familiarity import Familiarity, choose_references, measure_similarity
from frieze.core import unit_rows


def draw(n, *, seed, centre=0):
    """Draw n unit vectors of width 16 around an axis."""
    rng = np.random.default_rng(seed)
    return unit_rows(np.eye(16, dtype="f4")[centre] + 0.3 * rng.normal(size=(n, 16)).astype("f4"))


@pytest.fixture(scope="module")
def familiarity():
    """That of 200 training images, measured on 400 others."""
    return Familiarity.fit(draw(200, seed=0), draw(400, seed=1))


def test_similarity_is_the_mean_cosine_to_the_five_nearest():
    """As NumPy finds it by sorting all cosines, to the precision of float16."""
    rows, references = draw(20, seed=2), draw(50, seed=3)
    expected = np.sort(rows @ references.T, axis=1)[:, -5:].mean(axis=1)
    assert np.allclose(measure_similarity(rows, references.astype(np.float16)), expected, atol=1e-3)


def test_images_alike_are_spread_evenly(familiarity):
    """Of images drawn like the held-out ones a twentieth is below .05, and half is below .5."""
    of_new = familiarity.of(draw(4_000, seed=5))
    assert (of_new < 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert (of_new < 0.5).mean() == pytest.approx(0.5, abs=0.08)


def test_other_images_are_unfamiliar(familiarity):
    """Images around another axis are below nearly all held-out ones, whatever the length of their vectors."""
    assert np.median(familiarity.of(7 * draw(100, seed=6, centre=5))) < 0.01


def test_familiarity_is_uniform_for_few_held_out_images():
    """With ten or thirty held-out images, too, a twentieth of images alike at most is below .05."""
    for n_held_out in (10, 30):
        shares = [
            (
                Familiarity.fit(draw(50, seed=seed), draw(n_held_out, seed=100 + seed)).of(draw(200, seed=200 + seed))
                < 0.05
            )
            for seed in range(40)
        ]
        assert np.mean(shares) <= 0.05


@pytest.mark.parametrize(
    ("n_rows", "n_unfamiliar", "exceeds"),
    [(1, 1, False), (3, 3, True), (20, 3, False), (20, 8, True), (10_000, 700, False), (10_000, 1_500, True)],
)
def test_many_unfamiliar_images_exceed_chance(familiarity, n_rows, n_unfamiliar, exceeds):
    """A tenth of the images, three at least, exceed chance where it has one in a thousand."""
    assert familiarity.exceeds_chance(n_unfamiliar, n_rows) == exceeds


def test_few_held_out_images_leave_more_to_chance():
    """With thirty held-out images one in seven unfamiliar ones is no sign; with ten nothing is."""
    rows = draw(200, seed=0)
    few, fewer = (Familiarity.fit(rows, draw(n, seed=1)) for n in (30, 10))
    assert not few.exceeds_chance(143, 1_000)
    assert few.exceeds_chance(600, 1_000)
    assert not fewer.exceeds_chance(1_000, 1_000)


def test_references_are_of_each_class_its_share():
    """At most 500 training images are kept, a third of them of a class that has a third."""
    labels = np.array(["a", "b", "c"] * 1_000, dtype=object)
    chosen = choose_references(labels, 16)
    assert np.unique(labels[chosen], return_counts=True)[1].tolist() == [167, 166, 167]
    assert np.all(np.diff(chosen) > 0)


def test_references_of_wide_vectors_take_eight_megabytes():
    """Of vectors of 62,720 numbers, flattened maps, 63 are kept."""
    assert len(choose_references(np.array(["a"] * 900, dtype=object), 62_720)) == 63


def test_a_stored_one_is_the_same(familiarity, tmp_path):
    """Written and read, it gives the same values; for another width it is refused."""
    familiarity.write(tmp_path / "f.npz")
    rows = draw(10, seed=7)
    assert np.array_equal(Familiarity.read(tmp_path / "f.npz", dim=16).of(rows), familiarity.of(rows))
    with pytest.raises(ValueError, match="other shapes"):
        Familiarity.read(tmp_path / "f.npz", dim=8)
