"""Facets: their counts are what their own filters find, over every type of column."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from frieze import indexing
from frieze.core import InputError
from frieze.indexing.storage.row_metadata import RowMetadata, write_rows
from frieze.web.facets.count import Facets

N = 60
ZONE = ZoneInfo("Europe/Berlin")


class Rows:
    """The rows of an index, without its vectors."""

    def __init__(self, path):
        self.row_metadata = RowMetadata(path, hint="")

    def __len__(self):
        return len(self.row_metadata)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Rows with a column of each type, each with a value that is missing."""
    rng = np.random.default_rng(0)
    day = [dt.datetime.fromisoformat("2024-01-01") + dt.timedelta(days=int(n)) for n in rng.integers(0, 300, N)]
    columns = {
        "id": [f"{number}.jpg" for number in range(N)],
        "label": pa.array([f"it's {number % 3}" for number in range(N)]).dictionary_encode(),
        "order by": pa.array([None, *(f"p{number % 4}" for number in range(1, N))]),
        "rating": pa.array([None, *rng.integers(0, 5, N - 1).tolist()], pa.int8()),
        "width": pa.array(rng.integers(10, 5000, N), pa.int32()),
        "share": pa.array([np.nan, *(rng.integers(0, 20, N - 1) / 10).tolist()], pa.float32()),
        "exact": pa.array(rng.normal(0, 1e-6, N)),
        "flag": pa.array([None, *(bool(number % 2) for number in range(1, N))]),
        "day": pa.array([one.date() for one in day]),
        "moment": pa.array([None, *day[1:]], pa.timestamp("us")),
        "local": pa.array([one.replace(tzinfo=ZONE) for one in day], pa.timestamp("ms", "Europe/Berlin")),
        "mtime_ns": pa.array([int(one.replace(tzinfo=ZONE).timestamp() * 1e9) for one in day]),
        "tags": pa.array([["a"]] * N),
        "same": ["x"] * N,
    }
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    write_rows([pa.table(columns)], path)
    return Rows(path)


FILTERS = (
    None,
    "label in ('it''s 1', 'it''s 2')",
    "(label = 'it''s 1' or rating is null) and width > 1000 and not flag",
    "share >= 0.7 and share < 1.2 and \"order by\" like 'p%'",
)


def choices(document):
    """Yield each facet with each of its values or bins."""
    for facet in document["facets"]:
        yield from ((facet, choice) for choice in facet["values"] or facet["bins"])


def test_which_columns(index):
    """Columns of each type are facets; lists, ids, and columns of one value are not, and are named."""
    document = Facets(index).count(None)
    kinds = {facet["column"]: facet["kind"] for facet in document["facets"]}
    assert kinds == {
        "label": "values",
        "order by": "values",
        "rating": "values",
        "width": "numbers",
        "share": "numbers",
        "exact": "numbers",
        "flag": "values",
        "day": "dates",
        "moment": "dates",
        "local": "dates",
        "mtime_ns": "dates",
    }
    assert document["left_out"] == ["id", "tags", "same"]


@pytest.mark.parametrize("where", FILTERS)
def test_each_count_is_true(index, where):
    """A value that is clicked alone finds what is counted for it, in every column and under every filter."""
    document = Facets(index).count(where)
    assert document["total"] == len(indexing.filter_rows(index, where))
    for number, (facet, choice) in enumerate(choices(document)):
        if number % 3 or any(one["is_chosen"] for one in facet["values"] + facet["bins"]):
            continue
        assert len(indexing.filter_rows(index, choice["where"])) == choice["count"], (facet["column"], choice)


def test_bins_join(index):
    """The conditions of two bins, with the rest of the filter, keep what is counted from one to the other."""
    for facet in Facets(index).count("label = 'it''s 1'")["facets"]:
        bins = facet["bins"][1:4]
        if bins:
            where = indexing.join_filters([facet["rest"], bins[0]["at_least"], bins[-1]["below"]])
            assert len(indexing.filter_rows(index, where)) == sum(one["count"] for one in bins)


def find(document, column, **fields):
    """Return the value or bin of a column that has some fields."""
    return next(
        choice for facet, choice in choices(document) if facet["column"] == column and fields.items() <= choice.items()
    )


def test_choose_and_take_back(index):
    """Clicks add values, null among them; a second click takes each away, and the last leaves the other conditions."""
    facets, where = Facets(index), "width > 1000"
    for text, expected in [
        ("p1", "width > 1000 and \"order by\" = 'p1'"),
        (None, 'width > 1000 and ("order by" = \'p1\' or "order by" is null)'),
        ("p2", "width > 1000 and (\"order by\" in ('p1', 'p2') or \"order by\" is null)"),
        ("p1", 'width > 1000 and ("order by" = \'p2\' or "order by" is null)'),
        ("p2", 'width > 1000 and "order by" is null'),
        (None, "width > 1000"),
    ]:
        where = find(facets.count(where), "order by", text=text)["where"]
        assert where == expected


def test_choose_a_bin(index):
    """A click on a bin keeps what is in it, another one moves there, and the same one takes it away."""
    facets = Facets(index)
    first = find(facets.count(None), "width", low="1000")
    assert first["where"] == f"width >= 1000 and width < {first['high']}"
    chosen = find(facets.count(first["where"]), "width", is_chosen=True)
    assert (chosen["low"], chosen["where"]) == ("1000", "")
    second = find(facets.count(first["where"]), "width", low=first["high"])
    assert second["where"] == f"width >= {second['low']} and width < {second['high']}"


def test_a_typed_condition_chooses(index):
    """What a typed condition on the column alone lets pass is chosen, and its counts do not follow it."""
    document = Facets(index).count("rating > 2")
    values = next(facet for facet in document["facets"] if facet["column"] == "rating")["values"]
    assert {value["text"] for value in values if value["is_chosen"]} == {"3", "4"}
    assert sum(value["count"] for value in values) == N


@pytest.mark.parametrize("where", ["colour = 3", "label =", "label = 3"])
def test_what_is_refused(index, where):
    """A filter that can't be used is refused as everywhere."""
    with pytest.raises(InputError):
        Facets(index).count(where)
