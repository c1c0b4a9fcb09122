"""The file of labels: Parquet that the commands read, made anew after each change of the log beside it."""

import contextlib
import getpass
import os
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pydantic

from frieze.core import (
    FeatureFileError,
    InputError,
    append_line,
    lock_with_retries,
    translate_io_errors,
    write_file,
)
from frieze.embedder import LABELS_OVER
from frieze.web.labels.history import LABEL, NOTHING, Change, LabelHistory, LabelledImage

COLUMNS: dict[str, pa.DataType] = {
    "id": pa.string(),
    LABEL: pa.string(),
    "tags": pa.list_(pa.string()),
    "who": pa.string(),
    "when": pa.timestamp("us", "UTC"),
    "held_out": pa.list_(pa.string()),
}
"""The columns that each file of labels has."""
_N_FIRST_BYTES = 64  # of a log: with the key of its first change
_LOCK_TRIES = 500  # of 20 ms: another process makes the file anew meanwhile


class LabelFile:
    """Labels and tags in a Parquet file and its log; several threads and processes may change them at once.

    The log is what holds: an append-only file of changes, one JSON object a line. The Parquet file is made of it.

    Args:
        path: The Parquet file, created where it is missing.
        is_read_only: Whether to write nothing, also not the missing file.

    Raises:
        InputError: It is no file of labels that this class wrote, or can't be read or written.
    """

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        if path.suffix.lower() != ".parquet":
            raise InputError(f"{path} is no name of a file of labels.", hint="Give a name that ends in .parquet.")
        self.path, self.log_path = path, log_path(path)
        self.is_read_only = is_read_only
        self._thread_lock = threading.Lock()
        self._history, self._n_bytes = LabelHistory(), 0
        self._log: tuple[int, bytes] | None = None  # inode and first bytes
        self._stamp: tuple[int, int, int] | None = None  # of the Parquet file that this process wrote
        self._who = _login_name()
        if is_read_only:
            self._begin()
            return
        _read_table(path)  # a foreign file is refused before there is a log beside it
        with self._locked():
            stored = self._begin()
            if stored.changes:
                append_line(self.log_path, stored.model_dump_json().encode())
                with self.log_path.open("rb") as file:
                    self._check_log(file)
                    self._n_bytes = file.seek(0, os.SEEK_END)
            self._write_table()

    def _begin(self) -> Change:
        """Read the log; where it holds nothing, apply and return what the Parquet file holds.

        Raises:
            InputError: The Parquet file is no file of labels, or not what was made of the log.
        """
        table = _read_table(self.path)  # first: meanwhile the log may only grow
        self._read_on()
        stored = Change(action="import")
        if table is not None and len(self._history):
            self._check_made_of_log(table)
        elif table is not None:
            stored.changes = list(_changes_of(table, self.path))
        self._history.apply(stored)
        return stored

    def _check_made_of_log(self, table: pa.Table) -> None:
        """Check that no other program changed the Parquet file, and that the log did not lose lines since.

        The file of a kill before it was made anew is shorter than the log, and can't be compared.
        """
        n_bytes = int((table.schema.metadata or {}).get(LABELS_OVER, -1))
        hint = (
            f"Delete {self.log_path.name} beside it to begin from it as it is, without undo;"
            f" or delete {self.path.name} to have it made of the log again. Then start the page again."
        )
        if n_bytes > self._n_bytes:
            raise InputError(f"{self.log_path} is older than {self.path}, which was made of it.", hint=hint)
        if n_bytes < 0 or (n_bytes == self._n_bytes and not _has_same_rows(table, self._table())):
            raise InputError(f"{self.path} was changed by another program since the page wrote it.", hint=hint)

    def _check_untouched(self) -> None:
        """Check that the Parquet file is the one that this process or another page wrote, while nobody writes it.

        Raises:
            InputError: Another program changed it.
        """
        if self.path.exists() and _stamp(self.path) != self._stamp:
            table = _read_table(self.path)
            if table is not None:
                self._check_made_of_log(table)

    def change(self, change: Change) -> list[str]:
        """Store a change; it is on disk when this returns.

        Args:
            change: Labels and tags; of `undo` and `redo` the session alone.

        Returns:
            The ids of the images that changed.

        Raises:
            InputError: There is nothing to undo or redo, the file is read-only, can't be written or was changed by
                another program, or the log was replaced.
        """
        self._check_writable()
        with self._locked():
            self._read_on()
            self._check_untouched()
            if change.action in ("undo", "redo"):
                change = change.model_copy(
                    update={"of": self._history.last(is_undo=change.action == "undo", session=change.session or "")}
                )
            with translate_io_errors(self.log_path):
                append_line(self.log_path, change.model_copy(update={"who": self._who}).model_dump_json().encode())
            changed = self._read_on()
            self._write_table()
        return changed

    def read(self) -> dict[str, LabelledImage]:
        """Return what was said of each image, by id; also what other processes stored meanwhile.

        Raises:
            InputError: The log can't be read, or was replaced.
        """
        with self._thread_lock:
            self._read_on()
            return dict(self._history.images)

    def describe(self, session: str) -> dict[str, Any]:
        """Return the path, whether it may be written, what a session can undo, and counts of labels and tags."""
        images = self.read()
        columns: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for image in images.values():
            for column, label in image.labels.items():
                columns[column][label] += 1
        return {
            "path": str(self.path),
            "is_writable": not self.is_read_only,
            "can_undo": self._history.can_undo(session),
            "can_redo": self._history.can_redo(session),
            "columns": {name: dict(sorted(counts.items())) for name, counts in sorted(columns.items())},
            "tags": dict(sorted(Counter(tag for image in images.values() for tag in image.tags).items())),
        }

    def look_up(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Return what was said of some images, also where nothing is."""
        images = self.read()
        return [to_json(image, images.get(image, NOTHING)) for image in ids]

    def table(self) -> pa.Table:
        """Return the content of the Parquet file: one row an image of which something is said, by id."""
        with self._thread_lock:
            self._read_on()
            return self._table()

    def _check_writable(self) -> None:
        if self.is_read_only:
            raise InputError("The labels are read-only.", hint="Start the page without `read_only`.")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other threads and processes from changing the labels."""
        with self._thread_lock:
            self._read_on()  # before the log is made where it is missing
            with translate_io_errors(self.log_path), self.log_path.open("ab") as file:
                try:
                    lock_with_retries(file.fileno(), tries=_LOCK_TRIES)
                except BlockingIOError as error:
                    raise FeatureFileError(
                        f"{self.log_path} is being written by another process.", hint="Try it once more."
                    ) from error
                yield

    def _read_on(self) -> list[str]:
        """Apply what was appended since, and return the ids of the images that changed.

        What follows the last newline is torn, or not whole yet.
        """
        try:
            with self.log_path.open("rb") as file:
                self._check_log(file)
                file.seek(self._n_bytes)
                data = file.read()
        except FileNotFoundError:
            if self._n_bytes:
                raise self._replaced_error() from None
            return []
        except OSError as error:
            hint = "Check its permissions, or move it elsewhere."
            raise InputError(f"{self.log_path} can't be read: {error.strerror}.", hint=hint) from error
        whole = data[: data.rfind(b"\n") + 1]
        self._n_bytes += len(whole)
        changed: dict[str, None] = {}
        for line in whole.splitlines():
            with contextlib.suppress(pydantic.ValidationError):  # a torn line, or one of a later version
                changed |= dict.fromkeys(self._history.apply(Change.model_validate_json(line)))
        return list(changed)

    def _check_log(self, file: BinaryIO) -> None:
        """Check that the log is the one that was read so far: it only ever grows.

        Raises:
            InputError: It is another one, or shorter.
        """
        stat = os.fstat(file.fileno())
        log = (stat.st_ino, file.readline(_N_FIRST_BYTES))
        if self._n_bytes and (stat.st_size < self._n_bytes or log != self._log):
            raise self._replaced_error()
        self._log = log

    def _replaced_error(self) -> InputError:
        return InputError(
            f"{self.log_path} was removed or replaced while the page ran, so nothing is written.",
            hint="Start the page again.",
        )

    def _write_table(self) -> None:
        table = self._table().replace_schema_metadata({LABELS_OVER: str(self._n_bytes)})
        write_file(self.path, lambda staging: pq.write_table(table, staging))
        self._stamp = _stamp(self.path)

    def _table(self) -> pa.Table:
        images = sorted(self._history.images.items())
        columns = {
            "id": [name for name, _ in images],
            "tags": [image.tags for _, image in images],
            "who": [image.who for _, image in images],
            "when": [image.when for _, image in images],
            "held_out": [image.held_out for _, image in images],
        }
        others = sorted({name for _, image in images for name in image.labels} - {LABEL})
        arrays = {
            name: pa.array(columns[name] if name in columns else [image.labels.get(name) for _, image in images], kind)
            for name, kind in (COLUMNS | dict.fromkeys(others, pa.string())).items()
        }
        return pa.table(arrays)


def log_path(path: Path) -> Path:
    """Return the path of the log of a file of labels."""
    return path.with_name(f"{path.name}.log.jsonl")


def _stamp(path: Path) -> tuple[int, int, int]:
    """Return what differs after another program wrote a file."""
    stat = path.stat()
    return stat.st_ino, stat.st_mtime_ns, stat.st_size


def to_json(name: str, image: LabelledImage) -> dict[str, Any]:
    """Return what was said of an image as the page's routes have it."""
    return {"id": name, **image._asdict()}


def _login_name() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return None


def _read_table(path: Path) -> pa.Table | None:
    """Read the Parquet file; None where there is none.

    Raises:
        InputError: It is no file of labels.
    """
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        has_log = log_path(path).exists() and log_path(path).stat().st_size > 0
        hint = f"Delete {path.name}: it is made of {log_path(path).name} again." if has_log else "Give another file."
        raise InputError(f"{path} can't be read: {error}.", hint=hint) from error
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]}: it is no file of labels that the page wrote.",
            hint="Give a name that is free.",
        )
    return table


