"""Whose ranking of labels finds most of the wrong ones: `frieze audit`, cleanlab, or margins over a training?

Usage: FRIEZE_DATA=... python -m benchmarks.heads.label_noise [SET ...]   prints docs/benchmarks.md's table.

cleanlab is an optional contestant: pip install 'frieze[bench]'. It ranks by what it is told is best for it: the
out-of-fold probabilities of scikit-learn's `LogisticRegression`, with the C of the best out-of-fold accuracy. Margins
are those of a softmax head on the rows that it is trained on, the mean over its training (Pleiss et al. 2020,
Identifying Mislabeled Data using the Area Under the Margin Ranking).

Labels become wrong in three ways. `uniform`: rows drawn evenly get another class, drawn evenly. `confusion`: they get a
class that is often near theirs. `neighbourhood`: they get the class of their nearest image of another one. What is near
is told by another backbone than the one whose vectors are ranked.
"""

import functools
import importlib.util
import itertools
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

import frieze
from benchmarks import DATA
from benchmarks.heads.label_errors import PLAIN_COSTS, audit_ranking
from benchmarks.tables import show
from frieze.core import Floats, Rows, Strings, unit_rows
from frieze.features import Features, open_features

BACKBONES = ("mobilenet_v2_100_224", "mobilenet_v1_025_128")  # of the vectors that are ranked, and of the noise
SHARES, N_IMAGES, N_SEEDS = (0.05, 0.1, 0.2), 800, 1
N_STEPS, STEP = 100, 20.0  # of the training whose margins are averaged
N_NEAREST = 20
LEVEL = 0.01
"""Figures that differ by less are level: it is about what one seed differs from the next."""


def photographs(name: str, folder: Path) -> Path:
    """Return a folder with a sample of a set of photographs."""
    return link(folder / name, {file: file.parent.name for file in (DATA / "images" / name).glob("*/*.jpg")})


def animals(folder: Path) -> Path:
    """Return a folder with the animals of distill_pool, whose names begin with their class."""
    files = (DATA / "images/distill_pool").glob("animals20-*.jpg")
    return link(folder / "animals20", {file: file.name.split("-")[1] for file in files})


def cifar10(folder: Path) -> Path:
    """Return a folder with a sample of CIFAR-10's test set."""
    with tarfile.open(min((DATA / "images/cifar10_test_webdataset").glob("*.tar"))) as shard:
        shard.extractall(folder / "shard", filter="data")
    files = (folder / "shard").rglob("*.jpg")
    return link(folder / "cifar10", {file: file.with_suffix(".cls").read_text().strip() for file in files})


def link(folder: Path, classes: dict[Path, str]) -> Path:
    """Link a sample of files into a folder for each class."""
    files = sorted(classes)
    drawn = np.random.default_rng(0).choice(len(files), min(len(files), N_IMAGES), replace=False)
    for file in (files[row] for row in sorted(drawn)):
        (folder / classes[file]).mkdir(parents=True, exist_ok=True)
        (folder / classes[file] / file.name).symlink_to(file)
    return folder


SETS: dict[str, Callable[[Path], Path]] = {
    "flowers5_128": functools.partial(photographs, "flowers5_128"),
    "imagenette_val": functools.partial(photographs, "imagenette_val"),
    "cifar10": cifar10,
    "animals20": animals,
}


def embed(images: Path, out: Path, backbone: str) -> Features:
    """Embed images by a backbone of the data folder."""
    frieze.embed(images, out=out, backbone=str(DATA / "backbones" / backbone / "saved_model"))
    return open_features(out)


def neighbours(vectors: Floats) -> Floats:
    """Return the cosines [N, N] of unit vectors, -1 of each with itself."""
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -1)
    return scores


def uniform(_scores: Floats, codes: Rows, rows: Rows, rng: np.random.Generator) -> Rows:
    """Return another class for each of some rows, drawn evenly."""
    n_classes = int(codes.max()) + 1
    return (codes[rows] + rng.integers(1, n_classes, len(rows))) % n_classes


