"""The stored rows of a table, as a run compares them with a listing or copies embeddings from them."""

import collections
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import FeatureFileError, TablePath, is_being_written
from frieze.features.manifest import PARTS, Manifest, Part
from frieze.features.part_files import part_name, read_part
from frieze.features.picture_statistics import STATISTICS
from frieze.features.recovery import scan_parts
from frieze.features.schema import HASHES, LISTING, PART
from frieze.features.snapshot import Snapshot

_COMPUTED_COLUMNS = ("sha256", "width", "height", "embedding")
"""The columns that a run computes from an image's bytes; no listing has them."""
_STORED_SCHEMA = pa.schema([*((field.name, field.type) for field in LISTING), (PART, pa.int64())])


def read_stored(folder: TablePath) -> pa.Table:
    """Read every row that a run would find in a table, as `FeatureWriter.stored` does, without a lock or a change.

    While another process writes, only the rows that it has committed are read.

    Raises:
        FeatureFileError: A part is missing or broken.
    """
    snapshot = Snapshot(folder)
    parts = snapshot.manifest.parts if is_being_written(folder) else scan_parts(folder, snapshot.manifest).live
    leave_out = _computed_columns(snapshot.manifest)
    return _concat_parts(
        (snapshot.read(part, lambda file: _read_without(file, leave_out)), part.number) for part in parts
    )


def read_listed_columns(folder: TablePath, manifest: Manifest) -> pa.Table:
    """Read all rows of a table without the computed columns; `PART` is the number of each row's part.

    Raises:
        FeatureFileError: A part is broken, or repeats ids of another one.
    """
    leave_out = _computed_columns(manifest)
    stored = _concat_parts(
        (read_part(folder / PARTS / part.name, leave_out=leave_out), part.number) for part in manifest.parts
    )
    if pc.count_distinct(stored["id"]).as_py() != len(stored):
        _raise_repeated_ids(folder, manifest.parts, stored)
    return stored


def read_hashes(folder: TablePath, parts: Sequence[Part]) -> pa.ChunkedArray:
    """Read the sha256 of each stored image's bytes, hex; null where unknown."""
    tables = [read_part(folder / PARTS / part.name, ["sha256"]) for part in parts]
    return pa.concat_tables([pa.table({"sha256": pa.array([], pa.string())}), *tables])["sha256"]


def read_computed_columns(folder: TablePath, manifest: Manifest, part: int) -> pa.Table:
    """Read `id, sha256, width, height, embedding`, and the table's perceptual hashes, of the part with this number."""
    return read_part(folder / PARTS / part_name(part), ["id", *_computed_columns(manifest)])


def _computed_columns(manifest: Manifest) -> tuple[str, ...]:
    hashes = HASHES if manifest.has_perceptual_hashes else ()
    return (*_COMPUTED_COLUMNS, *hashes, *(STATISTICS if manifest.has_statistics else ()))


def _raise_repeated_ids(folder: TablePath, parts: Sequence[Part], stored: pa.Table) -> None:
    earlier: set[str] = set()
    for part in parts:
        ids = stored["id"].filter(pc.equal(stored[PART], part.number)).to_pylist()
        if len(earlier.union(ids)) != len(earlier) + len(ids):
            path = folder / PARTS / part.name
            raise FeatureFileError(
                f"{path} repeats ids that are stored already.",
                hint=f"Delete it and run again to embed its images anew: rm '{path}'",
            )
        earlier.update(ids)


def _read_without(file: pq.ParquetFile, leave_out: Sequence[str]) -> pa.Table:
    return file.read([name for name in file.schema_arrow.names if name not in leave_out])


def _concat_parts(parts: Iterable[tuple[pa.Table, int]]) -> pa.Table:
    """Concatenate the rows of parts, given with their numbers.

    A column with several types is left out: compared with a listing it counts as new, so that its rows are rewritten
    and every part gets the listing's type.
    """
    tables = [_with_number(table, number) for table, number in parts]
    fields = {(field.name, field.type) for table in tables for field in table.schema}
    counts = collections.Counter(name for name, _ in fields)
    uniform = [table.select([name for name in table.column_names if counts[name] == 1]) for table in tables]
    return pa.concat_tables([_STORED_SCHEMA.empty_table(), *uniform], promote_options="permissive")


def _with_number(table: pa.Table, number: int) -> pa.Table:
    table = table.set_column(table.column_names.index("label"), "label", table["label"].cast(pa.string()))
    return table.append_column(PART, pa.repeat(pa.scalar(number, pa.int64()), len(table)))
