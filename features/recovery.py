"""Recovery after a crash: find the valid parts on disk, also those that features.json does not describe."""

from typing import NamedTuple

import numpy as np

from frieze.core import FeatureFileError, TablePath, hash_file
from frieze.features.manifest import Manifest, Part
from frieze.features.part_files import describe_part, name_broken_part, read_part
from frieze.features.paths import part_files
from frieze.features.schema import to_embeddings, wrong_columns
from frieze.features.spec import check_same_backbone


class RecoveredParts(NamedTuple):
    """The parts of a table, checked.

    Attributes:
        live: The valid parts in reading order, described as they are now.
        broken: Files of truncated or corrupt parts, whose images must be embedded again.
    """

    live: tuple[Part, ...]
    broken: tuple[TablePath, ...]


def scan_parts(folder: TablePath, manifest: Manifest) -> RecoveredParts:
    """Separate valid parts from truncated or corrupt ones; nothing is changed.

    A part is renamed into place before features.json names it. So after a crash a part that features.json does not
    name, or describes otherwise, may be valid, and its content is checked.

    Raises:
        FeatureFileError: A part is not ours, or can't be read from the disk.
        MismatchError: A part holds another backbone's embeddings.
    """
    known = {part.name: part for part in manifest.parts}
    live, broken = [], []
    for file in part_files(folder):
        part = known.get(file.name)
        if part is not None and part.matches_file(file):
            live.append(part)
        elif (part is not None and _has_same_bytes(file, part)) or _is_valid(file, manifest):
            live.append(Part.of(file, describe_part(file)[1]))
        else:
            broken.append(file)
    return RecoveredParts(tuple(live), tuple(broken))


def _has_same_bytes(file: TablePath, part: Part) -> bool:
    with name_broken_part(file):
        return hash_file(file) == part.sha256


def _is_valid(file: TablePath, manifest: Manifest) -> bool:
    """Return whether a part is complete, with our columns and finite vectors; a disk error is raised."""
    try:
        table = read_part(file, check_pages=True)
    except FeatureFileError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            raise
        return False
    stored, rows = describe_part(file)
    check_same_backbone(manifest.spec, stored, where=str(file), hint=f"Move it away: {file}")
    wrong = wrong_columns(
        table.schema,
        manifest.spec,
        has_perceptual_hashes=manifest.has_perceptual_hashes,
        has_statistics=manifest.has_statistics,
    )
    if rows != len(table) or wrong:
        return False
    return bool(np.isfinite(to_embeddings(table["embedding"])).all())
