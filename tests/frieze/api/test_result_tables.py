import json

import pandas as pd
import pytest

import frieze
from frieze.api.result_tables import HITS
from frieze.core import InputError


def test_search_prints_its_hits(world):
    """The result of a search is the dict of its JSON document, and prints its best hits."""
    result = frieze.search(world / "photos.index", "id:red/0.png", k=7)
    assert json.loads(json.dumps(result))["queries"][0]["hits"][0]["id"] == "red/0.png"
    first, hit, *others = repr(result).splitlines()
    assert first.startswith("SearchResult(1 query, k=7, ")
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


def test_search_in_polars(world):
    """Polars gets the rows of the pandas frame; of a search without hits the columns, with their types."""
    result = frieze.search(world / "photos.index", ["id:red/0.png", "id:blue/1.png"], k=3)
    assert result.to_polars().to_dicts() == result.to_pandas().to_dict("records")
    empty = frieze.search(world / "photos.index", "id:red/0.png", where="label = 'none'").to_polars()
    assert (len(empty), empty.columns) == (0, HITS.names)


def test_search_in_a_notebook(world, photos):
    """A notebook shows a strip for each query: its picture where it is a file, then the hits with score and label."""
    result = frieze.search(world / "photos.index", [photos / "red" / "3.png", "id:blue/1.png"], k=3)
    title, file_strip, id_strip = result._repr_html_().split("<div>")[1:]
    assert title.startswith("<code>SearchResult(2 queries, k=3, ")
    assert (file_strip.count("<img"), id_strip.count("<img")) == (4, 3)
    assert 'title="red/3.png"' in file_strip
    assert ">1.000 blue</span>" in id_strip


def test_a_notebook_of_many_queries(world):
    """Of many queries the first are shown, and how many more there are; names are text, not HTML."""
    result = frieze.search(world / "photos.index", ["id:red/0.png"] * 12, k=1)
    result["queries"][0]["query"] = "<b>"
    page = result._repr_html_()
    assert page.count("<span") == 20
    assert "... and 2 queries more" in page
    assert "&lt;b&gt;" in page


def test_predictions_in_memory(world, tmp_path, run):
    """Without a file the predictions are returned and print themselves; they are those of the file."""
    head, images = world / "photos.head", world / "photos"
    done = frieze.predict(head, images, out=tmp_path / "p.parquet", scores=True)
    with pytest.raises(InputError, match=r"The predictions are in .*p\.parquet"):
        done.to_pandas()
    stored = pd.read_parquet(tmp_path / "p.parquet")
    for source in (images, world / "photos.features"):
        result = frieze.predict(head, source, scores=True)
        frame = result.to_pandas()
        assert frame.columns.tolist() == stored.columns.tolist()
        assert frame[["id", "prediction"]].equals(stored[["id", "prediction"]])
        assert result["rows"] == len(stored)
        assert result.to_polars().to_dicts() == frame.to_dict("records")
    lines = repr(result).splitlines()
    assert lines[0] == "Predictions(30 rows, 0 failed)"
    assert lines[1].startswith(f"  {stored['id'][0]}  {stored['prediction'][0]}  0.")
    printed = run("predict", head, world / "photos.features").stdout.splitlines()
    assert printed[0] == "id\tprediction\tprobability\tfamiliarity"
    assert [line.split("\t")[0] for line in printed[1:]] == stored["id"].tolist()
