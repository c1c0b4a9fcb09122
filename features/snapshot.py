"""Snapshot isolation: a reader sees one generation of a table, whatever a writer does meanwhile."""

import contextlib
import math
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, TypeVar, cast

import pyarrow as pa
import pyarrow.parquet as pq

from frieze.core import BucketPath, FeatureFileError, TablePath, counted, to_parquet_source
from frieze.features.manifest import NAME, PARTS, Manifest, Part, read_manifest
from frieze.features.part_files import name_broken_part
from frieze.features.paths import STAGING
from frieze.features.replaced_parts import KEPT_S, hold_for_reading, replaced_name

T = TypeVar("T")


class Snapshot:
    """A table under a shared lock: the parts of one generation stay readable for as long as this object lives.

    Unpickling takes the lock again.

    Attributes:
        folder: The table.
        manifest: The manifest of this generation, which may have been read before the snapshot was made.
    """

    def __init__(self, folder: TablePath, manifest: Manifest | None = None) -> None:
        self.folder = folder
        self._named: tuple[object, set[Part]] | None = None
        self._opened_s = time.monotonic() if manifest is None else -math.inf
        self._acquire()
        self.manifest = read_manifest(folder) if manifest is None else manifest
        while manifest is None and self.is_moved():  # features.json is that of another folder
            self._release()
            self._acquire()
            self.manifest = read_manifest(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshot, (self.folder, self.manifest)

    def read(self, part: Part, read: Callable[[pq.ParquetFile], T]) -> T:
        """Read one part as it was in this generation.

        Args:
            part: One of the manifest.
            read: Called with the file, once or twice; its result must not read lazily.

        Raises:
            FeatureFileError: The part is missing or broken, or was replaced and could not be kept for so long.
        """
        path = self.folder / PARTS / part.name
        with name_broken_part(path):
            if isinstance(path, BucketPath):
                return self._read_object(part, read)
            with self._open(part) as source:
                return self._read_file(part, source, read)

    def batches(self, part: Part, columns: list[str], batch_size: int) -> Iterator[pa.RecordBatch]:
        """Read one part as it was in this generation, batch by batch.

        Raises:
            FeatureFileError: As with `read`.
        """
        path = self.folder / PARTS / part.name
        if isinstance(path, BucketPath):  # only after the last byte is it known to be the same object
            yield from self.read(part, lambda file: file.read(columns)).to_batches(batch_size)
            return
        with name_broken_part(path), self._open(part) as source, _open_checked(source) as file:
            self._check_rows(part, file)
            # Columns in several threads gain nothing here, and what each allocated is never returned to the system.
            yield from file.iter_batches(batch_size=batch_size, columns=columns, use_threads=False)

    def kept_file(self, part: Part) -> TablePath:
        """Return the file that keeps a part once it is replaced; a writer creates it before that."""
        return self.folder / STAGING / replaced_name(part)

    def is_named(self, part: Part) -> bool:
        """Return whether features.json still names a part; in a folder that was moved nothing changes any more."""
        if self.is_moved():
            return True
        status = (self.folder / NAME).stat()
        version = status.st_mtime_ns, status.st_size
        if self._named is None or self._named[0] != version:
            self._named = version, set(read_manifest(self.folder).parts)
        return part in self._named[1]

    def is_moved(self) -> bool:
        """Return whether the locked folder was replaced by another one."""
        if self._descriptor is None or isinstance(self.folder, BucketPath):
            return False
        try:
            return not os.path.samestat(os.fstat(self._descriptor), self.folder.stat())
        except FileNotFoundError:
            return True

    def error_of(self, part: Part) -> FeatureFileError:
        """Return the error for a part that was replaced and is not kept any more."""
        return FeatureFileError(
            f"{self.folder / PARTS / part.name} was replaced while the table was being read.",
            hint="Type the same command again: it reads the table as it is now.",
        )

    def _acquire(self) -> None:
        self._descriptor = hold_for_reading(self.folder)
        self._release = weakref.finalize(self, _close_descriptor, self._descriptor)
        self._release.atexit = False  # the system does it, and in a fork the descriptor may be reused by then

    def _open(self, part: Part) -> BinaryIO:
        """Open a part on disk; afterwards its file may be replaced or deleted."""
        file = self._open_if_there(f"{PARTS}/{part.name}")
        kept = self._open_if_there(f"{STAGING}/{replaced_name(part)}")  # made before the part is replaced
        if kept is not None:
            _close(file)
            return kept
        is_unchanged = file is not None and part.matches_stat(os.fstat(file.fileno()))
        if not is_unchanged and not self.is_named(part):
            _close(file)
            raise self.error_of(part)
        if file is None:
            raise FileNotFoundError(f"there is no {self.folder / PARTS / part.name}")
        return file

    def _open_if_there(self, name: str) -> BinaryIO | None:
        folder_descriptor = self._descriptor

        def in_folder(path: str, flags: int) -> int:
            return os.open(path, flags, dir_fd=folder_descriptor)

        path = name if folder_descriptor is not None else str(self.folder / name)
        with contextlib.suppress(FileNotFoundError):
            return cast("BinaryIO", open(path, "rb", buffering=0, opener=in_folder))
        return None

    def _read_object(self, part: Part, read: Callable[[pq.ParquetFile], T]) -> T:
        """Read a part in a bucket, where an open object may be replaced while it is read."""
        kept = self.kept_file(part)
        try:
            result = self._read_file(part, to_parquet_source(self.folder / PARTS / part.name), read)
        except (pa.ArrowException, OSError, FeatureFileError) as error:
            if not kept.is_file():
                if not self.is_named(part):
                    raise self.error_of(part) from error
                raise
        else:
            if not kept.is_file():
                if time.monotonic() - self._opened_s > KEPT_S and not self.is_named(part):
                    raise self.error_of(part)
                return result
        return self._read_file(part, to_parquet_source(kept), read)

    def _read_file(self, part: Part, source: Any, read: Callable[[pq.ParquetFile], T]) -> T:
        with _open_checked(source) as file:
            self._check_rows(part, file)
            return read(file)

    def _check_rows(self, part: Part, file: pq.ParquetFile) -> None:
        """Refuse a part that another program rewrote."""
        rows = file.metadata.num_rows
        if rows != part.rows:
            manifest = self.manifest
            raise FeatureFileError(
                f"{self.folder / PARTS / part.name} has {counted(rows, 'row')}, but features.json says {part.rows:,}.",
                hint=f"Let the run end, or finish it: {manifest.maker} {manifest.source} --out {self.folder}",
            )


def _close_descriptor(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _close(file: BinaryIO | None) -> None:
    if file is not None:
        file.close()


def _open_checked(source: Any) -> pq.ParquetFile:
    """Open a part whose pages are compared with their checksums while they are read."""
    return pq.ParquetFile(source, page_checksum_verification=True)
