"""Choose the images to ask about next: typical ones first, then unsure and diverse ones, and some at random."""

import dataclasses

import numpy as np
import numpy.typing as npt

from frieze.classifiers.teaching.teach import Answers, Taught
from frieze.classifiers.teaching.unit_vectors import UnitVectors
from frieze.core import Floats, Rows, one_blas_thread

HELD_OUT_SHARE = 0.2
"""Share of the answers to draw at random, to measure the head; they play no part in the choice of other questions."""
N_TYPICAL = 50
"""Answers up to which typical images are asked about: before, no head knows what it is unsure of."""
_N_SAMPLED = 2000  # images of which the typical ones are chosen
_WIDTH = 256  # of their vectors, projected on leading axes
_N_NEIGHBOURS = 20
_N_UNSURE = 400
_COPY = 0.98  # cosine from which images are near-duplicates: one of them is asked about


@dataclasses.dataclass(frozen=True)
class Questions:
    """The images to ask about.

    Attributes:
        rows: int64 [n], row numbers; those at random stand anywhere among the others.
        is_held_out: bool [n], whether an image was drawn at random.
    """

    rows: Rows
    is_held_out: npt.NDArray[np.bool_]


def choose_questions(vectors: UnitVectors, answers: Answers, taught: Taught, *, n: int, seed: int = 0) -> Questions:
    """Choose images whose labels help most, and some at random that measure the head.

    Args:
        vectors: Of N images.
        answers: The answers so far.
        taught: The head that was fitted on them.
        n: How many to choose; fewer where fewer are without an answer.
        seed: Seed of the random choices; the same answers bring the same questions.
    """
    generator = np.random.default_rng([seed, len(answers)])
    unanswered = np.setdiff1d(np.arange(len(vectors)), answers.rows)
    n = min(n, len(unanswered))
    n_random = round(HELD_OUT_SHARE * (len(answers) + n)) - int(answers.is_held_out.sum())
    n_random = min(max(n_random, 0), (n + 1) // 2)  # after many labels by hand all of them would be drawn
    drawn = generator.choice(unanswered, n_random, replace=False)
    with one_blas_thread():  # several would take fifteen times as long on so few images
        chosen = _choose(vectors, answers, taught, np.setdiff1d(unanswered, drawn), n - len(drawn), generator)
    order = generator.permutation(n)
    is_held_out = np.repeat([True, False], [len(drawn), len(chosen)])
    return Questions(np.concatenate([drawn, chosen]).astype(np.int64)[order], is_held_out[order])


def _choose(
    vectors: UnitVectors, answers: Answers, taught: Taught, left: Rows, n: int, generator: np.random.Generator
) -> Rows:
    if not n:
        return np.empty(0, np.int64)
    fitted, _ = answers.fitted
    if not taught.is_fitted or len(fitted) < N_TYPICAL:
        sampled = left if len(left) <= _N_SAMPLED else np.sort(generator.choice(left, _N_SAMPLED, replace=False))
        return choose_typical(vectors, fitted, sampled, n, generator)
    return choose_unsure(vectors, fitted, taught.scores, left, n)


def choose_typical(
    vectors: UnitVectors, answered: Rows, candidates: Rows, n: int, generator: np.random.Generator
) -> Rows:
    """Choose the most typical image of each of the n largest clusters that have no answer yet.

    There are as many clusters as there are answers and questions. Typical is what is near its neighbours.

    Args:
        vectors: Of N images.
        answered: Rows that have an answer.
        candidates: Rows to choose from, at least n.
        n: How many to choose.
        generator: Of the clusters' start.

    Source: Hacohen et al. 2022, Active Learning on a Budget: Opposite Strategies Suit High and Low Budgets (TypiClust).
    """
    rows = np.concatenate([answered, candidates])
    points = _narrow(vectors.take(rows), generator)
    clusters = _cluster(points, min(len(answered) + n, len(rows)), generator)
    sizes = np.bincount(clusters)
    sizes[np.unique(clusters[: len(answered)])] = 0
    largest = [cluster for cluster in np.argsort(-sizes, kind="stable")[:n] if sizes[cluster]]
    chosen = [
        rows[members[_most_typical(points[members])]] for members in (np.flatnonzero(clusters == c) for c in largest)
    ]
    others = np.setdiff1d(candidates, chosen)
    return np.concatenate([chosen, generator.choice(others, n - len(chosen), replace=False)]).astype(np.int64)


def _narrow(vectors: Floats, generator: np.random.Generator) -> Floats:
    """Project float32 [n, D] on about its 256 leading axes, where D is larger.

    Source: Halko et al. 2011, Finding Structure with Randomness, algorithm 4.4, with one iteration.
    """
    width = vectors.shape[1]
    if width <= _WIDTH:
        return vectors
    sampled = vectors @ generator.normal(size=(width, _WIDTH)).astype(np.float32)
    axes, _ = np.linalg.qr(vectors.T @ sampled)
    narrow: Floats = vectors @ axes
    return narrow


def _cluster(points: Floats, n_clusters: int, generator: np.random.Generator) -> Rows:
    from sklearn.cluster import KMeans

    seed = int(generator.integers(2**31))
    clusters: Rows = KMeans(n_clusters, n_init=1, max_iter=20, random_state=seed).fit_predict(points)
    return clusters


def _most_typical(points: Floats) -> int:
    """Return the number of the point that is nearest to its neighbours."""
    squares = np.square(points).sum(axis=1)
    distances = squares[:, None] + squares - 2 * points @ points.T
    n = min(_N_NEIGHBOURS, len(points))
    return int(np.partition(distances, n - 1, axis=1)[:, :n].sum(axis=1).argmin())


def choose_unsure(vectors: UnitVectors, answered: Rows, probabilities: Floats, left: Rows, n: int) -> Rows:
    """Choose images of small margin that are far from each other, near-duplicates once.

    Args:
        vectors: Of N images.
        answered: Rows that have an answer.
        probabilities: float32 [N, C], C >= 2.
        left: Rows to choose from, at least n.
        n: How many to choose.

    Returns:
        int64 [n]. The first is the most unsure one; each next one has the largest product of 1 - margin, the distance
        of the two highest probabilities, and 1 - cosine to the nearest one chosen before.
    """
    two = np.partition(probabilities[left], -2, axis=1)[:, -2:]
    unsure = 1 - (two[:, 1] - two[:, 0])
    candidates = np.argsort(-unsure, kind="stable")[: max(_N_UNSURE, n)]
    points, weights = vectors.take(left[candidates]), unsure[candidates]
    is_copy = (points @ vectors.take(answered).T).max(axis=1, initial=-1) >= _COPY
    gains = np.where(is_copy, 0, weights)
    distances, chosen = np.ones(len(points), np.float32), [int(gains.argmax())]
    while len(chosen) < n:
        cosines = points @ points[chosen[-1]]
        distances = np.minimum(distances, np.where(cosines >= _COPY, 0, np.maximum(1 - cosines, 0)))
        gain = gains * distances
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
    return left[candidates[chosen]]
