"""The request to build an index: vectors, recall target and memory limits."""

import dataclasses
import functools

from frieze.core import InputError, format_size, to_parameters
from frieze.indexing.build.recall import GroundTruth, hold_out
from frieze.indexing.build.train_and_add import LocalPopulator, Populator
from frieze.indexing.faiss_layer.kinds import KINDS, count_build_bytes, count_bytes
from frieze.indexing.faiss_layer.vectors import Vectors

TRIED_SHARE = 1 / 16
"""Fraction of the build memory for a sample: with its index and training rows it takes five times its own bytes."""
TRAINED_SHARE = 1 / 6
"""Fraction of the build memory for training rows, which are copied in part."""
FETCHED_SHARE = 1 / 6
"""Fraction of the build memory for rows that are rescored while an index is tuned."""


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """What to build, within which memory.

    Attributes:
        vectors: The embeddings.
        ground_truth: Some of them as queries, with their exact answers.
        target: Recall@10 to reach, in (0, 1].
        max_bytes: Memory limit while the index serves; None for no limit.
        max_build_bytes: Memory limit for building, beyond the process's start; None for no limit.
        populator: Adds rows to FAISS indexes.
    """

    vectors: Vectors
    ground_truth: GroundTruth
    target: float
    max_bytes: int | None = None
    max_build_bytes: int | None = None
    populator: Populator = dataclasses.field(default_factory=LocalPopulator)

    def ground_truth_for(self, kind: str) -> GroundTruth:
        """Return the queries that a kind is measured on: for a graph, some whose rows are not in it yet."""
        return self._held_out if KINDS[kind].is_graph else self.ground_truth

    @functools.cached_property
    def _held_out(self) -> GroundTruth:
        return hold_out(self.vectors, self.ground_truth)

    def count_bytes(self, kind: str) -> int:
        """Estimate the memory of a kind while it serves."""
        return count_bytes(kind, len(self.vectors), self.vectors.dim)

    def rows_within(self, share: float) -> int:
        """Count the rows that fit a fraction of the build memory; all rows without a limit."""
        if self.max_build_bytes is None:
            return len(self.vectors)
        return max(1, min(len(self.vectors), int(self.max_build_bytes * share) // (4 * self.vectors.dim)))

    def fits(self, kind: str) -> bool:
        """Return whether a kind keeps to the memory limits, serving and building."""
        return not self._exceeded_limits(kind)

    def is_possible(self, kind: str) -> bool:
        """Return whether a kind can answer in the metric and be trained on so few rows."""
        return self.has_enough_rows(kind) and KINDS[kind].supports(self.vectors.metric)

    def has_enough_rows(self, kind: str) -> bool:
        """Return whether there are enough training rows for a kind, beside the ground-truth queries."""
        min_rows = KINDS[kind].min_rows(self.vectors.dim)
        return min_rows <= 1 or len(self.vectors) - len(self.ground_truth.rows) >= min_rows

    def _exceeded_limits(self, kind: str) -> dict[str, tuple[int, int]]:
        """Return the options whose limit a kind exceeds: the limit, and the bytes that the kind requires."""
        build_bytes = count_build_bytes(kind, len(self.vectors), self.vectors.dim)
        options = {
            "max_memory": (self.max_bytes, self.count_bytes(kind)),
            "max_build_memory": (self.max_build_bytes, build_bytes),
        }
        return {option: (limit, needed) for option, (limit, needed) in options.items() if limit and limit < needed}

    def describe_limits(self) -> str:
        """Describe the memory limits for a message; empty without any."""
        parts = [f" within {format_size(self.max_bytes)}"] if self.max_bytes else []
        parts += [f" built within {format_size(self.max_build_bytes)}"] if self.max_build_bytes else []
        return "".join(parts)

    def too_large_error(self, kind: str, subject: str) -> InputError:
        """Return the error that a kind, named by `subject`, exceeds the limits, and which limits suffice."""
        reasons = " and ".join(
            f"{format_size(needed)}{' to build' if 'build' in option else ''}, more than the {format_size(limit)} given"
            for option, (limit, needed) in self._exceeded_limits(kind).items()
        )
        return InputError(f"{subject} would take {reasons}.", hint=f"Give {self.sufficient_options(kind)}.")

    def sufficient_options(self, kind: str) -> str:
        """Format the options that give a kind enough memory."""
        needs = self._exceeded_limits(kind).items()
        return to_parameters({option: format_size(needed) for option, (_, needed) in needs})
