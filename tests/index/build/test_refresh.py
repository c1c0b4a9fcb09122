import shutil

import numpy as np
import pytest

from frieze.features import top_k
from frieze.indexing import KINDS, build_index, open_index
from frieze.indexing.build import refresh
from frieze.indexing.build.refresh import count_changes

LEARNT = [kind for kind in KINDS if kind != "exact"]


@pytest.fixture
def change(tmp_path, clustered, write_table):
    """`change(rows, added=0, replaced=0)`: write the table again with so many images, some new, some replaced."""

    def make(keep, *, added=0, replaced=0):
        path = tmp_path / "t.features"
        shutil.rmtree(path, ignore_errors=True)
        embeddings = np.vstack([clustered(2_000), clustered(2_000, seed=3)])
        rows = [*range(2_000 - keep, 2_000), *range(2_000, 2_000 + added)]
        embeddings[2_000 - keep : 2_000 - keep + replaced] = clustered(2_000, seed=5)[:replaced]
        return write_table(path, embeddings[rows], names=[f"{row}.jpg" for row in rows])

    return make


@pytest.mark.parametrize("kind", LEARNT)
def test_answers_are_current(kind, change, tmp_path):
    """After images were added, removed and replaced, an index answers from the current table only."""
    build_index(change(2_000), tmp_path / "i", kind=kind)
    today = change(1_500, added=400, replaced=50)
    document = build_index(today, tmp_path / "i", kind=kind)
    assert "refreshed without retraining" in document["why"]
    embeddings = today.embeddings()
    _, exact = top_k(embeddings[::10], embeddings, k=10)
    ids, scores = open_index(tmp_path / "i").top_k(embeddings[::10], 10)
    assert set(ids.ravel()) <= set(today.ids)
    assert (scores >= exact[:, -1:] - 1e-5).mean() >= KINDS[kind].floor


def test_nothing_is_retrained(change, tmp_path, monkeypatch):
    """A refresh adds rows to the trained index; nothing is trained or tried again."""
    build_index(change(2_000), tmp_path / "i", kind="pq")
    monkeypatch.setattr("frieze.indexing.build.build.choose", None)
    assert build_index(change(1_900), tmp_path / "i", kind="pq")["rows"] == 1_900


def test_changes_are_counted(change, tmp_path):
    """The images that were added, removed and replaced are reported."""
    build_index(change(2_000), tmp_path / "i", kind="ivf")
    document = build_index(change(1_990, added=25), tmp_path / "i", kind="ivf")
    assert document["changes"] == {"added": 25, "removed": 10, "replaced": 0}
    assert build_index(change(1_990, added=25), tmp_path / "j")["changes"] is None


def test_other_bytes_are_a_replacement(change, tmp_path, write_table):
    """An image of the same name and other bytes is counted as replaced."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, digest in (("a", "1"), ("b", "2")):
        pq.write_table(pa.table({"id": ["x", "y"], "sha256": ["0", digest]}), tmp_path / name)
    assert count_changes(tmp_path / "a", tmp_path / "b") == {"added": 0, "removed": 0, "replaced": 1}


def test_tuned_again_where_recall_dropped(change, tmp_path, monkeypatch):
    """Where the old search parameters miss the target with the current rows, the index is tuned again."""
    build_index(change(2_000), tmp_path / "i", kind="ivf")
    real, calls = refresh.tune, []
    monkeypatch.setattr(refresh, "meets_target", lambda *_: False)
    monkeypatch.setattr(refresh, "tune", lambda *args, **named: calls.append(1) or real(*args, **named))
    assert build_index(change(1_900), tmp_path / "i", kind="ivf")["recall_at_10"] >= 0.95
    assert calls == [1]


@pytest.mark.parametrize(("keep", "added"), [(900, 0), (2_000, 2_000)])
def test_another_size_is_retrained(keep, added, change, tmp_path, monkeypatch):
    """A collection of less than half or more than twice the trained rows is built again."""
    monkeypatch.setattr(refresh, "_MAX_GROWTH", 1.9)
    build_index(change(2_000), tmp_path / "i", kind="ivf")
    assert build_index(change(keep, added=added), tmp_path / "i", kind="ivf")["why"] == "ivf was requested."


def test_growth_adds_up(change, tmp_path):
    """Growth counts from the rows that were trained on, not from the last refresh."""
    build_index(change(1_000), tmp_path / "i", kind="ivf")
    assert "without retraining" in build_index(change(1_600), tmp_path / "i", kind="ivf")["why"]
    assert open_index(tmp_path / "i").document["trained_rows"] == 1_000
    assert build_index(change(2_000, added=100), tmp_path / "i", kind="ivf")["why"] == "ivf was requested."


def test_exact_stays_exact(change, tmp_path):
    """An exact index has no training and is built again."""
    build_index(change(100), tmp_path / "i")
    assert build_index(change(101), tmp_path / "i")["changes"] == {"added": 1, "removed": 0, "replaced": 0}


def test_a_reader_keeps_its_generation(change, tmp_path):
    """A reader that opened the index before a refresh keeps its rows."""
    before = change(2_000)
    embeddings, names = before.embeddings(), before.ids.tolist()
    build_index(before, tmp_path / "i", kind="pca-pq")
    reader = open_index(tmp_path / "i")
    build_index(change(1_200), tmp_path / "i", kind="pca-pq")
    ids, _ = reader.top_k(embeddings, 1)
    assert np.mean(ids[:, 0] == names) > 0.95
    assert len(open_index(tmp_path / "i")) == 1_200
