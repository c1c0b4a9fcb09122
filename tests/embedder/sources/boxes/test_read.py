"""Files of boxes as other tools write them: each is written here by hand, and its boxes are known."""

import json

import pytest

from frieze.core import InputError
from frieze.embedder.sources.boxes.read import read_boxes

COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 2, "bbox": [1.4, 2, 3, 4], "segmentation": [[1, 2]], "iscrowd": 1}
    ],
    "categories": [{"id": 2, "name": "cat"}],
}
LABELME = {"imagePath": "..\\in\\a.jpg", "shapes": [{"label": "cat", "points": [[4, 6], [1, 2]]}]}
VOC = (
    "<annotation><filename>a.jpg</filename><object><name>cat</name><part><name>head</name></part>"
    "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>4</xmax><ymax>6</ymax></bndbox></object></annotation>"
)
FILES = {
    "coco.json": json.dumps(COCO),
    "a.json": json.dumps(LABELME),
    "a.xml": VOC,
    "sizes.csv": "path,x,y,width,height,label\na.jpg,1,2,3,4,cat\n",
    "edges.csv": "file_name,xmin,ymin,xmax,ymax,class\na.jpg,1,2,4,6,cat\n",
    "centres.csv": "path,x_center,y_center,width,height,label\na.jpg,2.5,4,3,4,cat\n",
    "rows.jsonl": '{"path": "a.jpg", "x": 1, "y": 2, "w": 3, "h": 4, "label": "cat"}\n',
}


def write(folder, name, text):
    """Write a file; return its path."""
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize("name", FILES)
def test_same_box(name, tmp_path):
    """Each kind of file gives the same box, with the name of its image and its label."""
    (box,) = read_boxes(write(tmp_path, name, FILES[name])).boxes
    assert (box.image, box.corner, box.label) == ("a.jpg", (1, 2, 3, 4), "cat")


@pytest.mark.parametrize(
    "bbox", [None, [], [1, 2, 3], [1, 2, float("nan"), 4], ["a", 2, 3, 4], [1, 2, float("inf"), 4]]
)
def test_coco_without_numbers(bbox, tmp_path):
    """An annotation of COCO without a box is kept as such, with its id; the others are read."""
    broken = COCO["annotations"][0] | {"id": 2, "bbox": bbox}
    document = COCO | {"annotations": [broken, *COCO["annotations"]]}
    first, second = read_boxes(write(tmp_path, "coco.json", json.dumps(document))).boxes
    assert (first.corner, first.place, second.corner) == (None, "annotation 2", (1, 2, 3, 4))


def test_coco_of_an_unknown_image(tmp_path):
    """A box of an image that COCO does not list is one of an image that no source has; the others are read."""
    astray = COCO["annotations"][0] | {"id": 2, "image_id": 99}
    document = COCO | {"annotations": [astray, *COCO["annotations"]]}
    first, second = read_boxes(write(tmp_path, "coco.json", json.dumps(document))).boxes
    assert (first.image, second.image) == ("image 99", COCO["images"][0]["file_name"])


def test_columns(tmp_path):
    """What else COCO says of a box becomes columns; its outline does not."""
    (box,) = read_boxes(write(tmp_path, "coco.json", FILES["coco.json"])).boxes
    assert box.columns == {"annotation_id": 1, "iscrowd": 1}


def test_folder(tmp_path):
    """A folder is read with all below it, in the order of names; other files are passed over."""
    (tmp_path / "deep").mkdir()
    write(tmp_path, "deep/b.xml", VOC.replace("a.jpg", "b.jpg"))
    write(tmp_path, "a.xml", VOC)
    write(tmp_path, "readme.txt", "none")
    assert [box.image for box in read_boxes(tmp_path).boxes] == ["a.jpg", "b.jpg"]


WRONG = {
    "none.json": json.dumps(COCO | {"annotations": []}),
    "broken.json": "{",
    "other.json": "{}",
    "missing.csv": "path,x,y,width,height\na.jpg,1,2,,4\n",
    "infinite.csv": "path,x,y,width,height\na.jpg,1,2,inf,4\n",
    "unknown.csv": "path,a,b\na.jpg,1,2\n",
    "bomb.xml": '<!DOCTYPE a [<!ENTITY b "c">]>' + VOC,
    "a.bin": "1",
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(name, tmp_path):
    """A file without boxes, without a number, with entities or of another kind is refused by its name."""
    with pytest.raises(InputError, match=name):
        read_boxes(write(tmp_path, name, WRONG[name]))


def test_missing(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(InputError, match=r"There is no .*nothing\.json"):
        read_boxes(tmp_path / "nothing.json")


def test_circle(tmp_path):
    """A circle of labelme has the box around it: of its two points one is the centre, one lies on its edge."""
    shape = {"label": "eye", "shape_type": "circle", "points": [[50, 40], [53, 44]]}
    (tmp_path / "a.json").write_text(json.dumps({"imagePath": "a.png", "shapes": [shape]}))
    (box,) = read_boxes(tmp_path).boxes
    assert box.corner == (45, 35, 10, 10)


@pytest.mark.parametrize(
    "table",
    [
        "path,x,y,width,height\na.jpg,.25,.5,.5,.25\n",
        "path,bbox_xmin,bbox_ymin,bbox_xmax,bbox_ymax\na.jpg,.25,.5,.75,.75\n",
        "path,cx,cy,w,h\na.jpg,.5,.625,.5,.25\n",
    ],
)
def test_shares(tmp_path, table):
    """Numbers of which none is above 1 are shares, and a note says so."""
    file = read_boxes(write(tmp_path, "shares.csv", table))
    assert tuple(file.boxes[0].corner) == (0.25, 0.5, 0.75, 0.75)
    assert "taken as shares" in file.notes[0]
