"""Decisions on pairs of duplicates: a log beside the index, which outlasts a rebuild and serves several processes."""

import contextlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pydantic

from frieze.core import InputError, append_line, translate_io_errors
from frieze.indexing import Index, read_hashes
from frieze.web.schemas import Decision


class LoggedDecision(Decision):
    """A line of the log.

    Attributes:
        sha256: Of the bytes of `id` and of `other` when it was made; None for an image without one.
        time: When it was made.
    """

    sha256: tuple[str | None, str | None]
    time: datetime

    def kept_ids(self) -> list[str]:
        """Return the ids of the images that it keeps."""
        return [name for which, name in (("id", self.id), ("other", self.other)) if self.keep in (which, "both")]


class DecisionLog:
    """An append-only file of decisions, one JSON object a line; of several on one pair the last one holds.

    Args:
        path: The file, created by the first decision.
        is_read_only: Whether the page is to write nothing.
    """

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self.path, self.is_read_only = path, is_read_only

    @property
    def is_writable(self) -> bool:
        """Whether this process may append to the file, or create it."""
        return not self.is_read_only and os.access(self.path if self.path.exists() else self.path.parent, os.W_OK)

    def append(self, decision: Decision, sha256: tuple[str | None, str | None]) -> None:
        """Store a decision; it is on disk when this returns.

        Args:
            decision: The decision.
            sha256: Of the bytes of its `id` and `other`.

        Raises:
            FeatureFileError: The file can't be written.
        """
        logged = LoggedDecision(**decision.model_dump(), sha256=sha256, time=datetime.now(UTC))
        with translate_io_errors(self.path):
            append_line(self.path, logged.model_dump_json().encode())

    def read(self) -> list[LoggedDecision]:
        """Return the decision on each pair, in the order in which they were made; one that was undone is left out.

        Raises:
            InputError: The file is there, but can't be read.
        """
        try:
            *lines, _ = self.path.read_bytes().split(b"\n")  # what follows the last newline is torn
        except FileNotFoundError:
            return []
        except OSError as error:
            hint = "Check its permissions, or move it elsewhere."
            raise InputError(f"{self.path} can't be read: {error.strerror}.", hint=hint) from error
        last: dict[frozenset[str], LoggedDecision] = {}
        for line in lines:
            with contextlib.suppress(pydantic.ValidationError):  # a torn line
                decision = LoggedDecision.model_validate_json(line)
                pair = frozenset((decision.id, decision.other))
                last.pop(pair, None)
                last[pair] = decision
        return [decision for decision in last.values() if decision.keep is not None]


def read_current_decisions(index: Index) -> list[LoggedDecision]:
    """Return the decisions on pairs of an index's images whose bytes are still those that were decided on.

    Raises:
        InputError: The log can't be read.
    """
    logged = DecisionLog(log_path(index.path)).read()
    hashes = read_hashes(index, {name for one in logged for name in (one.id, one.other)})
    return [
        one
        for one in logged
        if one.id in hashes and one.other in hashes and (hashes[one.id], hashes[one.other]) == one.sha256
    ]


def log_path(index: Path) -> Path:
    """Return the path of an index's log: beside its folder, whose content a rebuild replaces.

    >>> log_path(Path("/data/photos.index"))
    PosixPath('/data/photos.index.decisions.jsonl')
    """
    folder = index.resolve()
    return folder.with_name(f"{folder.name}.decisions.jsonl")
