"""Write a table of features: each commit writes one part atomically, so that an interrupted run can resume."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import (
    FeatureFileError,
    TablePath,
    lock,
    sweep_leftovers,
    to_parameters,
    translate_io_errors,
    write_file,
)
from frieze.features.compaction import groups_to_compact, merge_parts, recover_compaction
from frieze.features.concat import join_rows
from frieze.features.failures import Failure, read_failures, to_failures, write_failures
from frieze.features.int8_graph import sweep_graphs
from frieze.features.manifest import PARTS, Manifest, Part, is_features, read_manifest
from frieze.features.part_files import part_name, read_part, write_part
from frieze.features.paths import STAGING, check_table_dir
from frieze.features.plan import Shard
from frieze.features.recovery import scan_parts
from frieze.features.replaced_parts import keep_replaced, sweep_replaced
from frieze.features.spec import check_same_backbone
from frieze.features.staged_parts import clear_staged_parts
from frieze.features.stored_rows import read_computed_columns, read_hashes, read_listed_columns


class FeatureWriter:
    """A table of features that is locked for writing; use `open_writer`.

    Attributes:
        path: The folder.
        manifest: The content of features.json after the last commit.
        failed: The current failures, a table of `FAILURES`.
        broken_parts: Names of truncated or corrupt parts that were deleted: the run embeds their images again.
    """

    def __init__(self, path: TablePath, manifest: Manifest, failed: pa.Table, broken_parts: Sequence[str] = ()) -> None:
        self.path = path
        self.manifest = manifest
        self.failed = failed
        self.broken_parts = list(broken_parts)
        self._has_replaced = False

    def stored(self) -> pa.Table:
        """Read every stored row in reading order, without the computed columns; `PART` is the number of its part.

        Raises:
            FeatureFileError: A part repeats ids of another one, or is broken.
        """
        return read_listed_columns(self.path, self.manifest)

    def hashes(self) -> pa.ChunkedArray:
        """Read the sha256 of each stored image's bytes, hex, in reading order; null where unknown."""
        return read_hashes(self.path, self.manifest.parts)

    def computed_columns(self, part: int) -> pa.Table:
        """Read `id, sha256, width, height, embedding`, and the table's `HASHES`, of the part with this number."""
        return read_computed_columns(self.path, self.manifest, part)

    def commit(self, shard: Shard, rows: pa.Table | None = None, failures: Sequence[Failure] = ()) -> None:
        """Write a shard's part, the rows it keeps and then the new ones, and register it in features.json.

        Args:
            shard: The part, and the ids that leave it.
            rows: The new rows, of the table's part schema; None where rows only leave.
            failures: What could not be embedded.

        Raises:
            FeatureFileError: The disk refuses. The table is unchanged, or the next run recovers the new part.
        """
        path = self.path / PARTS / part_name(shard.part)
        tables = [table for table in (_read_kept_rows(path, shard), rows) if table is not None and len(table)]
        others = [part for part in self.manifest.parts if part.name != path.name]
        if tables:
            others.append(self.write_part(shard, join_rows(tables)))
        else:
            self._keep_for_readers(path.name)
        self.add_failures(failures)
        self.update(parts=tuple(sorted(others, key=lambda part: part.name)))
        if not tables:
            _delete([path])

    def write_part(self, shard: Shard, rows: pa.Table) -> Part:
        """Write a shard's part into `parts/`; `register_parts` then adds a new one to features.json.

        Args:
            shard: The part.
            rows: All its rows, of the table's part schema, one or more.
        """
        path = self.path / PARTS / part_name(shard.part)
        self._keep_for_readers(path.name)
        write_file(path, lambda staging: write_part(rows, staging), staging_dir=self.path / STAGING)
        return Part.of(path, len(rows))

    def register_parts(self, parts: Sequence[Part], failures: Sequence[Failure]) -> None:
        """Add new parts to features.json, many at once, because it grows with the table.

        After an interruption the same parts may be registered again.
        """
        self.add_failures(failures)
        registered = {part.name: part for part in (*self.manifest.parts, *parts)}
        self.update(parts=tuple(registered[name] for name in sorted(registered)))

    def compact(self, *, shard_size: int) -> None:
        """Merge small parts, once there are many, into parts of at most `shard_size` rows.

        Raises:
            FeatureFileError: The disk refuses; the next `open_writer` recovers the table.
        """
        for group in groups_to_compact(self.manifest.parts, shard_size=shard_size):
            for part in group:
                self._keep_for_readers(part.name)
            merged = merge_parts(self.path, group)
            others = [part for part in self.manifest.parts if part not in group]
            self.update(parts=tuple(sorted([*others, merged], key=lambda part: part.name)))

    def add_failures(self, failures: Sequence[Failure]) -> None:
        """Append to failures.parquet."""
        if failures:
            self.replace_failures(pa.concat_tables([self.failed, to_failures(failures)]))

    def replace_failures(self, failed: pa.Table) -> None:
        """Replace the content of failures.parquet."""
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

    def _keep_for_readers(self, name: str) -> None:
        """Keep a live part that is about to be replaced or deleted, for those who read the table now."""
        for part in self.manifest.parts:
            if part.name == name:
                self._has_replaced = True
                keep_replaced(self.path, part)


