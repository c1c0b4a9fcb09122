"""Time and memory of fitting linear heads, beside scikit-learn.

Usage: FRIEZE_DATA=folder python -m benchmarks.heads.solver [PASSAGE ...]   prints the tables of docs/benchmarks.md.

Passages: clustered (some minutes), real, memory (writes and removes 2 GB). The clustered rows: three clusters a class;
centres and noise have a standard deviation of 1 / sqrt(k) along axis k, the noise four times that of the centres; all
are moved by one offset, then scaled to unit length; seed 0.
"""

import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.embedding.accuracy import embed as embed_set
from benchmarks.tables import show
from frieze.classifiers import fit_linear, fit_path
from frieze.core import Floats, Rows, unit_rows

COSTS = np.geomspace(0.1, 1000, 10)
HINGE_COST = 1
NOISE, CLUSTERS = 4, 3
BACKBONE = "mobilenet_v1_025_128"
TEST_SHARE = 5  # one row in five
IN_MEMORY, OUT_OF_CORE = (100_000, 1024), (1_000_000, 512)
N_CLASSES = 100
BLOCK_ROWS = 50_000


class Clusters:
    """A generator of clustered rows; equal seeds and widths have equal centres."""

    def __init__(self, width: int, n_classes: int, seed: int = 0) -> None:
        self._generator = np.random.default_rng(seed)
        self._scale = (np.arange(1, width + 1) ** -0.5).astype(np.float32)
        self._n_classes = n_classes
        self._centres = self._normal(CLUSTERS * n_classes) + 2 * self._normal(1)

    def _normal(self, n_rows: int) -> Floats:
        drawn = self._generator.standard_normal((n_rows, len(self._scale)), dtype=np.float32)
        drawn *= self._scale
        return drawn

    def draw(self, n_rows: int) -> tuple[Floats, Rows]:
        """Return embeddings float32 [n, D] and class codes."""
        clusters = self._generator.integers(0, len(self._centres), n_rows)
        embeddings = self._normal(n_rows)
        embeddings *= NOISE
        embeddings += self._centres[clusters]
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings, clusters % self._n_classes


@dataclasses.dataclass
class Split:
    """Rows to fit and rows to score."""

    train: tuple[Floats, Rows]
    test: tuple[Floats, Rows]

    @property
    def n_classes(self) -> int:
        """C."""
        return int(self.train[1].max()) + 1

    def accuracy(self, solution: Any) -> float:
        """Return one of our solutions' accuracy on the test rows."""
        embeddings, codes = self.test
        return float(((embeddings @ solution.coef.T + solution.intercept).argmax(axis=1) == codes).mean())


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a call's result and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def sweep(split: Split) -> tuple[list[object], float, float]:
    """Fit softmax at ten costs; return the table's row, the best cost, and the seconds."""
    solutions, seconds = timed(lambda: list(fit_path([split.train], "softmax", costs=COSTS, n_classes=split.n_classes)))
    scores = [split.accuracy(solution) for solution in solutions]
    best = int(np.argmax(scores))
    return [f"softmax, {len(COSTS)} costs", f"best {COSTS[best]:.3g}", seconds, scores[best]], COSTS[best], seconds


