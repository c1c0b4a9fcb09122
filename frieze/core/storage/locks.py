"""Write locks, one writer per folder: flock on disk, in a bucket an object that a heartbeat renews."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frieze.core.errors import FeatureFileError
from frieze.core.storage.atomic_files import translate_io_errors, write_json
from frieze.core.storage.bucket_path import BucketPath, TablePath
from frieze.core.storage.leftovers import lock_with_retries

_TRIES = 3  # `is_being_written` may hold it for a moment


@contextlib.contextmanager
def lock(folder: TablePath) -> Iterator[None]:
    """Lock a folder for writing; the operating system releases the lock when the process ends, also in a crash.

    Raises:
        FeatureFileError: Another process holds the lock (the message names it), or the folder can't be written.
    """
    if isinstance(folder, BucketPath):
        with lock_bucket(folder):
            yield
        return
    with translate_io_errors(folder):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW  # the file behind a link would be truncated
        file = os.open(folder / ".lock", flags, 0o666)
    try:
        try:
            lock_with_retries(file, tries=_TRIES)
        except BlockingIOError as error:
            raise FeatureFileError(
                f"{folder} is being written by {_holder(folder)}.",
                hint="Wait until it is done, or use another `out`.",
            ) from error
        with translate_io_errors(folder):  # the disk may be full
            os.ftruncate(file, 0)
            os.write(file, json.dumps({"pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}).encode())
        yield
    finally:
        os.close(file)


def is_being_written(folder: TablePath) -> bool:
    """Return whether a process holds a folder's write lock."""
    if isinstance(folder, BucketPath):
        return is_bucket_locked(folder)
    try:
        with (folder / ".lock").open("rb") as file:
            lock_with_retries(file.fileno(), is_shared=True, tries=0)
    except BlockingIOError:
        return True
    except OSError:  # never written, or a file system without locks
        return False
    return False


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / ".lock").read_text(encoding="utf-8"))
    except ValueError:
        return "another process"
    return f"process {holder['pid']}, started {holder['started']}"


_HEARTBEAT_S, _STALE_S = 30.0, 120.0
"""Interval of the heartbeat, and the age at which a lock is stale because its writer crashed."""
_SETTLE_S = 1.0
"""How long to wait for another writer that took the lock at the same moment."""
_UNREADABLE: dict[str, Any] = {}


@contextlib.contextmanager
def lock_bucket(folder: BucketPath) -> Iterator[None]:
    """Lock a table in a bucket for writing.

    pyarrow offers no conditional put, so of two writers that begin within a second the last one gets the lock. The
    lock of a crashed writer is stale after two minutes.

    Raises:
        FeatureFileError: Another process holds the lock, or took it meanwhile, or the bucket can't be written.
    """
    file = folder / ".lock"
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": time.strftime("%Y-%m-%d %H:%M:%S")}
    _check_free(folder, file)
    write_json(file, holder)
    try:
        time.sleep(_SETTLE_S)
        if _read(file) not in (holder, _UNREADABLE):
            _check_free(folder, file)
        with _heartbeat(file, holder):
            yield
    finally:
        current = _read(file)
        if current == holder:
            file.unlink(missing_ok=True)
    if current not in (holder, _UNREADABLE):
        raise FeatureFileError(
            f"Another process began to write to {folder}, because this one had sent no heartbeat for two minutes.",
            hint="Wait until it is done, and type the same command again; frieze verify checks the table.",
        )


@contextlib.contextmanager
def _heartbeat(file: BucketPath, holder: dict[str, Any]) -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=_beat, args=(file, holder, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _beat(file: BucketPath, holder: dict[str, Any], ended: threading.Event) -> None:
    """Renew the lock until `ended`, unless another writer has taken it."""
    while not ended.wait(_HEARTBEAT_S) and _read(file) in (holder, _UNREADABLE):
        with contextlib.suppress(OSError, FeatureFileError):  # the next heartbeat may succeed
            write_json(file, holder)


def is_bucket_locked(folder: BucketPath) -> bool:
    """Return whether a table in a bucket is locked; by our own clock, because a reader may not be allowed to write."""
    try:
        return time.time() - (folder / ".lock").stat().st_mtime_ns / 1e9 < _STALE_S
    except FileNotFoundError:
        return False


def _check_free(folder: BucketPath, file: BucketPath) -> None:
    try:
        written = file.stat().st_mtime_ns / 1e9
    except FileNotFoundError:
        return
    holder = _read(file) or {}
    if _now(folder) - written < _STALE_S:
        raise FeatureFileError(
            f"{folder} is being written by process {holder.get('pid')} on {holder.get('host')}, started"
            f" {holder.get('started')}.",
            hint="Wait until it is done, or use another `out`; two minutes after a kill it is free.",
        )


def _now(folder: BucketPath) -> float:
    """Return the store's time, seconds since 1970: our clock may differ."""
    # Named as the temporary file of a killed write, which the next writer deletes.
    probe = folder / f".features.json.{os.getpid()}.tmp"
    write_json(probe, {})
    try:
        return probe.stat().st_mtime_ns / 1e9
    finally:
        probe.unlink(missing_ok=True)


def _read(file: BucketPath) -> dict[str, Any] | None:
    """Read the holder of the lock; None where there is no lock."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, TypeError, ValueError):
        return _UNREADABLE
