"""Compare a listing with a stored table: which images are new, changed, unchanged, failed before, or removed."""

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

_STAT = ("size_bytes", "mtime_ns")
_COMPARED_AS_TEXT = (pa.types.is_nested, pa.types.is_floating, pa.types.is_null)
"""Types that Arrow can't compare, or for which NaN must equal NaN."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The state of each listed image and of each stored row, as far as names, sizes and times show.

    Attributes:
        images: The listing: `id, uri, label, size_bytes, mtime_ns`, then the user's columns.
        stored: The same columns of every stored row, and `PART`, the number of its part.
        failed: Earlier failures that are a property of the image, so that another run need not retry them.
        stored_rows: int64 [N], the stored row of each listed image; -1 where it is not stored.
        same_size_and_mtime: Whether the image is stored with the size and time of the listing.
        is_current: Whether the stored row already holds every value of the listing.
        is_same: Whether both hold, so that there is nothing to do and no byte to read.
        is_among_failed: Whether the image failed before, in listing too, and is not stored with this size and time.
        has_failed: Whether the image failed before and has not changed since.
        removed: Which stored rows the source no longer has.
    """

    images: pa.Table
    stored: pa.Table
    failed: pa.Table
    stored_rows: Rows
    same_size_and_mtime: Mask
    is_current: Mask
    is_same: Mask
    is_among_failed: Mask
    has_failed: Mask
    removed: Mask

    @property
    def is_stored(self) -> Mask:
        """Whether there is a stored row with the id of each listed image."""
        return self.stored_rows >= 0

    @functools.cached_property
    def is_relabelled(self) -> Mask:
        """Whether the stored row of each image has another label than the listing."""
        at = pa.array(self.stored_rows, mask=self.stored_rows < 0)
        return self.is_stored & ~_equal(self.images["label"], self.stored["label"].take(at))

    @property
    def next_part(self) -> int:
        """The part number after the last one."""
        return 0 if len(self.stored) == 0 else int(pc.max(self.stored[PART]).as_py()) + 1

    def failures_of(self, rows: Mask) -> pa.Table:
        """Return the failures of these rows of the listing."""
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
    """Compare a listing with a stored table.

    Args:
        images: A table with the columns of `LISTING`, then the user's; a size or time of null is unknown.
        stored: The same columns of every stored row, and `PART`.
        failed: A table of `FAILURES`.
        unlisted: Failures of images, folders and archives. Where one could not be read to its end, nobody knows what
            was removed, so its rows and those below it (by id or by uri) stay.
        retried: Whether to retry each failure because this run differs. Failed reads and lack of memory are temporary
            and always retried.
    """
    is_among_failed = _mask(pc.is_in(images["id"], failed["id"].combine_chunks()))
    temporary = _is_temporary(failed)
    failed = failed.filter(pc.invert(temporary if retried is None else pc.or_(temporary, retried)))
    stored_rows = _rows_by_id(images, stored)
    earlier = failed.rename_columns({"size": "size_bytes", "mtime": "mtime_ns"})
    no_difference, same_size_and_mtime = _compare_stat(images, stored, stored_rows)
    _, has_failed = _compare_stat(images, earlier, _rows_by_id(images, earlier))
    columns = [name for name in images.column_names if name not in ("id", *_STAT)]
    is_current = no_difference & _all_equal(images, stored, stored_rows, columns)
    # A stored image that has changed and failed since is removed too: a crash may have left its old row behind.
    kept = images["id"].filter(pa.array(same_size_and_mtime | ~has_failed))
    removed = _mask(pc.invert(pc.is_in(stored["id"], kept)))
    hiding = [name for failure in unlisted if failure.hides_rows for name in (failure.id, failure.uri)]
    removed[removed] = ~_is_below(stored.filter(pa.array(removed)), hiding)
    return Comparison(
        images,
        stored,
        failed,
        stored_rows,
        same_size_and_mtime,
        is_current,
        is_same=same_size_and_mtime & is_current,
        is_among_failed=is_among_failed & ~same_size_and_mtime,
        has_failed=has_failed,
        removed=removed,
    )


