"""What an index is to do, within which memory."""

import dataclasses
import functools

from frieze.core import InputError, format_size
from frieze.indexing.build.recall import Probe, hold_out
from frieze.indexing.build.train_and_add import LocalPopulator, Populator
from frieze.indexing.faiss_layer.kinds import KINDS, count_build_bytes, count_bytes
from frieze.indexing.faiss_layer.vectors import Vectors

TRIED_SHARE = 1 / 16
"""Of what building may take: with its index and what that learns from, a sample takes five times its bytes."""
TRAINED_SHARE = 1 / 6
"""The same for what is learnt from, which is copied in part."""
FETCHED_SHARE = 1 / 6
"""The same for rows that are scored anew while an index is tuned."""


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """What is asked for.

    Attributes:
        vectors: The embeddings.
        probe: Some of them as queries, with their exact answers.
        target: Recall@10 wanted, in (0, 1].
        max_bytes: What the index may hold in memory while it serves; None for any.
        max_build_bytes: What building may take in memory beyond the process's start; None for any.
        adder: Who fills codes.
    """

    vectors: Vectors
    probe: Probe
    target: float
    max_bytes: int | None = None
    max_build_bytes: int | None = None
    adder: Populator = dataclasses.field(default_factory=LocalPopulator)

    def probe_for(self, kind: str) -> Probe:
        """Give what a kind is measured on: for a graph some of the probe's rows, which are not in it as yet."""
        return self._held_out if KINDS[kind].is_graph else self.probe

    @functools.cached_property
    def _held_out(self) -> Probe:
        return hold_out(self.vectors, self.probe)

    def count_bytes(self, kind: str) -> int:
        """Estimate what a kind would take in memory."""
        return count_bytes(kind, len(self.vectors), self.vectors.dim)

    def count_held(self, share: float) -> int:
        """Tell how many rows fill a share of what building may take; all where it may take any."""
        if self.max_build_bytes is None:
            return len(self.vectors)
        return max(1, min(len(self.vectors), int(self.max_build_bytes * share) // (4 * self.vectors.dim)))

    def fits(self, kind: str) -> bool:
        """Tell whether a kind keeps to the memory given, serving and building."""
        return not self.lacks(kind)

    def suits(self, kind: str) -> bool:
        """Tell whether a kind can answer in the metric and learn from so few rows."""
        return self.can_learn(kind) and KINDS[kind].serves(self.vectors.metric)

    def can_learn(self, kind: str) -> bool:
        """Tell whether there are as many rows as a kind has to learn from, beside those that measure it."""
        least = KINDS[kind].least_rows(self.vectors.dim)
        return least <= 1 or len(self.vectors) - len(self.probe.rows) >= least

    def lacks(self, kind: str) -> dict[str, tuple[int, int]]:
        """Give the options that leave a kind too little memory: what each gives, and what the kind would take."""
        wanted = {
            "--max-memory": (self.max_bytes, self.count_bytes(kind)),
            "--max-build-memory": (
                self.max_build_bytes,
                count_build_bytes(kind, len(self.vectors), self.vectors.dim),
            ),
        }
        return {option: (given, takes) for option, (given, takes) in wanted.items() if given and given < takes}

    def within(self) -> str:
        """Say which memory is given."""
        told = [f" within {format_size(self.max_bytes)}"] if self.max_bytes else []
        return "".join([*told, f" built within {format_size(self.max_build_bytes)}"] if self.max_build_bytes else told)

    def too_large(self, kind: str, text: str) -> InputError:
        """Say that a kind takes more than is given, after a text, and what to give."""
        lacks = self.lacks(kind)
        told = " and ".join(
            f"{format_size(takes)}{' to build' if 'build' in option else ''}, more than the {format_size(given)} given"
            for option, (given, takes) in lacks.items()
        )
        return InputError(f"{text} would take {told}.", hint=f"Give {self.enough_for(kind)}.")

    def enough_for(self, kind: str) -> str:
        """Write the options that give a kind enough."""
        return " ".join(f"{option} {format_size(takes)}" for option, (_, takes) in self.lacks(kind).items())
