"""Many `tf.train.Example` of the same features, parsed at once by NumPy; any other record is left to `example.parse`.

Source: protobuf.dev/programming-guides/encoding, tensorflow/core/example/{example,feature}.proto.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from frieze.core import Rows

_Bytes = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float32]
_FIRST, _SECOND = 0x0A, 0x12
"""Tags of a message's fields 1 and 2, where these state their length."""
_BYTES, _FLOATS, _INTS = 0x0A, 0x12, 0x1A
"""Tags of a feature's kinds."""
_FLOAT_BYTES = 4
_VARINT_BYTES = 10
_MOST_FEATURES = 64


class Feature(NamedTuple):
    """One feature of some records, a single value each.

    Attributes:
        starts: int64 [N], where the bytes of each value begin.
        ends: int64 [N], where they end.
        numbers: int64 or float32 [N]; None for bytes.
    """

    starts: Rows
    ends: Rows
    numbers: Numbers | None


class ExampleBlock(NamedTuple):
    """The records that have the features of the first one, of the same kinds and with a single value each.

    Attributes:
        rows: int64 [N], the positions of these records among all, ascending.
        features: Name -> values, sorted by name.
    """

    rows: Rows
    features: dict[str, Feature]


class _Entries(NamedTuple):
    """Entries of the records' maps of features: where key and values of each begin and end, [E]."""

    rows: Rows
    key: Rows
    key_end: Rows
    tag: Rows
    values: Rows
    end: Rows


def parse_block(data: bytes, starts: Rows, sizes: Rows) -> ExampleBlock:
    """Parse the records that are alike.

    Args:
        data: Bytes.
        starts: int64 [N], where each record begins in them; one at least.
        sizes: int64 [N], its size in bytes.
    """
    buffer = np.frombuffer(data, np.uint8)
    is_whole, entries = _walk(buffer, starts, starts + sizes)
    counts = np.bincount(entries.rows, minlength=len(starts))
    n_features = int(np.bincount(counts[is_whole], minlength=1).argmax())  # of most records
    is_alike = is_whole & (counts == n_features)
    if not n_features or not is_alike.any():
        return ExampleBlock(np.empty(0, np.int64), {})
    by_name = {}
    for entry in np.flatnonzero(entries.rows == is_alike.argmax()):
        key = data[entries.key[entry] : entries.key_end[entry]]
        alike = _take(entries, _has_key(buffer, entries, key, entries.tag[entry]))
        feature, is_single = _read_values(buffer, alike)
        is_alike &= np.bincount(alike.rows[is_single], minlength=len(starts)) == 1
        by_name[key.decode(errors="backslashreplace")] = feature, alike.rows
    rows = np.flatnonzero(is_alike & (len(by_name) == n_features))
    return ExampleBlock(rows, {name: _of_rows(*by_name[name], rows) for name in sorted(by_name)})


def _of_rows(feature: Feature, of: Rows, rows: Rows) -> Feature:
    """Return the values of some rows, each of which has one."""
    positions = np.empty(of.max(initial=-1) + 1, np.int64)
    positions[of] = np.arange(len(of))
    at = positions[rows]
    numbers = None if feature.numbers is None else feature.numbers[at]
    return Feature(feature.starts[at], feature.ends[at], numbers)


def _walk(buffer: _Bytes, starts: Rows, ends: Rows) -> tuple[_Flags, _Entries]:
    """Go through the maps of features; return which records are as usual, and the entries of those."""
    at, end, is_whole = _enter(buffer, starts, ends, _FIRST)
    is_whole &= end == ends
    active, steps = np.flatnonzero(is_whole & (at < end)), []
    for _ in range(_MOST_FEATURES):
        step, ok = _entries_at(buffer, active, at[active], end[active])
        steps.append(step)
        is_whole[active[~ok]] = False
        at[active] = step.end
        active = active[ok & (step.end < end[active])]
        if not len(active):
            break
    is_whole[active] = False
    entries = _Entries(*(np.concatenate(column) for column in zip(*steps, strict=True)))
    return is_whole, entries if is_whole.all() else _take(entries, is_whole[entries.rows])