def confusion(scores: Floats, codes: Rows, rows: Rows, rng: np.random.Generator) -> Rows:
    """Return another class for each of some rows, drawn as often as its images are near those of their class."""
    n_classes = int(codes.max()) + 1
    nearest = codes[np.argpartition(-scores, N_NEAREST, axis=1)[:, :N_NEAREST]]
    counts = np.ones((n_classes, n_classes))
    np.add.at(counts, (np.repeat(codes, N_NEAREST), nearest.ravel()), 1)
    np.fill_diagonal(counts, 0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return np.array([rng.choice(n_classes, p=shares[code]) for code in codes[rows]])


def neighbourhood(scores: Floats, codes: Rows, rows: Rows, _rng: np.random.Generator) -> Rows:
    """Return for each of some rows the class of its nearest image of another one."""
    others = np.where(codes[rows][:, None] == codes, -1, scores[rows])
    nearest: Rows = codes[others.argmax(axis=1)]
    return nearest


KINDS = {"uniform": uniform, "confusion": confusion, "neighbourhood": neighbourhood}


def out_of_fold(vectors: Floats, codes: Rows) -> Floats:
    """Return scikit-learn's out-of-fold probabilities [N, C], with the C that is right most often."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    tried = [
        cross_val_predict(LogisticRegression(C=cost, max_iter=1000), vectors, codes, cv=folds, method="predict_proba")
        for cost in PLAIN_COSTS
    ]
    best: Floats = max(tried, key=lambda probabilities: (probabilities.argmax(axis=1) == codes).mean())
    return best


def mean_margins(vectors: Floats, codes: Rows) -> Floats:
    """Return the mean over a training of how much likelier each label is than the best other one, [N]."""
    each, one_hot = np.arange(len(codes)), np.eye(int(codes.max()) + 1, dtype=np.float32)[codes]
    weights, margins = np.zeros((vectors.shape[1], one_hot.shape[1]), np.float32), np.zeros(len(codes))
    for _ in range(N_STEPS):
        logits = vectors @ weights
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponents / exponents.sum(axis=1, keepdims=True)
        margins += probabilities[each, codes] - np.where(one_hot > 0, 0, probabilities).max(axis=1)
        weights -= STEP * vectors.T @ (probabilities - one_hot) / len(codes)
    return margins


def peer_scores(vectors: Floats, codes: Rows) -> dict[str, Floats]:
    """Return what each peer thinks of each label, the lowest first to be looked at."""
    scores = {"margins": mean_margins(vectors, codes)}
    if importlib.util.find_spec("cleanlab") is not None:
        from cleanlab.rank import get_label_quality_scores

        probabilities = out_of_fold(vectors, codes)
        for method in ("self_confidence", "normalized_margin"):
            label = f"cleanlab, {method.replace('_', ' ')}"
            scores[label] = get_label_quality_scores(codes, probabilities, method=method)
    return scores


def measure(ranked: Rows, is_wrong: np.ndarray) -> tuple[float, float]:
    """Return the average precision of a ranking, and the precision of as many of the first as are wrong in all."""
    hits = is_wrong[ranked]
    precision = hits.cumsum() / np.arange(1, len(hits) + 1)
    n_wrong = int(is_wrong.sum())
    return float(precision[hits].sum() / n_wrong), float(hits[:n_wrong].mean())


def audited(table: Features, labels: Strings, folder: Path, rng: np.random.Generator) -> Rows:
    """Return all rows, first those that `frieze audit` lists, in its order, then the others by chance."""
    rows = {name: row for row, name in enumerate(table.ids)}
    listed = [rows[name] for name in audit_ranking(table, labels, folder)]
    return np.array([*listed, *rng.permutation(sorted(set(rows.values()) - set(listed)))], np.int64)


def figures(table: Features, scores: Floats, kind: str, share: float, seed: int) -> dict[str, tuple[float, float]]:
    """Make a share of the labels wrong; return each contestant's figures."""
    classes, codes = np.unique(table.labels.astype(str), return_inverse=True)
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(codes), round(share * len(codes)), replace=False)
    given = codes.copy()
    given[rows] = KINDS[kind](scores, codes, rows, rng)
    is_wrong = given != codes
    with tempfile.TemporaryDirectory() as folder:
        rankings = {"frieze": audited(table, classes[given].astype(object), Path(folder), rng)}
    for label, quality in peer_scores(unit_rows(table.embeddings()), given).items():
        rankings[label] = np.argsort(quality, kind="stable")
    return {label: measure(ranked, is_wrong) for label, ranked in rankings.items()}


def measured(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, str, float, dict[str, Floats]]]:
    """Yield the mean figures of each set, kind of noise and share."""
    for name in names:
        images = SETS[name](folder)
        table, other = (embed(images, folder / f"{name}-{backbone}.features", backbone) for backbone in BACKBONES)
        scores = neighbours(unit_rows(other.embeddings()))
        for kind, share in itertools.product(KINDS, SHARES):
            runs = [figures(table, scores, kind, share, seed) for seed in range(N_SEEDS)]
            yield name, kind, share, {label: np.mean([run[label] for run in runs], axis=0) for label in runs[0]}


def rows(folder: Path, names: Sequence[str]) -> Iterator[list[object]]:
    """Yield a row for each cell, then in how many of them we are ahead of each peer, level and behind."""
    ahead: dict[str, list[float]] = {}
    for name, kind, share, means in measured(folder, names):
        ours, *peers = means.values()
        for label, theirs in zip(list(means)[1:], peers, strict=True):
            ahead.setdefault(label, []).extend((ours - theirs).tolist())
        yield [name, kind, f"{share:.0%}", *(f"{ap:.3f} / {at_n:.3f}" for ap, at_n in means.values())]
    counts = [
        f"{sum(gain > LEVEL for gain in gains)} / {sum(abs(gain) <= LEVEL for gain in gains)} / "
        f"{sum(gain < -LEVEL for gain in gains)}"
        for gains in ahead.values()
    ]
    yield [f"ahead / level, by {LEVEL:g} at most / behind", "", "", "", *counts]


def main() -> None:
    """Print the table."""
    has_cleanlab = importlib.util.find_spec("cleanlab") is not None
    peers = ["margins", *(["cleanlab, self confidence", "cleanlab, normalized margin"] if has_cleanlab else [])]
    with tempfile.TemporaryDirectory(prefix="frieze-noise-") as folder:
        header = " | ".join(["images", "wrong labels", "share", "**`frieze audit`**", *peers])
        show("audit noise", header, rows(Path(folder), sys.argv[1:] or list(SETS)))


if __name__ == "__main__":
    main()
