"""How well images of one label find each other: mean average precision, R-precision and precision at k."""

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.classifiers.data.embedding_rows import EmbeddingRows
from frieze.classifiers.data.labelled_examples import labelled_rows
from frieze.classifiers.data.source_groups import join_groups, number_wholes
from frieze.core import Floats, InputError, Rows
from frieze.features import Features

CUTS = (1, 5, 10)
"""The numbers of nearest images whose precision is measured."""
_ALL_UP_TO = 10_000  # labelled images of which all are queries
_MOST_QUERIES = 2_000  # of more
_BLOCK_FLOATS = 1 << 25  # scores held at once: 128 MB
_N_RESAMPLES = 1_000
_FEWEST_FILES = 5
_FIGURES = ("map", "r_precision", *(f"precision_at_{k}" for k in CUTS))

Mask = npt.NDArray[np.bool_]
Figures = npt.NDArray[np.float64]


def evaluate_retrieval(features: Features, *, seed: int = 0) -> dict[str, Any]:
    """Measure by cosine how well each labelled image finds the others of its label.

    Each query ranks all other labelled images, but for files of equal bytes and other frames or parts of its own file
    or image, which say nothing about the embedding. Images that have no other of their label left are no queries. Every
    score is computed; no index has a part in it.

    Args:
        features: The table.
        seed: Of the draw of 2,000 queries where there are more than 10,000 labelled images.

    Returns:
        `map`, `r_precision`, `precision_at_1`, `precision_at_5` and `precision_at_10`, means over the queries, each
        with its 95 % interval (`map_interval` ...) by the bootstrap over queries, None of too few; `per_class`, the
        same of each; `chance` (the precision of a random order), `n_queries`, `n_alone` (images without another of
        their label), `rows` (labelled images), `n_unlabelled`, `classes`, `metric` and `seconds`.

    Raises:
        InputError: No row has a label, or no label has two images.

    Source: Manning, Raghavan & Schuetze 2008, Introduction to Information Retrieval, section 8.4.
    """
    started = time.perf_counter()
    examples = labelled_rows(features.rows, maker=features.manifest.maker)
    classes, codes = np.unique(examples.labels.astype(str), return_inverse=True)
    relatives = _number_relatives(features, examples.rows)
    n_relevant = _count_others(codes, relatives)
    rows = EmbeddingRows(features, examples.rows)
    queries = np.flatnonzero(n_relevant)
    if not len(queries):
        raise InputError(
            f"No label of {features.path} has two different images, so that none can find another.",
            hint="Name another column with `label`, or label more images.",
        )
    generator = np.random.default_rng(seed)
    n_drawn = len(queries) if len(rows) <= _ALL_UP_TO else _MOST_QUERIES
    drawn = np.sort(generator.permutation(queries)[:n_drawn])
    figures = _score_queries(rows, codes, relatives, drawn)
    n_others = len(rows) - np.bincount(relatives)[relatives[drawn]]
    return {
        **_summarize(figures, relatives[drawn], generator),
        "chance": float((n_relevant[drawn] / n_others).mean()),
        "per_class": [
            {"class": str(classes[code]), "n_queries": int((codes[drawn] == code).sum())}
            | _summarize(figures[codes[drawn] == code], relatives[drawn][codes[drawn] == code], generator)
            for code in np.unique(codes[drawn]).tolist()
        ],
        "classes": classes.tolist(),
        "metric": "cosine",
        "rows": len(rows),
        "n_queries": len(drawn),
        "n_alone": len(rows) - len(queries),
        "n_unlabelled": len(features) - len(rows),
        "seconds": time.perf_counter() - started,
    }


def _number_relatives(features: Features, rows: Rows) -> Rows:
    """Number files, int64 [n]: rows of equal bytes, or of one file or image, have the same number."""
    table = features.rows.take(rows)
    digests = np.array([digest or f"row {row}" for row, digest in enumerate(table["sha256"].to_pylist())])
    _, equal = np.unique(digests, return_inverse=True)
    joined = join_groups(equal.astype(np.int64), number_wholes(table))
    return np.unique(joined, return_inverse=True)[1].astype(np.int64)