def _read_kept_rows(path: TablePath, shard: Shard) -> pa.Table | None:
    if not shard.drop:
        return None
    table = read_part(path)
    return table.filter(pc.invert(pc.is_in(table["id"], pa.array(sorted(shard.drop), pa.string()))))


def _delete(files: Sequence[TablePath]) -> None:
    for file in files:
        with translate_io_errors(file):
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def open_writer(path: TablePath, manifest: Manifest) -> Iterator[FeatureWriter]:
    """Create a table of features, or resume one: recover what a crash left, then lock the folder for writing.

    Args:
        path: The folder; made when missing.
        manifest: Backbone, source, engine and versions of this run.

    Yields:
        The writer; the folder is locked until the block ends.

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
        if isinstance(path, Path):
            sweep_leftovers(path)
        clear_staged_parts(path)
        recover_compaction(path)
        if not is_features(path):
            manifest.write(path)
        writer = _recover(path, resume_manifest(path, manifest))
        sweep_replaced(path)
        sweep_graphs(path, writer.manifest)
        yield writer
        writer.sweep()


def _recover(path: TablePath, manifest: Manifest) -> FeatureWriter:
    """Register the parts that a crash left unregistered, and delete those that it left truncated."""
    recovered = scan_parts(path, manifest)
    _delete(recovered.broken)
    broken = [file.name for file in recovered.broken]
    writer = FeatureWriter(path, dataclasses.replace(manifest, parts=recovered.live), read_failures(path), broken)
    if recovered.live != manifest.parts:
        writer.update()  # also in a run that finds nothing else to do
    return writer


def resume_manifest(path: TablePath, manifest: Manifest) -> Manifest:
    """Return the manifest with which a run resumes the table at `path`, if it may; nothing is written.

    Args:
        path: The folder; there need be no table yet.
        manifest: Backbone, source, engine and versions of this run.

    Raises:
        FeatureFileError: The table there was made from another source, or is broken.
        MismatchError: It holds another backbone's embeddings.
    """
    if not is_features(path):
        return manifest
    before = read_manifest(path)
    hint = f"Use another `out`, or replace {path} with `force=True`."
    other_backbone = hint
    if manifest.spec.handle == before.spec.handle and manifest.spec.fingerprint != before.spec.fingerprint:
        other_backbone = f"It has changed since: put the first one back, or start anew. {hint}"
    elif before.maker == manifest.maker:
        other_backbone = f"Use {_as_options(before)}, use another `out`, or replace {path} with `force=True`."
    check_same_backbone(manifest.spec, before.spec, where=str(path), hint=other_backbone)
    if manifest.source != before.source:
        raise FeatureFileError(f"{path} was made from {before.source}, not from {manifest.source}.", hint=hint)
    return dataclasses.replace(
        manifest, parts=before.parts, perceptual_hash=before.perceptual_hash, statistics=before.statistics
    )


def _as_options(manifest: Manifest) -> str:
    """Return the parameters with which a table was made."""
    options = {"backbone": manifest.spec.handle} | manifest.request
    return to_parameters({name: value for name, value in options.items() if name != "handle" and value is not None})
