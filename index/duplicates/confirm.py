"""Compare candidate pairs on their pixels, in threads or processes, and remember what came of it."""

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from frieze.core import Rows, SqliteCache, count_cores
from frieze.indexing.duplicates.compare import Match
from frieze.indexing.duplicates.decide import (
    Decider,
    Image,
    Pair,
    ReadPicture,
    one_library_thread,
    use_one_faiss_thread,
)
from frieze.indexing.duplicates.image_facts import ImageFacts
from frieze.indexing.duplicates.pair_processes import PairProcesses, ProcessDiedError

_VERSION = "8"
"""Of the rules: what was decided by others is decided anew."""
_N_IN_THREADS = 2_000  # pairs: for fewer no process is started


class Confirmer:
    """Decides on the pixels whether two images are copies of one picture.

    Args:
        read: Reads an image in small; called in threads.
        facts: The images.
        cache: Where decisions are kept, or None.
        processes: Where most pairs are decided if there are many; None for threads of this process alone.

    Attributes:
        n_compared: Pairs compared so far, those remembered included.
        unreadable: Rows that could not be read.
    """

    def __init__(
        self,
        read: ReadPicture,
        facts: ImageFacts,
        cache: SqliteCache | None,
        processes: PairProcesses | None = None,
    ) -> None:
        self._facts = facts
        self._cache = cache
        self._decider = Decider(read)
        self._processes = processes
        self._n_decided = 0
        self.n_compared = 0

    @property
    def unreadable(self) -> set[int]:
        """Rows that could not be read."""
        return self._decider.unreadable

    def compare(self, pairs: Rows, by_features: npt.NDArray[np.bool_]) -> list[Match | None]:
        """Compare pairs.

        Args:
            pairs: int64 [n, 2].
            by_features: bool [n]: where to look for crops and turns by any angle too.

        Returns:
            Of each pair how it matches, or None where it does not, or that can't be told.
        """
        images = self._images(np.unique(pairs))
        named = [
            Pair(images[row], images[other], thorough)
            for (row, other), thorough in zip(pairs.tolist(), by_features.tolist(), strict=True)
        ]
        pool = ThreadPoolExecutor(count_cores(), "frieze-pairs", use_one_faiss_thread)
        try:
            with one_library_thread():
                matches = self._compare(named, pool)
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C waits for the pairs in hand alone
        self.n_compared += len(pairs)
        return [
            None if match is None else _weigh(match, tuple(n_pixels))
            for match, n_pixels in zip(matches, self._facts.n_pixels[pairs].tolist(), strict=True)
        ]

    def _compare(self, pairs: list[Pair], pool: ThreadPoolExecutor) -> list[Match | None]:
        keys = [_key(pair, self._facts.decoding) for pair in pairs]
        known = self._remembered(keys)
        new = [at for at, key in enumerate(keys) if key not in known]
        compared = dict(zip(new, self._decide([pairs[at] for at in new], pool), strict=True))
        if self._cache is not None:
            unreadable = self.unreadable
            self._cache.put(
                {
                    keys[at]: _to_bytes(match)
                    for at, match in compared.items()
                    if keys[at] and not unreadable.intersection((pairs[at].first.row, pairs[at].second.row))
                }
            )
        return [compared[at] if at in compared else known[key] for at, key in enumerate(keys)]

    def _remembered(self, keys: list[str]) -> dict[str, Match | None]:
        """Return the decisions that are kept; one that can't be read is made anew."""
        known: dict[str, Match | None] = {}
        for key, data in ({} if self._cache is None else self._cache.get(filter(None, keys))).items():
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                known[key] = _from_bytes(data)
        return known

    def _decide(self, pairs: list[Pair], pool: ThreadPoolExecutor) -> list[Match | None]:
        """Decide in processes where there are many pairs; should one of these end, in threads."""
        self._n_decided += len(pairs)
        if self._processes is not None and self._n_decided > _N_IN_THREADS:
            try:
                matches, unreadable = self._processes.decide(pairs)
            except ProcessDiedError:
                self._processes = None
            else:
                self._decider.unreadable.update(unreadable)
                return matches
        return list(pool.map(self._decider.decide, pairs))

    def _images(self, rows: Rows) -> dict[int, Image]:
        uris = self._facts.uris.take(rows).to_pylist()
        return {
            row: Image(row, uri, version)
            for row, uri, version in zip(rows.tolist(), uris, self._facts.versions[rows], strict=True)
        }


def _key(pair: Pair, decoding: str) -> str:
    """Return the key of a decision; empty where the bytes are not known."""
    versions = pair.first.version, pair.second.version
    return " ".join([_VERSION + decoding, *versions, str(int(pair.by_features))]) if all(versions) else ""


def _weigh(match: Match, n_pixels: tuple[int, int]) -> Match | None:
    """Take the sizes of both images into account; None where neither of them can go."""
    match = match.with_sizes(n_pixels)
    return None if match.is_mutual_loss(n_pixels) else match


def _to_bytes(match: Match | None) -> bytes:
    return json.dumps(match and match.to_json()).encode()


def _from_bytes(data: bytes) -> Match | None:
    fields: dict[str, Any] | None = json.loads(data)
    return None if fields is None else Match.from_json(fields)
