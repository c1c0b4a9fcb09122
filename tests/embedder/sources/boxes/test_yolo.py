"""YOLO's data sets, laid out as their own tools do it."""

import pytest
from PIL import Image

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.boxes.read import read_boxes
from frieze.embedder.sources.open import open_source

YAML = "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


def write(path, text=""):
    """Write a text file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def dataset(tmp_path):
    """Two images of 40 x 20 pixels with one name in two splits, the second one turned, and their labels."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for split, exif in (("train", Image.Exif()), ("val", turned)):
        write(tmp_path / f"labels/{split}/a.txt", "1 0.5 0.5 0.5 0.25\n\n0 0.25 0.25 0.5 0.5\n")
        (tmp_path / f"images/{split}").mkdir(parents=True)
        Image.new("RGB", (40, 20)).save(tmp_path / f"images/{split}/a.jpg", exif=exif)
    write(tmp_path / "labels/train/empty.txt")
    write(tmp_path / "train.txt", "images/train/a.jpg\n")
    write(tmp_path / "data.yaml", YAML)
    return tmp_path


def rows(source, boxes):
    """List the ids and labels of the boxes of a source."""
    images = open_source(str(source), SourceOptions(boxes=str(boxes))).listing.images
    return dict(zip(images["id"].to_pylist(), images["label"].to_pylist(), strict=True))


TRAIN = {"a.jpg#10,8,20,5": "dog", "a.jpg#0,0,20,10": "cat"}
VAL = {"a.jpg#5,15,10,10": "dog", "a.jpg#0,0,10,20": "cat"}
BOTH = {f"{split}/{name}": label for split, of in (("train", TRAIN), ("val", VAL)) for name, label in of.items()}


@pytest.mark.parametrize("boxes", ["", "labels", "data.yaml"])
def test_shares_become_pixels(dataset, boxes):
    """Shares are those of the upright image, which the label file's path names, whatever other files are there."""
    assert rows(dataset / "images", dataset / boxes) == BOTH


def test_one_split(dataset):
    """The labels of one split belong to its images, though others have the same name."""
    assert rows(dataset / "images", dataset / "labels/val") == {f"val/{name}": label for name, label in VAL.items()}
    assert rows(dataset / "images/train", dataset / "data.yaml") == TRAIN


def test_moved(dataset):
    """Images that lie elsewhere are found by their path below the folder `images`."""
    (dataset / "images").rename(dataset / "photos")
    assert rows(dataset / "photos", dataset / "labels") == BOTH


def test_splits(dataset):
    """A data.yaml tells the split of each box."""
    assert {box.columns["split"] for box in read_boxes(dataset / "data.yaml").boxes} == {"train", "val"}
    assert "split" not in read_boxes(dataset / "labels").boxes[0].columns


def test_names(dataset):
    """Without names of classes their numbers are the labels, in one line; so is a number that the names lack."""
    write(dataset / "data.yaml", "names: [cat]")
    assert any("lacks names of 1 class, which keep the number: 1." in note for note in read_boxes(dataset).notes)
    (dataset / "data.yaml").unlink()
    file = read_boxes(dataset)
    assert file.boxes[0].label == "1"
    assert any("no data.yaml or classes.txt" in note for note in file.notes)
    write(dataset / "labels/classes.txt", "cat\ndog\n")
    assert read_boxes(dataset / "labels").boxes[0].label == "dog"


LINES = {
    "0 0.5 0.5 0.2 0.2 0.75": ((0.4, 0.4, 0.6, 0.6), {"confidence": 0.75}),
    "0 0.1 0.2 0.5 0.2 0.3 0.6": ((0.1, 0.2, 0.5, 0.6), {}),
    "0 0.1 0.2 0.5 0.2 0.3 0.6 0.9": ((0.1, 0.2, 0.5, 0.6), {"confidence": 0.9}),
}


@pytest.mark.parametrize("line", LINES)
def test_lines(tmp_path, line):
    """Predictions have a confidence; an outline has the box around it."""
    write(tmp_path / "a.txt", line)
    (box,) = read_boxes(tmp_path).boxes
    assert (tuple(box.corner), dict(box.columns)) == (pytest.approx(LINES[line][0]), LINES[line][1])


def test_keypoints(tmp_path):
    """Where the data set has keypoints, what follows the box is no outline."""
    write(tmp_path / "data.yaml", "names: [cat]\nkpt_shape: [2, 2]")
    write(tmp_path / "labels/a.txt", "0 0.5 0.5 0.2 0.2 0.9 0.9 0.8 0.8")
    (box,) = read_boxes(tmp_path).boxes
    assert tuple(box.corner) == pytest.approx((0.4, 0.4, 0.6, 0.6))


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.2", "0.5 0.5 0.5 0.2 0.2", "0 nan 0.5 0.2 0.2", "0 x 0.5 0.2 0.2"])
def test_refused(tmp_path, line):
    """A line of another form is named by file and number."""
    write(tmp_path / "a.txt", f"0 0.5 0.5 0.2 0.2\n{line}\n")
    with pytest.raises(InputError, match=r"a\.txt, line 2, is no line of YOLO's labels"):
        read_boxes(tmp_path)


@pytest.mark.parametrize("text", ["names: [", "- cat", ""])
def test_broken_yaml(tmp_path, text):
    """A data.yaml of another structure is refused by its name."""
    write(tmp_path / "data.yaml", text)
    with pytest.raises(InputError, match=r"data\.yaml"):
        read_boxes(tmp_path / "data.yaml")


def test_unreadable_image(dataset):
    """An image whose size can't be read is a failure of its own, and the others go on."""
    (dataset / "images/val/a.jpg").write_bytes(b"\xff\xd8\xff" + b"0" * 90)
    source = open_source(str(dataset / "images"), SourceOptions(boxes=str(dataset)))
    assert [one.id for one in source.listing.failures] == ["val/a.jpg"]
    assert len(source.listing.images) == 2
