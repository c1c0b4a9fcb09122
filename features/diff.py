"""A source's listing held against what is stored."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from frieze.core import OUT_OF_MEMORY, Rows
from frieze.features.failures import Failure
from frieze.features.schema import PART

Mask = npt.NDArray[np.bool_]

_FACTS = ("size_bytes", "mtime_ns")
_NOT_EQUALLED = (pa.types.is_nested, pa.types.is_floating, pa.types.is_null)
"""Types that Arrow does not compare, or not as we want: no number is one."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What became of each listed image, and of each stored row, as far as names, sizes and times tell.

    Attributes:
        images: The listing: `id, uri, label, size_bytes, mtime_ns`, then the user's columns.
        stored: The same of every stored row, and `PART`, the number of its part.
        failed: The failures of earlier runs that another run need not look into again: all that is a property of the
            image.
        places: int64 [N], the stored row of each listed image; -1 where it is not stored.
        has_facts: Whether size and time of a stored image are those of its row.
        is_current: Whether its row says already all that the listing says.
        is_same: Whether all this is known without a look at its bytes: there is nothing to do.
        is_among_failed: Whether it failed before, be it that it could not be listed, and is not stored as it is now.
        has_failed: Whether it failed before, and has not changed since.
        gone: Which stored rows the source no longer has.
    """

    images: pa.Table
    stored: pa.Table
    failed: pa.Table
    places: Rows
    has_facts: Mask
    is_current: Mask
    is_same: Mask
    is_among_failed: Mask
    has_failed: Mask
    gone: Mask

    @property
    def is_stored(self) -> Mask:
        """Whether there is a row of its id."""
        return self.places >= 0

    @functools.cached_property
    def is_relabelled(self) -> Mask:
        """Whether its row has another label than the listing."""
        at = pa.array(self.places, mask=self.places < 0)
        return self.is_stored & ~_equal(self.images["label"], self.stored["label"].take(at))

    @property
    def next_part(self) -> int:
        """The number after that of the last part."""
        return 0 if len(self.stored) == 0 else int(pc.max(self.stored[PART]).as_py()) + 1

    def failures_of(self, rows: Mask) -> pa.Table:
        """Give the failures of these rows of the listing."""
        ids = self.images["id"].filter(pa.array(rows)).combine_chunks()
        return self.failed.filter(pc.is_in(self.failed["id"], ids))


def compare(
    images: pa.Table,
    stored: pa.Table,
    failed: pa.Table,
    *,
    unlisted: Sequence[Failure] = (),
    retried: pa.ChunkedArray | None = None,
) -> Comparison:
    """Hold a listing against a table.

    Args:
        images: A table with the columns of `LISTING`, then the user's; a size or time of null is unknown.
        stored: The same columns of every stored row, and `PART`.
        failed: A table of `FAILURES`.
        unlisted: Failures of images, folders and archives; where one could not be looked at, or not to its end, nobody
            knows what is gone, so its rows and those below it stay, by id or by uri.
        retried: Whether each failure says nothing of this run, so that its image is tried again. One that could not be
            read, or for which there was no memory, always is, for that passes.
    """
    is_among_failed = _mask(pc.is_in(images["id"], failed["id"].combine_chunks()))
    passes = _passes(failed) if retried is None else pc.or_(_passes(failed), retried)
    failed = failed.filter(pc.invert(passes))
    places = _places(images, stored)
    earlier = failed.rename_columns({"size": "size_bytes", "mtime": "mtime_ns"})
    failures = _places(images, earlier)
    agree, has_facts = _facts(images, stored, places)
    _, has_failed = _facts(images, earlier, failures)
    columns = [name for name in images.column_names if name not in ("id", *_FACTS)]
    is_current = agree & _all_equal(images, stored, places, columns)
    is_same = has_facts & is_current
    is_among_failed &= ~has_facts
    # A stored image that has changed and failed since is gone too: a kill may have left its old row behind.
    lasting = images["id"].filter(pa.array(has_facts | ~has_failed))
    gone = _mask(pc.invert(pc.is_in(stored["id"], lasting)))
    hiding = [place for failure in unlisted if failure.hides_rows for place in (failure.id, failure.uri)]
    gone[gone] = ~_is_below(stored.filter(pa.array(gone)), hiding)
    return Comparison(images, stored, failed, places, has_facts, is_current, is_same, is_among_failed, has_failed, gone)


def _passes(failed: pa.Table) -> pa.ChunkedArray:
    """Mark the failures that are no property of an image's bytes: a listing finds its own again, a disk recovers.

    So does memory.
    """
    could_not_be_read = pc.and_(pc.equal(failed["stage"], "read"), pc.equal(failed["reason"], "unreadable"))
    had_no_room = pc.equal(failed["reason"], OUT_OF_MEMORY)
    return pc.or_(pc.equal(failed["stage"], "list"), pc.or_(could_not_be_read, had_no_room))


def _mask(values: pa.ChunkedArray) -> Mask:
    return pc.fill_null(values, fill_value=False).to_numpy()  # type: ignore[no-any-return]


def _places(images: pa.Table, known: pa.Table) -> Rows:
    return pc.fill_null(pc.index_in(images["id"], known["id"]), -1).to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _is_below(rows: pa.Table, names: Iterable[str]) -> Mask:
    """Mark the rows that are one of some places, or lie below one, by id or by uri; `.` is the source itself."""
    places = set(names)
    if not places or "." in places:  # the source itself
        return np.full(len(rows), bool(places))
    pairs = zip(rows["id"].to_pylist(), rows["uri"].to_pylist(), strict=True)  # an id may be the user's own
    return np.array([any(not places.isdisjoint(names_within(name)) for name in pair) for pair in pairs], bool)


def names_within(name: str) -> Iterator[str]:
    """Give a name and what it lies in, the innermost first."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _facts(images: pa.Table, known: pa.Table, places: Rows) -> tuple[Mask, Mask]:
    """Mark the images that no fact tells from the known row at their place, and those that some fact speaks for."""
    at = pa.array(places, mask=places < 0)
    agree, tell = places >= 0, np.zeros(len(places), bool)
    for name in _FACTS:
        equal = pc.equal(images[name], known[name].take(at))  # null where unknown
        agree &= pc.fill_null(equal, fill_value=True).to_numpy()
        tell |= _mask(equal)
    return agree, agree & tell


def _all_equal(images: pa.Table, stored: pa.Table, places: Rows, columns: Iterable[str]) -> Mask:
    at = pa.array(places, mask=places < 0)
    equal = [_equal(images[name], stored[name].take(at)) for name in columns if name in stored.column_names]
    dropped = set(stored.column_names) - set(images.column_names) - {PART}
    equal += [_mask(stored[name].take(at).is_null()) for name in sorted(dropped)]
    missing = any(name not in stored.column_names for name in columns)
    return functools.reduce(np.logical_and, equal, np.full(len(images), not missing))


def _equal(new: pa.ChunkedArray, old: pa.ChunkedArray) -> Mask:
    """Compare two columns value by value; null equals null, and no number itself."""
    new, old = (_plain(column) for column in (new, old))
    if new.type != old.type or any(is_odd(new.type) for is_odd in _NOT_EQUALLED):
        return np.array([repr(one) == repr(other) for one, other in zip(new.to_pylist(), old.to_pylist(), strict=True)])
    both_null = pc.and_(new.is_null(), old.is_null())
    return _mask(pc.or_kleene(pc.equal(new, old), both_null))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
