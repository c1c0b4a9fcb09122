"""Picture statistics in a table: columns of tables that were begun with them, of every row."""

import shutil

import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder.images.prepare import decode_for
from frieze.features import STATISTICS, measure_pictures, open_features, verify_features


def statistics(out):
    """Return id -> float32 [6]."""
    rows = open_features(out).rows
    return dict(zip(rows["id"].to_pylist(), np.column_stack([rows[name] for name in STATISTICS]), strict=True))


def expected(path, spec):
    """Compute the statistics of an image file."""
    pixels, size = decode_for(path.read_bytes(), spec)
    return measure_pictures(pixels[None], [size])[0]


def test_stored(folder, embed, out):
    """Each row has those of the pixels that the network sees, and the table is sound."""
    embed(folder, out, stats=True)
    spec, stored = open_features(out).spec, statistics(out)
    assert len(stored) == 10
    assert all(np.allclose(values, expected(folder / name, spec)) for name, values in stored.items())
    assert verify_features(out)["problems"] == []


def test_only_where_asked_for(folder, embed, out):
    """Without the option a table has none, and can't get any."""
    embed(folder, out)
    assert not set(STATISTICS) & set(open_features(out).rows.column_names)
    with pytest.raises(InputError, match="begun without picture statistics"):
        embed(folder, out, stats=True)
    embed(folder, out, stats=True, force=True)
    assert set(STATISTICS) <= set(open_features(out).rows.column_names)


def test_later_runs(folder, embed, out):
    """Later runs keep them: of new images, of copies, and of renamed ones."""
    embed(folder, out, stats=True)
    before = statistics(out)
    shutil.copy(folder / "a.jpg", folder / "y.jpg")
    (folder / "b.jpg").rename(folder / "z.jpg")
    embed(folder, out)
    after = statistics(out)
    assert np.array_equal(after["y.jpg"], before["a.jpg"])
    assert np.array_equal(after["z.jpg"], before["b.jpg"])


def test_columns_of_the_user(folder, embed, out):
    """A user's column of such a name is renamed."""
    (folder / "all.csv").write_text("path,contrast\na.jpg,7\n")
    embed(folder / "all.csv", out, stats=True)
    assert open_features(out).rows["source_contrast"].to_pylist() == [7]


def test_in_processes(folder):
    """Processes that decode compute the same."""
    from frieze.embedder.images.decode_processes import DecodeProcesses
    from frieze.embedder.images.limits import Limits
    from frieze.features import BackboneSpec

    spec = BackboneSpec(name="", handle="", fingerprint="", dim=1, image_size=(24, 32))
    pixels, data = np.zeros((2, 24, 32, 3), np.uint8), (folder / "a.jpg").read_bytes()
    processes = DecodeProcesses(1, spec, Limits(), 2, statistics=True)
    try:
        with processes.take(pixels) as process:
            process.add(data)
            process.add(b"none")
            done = process.finish()
    finally:
        processes.close()
    assert np.allclose(done.statistics, [expected(folder / "a.jpg", spec)])
