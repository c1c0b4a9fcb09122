"""Which images are asked about: typical ones first, then unsure and diverse ones, and a share at random."""

import numpy as np
import pytest

from frieze.classifiers import UnitVectors, choose_questions, teach
from frieze.classifiers.teaching.questions import choose_typical, choose_unsure


def ask(vectors, answers, **options):
    """Choose questions as the page does."""
    return choose_questions(vectors, answers, teach(vectors, answers), **options)


def test_typical_ones_first(vectors, codes):
    """The first images are one of each cluster, from its middle."""
    chosen = choose_typical(vectors, np.array([], int), np.arange(150), 3, np.random.default_rng(0))
    assert sorted(codes[chosen]) == [0, 1, 2]
    means = np.stack([vectors.take(np.flatnonzero(codes == code)).mean(axis=0) for code in range(3)])
    cosines = (vectors.take(np.arange(150)) * means[codes]).sum(axis=1)
    assert all(cosines[row] > np.median(cosines[codes == codes[row]]) for row in chosen)


def test_clusters_without_an_answer(vectors, codes):
    """A cluster that has an answer is not asked about while another has none."""
    left = np.setdiff1d(np.arange(150), [0, 90])
    for seed in range(3):
        chosen = choose_typical(vectors, np.array([0, 90]), left, 1, np.random.default_rng(seed))
        assert codes[chosen].tolist() == [2]


def test_wide_vectors(codes):
    """Vectors of more than 256 numbers are projected, and the clusters are still seen."""
    noise = np.random.default_rng(1).normal(size=(len(codes), 400))
    wide = UnitVectors.of((np.eye(400)[codes] + 0.02 * noise).astype("f4"))
    chosen = choose_typical(wide, np.array([], int), np.arange(150), 3, np.random.default_rng(0))
    assert sorted(codes[chosen]) == [0, 1, 2]


def test_equal_vectors():
    """Images that are all the same are asked about all the same, each once."""
    vectors = UnitVectors.of(np.ones((9, 4), "f4"))
    with pytest.warns(match="distinct clusters"):
        chosen = choose_typical(vectors, np.array([0]), np.arange(1, 9), 5, np.random.default_rng(0))
    assert len(set(chosen) - {0}) == 5


def test_unsure_ones(vectors, answer):
    """The first image is the one of the smallest margin, and none has an answer."""
    answers = answer([0, 90])
    scores = teach(vectors, answers).scores
    left = np.setdiff1d(np.arange(150), answers.rows)
    chosen = choose_unsure(vectors, answers.rows, scores, left, 5)
    assert chosen[0] == left[np.abs(scores[left, 0] - scores[left, 1]).argmin()]
    assert len(set(chosen) - {0, 90}) == 5


def test_near_duplicates_once():
    """Of near-duplicates one is asked about, and none of an image that has an answer."""
    rows = np.random.default_rng(0).normal(size=(40, 32)).astype("f4")
    copies = UnitVectors.of(np.repeat(rows, 2, axis=0))
    scores = np.full((80, 2), 0.5, np.float32)  # nothing is known, so that all are as unsure
    chosen = choose_unsure(copies, np.array([0, 2]), scores, np.setdiff1d(np.arange(80), [0, 2]), 38)
    assert {row // 2 for row in chosen} == set(range(2, 40))


@pytest.mark.parametrize("n_answers", [0, 3, 60])
def test_a_fifth_at_random(vectors, answer, n_answers):
    """Until a fifth of all answers are held out, up to half of the questions are drawn at random, and marked."""
    answers = answer(range(0, 2 * n_answers, 2))
    questions = ask(vectors, answers, n=10)
    assert questions.is_held_out.sum() == min(round((n_answers + 10) / 5), 5)
    assert len(set(questions.rows) - set(answers.rows)) == 10


def test_the_share_stays(vectors, answer):
    """Over many batches a fifth of all answers is held out, wherever it stands in a batch."""
    rows, held_out = [], []
    for _ in range(7):
        questions = ask(vectors, answer(rows, held_out), n=6)
        rows += questions.rows.tolist()
        held_out += questions.rows[questions.is_held_out].tolist()
    assert (len(set(rows)), len(held_out)) == (42, 8)


def test_drawn_evenly(vectors, answer):
    """What is held out is drawn from all images alike, whatever the head thinks of them."""
    draws = [ask(vectors, answer([0, 90]), n=3, seed=seed) for seed in range(60)]
    drawn = np.concatenate([questions.rows[questions.is_held_out] for questions in draws])
    assert 0.4 < (drawn < 90).mean() < 0.8
    assert len(set(drawn)) > 40


def test_the_same_questions(vectors, answer):
    """The same answers bring the same questions; another seed brings others."""
    first, second, other = (ask(vectors, answer([0, 90]), n=9, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.rows, second.rows)
    assert set(first.rows) != set(other.rows)


def test_nothing_left(vectors, answer):
    """Where fewer images are left, fewer are asked about."""
    assert len(ask(vectors, answer(range(146)), n=10).rows) == 4
    assert len(ask(vectors, answer(range(150)), n=10).rows) == 0