def _count_others(codes: Rows, relatives: Rows) -> Rows:
    """Count for each row the others of its class that are no relatives of it: int64 [N]."""
    pairs = codes.astype(np.int64) * (relatives.max() + 1) + relatives
    _, number, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    others: Rows = np.bincount(codes)[codes] - counts[number]
    return others


def _score_queries(rows: EmbeddingRows, codes: Rows, relatives: Rows, queries: Rows) -> Figures:
    """Compute the figures of each query, float64 [Q, F]; the table is read once for each block of queries."""
    n_rows, step = len(rows), max(1, _BLOCK_FLOATS // len(rows))
    figures = np.empty((len(queries), len(_FIGURES)))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        vectors, scores = rows[block].read(), np.empty((len(block), n_rows), np.float32)
        for embeddings, positions in rows:
            scores[:, positions] = vectors @ embeddings.T
        for number, query in enumerate(block.tolist()):
            is_other = relatives != relatives[query]
            figures[start + number] = rank_figures(scores[number, is_other], (codes == codes[query])[is_other])
    return figures


def rank_figures(scores: Floats, is_relevant: Mask) -> Figures:
    """Compute average precision, R-precision and the precisions at `CUTS` of one ranking.

    Of equal scores no order is better than another: average precision counts them as one step, as scikit-learn does,
    and the precisions are the mean over all their orders.

    Args:
        scores: float32 [n].
        is_relevant: bool [n], with one or more that are true.

    Returns:
        float64 [F], each in [0, 1]; a cut beyond n is at n.

    >>> rank_figures(np.array([.9, .8, .7, .6], "f4"), np.array([True, False, True, False])).round(3).tolist()
    [0.833, 0.5, 1.0, 0.5, 0.5]
    """
    ordered, relevant = np.sort(scores), np.sort(scores[is_relevant])
    n, n_relevant = len(ordered), len(relevant)
    n_above = n - np.searchsorted(ordered, relevant)  # with a score as high or higher
    n_relevant_above = n_relevant - np.searchsorted(relevant, relevant)
    cuts = [min(k, n) for k in (n_relevant, *CUTS)]
    return np.array([(n_relevant_above / n_above).mean(), *(_precision(ordered, relevant, k) for k in cuts)])


def _precision(ordered: Floats, relevant: Floats, k: int) -> float:
    """Compute the share of relevant ones among the k highest of scores in ascending order."""
    last = ordered[len(ordered) - k]
    n_higher, n_equal = _count(ordered, last)
    n_relevant_higher, n_relevant_equal = _count(relevant, last)
    return float((n_relevant_higher + (k - n_higher) * n_relevant_equal / n_equal) / k)


def _count(ordered: Floats, score: np.float32) -> tuple[int, int]:
    """Count the scores above one, and those equal to it."""
    first, end = np.searchsorted(ordered, score), np.searchsorted(ordered, score, side="right")
    return len(ordered) - int(end), int(end - first)


def _summarize(figures: Figures, relatives: Rows, generator: np.random.Generator) -> dict[str, Any]:
    """Return the means of figures [Q, F] with their 95 % intervals, None where they are of fewer than five files.

    Files are drawn anew, not queries: those of equal files, or of one file or image, find much the same.

    Args:
        figures: Of each query.
        relatives: int64 [Q], equal for queries of equal files, or of one.
        generator: Draws.

    Source: Efron 1979, Bootstrap Methods (percentiles).
    """
    numbers = np.unique(relatives, return_inverse=True)[1]
    n_files = int(numbers.max()) + 1
    sums = np.zeros((n_files, figures.shape[1] + 1))
    np.add.at(sums, numbers, np.column_stack([figures, np.ones(len(figures))]))
    drawn = generator.multinomial(n_files, np.full(n_files, 1 / n_files), size=_N_RESAMPLES) @ sums
    ends = np.percentile(drawn[:, :-1] / drawn[:, -1:], [2.5, 97.5], axis=0).T
    intervals = ends.tolist() if n_files >= _FEWEST_FILES else [None] * len(_FIGURES)
    named = zip(_FIGURES, figures.mean(axis=0).tolist(), intervals, strict=True)
    return {key: value for name, mean, two in named for key, value in ((name, mean), (f"{name}_interval", two))}
