import numpy as np

from frieze.features import (
    FeatureWriter,
    Part,
    Shard,
    clear_staged_parts,
    move_staged_part,
    open_features,
    open_writer,
    read_failures,
    staging_path,
)
from frieze.features.part_files import write_part

SHARD = Shard(2, np.arange(1))


def test_worker_stages_and_driver_registers(table, manifest, rows, images):
    """A staged part is read only after it was moved and registered."""
    with open_writer(table, manifest) as writer:
        path = staging_path(table, SHARD, attempt=7)
        write_part(rows(images(("e", 5, 1))), path)
        moved = move_staged_part(table, SHARD, Part.of(path, 1))
        assert (moved.name, path.exists(), len(open_features(table))) == ("part-000002.parquet", False, 4)
        writer.register_parts([moved], [])
        assert open_features(table).ids.tolist() == ["a", "b", "c", "d", "e"]


def test_clear(table):
    """Staged parts that nobody moves are deleted, and nothing else."""
    path = staging_path(table, SHARD, attempt=7)
    path.touch()
    clear_staged_parts(table)
    assert (path.exists(), len(open_features(table))) == (False, 4)


def test_constructor_changes_nothing(table, manifest):
    """A `FeatureWriter` deletes no file when it is made, not even a truncated part: `open_writer` does."""
    part = table / "parts" / "part-000000.parquet"
    part.write_bytes(part.read_bytes()[:-9])
    FeatureWriter(table, manifest, read_failures(table))
    assert part.exists()
