"""Parts that workers write into `staging/`; the driver moves each into `parts/`, and its writer registers it."""

import dataclasses

from frieze.core import TablePath, move_file, sync, translate_io_errors
from frieze.features.manifest import PARTS, Part
from frieze.features.part_files import part_name
from frieze.features.paths import STAGING, leftovers
from frieze.features.plan import Shard


def staging_path(folder: TablePath, shard: Shard, attempt: int) -> TablePath:
    """Return the path to which a worker writes rows of a shard; the next `open_writer` deletes what is left there."""
    return folder / STAGING / f".{part_name(shard.part)}.{attempt}.tmp"


def staged_file(folder: TablePath, part: Part) -> TablePath:
    """Return the path of a part that a worker wrote to a `staging_path`."""
    return folder / STAGING / part.name


def move_staged_part(folder: TablePath, shard: Shard, part: Part) -> Part:
    """Move a complete staged part into `parts/`; `FeatureWriter.register_parts` then adds it to features.json.

    Args:
        folder: The table.
        shard: The shard of a new part.
        part: Describes the staged file.

    Raises:
        FeatureFileError: The disk or the bucket refuses.
    """
    path = folder / PARTS / part_name(shard.part)
    with translate_io_errors(path):
        move_file(staged_file(folder, part), path)
        sync(path.parent)
        mtime_ns = path.stat().st_mtime_ns  # in a bucket the move makes a new object
    return dataclasses.replace(part, name=path.name, mtime_ns=mtime_ns)


def clear_staged_parts(folder: TablePath) -> None:
    """Delete the temporary files of workers and of interrupted writes."""
    with translate_io_errors(folder):
        for path in leftovers(folder):
            path.unlink(missing_ok=True)
