"""What of a process's memory is left for embeddings, where the process is held to a size."""

import dataclasses
from typing import Self

from frieze.classifiers.registry import Classifier
from frieze.core import format_size, resident_memory

_RESERVE_BYTES = 150_000_000  # pieces of parts that are read, and what scikit-learn imports on its way
_ANSWER_COPIES = 4  # margins, those of all classes, probabilities, and a sum's
_HELD_OUT = 3  # a third of the rows is asked at once at most: a fold


@dataclasses.dataclass(frozen=True)
class Budget:
    """A size that a process is held to.

    Attributes:
        memory_bytes: The size; None where there is none.
        kind: The head that is fitted.
        taken_bytes: What the process takes whatever is done with the embeddings: libraries, ids, labels, predictions.
    """

    memory_bytes: int | None
    kind: type[Classifier]
    taken_bytes: int

    @classmethod
    def of(cls, memory_bytes: int | None, kind: type[Classifier], *, n_rows: int, n_classes: int) -> Self:
        """Look at what the process takes now, and add what is still to come."""
        answers = _ANSWER_COPIES * 4 * n_classes * -(-n_rows // _HELD_OUT)
        return cls(memory_bytes, kind, resident_memory() + _RESERVE_BYTES + answers)

    def most_rows(self, dim: int) -> int | None:
        """Return how many rows float32 [n, dim] may lie in memory; None where nothing is said."""
        if self.memory_bytes is None:
            return None
        left = self.memory_bytes - self.taken_bytes - self.kind.memory.fixed_bytes
        return max(0, left // (self.kind.memory.count(1, dim) - self.kind.memory.fixed_bytes))

    def count(self, n_rows: int, dim: int) -> int:
        """Return the size that a process needs which holds float32 [n_rows, dim]."""
        return self.taken_bytes + self.kind.memory.count(n_rows, dim)

    @property
    def notes(self) -> list[str]:
        """Say in words that the size can't be kept."""
        least = self.taken_bytes + self.kind.memory.fixed_bytes
        if self.memory_bytes is None or least <= self.memory_bytes:
            return []
        asked, needed = format_size(self.memory_bytes), format_size(least)
        note = f"--max-memory {asked} is less than the process takes without embeddings, about {needed}"
        return [f"{note}: libraries, ids, labels and predictions."]
