import json

import frieze
from frieze.api.result_tables import HITS


def test_search_prints_its_hits(world):
    """The result of a search is the dict of its JSON document, and prints its best hits."""
    result = frieze.search(world / "photos.index", "id:red/0.png", k=7)
    assert json.loads(json.dumps(result))["queries"][0]["hits"][0]["id"] == "red/0.png"
    first, hit, *others = repr(result).splitlines()
    assert first.startswith("SearchResult(1 queries, k=7, ")
    assert hit == "  id:red/0.png  1.  1.0000  red/0.png  red"
    assert len(others) == 4


def test_search_as_a_data_frame(world):
    """A data frame of a search has a row per hit; one without hits has the columns."""
    frame = frieze.search(world / "photos.index", ["id:red/0.png", "id:blue/1.png"], k=3).to_pandas()
    assert frame["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert frame["query"].unique().tolist() == ["id:red/0.png", "id:blue/1.png"]
    assert frame.columns[: len(HITS)].tolist() == HITS.names
    empty = frieze.search(world / "photos.index", "id:red/0.png", where="label = 'none'").to_pandas()
    assert (len(empty), empty.columns.tolist()) == (0, HITS.names)