def compare(name: str, split: Split) -> Iterator[list[object]]:
    """Yield the rows of one set: ours, then scikit-learn's; the last cell is its time as a multiple of ours."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    hinge, hinge_s = timed(
        lambda: fit_linear([split.train], "squared_hinge", cost=HINGE_COST, n_classes=split.n_classes)
    )
    yield [name, "squared hinge", HINGE_COST, hinge_s, split.accuracy(hinge), 1.0]
    row, cost, sweep_s = sweep(split)
    yield [name, *row, 1.0]
    model, seconds = timed(lambda: LogisticRegression(C=cost, max_iter=10_000).fit(*split.train))
    yield [name, "LogisticRegression", f"{cost:.3g}", seconds, model.score(*split.test), seconds / sweep_s]
    model, seconds = timed(lambda: SVC(kernel="linear", C=HINGE_COST).fit(*split.train))
    yield [name, "SVC(linear)", HINGE_COST, seconds, model.score(*split.test), seconds / hinge_s]


HEADER = "rows | what | C | seconds | accuracy | times ours"


def clustered() -> None:
    """Print the comparison on clustered rows."""
    clusters = Clusters(1024, N_CLASSES)
    split = Split(clusters.draw(20_000), clusters.draw(5_000))
    show("heads clustered", HEADER, compare("clustered, 20,000 x 1024, 100 classes", split))


def real() -> None:
    """Print the comparison on photographs, embedded by a small backbone; one row in five is held out."""
    with tempfile.TemporaryDirectory() as folder:
        sets = {"flowers5_128": "flowers5_128", "cifar10_test": "cifar10_test_webdataset"}
        rows = [row for name, images in sets.items() for row in compare(name, _split(Path(folder), images))]
    show("heads real", HEADER, rows)


def _split(folder: Path, images: str) -> Split:
    table = embed_set(folder, images, BACKBONE)
    codes = np.unique(table.labels.astype(str), return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(codes))
    embeddings, codes = unit_rows(table.embeddings())[order], codes[order]
    n_test = len(codes) // TEST_SHARE
    return Split((embeddings[n_test:], codes[n_test:]), (embeddings[:n_test], codes[:n_test]))


def memory() -> None:
    """Print peak memory and seconds; each fit is a separate process."""
    rows = [_measured(name, loss) for name in MEASURED for loss in ("squared_hinge", "softmax")]
    note = "The peak is what the process takes beyond its start, the rows in memory included."
    show("heads memory", "rows | loss | rows, MB | peak, MB | times the rows | steps | seconds", rows, note)


def _measured(*arguments: str) -> list[object]:
    command = [sys.executable, "-m", __spec__.name, "measure", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row: list[object] = json.loads(done.stdout)
    return row


def peak_mb() -> float:
    """Return this process's peak memory in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(name: str, loss: str) -> None:
    """Fit once in this process and print the row as JSON."""
    n_rows, width = MEASURED[name][0]
    with tempfile.TemporaryDirectory(prefix="frieze-heads-") as folder:
        start_mb = peak_mb()
        blocks = MEASURED[name][1](Path(folder), n_rows, width)
        solution, seconds = timed(lambda: fit_linear(blocks, loss, cost=HINGE_COST, n_classes=N_CLASSES))
    rows_mb, most_mb = n_rows * width * 4 / 2**20, peak_mb() - start_mb
    label = f"{n_rows:,} x {width} {name}"
    print(json.dumps([label, loss, round(rows_mb), round(most_mb), most_mb / rows_mb, solution.n_iterations, seconds]))


def _in_memory(_: Path, n_rows: int, width: int) -> list[tuple[Floats, Rows]]:
    clusters = Clusters(width, N_CLASSES)
    embeddings, codes = np.empty((n_rows, width), np.float32), np.empty(n_rows, np.int64)
    for start in range(0, n_rows, BLOCK_ROWS // 10):
        part = slice(start, start + BLOCK_ROWS // 10)
        embeddings[part], codes[part] = clusters.draw(BLOCK_ROWS // 10)
    return [(embeddings, codes)]


class _Stored:
    """Clustered rows in a file, read in blocks."""

    def __init__(self, folder: Path, n_rows: int, width: int) -> None:
        self._path, self._width, self._codes = folder / "rows", width, []
        clusters = Clusters(width, N_CLASSES)
        with self._path.open("wb") as file:
            for _ in range(n_rows // BLOCK_ROWS):
                embeddings, codes = clusters.draw(BLOCK_ROWS)
                embeddings.tofile(file)
                self._codes.append(codes)

    def __iter__(self) -> Iterator[tuple[Floats, Rows]]:
        with self._path.open("rb") as file:
            for codes in self._codes:
                rows = np.fromfile(file, np.float32, len(codes) * self._width)
                yield rows.reshape(len(codes), self._width), codes


MEASURED: dict[str, tuple[tuple[int, int], Callable[[Path, int, int], Any]]] = {
    "in memory": (IN_MEMORY, _in_memory),
    "from a file": (OUT_OF_CORE, _Stored),
}
PASSAGES = {"clustered": clustered, "real": real, "memory": memory}


def main() -> None:
    """Run the passages named on the command line, or all."""
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:])
        return
    for name in sys.argv[1:] or PASSAGES:
        PASSAGES[name]()


if __name__ == "__main__":
    main()
