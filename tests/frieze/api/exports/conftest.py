"""A table with whatever columns may hold, without images."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import frieze

N_PLAIN = 40


@pytest.fixture(scope="session")
def odd_table(tmp_path_factory):
    """Forty-four rows of width 3. The first four have names that are not ASCII, a list, a date, nulls, and more."""
    folder = tmp_path_factory.mktemp("odd")
    plain = [None] * N_PLAIN
    vectors = np.random.default_rng(0).normal(size=(4 + N_PLAIN, 3)) + [[2, 0, 0], [-2, 0, 0]] * (2 + N_PLAIN // 2)
    columns = {
        "id": ["Bär.jpg", "=SUM(A1)", 'c,"d".jpg', "-5", *map(str, range(N_PLAIN))],
        "label": ["bär", None, "owl", "owl", *["bär", "owl"] * (N_PLAIN // 2)],
        "embedding": vectors.astype("f4").tolist(),
        "labels": [["a", "b"], [], None, ["c"], *plain],
        "prediction": ["mine", "my own", None, "+49 30", *plain],
        "taken": pa.array([0, 86_400_000_000, None, 5, *plain], pa.timestamp("us")),
        "year": [2019, None, 2021, 2022, *plain],
    }
    pq.write_table(pa.table(columns), folder / "odd.parquet")
    frieze.import_vectors(folder / "odd.parquet", out=folder / "odd.features")
    return folder / "odd.features"


@pytest.fixture(scope="session")
def odd_head(odd_table):
    """A head of the odd table, on which it abstains."""
    frieze.train(odd_table, out=odd_table.parent / "odd.head", abstain=0.9)
    return odd_table.parent / "odd.head"
