import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.formats import KINDS, SHARD_KINDS, file_kind
from frieze.embedder.sources.open import open_source


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("00000.tar", "tar"),
        ("dir.d/A.TAR", "tar"),
        ("a.tar.gz", "tar"),
        ("a.tgz", "tar"),
        ("a.tbz2", "tar"),
        ("a.star", None),
        ("a.tar.txt", "list"),
        ("tar", None),
        ("a.tfrecord", "tfrecord"),
        ("a.TFRecords", "tfrecord"),
        ("a.tfrec", "tfrecord"),
        ("flowers-train.tfrecord-00000-of-00010", "tfrecord"),
        ("s3://bucket/train-00000-of-01024", "tfrecord"),
        ("data/train-0-of-1", "tfrecord"),
        ("a.tfrecord.gz", "tfrecord"),
        ("model-1-of-2.bin", None),
        ("variables/variables.data-00000-of-00001", None),
        ("photo.jpg", None),
    ],
)
def test_names(name, kind):
    """A file's kind is recognized by the end of its name, in letters of any size."""
    assert file_kind(name) == kind


def test_folders_know_kinds():
    """What a folder may be made of is a kind, and such a kind's images can be read one by one."""
    assert all(KINDS[kind].read is not None for kind in SHARD_KINDS if kind in KINDS)
    assert {"tar", "tfrecord"} <= set(SHARD_KINDS)


def test_kinds_are_not_mixed(tmp_path):
    """A folder of files of several kinds is rejected, with both of them."""
    for name in ("a.tar", "b.tfrecord"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"holds TFRecord files and tar archives\.\nGive one kind at a time"):
        open_source(str(tmp_path), SourceOptions())
