"""Writing a table of features: one part a commit, whole or not at all."""

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from frieze.core import (
    FeatureFileError,
    as_bucket,
    is_being_written,
    lock,
    sweep_leftovers,
    sync,
    to_command_line,
    translate_io_errors,
    write_file,
)
from frieze.features.compaction import groups_to_compact, merge, recover_compaction
from frieze.features.concat import join_rows
from frieze.features.failures import Failure, read_failures, to_failures, write_failures
from frieze.features.manifest import PARTS, Manifest, Part, is_features, read_manifest
from frieze.features.part_files import part_name, read_part, write_part
from frieze.features.paths import STAGING, check_table_dir, left_overs
from frieze.features.plan import Shard
from frieze.features.recovery import scan_parts
from frieze.features.replaced_parts import keep_replaced, sweep_replaced
from frieze.features.schema import LISTING, PART
from frieze.features.snapshot import Snapshot
from frieze.features.spec import check_same_backbone

_COMPUTED_COLUMNS = ("sha256", "width", "height", "embedding")
"""What a run finds out of an image, and no listing tells."""
_STORED_SCHEMA = pa.schema([*((field.name, field.type) for field in LISTING), (PART, pa.int64())])


class FeatureWriter:
    """A table of features held for writing; use `open_writer`.

    Attributes:
        path: The folder.
        manifest: What features.json says after the last commit.
        failed: The failures that hold, a table of `FAILURES`.
        broken_parts: Names of parts that were cut short or spoilt and are gone: the run embeds their images anew.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        live, broken = scan_parts(path, manifest)
        self.broken_parts = [file.name for file in broken]
        for file in broken:
            with translate_io_errors(path):
                file.unlink()
        self.manifest = dataclasses.replace(manifest, parts=live)
        self._has_replaced = False
        self.failed = read_failures(path)

    def stored(self) -> pa.Table:
        """Give every stored row in reading order, less what a listing does not tell; `PART` is the number of its part.

        Raises:
            FeatureFileError: A part repeats ids of another one, or is broken.
        """
        stored = _join_stored(
            (read_part(self.path / PARTS / part.name, leave_out=_COMPUTED_COLUMNS), part.number)
            for part in self.manifest.parts
        )
        if pc.count_distinct(stored["id"]).as_py() != len(stored):
            self._name_repeats(stored)
        return stored

    def hashes(self) -> pa.ChunkedArray:
        """Give the sha256 of each stored image's bytes, hex, in reading order; null where unknown."""
        tables = [read_part(self.path / PARTS / part.name, ["sha256"]) for part in self.manifest.parts]
        return pa.concat_tables([pa.table({"sha256": pa.array([], pa.string())}), *tables])["sha256"]

    def computed_columns(self, part: int) -> pa.Table:
        """Give `id, sha256, width, height, embedding` of the rows of a part."""
        return read_part(self.path / PARTS / part_name(part), ["id", *_COMPUTED_COLUMNS])

    def _name_repeats(self, stored: pa.Table) -> None:
        seen: set[str] = set()
        for part in self.manifest.parts:
            ids = stored["id"].filter(pc.equal(stored[PART], part.number)).to_pylist()
            if len(seen.union(ids)) != len(seen) + len(ids):
                path = self.path / PARTS / part.name
                raise FeatureFileError(
                    f"{path} repeats ids that are stored already.",
                    hint=f"Delete it and run again to embed its images anew: rm '{path}'",
                )
            seen.update(ids)

    def commit(self, shard: Shard, rows: pa.Table | None = None, failures: Sequence[Failure] = ()) -> None:
        """Make a shard's part stand: the rows it keeps, then the new ones.

        Args:
            shard: Which part, and which of its ids leave it.
            rows: The new rows, of the table's part schema; None where rows only leave.
            failures: What could not be embedded.

        Raises:
            FeatureFileError: The disk refuses; the table is as before, or the part stands and the next run finds it.
        """
        path = self.path / PARTS / part_name(shard.part)
        pieces = [piece for piece in (self._kept(path, shard), rows) if piece is not None and len(piece)]
        table = join_rows(pieces) if pieces else ()
        others = [part for part in self.manifest.parts if part.name != path.name]
        if len(table):
            others.append(self.write_part(shard, table))
        else:
            self._keep(path.name)
        self.add_failures(failures)
        self.update(parts=tuple(sorted(others, key=lambda part: part.name)))
        if not len(table):
            with translate_io_errors(path):
                path.unlink(missing_ok=True)

    def staged(self, shard: Shard, attempt: int) -> Path:
        """Name the file into which another process writes rows of a shard; the next `open_writer` clears it away."""
        return self.path / STAGING / f".{part_name(shard.part)}.{attempt}.tmp"

    def staged_file(self, part: Part) -> Path:
        """Give the place of a part that was written under a name that `staged` gave."""
        return self.path / STAGING / part.name

    def move_staged_part(self, shard: Shard, part: Part) -> Part:
        """Move a new part into its place that another process wrote whole; `stand` names it.

        Args:
            shard: A new part's.
            part: Describes the file, named as `staged` does.
        """
        path = self.path / PARTS / part_name(shard.part)
        with translate_io_errors(path):
            self.staged_file(part).replace(path)
            sync(path.parent)
            moved = path.stat().st_mtime_ns  # in a bucket it is another object
        return dataclasses.replace(part, name=path.name, mtime_ns=moved)

    def write_part(self, shard: Shard, rows: pa.Table) -> Part:
        """Write a shard's part in its place; `stand` names a new one.

        Args:
            shard: Which part.
            rows: All that it is to hold, of the table's part schema, one or more.
        """
        path = self.path / PARTS / part_name(shard.part)
        self._keep(path.name)
        write_file(path, lambda staging: write_part(rows, staging), staging_dir=self.path / STAGING)
        return Part.of(path, len(rows))

    def clear_staged(self) -> None:
        """Delete what other processes wrote and nobody waits for any more."""
        _clear_away(self.path)

    def register_parts(self, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
        """Name new parts that lie in their place, many at once: features.json grows with the table.

        Parts may be named again, where it was interrupted.
        """
        self.add_failures(failures)
        named = {part.name: part for part in (*self.manifest.parts, *parts)}
        self.update(parts=tuple(named[name] for name in sorted(named)))

    def merge(self, *, shard_size: int) -> None:
        """Merge small parts, where they have piled up, into parts of at most `shard_size` rows.

        Raises:
            FeatureFileError: The disk refuses; the next `open_writer` mends the table.
        """
        for group in groups_to_compact(self.manifest.parts, shard_size=shard_size):
            for part in group:
                self._keep(part.name)
            merged = merge(self.path, group)
            others = [part for part in self.manifest.parts if part not in group]
            self.update(parts=tuple(sorted([*others, merged], key=lambda part: part.name)))

    def add_failures(self, failures: Sequence[Failure]) -> None:
        """Add to failures.parquet."""
        if failures:
            self.replace_failures(pa.concat_tables([self.failed, to_failures(failures)]))

    def replace_failures(self, failed: pa.Table) -> None:
        """Make failures.parquet hold exactly these."""
        if not failed.equals(self.failed):
            write_failures(self.path, failed)
        self.failed = failed

    def update(self, **changes: object) -> None:
        """Replace features.json with some of its fields changed."""
        self.manifest = dataclasses.replace(self.manifest, n_failed=len(self.failed), **changes)  # type: ignore[arg-type]
        self.manifest.write(self.path)
        self.sweep()

    def sweep(self) -> None:
        """Delete replaced parts that nobody reads any more."""
        if self._has_replaced:
            self._has_replaced = sweep_replaced(self.path, named=self.manifest.parts)

    def _keep(self, name: str) -> None:
        """Keep a part, where there is one, for those who read the table now: it is about to be replaced or deleted."""
        for part in self.manifest.parts:
            if part.name == name:
                self._has_replaced = True
                keep_replaced(self.path, part)

    def _kept(self, path: Path, shard: Shard) -> pa.Table | None:
        if not shard.drop:
            return None
        table = read_part(path)
        return table.filter(pc.invert(pc.is_in(table["id"], pa.array(sorted(shard.drop), pa.string()))))


def read_stored(folder: Path) -> pa.Table:
    """Read every row that a run would find in a table, as `FeatureWriter.stored` does; nothing is held or changed.

    Beside a run that is at work it is what that run has committed.

    Raises:
        FeatureFileError: A part is missing or broken.
    """
    snapshot = Snapshot(folder)
    parts = snapshot.manifest.parts if is_being_written(folder) else scan_parts(folder, snapshot.manifest).live
    return _join_stored((snapshot.read(part, _read_listed), part.number) for part in parts)


def _read_listed(file: pq.ParquetFile) -> pa.Table:
    return file.read([name for name in file.schema_arrow.names if name not in _COMPUTED_COLUMNS])


def _join_stored(read: Iterable[tuple[pa.Table, int]]) -> pa.Table:
    """Join the rows of all parts, which come with their numbers.

    Left out are columns that have several types: held against a listing they count as new, so that its rows are written
    anew and all parts have the listing's type.
    """
    tables = [_with_number(table, number) for table, number in read]
    fields = {(field.name, field.type) for table in tables for field in table.schema}
    counts = collections.Counter(name for name, _ in fields)
    alike = [table.select([name for name in table.column_names if counts[name] == 1]) for table in tables]
    return pa.concat_tables([_STORED_SCHEMA.empty_table(), *alike], promote_options="permissive")


def _with_number(table: pa.Table, number: int) -> pa.Table:
    table = table.set_column(table.column_names.index("label"), "label", table["label"].cast(pa.string()))
    return table.append_column(PART, pa.repeat(pa.scalar(number, pa.int64()), len(table)))


@contextlib.contextmanager
def open_writer(path: Path, manifest: Manifest) -> Iterator[FeatureWriter]:
    """Begin a table of features, or go on with one.

    Args:
        path: The folder; made when missing.
        manifest: What the run brings: backbone, source, engine, versions.

    Yields:
        The writer; the folder is held until the block ends.

    Raises:
        FeatureFileError: The folder holds something else, or another process writes to it.
        MismatchError: The table there holds another backbone's embeddings.
    """
    path = path.absolute()  # pyarrow takes a relative `a:b` for a URL
    check_table_dir(path)
    with translate_io_errors(path):
        for name in (PARTS, STAGING):
            (path / name).mkdir(parents=True, exist_ok=True)
    with lock(path):
        if as_bucket(path) is None:
            sweep_leftovers(path)
        _clear_away(path)
        recover_compaction(path)
        if not is_features(path):
            manifest.write(path)
        before = resume_manifest(path, manifest)
        writer = FeatureWriter(path, before)
        if writer.manifest.parts != before.parts:
            writer.update()  # a run that finds nothing to do must not leave a part unnamed
        sweep_replaced(path)
        yield writer
        writer.sweep()


def _clear_away(path: Path) -> None:
    with translate_io_errors(path):
        for left_over in left_overs(path):
            left_over.unlink(missing_ok=True)


def resume_manifest(path: Path, manifest: Manifest) -> Manifest:
    """Take what an earlier run stored, if it fits; nothing is written.

    Args:
        path: The folder; there need be no table yet.
        manifest: What the run brings.

    Raises:
        FeatureFileError: The table there was made from another source, or is broken.
        MismatchError: It holds another backbone's embeddings.
    """
    if not is_features(path):
        return manifest
    before = read_manifest(path)
    begin = f"give another --out, or begin {path} again with --force."
    hint = f"Go on with {_as_options(before)}, {begin}" if before.maker == manifest.maker else begin.capitalize()
    check_same_backbone(manifest.spec, before.spec, where=str(path), hint=hint)
    if manifest.source != before.source:
        raise FeatureFileError(
            f"{path} was made from {before.source}, not from {manifest.source}.",
            hint=f"Give another --out, or begin {path} again with --force.",
        )
    return dataclasses.replace(manifest, parts=before.parts)


def _as_options(manifest: Manifest) -> str:
    """Write what a table was made with as one types it."""
    asked = {"backbone": manifest.spec.handle} | manifest.request
    return to_command_line({name: value for name, value in asked.items() if name != "handle" and value is not None})
