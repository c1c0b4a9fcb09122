import json
import subprocess
import sys

import numpy as np
import pytest

from frieze.classifiers.registry import HEADS
from frieze.classifiers.training import fit
from frieze.classifiers.training.fit import MemoryBudget
from frieze.core import parse_size
from frieze.features import VectorOptions, import_vectors

MB = 10**6
_TRAIN = """
import json, sys
import frieze
told = frieze.train(sys.argv[1], out=sys.argv[2], head=sys.argv[3], max_memory=sys.argv[4])
print(json.dumps([told["peak_memory_bytes"], told["accuracy"], told["notes"]]))
"""


@pytest.fixture
def budget(monkeypatch):
    """Return a budget of a process that takes 200 MB now, for 300,000 rows of 10 classes."""
    monkeypatch.setattr(fit, "resident_memory", lambda: 200 * MB)
    return lambda size, head: MemoryBudget.of(size, HEADS[head], n_rows=300_000, n_classes=10)


def test_memory_of_the_process_counts(budget):
    """Rows get what libraries, ids, labels and predictions leave: of 1 GB, with a copy for a fold."""
    taken = 200 * MB + 150 * MB + 4 * 4 * 10 * 100_000
    assert budget(1000 * MB, "linear").taken_bytes == taken
    assert budget(1000 * MB, "linear").most_rows(128) == (1000 * MB - taken) // (2 * 128 * 4)
    assert budget(100 * MB, "linear").most_rows(128) == 0
    assert budget(None, "linear").most_rows(128) is None


@pytest.mark.parametrize("head", HEADS)
def test_the_size_that_is_named_is_enough(budget, head):
    """With the size that a refusal names so many rows may lie in memory, and no row more than that."""
    needed = budget(None, head).count(10_000, 64)
    assert budget(needed, head).most_rows(64) == 10_000


def test_a_limit_that_is_too_low_is_noted(budget):
    """A size below what the process takes without embeddings is told with both figures."""
    assert budget(None, "linear").notes == budget(370 * MB, "linear").notes == []
    note = "--max-memory 300MB is less than the process takes without embeddings, about 366MB: "
    assert budget(300 * MB, "linear").notes == [note + "libraries, ids, labels and predictions."]
    assert budget(370 * MB, "keras").notes  # TensorFlow is still to come


def _peak(table, out, head, size):
    command = [sys.executable, "-c", _TRAIN, table, out, head, size]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A table whose embeddings take 102 MB."""
    folder, generator = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    labels = generator.integers(0, 4, 200_000)
    rows = generator.standard_normal((len(labels), 128), np.float32) + 2 * np.eye(4, 128, dtype=np.float32)[labels]
    _write(folder / "v.parquet", rows, labels)
    import_vectors(folder / "v.parquet", folder / "t", options=VectorOptions())
    return folder / "t"


@pytest.mark.slow
@pytest.mark.parametrize(("head", "size"), [("prototype", "440MB"), ("prototype", "900MB"), ("ridge", "900MB")])
def test_training_keeps_to_its_memory(head, size, large, tmp_path):
    """The whole process takes no more than it was given, rows in memory or in passes."""
    peak, accuracy, notes = _peak(large, tmp_path / "head", head, size)
    assert peak <= parse_size(size)
    assert accuracy > 0.8
    assert len(notes) == (size == "440MB")  # read in passes


def _write(path, rows, labels):
    import pyarrow as pa
    import pyarrow.parquet as pq

    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    ids = [f"folder/{row:08d}.jpg" for row in range(len(rows))]
    pq.write_table(pa.table({"id": ids, "label": [str(label) for label in labels], "embedding": vectors}), path)
