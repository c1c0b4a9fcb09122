import pytest

from frieze.core import FeatureFileError
from frieze.embedder.sources.listing import deduplicate_ids
from frieze.features import Failure, read_failures
from frieze.features.failures import to_failures, write_failures

FAILURES = [
    Failure("a\n.jpg", "/photos/a\n.jpg", "decode", "truncated", "12 bytes are missing", 100, 5),
    Failure("b", "/photos/b", "list", "unreadable", "Permission denied"),
]


def test_failures_round_trip(tmp_path):
    """Failures read back are those written, null where size or time is unknown."""
    write_failures(tmp_path, to_failures(FAILURES))
    assert [Failure(**row) for row in read_failures(tmp_path).to_pylist()] == FAILURES


def test_failures_replaced(tmp_path):
    """Writing failures replaces the earlier ones."""
    write_failures(tmp_path, to_failures(FAILURES))
    write_failures(tmp_path, to_failures(FAILURES[1:]))
    assert read_failures(tmp_path)["id"].to_pylist() == ["b"]


def test_no_failures(tmp_path):
    """Where there is no file, there are no failures, and the columns are the same."""
    assert read_failures(tmp_path).equals(to_failures([]))


def test_broken_failures(tmp_path):
    """A broken file is named, with the mend."""
    (tmp_path / "failures.parquet").write_bytes(b"PAR1")
    with pytest.raises(FeatureFileError, match=r"failures\.parquet can't be read(?s:.)*Delete it"):
        read_failures(tmp_path)


def test_first_of_each_id(images):
    """Of rows with one id the first stays, in the listing's order; each other is a failure."""
    kept, failures = deduplicate_ids(images(("b", 1, 1), ("a", 2, 1), ("b", 3, 1), ("b", 4, 1)))
    assert kept.tolist() == [0, 1]
    assert [(failure.id, failure.uri, failure.stage, failure.reason) for failure in failures] == [
        ("b", "/photos/b", "list", "repeated id")
    ] * 2


def test_no_repeats(images):
    """A listing without repeats, or without rows, stays as it is."""
    kept, failures = deduplicate_ids(images(("b", 1, 1), ("a", 2, 1)))
    assert (kept.tolist(), failures) == ([0, 1], [])
    assert deduplicate_ids(images())[1] == []
