"""The columns of an index as facets: each row's value or bin as a number, so that counting is quick."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from frieze import indexing
from frieze.core import Rows, evenly_spaced
from frieze.indexing import quote_text
from frieze.web.facets.bins import Bins, date_bins, number_bins

_OF_FILES = ("size_bytes", "mtime_ns", "width", "height")  # last: a user's own columns say more
_FILE_TIME = "mtime_ns"  # nanoseconds since 1970 of `frieze embed`, shown as dates
_FEW = 20  # integers of so few values are listed
_FEW_TEXTS, _MANY_TEXTS = 50, 10_000  # texts of so few values are listed in any case, of more in none
_N_SAMPLED = 20_000
_MOST_WHOLE = 1e15  # numbers above are written with an exponent
_SOME = 2  # values: of fewer there is nothing to choose


@dataclasses.dataclass(frozen=True)
class Facet:
    """A column whose values, or bins of them, can be counted and chosen.

    Attributes:
        column: Its name.
        kind: Whether values are listed, or counted in bins of numbers or dates.
        texts: Each value as it is shown [V], or each inner edge between bins [B - 1].
        literals: The same as filters have it.
        codes: int64 [N], the value or bin of each row, from 0; -1 where there is none.
    """

    column: str
    kind: Literal["values", "numbers", "dates"]
    texts: list[str]
    literals: list[str]
    codes: Rows

    @property
    def n_codes(self) -> int:
        """How many values or bins there are."""
        return len(self.texts) + (self.kind != "values")


def make_facets(index: indexing.Index) -> tuple[list[Facet], list[str]]:
    """Return the facets of an index, and the columns that are none: lists, and those with nothing to choose."""
    facets, left_out = [], []
    for name in sorted(indexing.column_types(index), key=_OF_FILES.__contains__):
        facet = _make_facet(name, indexing.read_columns(index, [name])[name])
        if facet is None:
            left_out.append(name)
        else:
            facets.append(facet)
    return facets, left_out


def _make_facet(name: str, values: pa.ChunkedArray) -> Facet | None:
    if name == _FILE_TIME and pa.types.is_integer(values.type):
        return _of_dates(name, np.asarray(pc.fill_null(values, np.iinfo(np.int64).min)).view("M8[ns]"), _to_nanoseconds)
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    for matches, make in _KINDS:
        if matches(kind):
            facet = make(name, values)
            return facet if facet is not None and _is_useful(facet) else None
    return None


def _is_useful(facet: Facet) -> bool:
    return len(np.unique(facet.codes)) >= _SOME


def _of_texts(name: str, values: pa.ChunkedArray) -> Facet | None:
    n_most = max(_FEW_TEXTS, min(len(values) // 2, _MANY_TEXTS))
    sampled = values.take(pa.array(evenly_spaced(np.arange(len(values)), _N_SAMPLED)))
    if len(sampled.unique()) > n_most:  # numbering a million hashes takes seconds
        return None
    facet = _of_values(name, values, quote_text)
    return facet if len(facet.texts) < min(n_most + 1, len(values)) else None


def _of_values(name: str, values: pa.ChunkedArray, to_literal: Callable[[str], str]) -> Facet:
    plain = values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
    encoded = plain.combine_chunks().dictionary_encode()
    order = np.asarray(pc.sort_indices(encoded.dictionary))
    rank = np.empty(len(order) + 1, np.int64)
    rank[order], rank[-1] = np.arange(len(order)), -1
    texts = [_to_text(value) for value in encoded.dictionary.take(pa.array(order)).to_pylist()]
    codes = rank[np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64)]
    return Facet(name, "values", texts, [to_literal(text) for text in texts], codes)


def _to_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _of_integers(name: str, values: pa.ChunkedArray) -> Facet:
    facet = _of_values(name, values, str) if len(values.unique()) <= _FEW else None
    return facet or _of_bins(name, number_bins(_to_floats(values), is_integer=True))


def _of_floats(name: str, values: pa.ChunkedArray) -> Facet:
    return _of_bins(name, number_bins(_to_floats(values), is_integer=False))


def _of_bins(name: str, bins: Bins) -> Facet:
    literals = [_to_number(edge) for edge in bins.edges]
    return Facet(name, "numbers", literals, literals, bins.codes)


def _to_floats(values: pa.ChunkedArray) -> Any:
    """Return the values as floats [N], of 32 bits where they are stored so: filters compare them as such."""
    is_short = pa.types.is_float32(values.type) or pa.types.is_float16(values.type)
    kind = pa.float32() if is_short else pa.float64()
    return np.asarray(pc.fill_null(values.cast(kind, safe=False), pa.scalar(np.nan, kind)))


def _to_number(edge: float) -> str:
    return str(int(edge)) if edge.is_integer() and abs(edge) < _MOST_WHOLE else repr(edge)


def _of_dates(name: str, values: Any, to_literal: Callable[[np.datetime64], str]) -> Facet | None:
    bins = date_bins(values)
    texts = [str(edge).replace("T", " ") for edge in bins.edges]
    facet = Facet(name, "dates", texts, [to_literal(edge) for edge in bins.edges], bins.codes)
    return facet if _is_useful(facet) else None


def _to_nanoseconds(edge: np.datetime64) -> str:
    return str(int(edge.astype("M8[ns]").astype(np.int64)))


def _of_days(name: str, values: pa.ChunkedArray) -> Facet | None:
    days = np.asarray(values.cast(pa.timestamp("s")).cast(pa.int64()).fill_null(np.iinfo(np.int64).min)).view("M8[s]")
    return _of_dates(name, days, lambda edge: quote_text(str(edge.astype("M8[D]"))))


def _of_times(name: str, values: pa.ChunkedArray) -> Facet | None:
    ending = "" if values.type.tz is None else "+00:00"
    times = values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(pa.int64())
    moments = np.asarray(times.fill_null(np.iinfo(np.int64).min)).view("M8[us]")
    return _of_dates(name, moments, lambda edge: quote_text(f"{edge.astype('M8[s]')}{ending}".replace("T", " ")))


_KINDS: list[tuple[Callable[[Any], bool], Callable[[str, pa.ChunkedArray], Facet | None]]] = [
    (lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind), _of_texts),
    (pa.types.is_boolean, lambda name, values: _of_values(name, values, str)),
    (pa.types.is_integer, _of_integers),
    (lambda kind: pa.types.is_floating(kind) or pa.types.is_decimal(kind), _of_floats),
    (pa.types.is_date, _of_days),
    (pa.types.is_timestamp, _of_times),
]
"""Whether a type is of a kind, and the facet of a column of that kind; the first one counts."""


def bin_conditions(facet: Facet, column: str) -> Iterator[tuple[str, str]]:
    """Yield for each bin the conditions that keep what is at least its lower edge, and what is below its upper one."""
    for low, high in zip(["", *facet.literals], [*facet.literals, ""], strict=True):
        yield low and f"{column} >= {low}", high and f"{column} < {high}"
