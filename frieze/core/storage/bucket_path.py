"""Paths in buckets (s3://, gs://) with the methods of `pathlib.Path` that a table needs, on pyarrow's file systems."""

import dataclasses
import fnmatch
import functools
import io
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from frieze.core.errors import InputError, translate_errors
from frieze.core.storage.hugging_face import SCHEME, open_hub

SCHEMES = ("s3://", "gs://", SCHEME)
_CREDENTIALS = (
    "Credentials, region and endpoint come from the environment, as all tools of the bucket's maker read them."
)


def is_remote(place: str) -> bool:
    """Return whether a path or URL is in a bucket, or a data set of the Hugging Face Hub.

    >>> is_remote("s3://bucket/a.jpg"), is_remote("/a.jpg"), is_remote("http://host/a.jpg")
    (True, False, False)
    """
    return place.startswith(SCHEMES)


def check_bucket_url(url: str) -> None:
    """Refuse a URL without a bucket, or with credentials in it, which would be stored.

    Raises:
        InputError: It is such a URL.
    """
    path = url.partition("://")[2]
    if not path.strip("/"):
        raise InputError(f"{url} names no bucket.", hint="Write s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.")
    if "@" in path.partition("/")[0] or ("?" in path and "=" in path.rpartition("?")[2]):
        raise InputError("The URL has credentials or options in it, which would be stored.", hint=_CREDENTIALS)


def open_file_system(url: str) -> tuple[Any, str]:
    """Return the pyarrow file system of a URL, and the URL's path in it: bucket, then key.

    Credentials, region and endpoint come from the environment, as all tools of the bucket's maker read them.

    Raises:
        OSError: There is no such bucket, or the store does not answer.
    """
    scheme, _, path = url.partition("://")
    return file_system(f"{scheme}://{path.partition('/')[0]}"), path


@functools.cache
def file_system(bucket: str) -> Any:
    """Open a bucket's file system, once a process."""
    from pyarrow.fs import FileSystem

    if bucket.startswith(SCHEME):
        return open_hub()
    return FileSystem.from_uri(bucket)[0]


class Status(NamedTuple):
    """The result of `stat` for an object.

    Attributes:
        st_size: Bytes.
        st_mtime_ns: Nanoseconds since 1970.
    """

    st_size: int
    st_mtime_ns: int


@dataclasses.dataclass(frozen=True, order=True)
class BucketPath:
    """A path in a bucket, used as a `pathlib.Path` is; a folder exists as long as something is below it.

    Attributes:
        url: `s3://BUCKET/KEY` or `gs://BUCKET/KEY`.

    >>> path = BucketPath("s3://bucket/photos.features") / "parts"
    >>> str(path), path.name, str(path.parent), str(path.with_name("b"))
    ('s3://bucket/photos.features/parts', 'parts', 's3://bucket/photos.features', 's3://bucket/photos.features/b')
    """

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> "BucketPath":
        return BucketPath(f"{self.url}/{name}")

    @property
    def name(self) -> str:
        """The last part of the key."""
        return posixpath.basename(self.url)

    @property
    def parent(self) -> "BucketPath":
        """The path above."""
        return BucketPath(posixpath.dirname(self.url))

    def with_name(self, name: str) -> "BucketPath":
        """Return the path of that name in the same folder."""
        return self.parent / name

    def absolute(self) -> "BucketPath":
        """Return the path itself: a URL is absolute."""
        return self

    resolve = absolute

    def exists(self) -> bool:
        """Return whether there is an object, or something below."""
        return bool(self._info().type)

    def is_file(self) -> bool:
        """Return whether there is an object."""
        return bool(self._info().is_file)

    def is_dir(self) -> bool:
        """Return whether something is below."""
        return self.exists() and not self.is_file()

    def is_symlink(self) -> bool:
        """Return False: a bucket has no links."""
        return False

    def stat(self) -> Status:
        """Return an object's size and time.

        Raises:
            FileNotFoundError: There is none.
        """
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(f"There is no {self.url}")
        return Status(info.size, info.mtime_ns)

    def _info(self) -> Any:
        with translate_errors(f"{self.url} can't be reached", hint=_CREDENTIALS):
            system, path = open_file_system(self.url)
            return system.get_file_info(path)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """Open an object for reading."""
        if mode != "rb":
            raise ValueError(f"objects are written whole: mode {mode}")
        return io.BufferedReader(self.open_at_random())

    def open_at_random(self) -> Any:
        """Open an object as pyarrow's own file, which fetches only the ranges that are read."""
        system, path = open_file_system(self.url)
        return system.open_input_file(path)

    def read_bytes(self) -> bytes:
        """Read an object."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read an object's text."""
        return self.read_bytes().decode(encoding)

    def iterdir(self) -> Iterator["BucketPath"]:
        """Return the paths directly below, sorted; none where there is nothing."""
        from pyarrow.fs import FileSelector

        with translate_errors(f"{self.url} can't be reached", hint=_CREDENTIALS):
            system, path = open_file_system(self.url)
            infos = system.get_file_info(FileSelector(path, allow_not_found=True))
        return iter(sorted(self / info.base_name for info in infos))

    def glob(self, pattern: str) -> Iterator["BucketPath"]:
        """Return the paths directly below whose names match a pattern."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def mkdir(self, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Do nothing: a bucket has no folders to make."""

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete an object."""
        if not (missing_ok and not self.is_file()):
            with translate_errors(f"{self.url} can't be reached", hint=_CREDENTIALS):
                system, path = open_file_system(self.url)
                system.delete_file(path)

    def replace(self, target: "BucketPath") -> None:
        """Move an object: the store copies it, whole, and deletes it here."""
        system, path = open_file_system(self.url)
        system.move(path, open_file_system(target.url)[1])

    def copy(self, target: "BucketPath") -> None:
        """Copy an object within the store; nothing is fetched."""
        system, path = open_file_system(self.url)
        system.copy_file(path, open_file_system(target.url)[1])

    def upload(self, file: Path) -> None:
        """Write an object from a local file, atomically: readers see the old one or the whole new one."""
        from pyarrow.fs import LocalFileSystem, copy_files

        system, path = open_file_system(self.url)
        copy_files(str(file), path, source_filesystem=LocalFileSystem(), destination_filesystem=system)


TablePath = Path | BucketPath
"""A table's folder or a file in it: on disk, or in a bucket. The type checker allows what both classes offer."""


def to_table_path(place: str | TablePath) -> TablePath:
    """Return the path of a table that is given as a path or a URL.

    Raises:
        InputError: The URL names no bucket, is one of the Hugging Face Hub, or has credentials in it.
    """
    if isinstance(place, BucketPath):
        return place
    if not is_remote(str(place)):
        return Path(place)
    if str(place).startswith(SCHEME):
        raise InputError(f"{place} is read only: no table can be there.", hint="Give a folder, s3:// or gs://.")
    check_bucket_url(str(place))
    return BucketPath(str(place).rstrip("/"))


def move_file(source: TablePath, target: TablePath) -> None:
    """Move a file of a table; on disk this is atomic, a store copies and deletes."""
    if isinstance(source, BucketPath):
        source.replace(BucketPath(str(target)))
    else:
        source.replace(str(target))


def to_parquet_source(path: TablePath) -> Any:
    """Return what pyarrow reads a Parquet file from."""
    return path.open_at_random() if isinstance(path, BucketPath) else path
