"""One generation of a table, as a reader sees it from beginning to end, whatever a writer does meanwhile."""

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
    """A table held for reading: the parts of one generation stay readable for as long as this object lives.

    Pickled, it holds the table again where it is unpickled.

    Attributes:
        folder: The table.
        manifest: What features.json said when it was opened; given, it may have been read long ago.
    """

    def __init__(self, folder: TablePath, manifest: Manifest | None = None) -> None:
        self.folder = folder
        self._named: tuple[object, set[Part]] | None = None
        self._opened_s = time.monotonic() if manifest is None else -math.inf
        self._hold()
        self.manifest = read_manifest(folder) if manifest is None else manifest
        while manifest is None and self.is_moved():  # features.json is that of another folder
            self._let_go()
            self._hold()
            self.manifest = read_manifest(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshot, (self.folder, self.manifest)

    def read(self, part: Part, read: Callable[[pq.ParquetFile], T]) -> T:
        """Read one part as it was in this generation.

        Args:
            part: One of the manifest.
            read: Called with the file, once or twice; what it gives must not read on later.

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
        """Read one part as it was in this generation, piece by piece.

        Raises:
            FeatureFileError: As with `read`.
        """
        path = self.folder / PARTS / part.name
        if isinstance(path, BucketPath):  # only after the last byte it is known to be the same object
            yield from self.read(part, lambda file: file.read(columns)).to_batches(batch_size)
            return
        with name_broken_part(path), self._open(part) as source, pq.ParquetFile(source) as file:
            self._check_rows(part, file)
            yield from file.iter_batches(batch_size=batch_size, columns=columns)

    def kept_file(self, part: Part) -> TablePath:
        """Name the file that has a part's bytes once the part is replaced; it is there before that."""
        return self.folder / STAGING / replaced_name(part)

    def is_named(self, part: Part) -> bool:
        """Tell whether features.json names a part still; in a folder that was moved aside nothing changes any more."""
        if self.is_moved():
            return True
        status = (self.folder / NAME).stat()
        seen = status.st_mtime_ns, status.st_size
        if self._named is None or self._named[0] != seen:
            self._named = seen, set(read_manifest(self.folder).parts)
        return part in self._named[1]

    def is_moved(self) -> bool:
        """Tell whether another folder has taken the place of the one that is held."""
        if self._descriptor is None or isinstance(self.folder, BucketPath):
            return False
        try:
            return not os.path.samestat(os.fstat(self._descriptor), self.folder.stat())
        except FileNotFoundError:
            return True

    def error_of(self, part: Part) -> FeatureFileError:
        """Make the error that tells of a part which was replaced and is not kept any more."""
        return FeatureFileError(
            f"{self.folder / PARTS / part.name} was replaced while the table was being read.",
            hint="Type the same command again: it reads the table as it is now.",
        )

    def _hold(self) -> None:
        self._descriptor = hold_for_reading(self.folder)
        self._let_go = weakref.finalize(self, _close_descriptor, self._descriptor)
        self._let_go.atexit = False  # the system does it, and in a fork the descriptor may be another one's by then

    def _open(self, part: Part) -> BinaryIO:
        """Open a part on disk; from then on its file may be replaced or deleted."""
        file = self._open_if_there(f"{PARTS}/{part.name}")
        kept = self._open_if_there(f"{STAGING}/{replaced_name(part)}")  # a writer makes it before it replaces the part
        if kept is not None:
            _close(file)
            return kept
        is_described = file is not None and part.describes(os.fstat(file.fileno()))
        if not is_described and not self.is_named(part):
            _close(file)
            raise self.error_of(part)
        if file is None:
            raise FileNotFoundError(f"there is no {self.folder / PARTS / part.name}")
        return file

    def _open_if_there(self, name: str) -> BinaryIO | None:
        held = self._descriptor

        def in_folder(path: str, flags: int) -> int:
            return os.open(path, flags, dir_fd=held)

        path = name if held is not None else str(self.folder / name)
        with contextlib.suppress(FileNotFoundError):
            return cast("BinaryIO", open(path, "rb", buffering=0, opener=in_folder))
        return None

    def _read_object(self, part: Part, read: Callable[[pq.ParquetFile], T]) -> T:
        """Read a part in a bucket, where an open object may become another one."""
        kept = self.kept_file(part)
        try:
            found = self._read_file(part, to_parquet_source(self.folder / PARTS / part.name), read)
        except (pa.ArrowException, OSError, FeatureFileError) as error:
            if not kept.is_file():
                if not self.is_named(part):
                    raise self.error_of(part) from error
                raise
        else:
            if not kept.is_file():
                if time.monotonic() - self._opened_s > KEPT_S and not self.is_named(part):
                    raise self.error_of(part)
                return found
        return self._read_file(part, to_parquet_source(kept), read)

    def _read_file(self, part: Part, source: Any, read: Callable[[pq.ParquetFile], T]) -> T:
        with pq.ParquetFile(source) as file:
            self._check_rows(part, file)
            return read(file)

    def _check_rows(self, part: Part, file: pq.ParquetFile) -> None:
        """Refuse a part that something else rewrote."""
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
