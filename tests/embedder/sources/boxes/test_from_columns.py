"""Manifests whose rows are boxes."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source, read_image

COLUMNS = "x,y,width,height"
ROWS = (
    "path,x,y,width,height,label,id,year\n"
    "in/a.png,1,2,4,4,ear,7,1999\nb.png,0,0,3,3,,8,2000\nin/a.png,0,0,8,6,nose,9,2001\n"
)


@pytest.fixture
def folder(tmp_path):
    """Two images of 8 x 6 pixels."""
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("in/a.png", "b.png")):
        Image.new("RGB", (8, 6), (100 * number, 0, 0)).save(tmp_path / name)
    return tmp_path


def listed(folder, text=ROWS, name="m.csv", **options):
    """Write a manifest, and list its boxes."""
    (folder / name).write_text(text)
    return open_source(str(folder / name), SourceOptions(**{"box_columns": COLUMNS} | options))


def test_rows(folder):
    """Rows of one image follow each other, with their own label and columns; ids of rows are a column."""
    images = listed(folder).listing.images
    assert images["id"].to_pylist() == ["in/a.png#1,2,4,4", "in/a.png#0,0,8,6", "b.png#0,0,3,3"]
    assert images["image"].to_pylist() == ["in/a.png", "in/a.png", "b.png"]
    assert (images["label"].to_pylist(), images["year"].to_pylist()) == (["ear", "nose", None], [1999, 2001, 2000])
    assert images["source_id"].to_pylist() == [7, 9, 8]
    assert {"x", "width", "source_width"}.isdisjoint(images.column_names)


def test_read(folder):
    """A row has the bytes that its URI has."""
    source = listed(folder)
    assert list(source.read(np.arange(3))) == list(map(read_image, source.listing.images["uri"].to_pylist()))


def test_notes(folder):
    """Boxes and images are counted; an image of several rows is none without a box."""
    assert listed(folder).notes == (f"Boxes of {folder}/m.csv: 3 in 2 images.",)


def test_edges(folder):
    """The endings of the names say that the numbers are edges; of other names they are refused."""
    text = "path,l_xmin,l_ymin,l_xmax,l_ymax\nb.png,1,2,4,6\n"
    source = listed(folder, text, box_columns="l_xmin,l_ymin,l_xmax,l_ymax")
    assert source.listing.images["box"].to_pylist() == [[1, 2, 3, 4]]
    for names in ("a,b,c,d", "x,y,width"):
        with pytest.raises(InputError, match="does not say what the numbers of a box mean"):
            listed(folder, box_columns=names)


def test_shares(folder):
    """Numbers of which none is above 1 are shares, in one line."""
    source = listed(folder, "path,x,y,width,height\nb.png,.25,.5,.5,.5\n")
    assert source.listing.images["id"].to_pylist() == ["b.png#2,3,4,3"]
    assert any("taken as shares" in note for note in source.notes)


def test_row_without_a_box(folder):
    """A row without four numbers is a failure, and so is one whose image is missing, once."""
    source = listed(folder, "path,x,y,width,height\nb.png,1,1,2,2\nb.png,1,,2,2\nz.png,1,1,2,2\nz.png,2,1,2,2\n")
    assert [(one.id, one.reason) for one in source.listing.failures] == [("z.png", "missing"), ("b.png", "no box")]
    assert len(source.listing.images) == 1


def test_named_ids(folder):
    """A column of ids that is asked for names the images; one id of two images is refused."""
    text = "path,name,x,y,width,height\nb.png,B,1,1,2,2\nb.png,B,0,0,2,2\n"
    assert listed(folder, text, id="name").listing.images["id"].to_pylist() == ["B#1,1,2,2", "B#0,0,2,2"]
    with pytest.raises(InputError, match="names two images B"):
        listed(folder, text + "in/a.png,B,1,1,2,2\n", id="name")


def test_refused(folder):
    """A column that is missing, a source without columns, and boxes without a number are refused."""
    for options, message in (
        ({"box_columns": "x,y,w,h"}, "has no column w"),
        ({"text": "path,x,y,width,height\nb.png,a,b,c,d\n"}, "No row of .* has four numbers"),
        ({"boxes": "m.csv"}, "`boxes` and `box_columns` both say"),
    ):
        with pytest.raises(InputError, match=message):
            listed(folder, **options)
    with pytest.raises(InputError, match="has no columns"):
        open_source(str(folder), SourceOptions(box_columns=COLUMNS))


def test_hint(folder):
    """A manifest that repeats its images, and has boxes, is answered with the option."""
    with pytest.raises(InputError) as caught:
        listed(folder, ROWS.replace("id,", "n,"), box_columns=None)
    assert "box_columns='x,y,width,height'" in caught.value.hint


def test_bytes_in_parquet(folder):
    """Rows of a Parquet file with the bytes of images are boxes likewise."""
    data = (folder / "b.png").read_bytes()
    columns = {"image": [data, data], "x": [1, 0], "y": [1, 0], "w": [2, 3], "h": [2, 3]}
    pq.write_table(pa.table(columns), folder / "m.parquet")
    images = open_source(str(folder / "m.parquet"), SourceOptions(box_columns="x,y,w,h")).listing.images
    assert images["id"].to_pylist() == ["m.parquet/0#1,1,2,2", "m.parquet/1#0,0,3,3"]


def test_labels_file(folder):
    """A file of labels names images, and its labels take the place of the rows'."""
    (folder / "labels.csv").write_text("id,label\nb.png,cat\nin/a.png,dog\n")
    images = listed(folder, labels=str(folder / "labels.csv")).listing.images
    assert images["label"].to_pylist() == ["dog", "dog", "cat"]


def test_excluded(folder):
    """Patterns exclude images, not names of boxes."""
    assert listed(folder, exclude=("*.png#*",)).listing.images.num_rows == 3
    assert listed(folder, exclude=("in/*",)).listing.images["image"].to_pylist() == ["b.png"]
