import shutil
from pathlib import Path

import numpy as np
import pytest

from frieze.classifiers import HEADS, HeadConfig, train_head
from frieze.classifiers.data.splits import split_rows
from frieze.classifiers.training.fit import fit_head
from frieze.core import unit_rows
from frieze.features import BackboneSpec, Manifest, Shard, open_features, open_writer, part_schema, to_part

DIM = 8
CLASSES = ["ant", "bee", "cow"]


def draw_points(*, noise, n=20, seed=0):
    """Draw n rows around each of three corners of a cube: ids, labels, embeddings [3n, 8]."""
    generator = np.random.default_rng(seed)
    codes = np.repeat(np.arange(3), n)
    embeddings = np.eye(DIM, dtype="f4")[codes] + noise * generator.normal(size=(3 * n, DIM)).astype("f4")
    ids = [f"{CLASSES[code]}/{row:03d}.jpg" for row, code in enumerate(codes)]
    return ids, [CLASSES[code] for code in codes], embeddings


def write_table(path, ids, labels, embeddings, *, shard_size=1000, **options):
    """Write a table of features and open it; options are sha256 of the rows and the fingerprint."""
    fingerprint, sha256 = options.get("fingerprint", "f" * 64), options.get("sha256")
    spec = BackboneSpec(
        name="cube", handle="builtin", fingerprint=fingerprint, dim=embeddings.shape[1], image_size=(8, 8)
    )
    numbers = dict.fromkeys(("size_bytes", "mtime_ns", "width", "height"), [1] * len(ids))
    columns = {"id": ids, "uri": [f"/pictures/{name}" for name in ids], "label": labels}
    columns |= {"sha256": sha256 or [f"hash of {name}" for name in ids], **numbers}
    with open_writer(path, Manifest(spec=spec, source="/pictures")) as writer:
        rows = to_part(columns, embeddings, part_schema(spec))
        for part, start in enumerate(range(0, max(1, len(rows)), shard_size)):
            block = rows.slice(start, shard_size)
            writer.commit(Shard(part, np.arange(len(block))), block)
    return open_features(path)


@pytest.fixture(scope="session")
def points():
    """A function that draws the columns of a table: ids, labels, embeddings."""
    return draw_points


@pytest.fixture
def table(tmp_path):
    """A function that writes a table of features below tmp_path."""
    return lambda *columns, name="new.features", **options: write_table(tmp_path / name, *columns, **options)


@pytest.fixture(scope="session")
def separable(tmp_path_factory):
    """60 rows of three classes that no line mistakes."""
    return write_table(tmp_path_factory.mktemp("separable") / "a.features", *draw_points(noise=0.1))


@pytest.fixture(scope="session")
def overlapping(tmp_path_factory):
    """150 rows of three classes that overlap."""
    return write_table(tmp_path_factory.mktemp("overlapping") / "a.features", *draw_points(noise=0.4, n=50))


class Trained:
    """One head of each kind, each trained once for all tests when it is first asked for."""

    def __init__(self, folder, features):
        self.features = features
        self.results = {}
        self._folder = folder
        self._refitted = {}

    def __getitem__(self, head):
        path = self._folder / head
        if head not in self.results:
            self.results[head] = train_head(self.features, path, config=HeadConfig(head))
        return path

    def refitted(self, head):
        """The same head fitted once more, never stored."""
        if head not in self._refitted:
            train, _ = split_rows(self.features.labels, test_size=0.2, seed=0)
            embeddings, labels = unit_rows(self.features.embeddings()), self.features.labels
            self._refitted[head], _ = fit_head(HeadConfig(head), embeddings[train], labels[train])
        return self._refitted[head]


@pytest.fixture(scope="session")
def trained(separable, tmp_path_factory):
    """The folder of each kind of head, trained on the separable table; not to be changed."""
    return Trained(tmp_path_factory.mktemp("heads"), separable)


@pytest.fixture(scope="session")
def doubtful(overlapping, tmp_path_factory):
    """The folder of each kind of head, trained on the overlapping table; not to be changed."""
    return Trained(tmp_path_factory.mktemp("doubtful"), overlapping)


@pytest.fixture
def copied(trained, tmp_path):
    """A function that copies a trained head, for tests that spoil it."""
    return lambda head: Path(shutil.copytree(trained[head], tmp_path / "copied"))


@pytest.fixture(params=HEADS)
def head(request):
    """Each kind of head in turn."""
    return request.param
