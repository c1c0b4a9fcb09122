"""The public functions of features and search, from Python."""

import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import frieze
import frieze.embedder
from frieze.core import InputError
from frieze.features import top_k


def test_all_names_are_there():
    """Every public name is there, and the list is sorted."""
    assert frieze.__all__ == sorted(frieze.__all__)
    assert all(getattr(frieze, name) for name in frieze.__all__)


def test_an_unknown_name_is_an_attribute_error():
    """A name that is not public is refused like any other module's."""
    with pytest.raises(AttributeError, match="no attribute 'embedd'"):
        frieze.embedd  # noqa: B018  the access is the test


def test_importing_frieze_loads_nothing_heavy():
    """`import frieze` waits for no library."""
    script = "import sys, frieze; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pyarrow", "tensorflow", "faiss"} & set(loaded)


def test_bulk_search_agrees_with_numpy(world):
    """`open_index(...).top_k` returns ids and scores of the exact neighbours."""
    table = frieze.open_features(world / "photos.features")
    vectors = table.embeddings()
    ids, scores = frieze.open_index(world / "photos.index").top_k(vectors[:5], k=3)
    rows, expected = top_k(vectors[:5], vectors, k=3)
    assert ids.tolist() == table.ids[rows].tolist()
    assert np.allclose(scores, expected, atol=1e-5)


def test_search_takes_one_query_or_many(world):
    """A single query may stand alone."""
    alone = frieze.search(world / "photos.index", "id:red/1.png", k=2)
    listed = frieze.search(world / "photos.index", ["id:red/1.png"], k=2)
    assert alone == listed


def test_search_writes_pictures(world, tmp_path):
    """With html the hits are written as a page."""
    frieze.search(world / "photos.index", "id:red/1.png", k=3, html=tmp_path / "found.html")
    assert (tmp_path / "found.html").read_text().count("<img") == 3


def test_labels_may_lie_in_a_bucket(monkeypatch, tmp_path):
    """A file of labels is handed on as it was given where it is a URL, as an absolute path else."""
    monkeypatch.setattr(frieze.embedder, "embed_source", lambda *_, options, **__: {"labels": options.source.labels})
    monkeypatch.chdir(tmp_path)
    given = ["s3://bucket/labels.csv", Path("labels.csv"), "none"]
    expected = ["s3://bucket/labels.csv", str(tmp_path / "labels.csv"), "none"]
    assert [frieze.embed("photos", out="f", labels=labels)["labels"] for labels in given] == expected


def test_a_url_may_come_as_a_path(tmp_path, monkeypatch):
    """A URL that was made a `Path`, which has one slash left, is refused as an output too."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is not on disk"):
        frieze.embed(tmp_path, out=Path("s3://bucket/out"))
    assert list(tmp_path.iterdir()) == []


def test_a_removed_image_leaves_table_and_index(photos, tmp_path):
    """Embed and index again after a removal: the image is in neither."""
    source = tmp_path / "photos"
    source.mkdir()
    for name in ("0.png", "1.png"):
        (source / name).write_bytes((photos / "red" / name).read_bytes())
    for _ in range(2):
        frieze.embed(source, out=tmp_path / "f")
        frieze.index(tmp_path / "f", out=tmp_path / "i")
        (source / "1.png").unlink(missing_ok=True)
    hits = frieze.search(tmp_path / "i", "id:0.png")["queries"][0]["hits"]
    assert [hit["id"] for hit in hits] == ["0.png"]


def test_each_option_of_embed_has_a_field(tmp_path):
    """Every option goes into the request or the job; one that fits neither is a TypeError."""
    from frieze.api.tables import _to_options

    options = frieze.embedder.recall_embed_options(_parameters_of_embed(), "photos", tmp_path / "f").options
    request, job = _to_options(options | {"max_bytes": 7, "layer": "top", "limit": 3})
    assert (request.layer, job.limit, job.limits.max_bytes, job.source.max_bytes) == ("top", 3, 7, 7)
    with pytest.raises(TypeError, match="novel"):
        _to_options(options | {"novel": 1})


def _parameters_of_embed():
    parameters = inspect.signature(frieze.embed).parameters.values()
    return {one.name: one.default for one in parameters if one.name not in ("source", "out", "dry_run")}


def test_what_open_tables_look_like(world):
    """Tables, indexes and heads print what they are, in one line; the package has its version."""
    features, index, head = (world / f"photos.{kind}" for kind in ("features", "index", "head"))
    n_rows = len(frieze.open_features(features))
    assert repr(frieze.open_features(features)) == f"Features({n_rows} x 256, frieze-mini-3, {str(features)!r})"
    assert repr(frieze.open_index(index)) == f"Index({n_rows} x 256, exact, cosine, {str(index)!r})"
    assert re.fullmatch(r"Head\(\w+, \d classes, '.*photos.head'\)", repr(frieze.open_head(head)))
    assert frieze.__version__ == importlib.metadata.version("frieze")
