"""Places in buckets, s3:// and gs://: what our tables need of a path, by pyarrow's file systems."""

import contextlib
import dataclasses
import fnmatch
import functools
import io
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from frieze.core.errors import FeatureFileError, InputError

SCHEMES = ("s3://", "gs://")
_KEYS = "Credentials, region and endpoint come from the environment, as all tools of the bucket's maker read them."


def is_remote(place: str) -> bool:
    """Tell whether a place is in a bucket.

    >>> is_remote("s3://bucket/a.jpg"), is_remote("/a.jpg"), is_remote("http://host/a.jpg")
    (True, False, False)
    """
    return place.startswith(SCHEMES)


def check_bucket_url(place: str) -> None:
    """Refuse a URL without a bucket, or with a key in it: it would be stored.

    Raises:
        InputError: It is such a one.
    """
    path = place.partition("://")[2]
    if not path.strip("/"):
        raise InputError(f"{place} names no bucket.", hint="Write s3://BUCKET/PREFIX or gs://BUCKET/PREFIX.")
    if "@" in path.partition("/")[0] or ("?" in path and "=" in path.rpartition("?")[2]):
        raise InputError("The URL has credentials or options in it, which would be stored.", hint=_KEYS)


def open_file_system(place: str) -> tuple[Any, str]:
    """Give the file system that a bucket's place is in, and its path there: bucket, then key.

    Credentials, region and endpoint come from the environment, as all tools of the bucket's maker read them.

    Raises:
        OSError: There is no such bucket, or nobody answers.
    """
    scheme, _, path = place.partition("://")
    return file_system(f"{scheme}://{path.partition('/')[0]}"), path


@functools.cache
def file_system(bucket: str) -> Any:
    """Open a bucket's file system, once a process."""
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(bucket)[0]


class Status(NamedTuple):
    """What `stat` tells of an object.

    Attributes:
        st_size: Bytes.
        st_mtime_ns: Nanoseconds since 1970.
    """

    st_size: int
    st_mtime_ns: int


@dataclasses.dataclass(frozen=True, order=True)
class BucketPath:
    """A place in a bucket, used as a `pathlib.Path` is; a folder is there as long as something lies in it.

    Attributes:
        url: `s3://BUCKET/KEY` or `gs://BUCKET/KEY`.

    >>> place = BucketPath("s3://bucket/photos.features") / "parts"
    >>> str(place), place.name, str(place.parent), str(place.with_name("b"))
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
        """The place above."""
        return BucketPath(posixpath.dirname(self.url))

    def with_name(self, name: str) -> "BucketPath":
        """Give a place beside it."""
        return self.parent / name

    def absolute(self) -> "BucketPath":
        """Give itself: a URL is absolute."""
        return self

    resolve = absolute

    def exists(self) -> bool:
        """Tell whether there is an object, or something below."""
        return bool(self._info().type)

    def is_file(self) -> bool:
        """Tell whether there is an object."""
        return bool(self._info().is_file)

    def is_dir(self) -> bool:
        """Tell whether something lies below."""
        return self.exists() and not self.is_file()

    def stat(self) -> Status:
        """Give an object's size and time.

        Raises:
            FileNotFoundError: There is none.
        """
        info = self._info()
        if not info.is_file:
            raise FileNotFoundError(f"There is no {self.url}")
        return Status(info.size, info.mtime_ns)

    def _info(self) -> Any:
        with _reached(self.url):
            system, path = open_file_system(self.url)
            return system.get_file_info(path)

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open an object for reading."""
        if mode != "rb":
            raise ValueError(f"objects are written whole: mode {mode}")
        return cast("BinaryIO", io.BufferedReader(self.open_at_random()))

    def open_at_random(self) -> Any:
        """Open an object as pyarrow's own file, of which only what is wanted is fetched."""
        system, path = open_file_system(self.url)
        return system.open_input_file(path)

    def read_bytes(self) -> bytes:
        """Read an object."""
        with self.open() as file:
            data: bytes = file.read()
            return data

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read an object's text."""
        return self.read_bytes().decode(encoding)

    def iterdir(self) -> Iterator["BucketPath"]:
        """Give what lies directly below, sorted; nothing where there is nothing."""
        from pyarrow.fs import FileSelector

        with _reached(self.url):
            system, path = open_file_system(self.url)
            infos = system.get_file_info(FileSelector(path, allow_not_found=True))
        return iter(sorted(self / info.base_name for info in infos))

    def glob(self, pattern: str) -> Iterator["BucketPath"]:
        """Give what lies directly below and has a name of that kind."""
        return (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def mkdir(self, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Do nothing: there are no folders to make."""

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Delete an object."""
        if not (missing_ok and not self.is_file()):
            with _reached(self.url):
                system, path = open_file_system(self.url)
                system.delete_file(path)

    def replace(self, target: "BucketPath") -> None:
        """Move an object: the store copies it, whole, and deletes it here."""
        system, path = open_file_system(self.url)
        system.move(path, open_file_system(target.url)[1])

    def copy(self, target: "BucketPath") -> None:
        """Copy an object: the store does it, and nothing is fetched."""
        system, path = open_file_system(self.url)
        system.copy_file(path, open_file_system(target.url)[1])

    def upload(self, file: Path) -> None:
        """Write an object from a file: readers see the old one or the whole new one."""
        from pyarrow.fs import LocalFileSystem, copy_files

        system, path = open_file_system(self.url)
        copy_files(str(file), path, source_filesystem=LocalFileSystem(), destination_filesystem=system)


@contextlib.contextmanager
def _reached(url: str) -> Iterator[None]:
    """Turn a store's refusal into an error that says what to do.

    Raises:
        FeatureFileError: Nobody answers, or not us.
    """
    try:
        yield
    except OSError as error:
        raise FeatureFileError(f"{url} can't be reached: {error}.", hint=_KEYS) from error


def to_table_path(place: str | Path) -> Path:
    """Give the path of a table: of a URL a place in its bucket, which has of `Path` what a table needs.

    Raises:
        InputError: The URL names no bucket, or has a key in it.
    """
    if isinstance(place, BucketPath):
        return cast("Path", place)
    if not is_remote(str(place)):
        return Path(place)
    check_bucket_url(str(place))
    return cast("Path", BucketPath(str(place).rstrip("/")))


def as_bucket(path: Path) -> BucketPath | None:
    """Give a path as a place in a bucket; None where it is on disk."""
    return path if isinstance(path, BucketPath) else None


def to_parquet_source(path: Path) -> Any:
    """Give what pyarrow reads a Parquet file from."""
    place = as_bucket(path)
    return path if place is None else place.open_at_random()
