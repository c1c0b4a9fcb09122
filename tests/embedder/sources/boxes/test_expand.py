"""The rows of boxes, and how often their images are read."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.boxes.expand import with_boxes
from frieze.embedder.sources.boxes.read import read_boxes
from frieze.embedder.sources.open import open_source, read_image


@pytest.fixture
def shots(tmp_path):
    """Three images in folders, and a file of boxes of two of them."""
    for name in ("in/cat/a.png", "in/dog/b.png", "in/dog/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(tmp_path / name)
    rows = ["path,x,y,width,height,label,year", "b.png,0,0,4,4,ear,1999", "a.png,1,1,5,5,,2000", "b.png,2,2,9,9,nose,1"]
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    return tmp_path


def open_boxes(shots):
    """List the boxes of the images."""
    return open_source(str(shots / "in"), SourceOptions(boxes=str(shots / "boxes.csv")))


def test_rows(shots):
    """Boxes follow their image, by file name; the label is the box's, or else the image's; other columns stay."""
    images = open_boxes(shots).listing.images
    assert images["id"].to_pylist() == ["cat/a.png#1,1,5,5", "dog/b.png#0,0,4,4", "dog/b.png#2,2,9,9"]
    assert images["label"].to_pylist() == ["cat", "ear", "nose"]
    assert images["image"].to_pylist() == ["cat/a.png", "dog/b.png", "dog/b.png"]
    assert images["box"].to_pylist()[0] == [1, 1, 5, 5]
    assert images["year"].to_pylist() == [2000, 1999, 1]


def test_notes(shots):
    """Images without a box are left out, in one line."""
    assert "Images without a box, which are left out: 1." in open_boxes(shots).notes


def test_read_as_by_uri(shots):
    """A listed box has the bytes that its URI has."""
    source = open_boxes(shots)
    uris = source.listing.images["uri"].to_pylist()
    assert list(source.read(np.arange(3))) == [read_image(uri) for uri in uris]


def test_read_once(shots):
    """An image is read once for all its boxes in a batch."""
    whole, rows_read = open_source(str(shots / "in"), SourceOptions()), []
    counting = dataclasses.replace(whole, read=lambda rows: (rows_read.extend(rows.tolist()), whole.read(rows))[1])
    contents = list(with_boxes(counting, read_boxes(shots / "boxes.csv")).read(np.arange(3)))
    assert (rows_read, len(contents)) == ([0, 1], 3)


def test_read_once_for_two_batches(shots):
    """An image whose boxes stand in two batches is read once."""
    whole, rows_read = open_source(str(shots / "in"), SourceOptions()), []
    counting = dataclasses.replace(whole, read=lambda rows: (rows_read.extend(rows.tolist()), whole.read(rows))[1])
    boxes = with_boxes(counting, read_boxes(shots / "boxes.csv"))
    contents = [one for rows in ([0, 1], [2]) for one in boxes.read(np.array(rows))]
    assert (rows_read, contents) == ([0, 1], list(open_boxes(shots).read(np.arange(3))))


def test_missing_image(shots):
    """Each box of an image that has gone is a failure of reading."""
    source = open_boxes(shots)
    (shots / "in/dog/b.png").unlink()
    kinds = [isinstance(one, ImageError) for one in source.read(np.arange(3))]
    assert kinds == [False, True, True]


def test_repeated(shots):
    """A box that occurs twice is one row, and said."""
    boxes = shots / "boxes.csv"
    boxes.write_text(boxes.read_text() + "\na.png,1,1,5,5,ear,3")
    source = open_boxes(shots)
    assert len(source.listing.images) == 3
    assert any("occur twice" in note for note in source.notes)


def test_box_without_numbers(shots):
    """A box without four numbers is a failure of its image that says where it stands; the others are rows."""
    (shots / "boxes.csv").write_text("path,x,y,width,height\na.png,0,0,4,4\nb.png,0,,4,4\nz.png,0,nan,4,4\n")
    listing = open_boxes(shots).listing
    assert listing.images["id"].to_pylist() == ["cat/a.png#0,0,4,4"]
    ((name, reason, message),) = [(one.id, one.reason, one.message) for one in listing.failures]
    assert (name, reason) == ("dog/b.png", "no box")
    assert message == f"row 2 of {shots}/boxes.csv has no box of four numbers"


def test_other_images(shots):
    """Boxes of none of the images are refused; of one that is missing they are counted."""
    (shots / "boxes.csv").write_text("path,x,y,width,height\na.png,0,0,4,4\nz.png,0,0,4,4\n")
    assert "Boxes of images that the source does not have: 1." in open_boxes(shots).notes
    (shots / "boxes.csv").write_text("path,x,y,width,height\nz.png,0,0,4,4\n")
    with pytest.raises(InputError, match=r"no box of an image of the source: it names z\.png"):
        open_boxes(shots)