def _is_temporary(failed: pa.Table) -> pa.ChunkedArray:
    """Mark failures that are no property of an image's bytes: of listing, of a disk, of memory."""
    is_unreadable = pc.and_(pc.equal(failed["stage"], "read"), pc.equal(failed["reason"], "unreadable"))
    is_out_of_memory = pc.equal(failed["reason"], OUT_OF_MEMORY)
    return pc.or_(pc.equal(failed["stage"], "list"), pc.or_(is_unreadable, is_out_of_memory))


def _mask(values: pa.ChunkedArray) -> Mask:
    return pc.fill_null(values, fill_value=False).to_numpy()  # type: ignore[no-any-return]


def _rows_by_id(images: pa.Table, known: pa.Table) -> Rows:
    return pc.fill_null(pc.index_in(images["id"], known["id"]), -1).to_numpy().astype(np.int64)  # type: ignore[no-any-return]


def _is_below(rows: pa.Table, names: Iterable[str]) -> Mask:
    """Mark the rows whose id or uri is one of some names or lies below one; `.` is the source itself."""
    above = set(names)
    if not above or "." in above:
        return np.full(len(rows), bool(above))
    pairs = zip(rows["id"].to_pylist(), rows["uri"].to_pylist(), strict=True)  # an id may be the user's own
    return np.array([any(not above.isdisjoint(names_within(name)) for name in pair) for pair in pairs], bool)


def names_within(name: str) -> Iterator[str]:
    """Yield a name and what is above it, the innermost first: of a part its image, then the folders.

    >>> list(names_within("in/a.jpg#1,2,3,4"))
    ['in/a.jpg#1,2,3,4', 'in/a.jpg', 'in']
    """
    while name:
        yield name
        image, mark, _ = name.rpartition("#")
        if mark and "/" not in name[len(image) :]:  # a part, of which the image is not readable
            yield image
        name = name.rpartition("/")[0]


def _compare_stat(images: pa.Table, known: pa.Table, rows: Rows) -> tuple[Mask, Mask]:
    """Compare size and time of each image with those of its known row; a null on either side is unknown.

    Returns:
        bool [N]: whether neither differs, and whether in addition at least one is known to be equal.
    """
    at = pa.array(rows, mask=rows < 0)
    no_difference, some_equal = rows >= 0, np.zeros(len(rows), bool)
    for name in _STAT:
        equal = pc.equal(images[name], known[name].take(at))  # null where unknown
        no_difference &= pc.fill_null(equal, fill_value=True).to_numpy()
        some_equal |= _mask(equal)
    return no_difference, no_difference & some_equal


def _all_equal(images: pa.Table, stored: pa.Table, stored_rows: Rows, columns: Iterable[str]) -> Mask:
    at = pa.array(stored_rows, mask=stored_rows < 0)
    equal = [_equal(images[name], stored[name].take(at)) for name in columns if name in stored.column_names]
    dropped = set(stored.column_names) - set(images.column_names) - {PART}
    equal += [_mask(stored[name].take(at).is_null()) for name in sorted(dropped)]
    missing = any(name not in stored.column_names for name in columns)
    return functools.reduce(np.logical_and, equal, np.full(len(images), not missing))


def _equal(new: pa.ChunkedArray, old: pa.ChunkedArray) -> Mask:
    """Compare two columns value by value; null equals null, and NaN equals NaN."""
    new, old = (_decode_dictionary(column) for column in (new, old))
    if new.type != old.type or any(is_kind(new.type) for is_kind in _COMPARED_AS_TEXT):
        return np.array([repr(one) == repr(other) for one, other in zip(new.to_pylist(), old.to_pylist(), strict=True)])
    both_null = pc.and_(new.is_null(), old.is_null())
    return _mask(pc.or_kleene(pc.equal(new, old), both_null))


def _decode_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
