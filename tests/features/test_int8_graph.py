import dataclasses
import hashlib

import pytest

from frieze.core import FeatureFileError
from frieze.features import open_writer, read_graph, read_manifest, verify_features, write_graph

GRAPH = b"a graph"
SHA256 = hashlib.sha256(GRAPH).hexdigest()
NAME = f"int8-{SHA256[:16]}.zip"


@pytest.fixture
def with_graph(table):
    """A table whose features.json names its graph."""
    write_graph(table, GRAPH)
    manifest = read_manifest(table)
    dataclasses.replace(manifest, tuning={"int8": {"sha256": SHA256}}).write(table)
    return table


def test_written_is_read(with_graph):
    """The graph that features.json names is read with the bytes that were written; a table without one has None."""
    manifest = read_manifest(with_graph)
    assert read_graph(with_graph, manifest) == GRAPH
    assert read_graph(with_graph, dataclasses.replace(manifest, tuning={})) is None


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"another"), lambda path: path.unlink()])
def test_altered_graph(change, with_graph):
    """A missing or altered graph is never run: the error names the file, and verify reports it."""
    change(with_graph / NAME)
    with pytest.raises(FeatureFileError, match=rf"{NAME}, the graph that made the rows, is missing or altered"):
        read_graph(with_graph, read_manifest(with_graph))
    assert [problem["check"] for problem in verify_features(with_graph)["problems"]] == ["graph"]


@pytest.mark.parametrize("record", ["text", {}, {"sha256": "../../secret"}, {"sha256": None}])
def test_forged_record(record, table):
    """A record that names no graph of the table is an error, whatever it holds."""
    manifest = dataclasses.replace(read_manifest(table), tuning={"int8": record})
    with pytest.raises(FeatureFileError, match="missing or altered"):
        read_graph(table, manifest)


def test_only_the_named_graph_stays(with_graph):
    """The next run deletes graphs that features.json does not name, and keeps the named one."""
    stray = with_graph / f"int8-{'0' * 16}.zip"
    stray.write_bytes(b"of an interrupted run")
    manifest = read_manifest(with_graph)
    with open_writer(with_graph, manifest):
        pass
    assert sorted(path.name for path in with_graph.glob("int8-*")) == [NAME]
