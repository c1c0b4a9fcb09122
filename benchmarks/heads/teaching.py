"""A simulated labeller: accuracy after 20, 50, 100 and 200 answers, by the questions of `frieze serve` and by others.

Usage: FRIEZE_DATA=... python -m benchmarks.heads.teaching   prints docs/benchmarks.md's table.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks.embedding.accuracy import embed
from benchmarks.tables import show
from frieze.classifiers import Answers, Questions, UnitVectors, choose_questions, teach
from frieze.core import Floats, Rows, Strings

SETS = ("imagenette_val", "flowers5_128")
BACKBONES = ("mobilenet_v1_025_128", "builtin")
MARKS, BATCH, SEEDS = (20, 50, 100, 200), 10, range(10)
TEST_SHARE = 1 / 3

Order = Callable[[UnitVectors, Answers, int], Questions]


def at_random(vectors: UnitVectors, answers: Answers, seed: int) -> Questions:
    """Draw images evenly."""
    generator = np.random.default_rng([seed, len(answers)])
    return _questions(generator.choice(_unanswered(vectors, answers), BATCH, replace=False))


def by_margin(vectors: UnitVectors, answers: Answers, seed: int) -> Questions:
    """Take those whose two highest probabilities are nearest to each other; the first ones at random."""
    taught = teach(vectors, answers)
    if not taught.is_fitted:
        return at_random(vectors, answers, seed)
    left = _unanswered(vectors, answers)
    highest = np.sort(taught.scores[left], axis=1)[:, -2:]
    return _questions(left[np.argsort(highest[:, 1] - highest[:, 0], kind="stable")[:BATCH]])


def by_ask_me(vectors: UnitVectors, answers: Answers, seed: int) -> Questions:
    """Ask as the page does, a fifth of the questions at random."""
    return choose_questions(vectors, answers, teach(vectors, answers), n=BATCH, seed=seed)


ORDERS: dict[str, Order] = {"at random": at_random, "margin": by_margin, "**ask me**": by_ask_me}


def _unanswered(vectors: UnitVectors, answers: Answers) -> Rows:
    return np.setdiff1d(np.arange(len(vectors)), answers.rows)


def _questions(rows: Rows) -> Questions:
    return Questions(rows, np.zeros(len(rows), bool))


def answer_all(order: Order, vectors: Floats, labels: Strings, seed: int) -> list[float]:
    """Answer 200 questions, and return the accuracy on a third of the images at each mark.

    Nobody is asked about that third. The head is fitted on all answers, as the one that is kept is.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    n_test = round(TEST_SHARE * len(labels))
    test, pool = shuffled[:n_test], shuffled[n_test:]
    images, accuracies = UnitVectors.of(vectors[pool]), []
    answers = Answers(np.empty(0, np.int64), np.empty(0, object), np.empty(0, bool))
    while len(answers) < MARKS[-1]:
        questions = order(images, answers, seed)
        rows = np.concatenate([answers.rows, questions.rows])
        answers = Answers(rows, labels[pool][rows], np.concatenate([answers.is_held_out, questions.is_held_out]))
        if len(answers) in MARKS:
            accuracies.append(measure(vectors, labels, (pool[answers.rows], test)))
    return accuracies


def measure(vectors: Floats, labels: Strings, split: tuple[Rows, Rows]) -> float:
    """Fit on some rows and return the accuracy on others, in percent."""
    fitted, test = split
    both = np.concatenate([fitted, test])
    examples = Answers(np.arange(len(fitted)), labels[fitted], np.zeros(len(fitted), bool))
    taught = teach(UnitVectors.of(vectors[both]), examples)
    return float(100 * (taught.classes[taught.scores[len(fitted) :].argmax(axis=1)] == labels[test]).mean())


def rows_of_table(folder: Path) -> Iterator[list[str]]:
    """Yield a row for each set, backbone and order: means, standard deviations, and the mean gain on random order."""
    for name in SETS:
        for backbone in BACKBONES:
            table = embed(folder, name, backbone)
            vectors, labels = table.embeddings(), np.asarray(table.labels, object)
            base = None
            for title, order in ORDERS.items():
                accuracies = np.array([answer_all(order, vectors, labels, seed) for seed in SEEDS])
                base = accuracies if base is None else base
                yield [name, backbone, title, *_cells(accuracies, accuracies - base)]


def _cells(accuracies: Floats, gains: Floats) -> list[str]:
    columns = zip(accuracies.mean(axis=0), accuracies.std(axis=0), gains.mean(axis=0), strict=True)
    return [f"{mean:.1f} ± {spread:.1f}" + (f" ({gain:+.1f})" if gain else "") for mean, spread, gain in columns]


def main() -> None:
    """Print the table."""
    header = f"images | backbone | order | {' | '.join(f'{mark} answers' for mark in MARKS)}"
    with tempfile.TemporaryDirectory() as folder:
        show("teaching", header, rows_of_table(Path(folder)))


if __name__ == "__main__":
    main()
