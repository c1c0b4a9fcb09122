"""Which parts on disk stand: those that features.json describes, and others after a look at all that is in them."""

from typing import NamedTuple

import numpy as np

from frieze.core import FeatureFileError, TablePath, hash_file
from frieze.features.manifest import Manifest, Part
from frieze.features.part_files import describe_part, name_broken_part, read_part
from frieze.features.paths import part_files
from frieze.features.schema import to_embeddings, wrong_columns
from frieze.features.spec import BackboneSpec, check_same_backbone


class RecoveredParts(NamedTuple):
    """The parts of a table, looked over.

    Attributes:
        live: Those that stand, in reading order, described as they are now.
        broken: The files of those that don't: their images are to be embedded anew.
    """

    live: tuple[Part, ...]
    broken: tuple[TablePath, ...]


def scan_parts(folder: TablePath, manifest: Manifest) -> RecoveredParts:
    """Tell the parts that stand from those that were cut short or spoilt; nothing is changed.

    A part is renamed into place before features.json names it, so one that it does not name, or describes otherwise,
    may be what a killed run left. Only what is in it can tell.

    Raises:
        FeatureFileError: A part is none of ours, or the disk refuses to read it.
        MismatchError: A part holds another backbone's embeddings.
    """
    known = {part.name: part for part in manifest.parts}
    live, broken = [], []
    for file in part_files(folder):
        part = known.get(file.name)
        if part is not None and part.is_still(file):
            live.append(part)
        elif (part is not None and _was_only_touched(file, part)) or _is_sound(file, manifest.spec):
            live.append(Part.of(file, describe_part(file)[1]))
        else:
            broken.append(file)
    return RecoveredParts(tuple(live), tuple(broken))


def _was_only_touched(file: TablePath, part: Part) -> bool:
    with name_broken_part(file):
        return hash_file(file) == part.sha256


def _is_sound(file: TablePath, spec: BackboneSpec) -> bool:
    """Tell whether a part is whole, has our columns and finite vectors; one that the disk refuses is not judged."""
    try:
        table = read_part(file, check_pages=True)
    except FeatureFileError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno is not None:
            raise
        return False
    stored, rows = describe_part(file)
    check_same_backbone(spec, stored, where=str(file), hint=f"Move it away: {file}")
    if rows != len(table) or wrong_columns(table.schema, spec):
        return False
    return bool(np.isfinite(to_embeddings(table["embedding"])).all())