def _take(entries: _Entries, chosen: _Flags) -> _Entries:
    return _Entries(*(column[chosen] for column in entries))


def _entries_at(buffer: _Bytes, rows: Rows, at: Rows, end: Rows) -> tuple[_Entries, _Flags]:
    """Return the entry of each record that begins at a position, and whether it is one."""
    entry, entry_end, is_entry = _enter(buffer, at, end, _FIRST)
    key, key_end, has_key = _enter(buffer, entry, entry_end, _FIRST)
    feature, feature_end, has_feature = _enter(buffer, key_end, entry_end, _SECOND)
    tag = _at(buffer, feature).astype(np.int64)
    values, values_end, has_values = _enter(buffer, feature, feature_end, tag)
    ok = is_entry & has_key & has_feature & has_values & (feature_end == entry_end) & (values_end == entry_end)
    ok &= (tag == _BYTES) | (tag == _FLOATS) | (tag == _INTS)
    return _Entries(rows, key, key_end, tag, values, entry_end), ok


def _at(buffer: _Bytes, positions: Rows) -> _Bytes:
    """Return the bytes at some positions; the last byte for those beyond it, which are found to be no field's."""
    return buffer.take(positions, mode="clip")


def _enter(buffer: _Bytes, at: Rows, end: Rows, tag: int | Rows) -> tuple[Rows, Rows, _Flags]:
    """Return where the content of a field begins and ends, and whether the field has a tag and ends in time."""
    length, start = _varints(buffer, at + 1)
    ok = (at < end) & (_at(buffer, at) == tag) & (start <= end) & (length >= 0) & (length <= end - start)
    return np.where(ok, start, at), np.where(ok, start + length, at), ok


def _varints(buffer: _Bytes, at: Rows) -> tuple[Rows, Rows]:
    """Return the numbers that begin at positions, int64 [N], and where they end; beyond the buffer for no number."""
    numbers = np.zeros(len(at), np.uint64)
    more = np.ones(len(at), np.bool_)
    for shift in range(0, 7 * _VARINT_BYTES, 7):
        byte = _at(buffer, at)
        numbers |= np.where(more, byte & 127, 0).astype(np.uint64) << np.uint64(shift)
        at = at + more
        more &= byte > 127  # noqa: PLR2004  the bit that says so
        if not more.any():
            break
    return numbers.view(np.int64), np.where(more, len(buffer), at)


def _has_key(buffer: _Bytes, entries: _Entries, key: bytes, tag: int) -> _Flags:
    """Return which entries have a key, and values of a kind."""
    has = (entries.key_end - entries.key == len(key)) & (entries.tag == tag)
    (candidates,) = np.nonzero(has)
    expected = np.frombuffer(key, np.uint8)
    keys = _at(buffer, entries.key[candidates, None] + np.arange(len(key)))
    has[candidates] = np.all(keys == expected, axis=1)
    return np.asarray(has, np.bool_)


def _read_values(buffer: _Bytes, entries: _Entries) -> tuple[Feature, _Flags]:
    """Return the values of entries of one kind, and which have a single one."""
    start, end, is_single = _enter(buffer, entries.values, entries.end, _FIRST)
    is_single &= end == entries.end
    tag = entries.tag[0]
    if tag == _BYTES:
        return Feature(start, end, None), is_single
    if tag == _FLOATS:
        bits = _at(buffer, start[:, None] + np.arange(_FLOAT_BYTES)).view("<f4")[:, 0]
        return Feature(start, end, bits.astype(np.float32)), is_single & (end - start == _FLOAT_BYTES)
    numbers, number_end = _varints(buffer, start)
    return Feature(start, end, numbers), is_single & (number_end == end)
