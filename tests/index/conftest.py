"""Small tables of features for the tests of index/: clustered vectors with known ids, labels and one user column."""

import numpy as np
import pyarrow as pa
import pytest

from frieze.features import BackboneSpec, Manifest, Shard, open_features, open_writer, part_schema, to_part
from frieze.indexing import build_index, open_index

_PART_ROWS = 700


def _clustered(n_rows, dim=16, *, seed=0):
    """Vectors of low intrinsic dimension in clusters, as a backbone gives them; float32 [n_rows, dim]."""
    rng = np.random.default_rng(seed)
    centres, widen = rng.normal(size=(max(1, n_rows // 100), 6)), rng.normal(size=(6, dim))
    inner = centres[rng.integers(0, len(centres), n_rows)] + 0.4 * rng.normal(size=(n_rows, 6))
    return (np.tanh(inner @ widen) + 0.02 * rng.normal(size=(n_rows, dim))).astype(np.float32)


def _spec(dim=16, fingerprint="f" * 64):
    """A backbone's spec; another fingerprint is another backbone."""
    return BackboneSpec(name="test", handle="builtin", fingerprint=fingerprint, dim=dim, image_size=(8, 8))


def _write_table(path, embeddings, *, spec=None, names=None, columns=None, part_rows=_PART_ROWS):
    """Store embeddings as a table in parts of 700 rows and open it; row 7 of 100 is `c07/img-7.jpg`, labelled `c07`.

    `columns` takes the place of what `_columns` makes up, by name.
    """
    spec = spec or _spec(embeddings.shape[1])
    schema = part_schema(spec, [pa.field("camera", pa.string()), pa.field("iso", pa.float64())])
    names = names or [f"c{row % 10:02}/img-{row}.jpg" for row in range(len(embeddings))]
    with open_writer(path, Manifest(spec=spec, source="/photos")) as writer:
        for part, start in enumerate(range(0, len(embeddings), part_rows)):
            rows = range(start, min(start + part_rows, len(embeddings)))
            replaced = {name: values[rows.start : rows.stop] for name, values in (columns or {}).items()}
            made = _columns([names[row] for row in rows]) | replaced
            table = to_part(made, embeddings[rows.start : rows.stop], schema)
            writer.commit(Shard(part, np.arange(rows.start, rows.stop)), table)
    return open_features(path)


def _columns(names):
    return {
        "id": names,
        "uri": [f"/photos/{name}" for name in names],
        "label": [name.split("/")[0] for name in names],
        "sha256": ["0" * 64 for _ in names],
        "size_bytes": [1] * len(names),
        "mtime_ns": [2] * len(names),
        "width": [3] * len(names),
        "height": [4] * len(names),
        "camera": [f"camera of {name}" for name in names],
        "iso": [float("nan")] * len(names),
    }


@pytest.fixture(autouse=True, scope="session")
def brief_timing():
    """Rates are measured in a hundredth of a second: small tables tell nothing by more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("frieze.indexing.build.recall._RATED_S", 0.01)
        patch.setattr("frieze.indexing.build.recall._TIMED_MS", 10.0)
        yield


@pytest.fixture(scope="session")
def clustered():
    """`clustered(n_rows, dim=16, seed=0)`: vectors as a backbone gives them."""
    return _clustered


@pytest.fixture(scope="session")
def make_spec():
    """`make_spec(dim=16, fingerprint=...)`: a backbone's spec."""
    return _spec


@pytest.fixture(scope="session")
def write_table():
    """`write_table(path, embeddings, spec=None, names=None, columns=None, part_rows=700)`: stored and opened."""
    return _write_table


@pytest.fixture(scope="session")
def vectors():
    """2,000 clustered vectors of width 16, a zero vector and a pair of duplicates among them."""
    embeddings = _clustered(2_000)
    embeddings[5] = 0
    embeddings[1_500] = embeddings[30]
    return embeddings


@pytest.fixture(scope="session")
def queries(vectors):
    """100 queries like the stored images, none equal to one."""
    near = vectors[::20] + 0.05 * np.random.default_rng(1).normal(size=(100, 16))
    return near.astype(np.float32)


@pytest.fixture(scope="session")
def table(vectors, tmp_path_factory):
    """Those vectors, stored."""
    return _write_table(tmp_path_factory.mktemp("table") / "t.features", vectors)


@pytest.fixture
def small(tmp_path):
    """A stored table of 60 rows."""
    return _write_table(tmp_path / "small.features", _clustered(60, 8))


@pytest.fixture(scope="session")
def indexes(table, tmp_path_factory):
    """An index of the table for each kind and metric, built once: `indexes(kind, metric)`."""
    opened = {}

    def get(kind, metric="cosine"):
        if (kind, metric) not in opened:
            out = tmp_path_factory.mktemp("indexes") / f"{kind}-{metric}"
            build_index(table, out, kind=kind, metric=metric)
            opened[kind, metric] = open_index(out)
        return opened[kind, metric]

    return get