def _has_same_rows(table: pa.Table, other: pa.Table) -> bool:
    return bool(table.equals(other) or table.to_pylist() == other.to_pylist())


def _changes_of(table: pa.Table, path: Path) -> Iterator[Change]:
    """Yield what the rows of a file without a log say: tags, or a label.

    Raises:
        InputError: An id is missing, or a label or a tag is no text.
    """
    columns = [LABEL, *(name for name in table.column_names if name not in COLUMNS)]
    for number, row in enumerate(table.to_pylist(), 1):
        column = ""
        fields = {"ids": [row["id"]], "who": row["who"]} | ({} if row["when"] is None else {"when": row["when"]})
        try:
            if row["tags"]:
                yield Change(**fields, add=row["tags"])
            for column in columns:
                if row[column] is not None:
                    is_held_out = column in (row["held_out"] or ())
                    yield Change(**fields, column=column, label=row[column], sets_label=True, is_held_out=is_held_out)
        except pydantic.ValidationError as error:
            fault = error.errors()[0]
            name = {"ids": "id", "add": "tags", "label": column}.get(str(fault["loc"][0]), fault["loc"][0])
            raise InputError(
                f"{path} can't be read: in row {number:,} the column {name} holds {fault['input']!r}: {fault['msg']}.",
                hint="Give each row an id, and labels and tags as text; leave other columns out (pandas: index=False).",
            ) from error
