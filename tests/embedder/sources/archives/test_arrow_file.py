import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from frieze.core import ImageError, InputError
from frieze.embedder import SourceOptions, open_source, read_image

IMAGES = [b"\xff\xd8\xff" + bytes([n]) * 80 for n in range(6)]
FEATURES = {"img": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def table(images=IMAGES):
    """A table of images with class numbers, as `datasets` makes it."""
    structs = [image if isinstance(image, dict) else {"bytes": image, "path": None} for image in images]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    columns = {"img": pa.array(structs, kind), "label": [n % 2 for n in range(len(images))], "n": range(len(images))}
    return pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": FEATURES}})})


def save(folder, rows, *, name="data-00000-of-00001.arrow", listed=True, new=pa.ipc.new_stream):
    """Save a dataset of one file."""
    folder.mkdir(parents=True, exist_ok=True)
    with new(folder / name, rows.schema) as stream:
        stream.write_table(rows, 2)
    if listed:
        (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    return folder


def read(source):
    """Return the bytes of all images, or the reasons why they have none."""
    contents = source.read(np.arange(len(source.listing.images)))
    return [one.reason if isinstance(one, ImageError) else one for one in contents]


@pytest.mark.parametrize("new", [pa.ipc.new_stream, pa.ipc.new_file])
def test_rows(tmp_path, new):
    """A saved dataset lists its rows, in the column of images that it says, with names of classes and all columns."""
    source = open_source(save(tmp_path / "saved", table(), new=new), SourceOptions())
    first = source.listing.images.slice(0, 1).to_pylist()[0]
    file = "data-00000-of-00001.arrow"
    assert (first["id"], first["label"], first["n"]) == (f"{file}/0", "cat", 0)
    assert read(source) == IMAGES
    assert read_image(f"{tmp_path}/saved/{file}/3") == IMAGES[3]
    assert list(source.read(np.array([5, 1]))) == [IMAGES[5], IMAGES[1]]


def test_splits(tmp_path):
    """The splits of a `DatasetDict` are in the ids and in a column."""
    for split in ("train", "test"):
        save(tmp_path / split, table())
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    images = open_source(tmp_path, SourceOptions()).listing.images
    assert images["split"].to_pylist() == ["test"] * 6 + ["train"] * 6
    assert images["id"][6].as_py() == "train/data-00000-of-00001.arrow/0"


def test_caches_are_left_out(tmp_path):
    """What `map` and `filter` left beside a saved dataset is no part of it."""
    save(tmp_path, table(), name="cache-1234.arrow", listed=False)
    assert len(open_source(save(tmp_path, table()), SourceOptions()).listing.images) == 6


def test_selection_is_refused(tmp_path):
    """Rows that another file selects would be wrong: how to save them is said."""
    state = {"_data_files": [{"filename": "a.arrow"}], "_indices_data_files": [{"filename": "indices.arrow"}]}
    (save(tmp_path, table(), name="a.arrow") / "state.json").write_text(json.dumps(state))
    with pytest.raises(InputError, match="flatten_indices"):
        open_source(tmp_path, SourceOptions())


def test_missing_files_are_failures(tmp_path):
    """A file and a split that the dataset names and that are not there are failures, which keep their rows."""
    for split in ("train", "test"):
        save(tmp_path / split, table())
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test", "val"]}')
    (tmp_path / "test" / "data-00000-of-00001.arrow").unlink()
    listing = open_source(tmp_path, SourceOptions()).listing
    assert len(listing.images) == 6
    missing = {one.id for one in listing.failures if one.hides_rows}
    assert missing == {"test/data-00000-of-00001.arrow", "val"}
    assert open_source(tmp_path / "train" / "data-00000-of-00001.arrow", SourceOptions()).listing.failures == ()


def test_several_labels(tmp_path):
    """Images of several classes have them all in a column, by their names."""
    features = {"label": {"feature": FEATURES["label"], "_type": "Sequence"}}
    rows = pa.table({"image": IMAGES[:3], "label": [[0, 1], [1], []]})
    rows = rows.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    images = open_source(save(tmp_path, rows), SourceOptions()).listing.images
    assert images["label"].to_pylist() == [None, "dog", None]
    assert images["labels"].to_pylist() == [["cat", "dog"], ["dog"], []]


def test_the_column_of_images_is_in_the_uri(tmp_path):
    """An image of a column that the user names is read by its URI alone, as the page does."""
    rows = pa.table({"large": IMAGES, "small/odd": IMAGES[::-1]})
    save(tmp_path, rows)
    pq.write_table(rows, tmp_path / "a.parquet")
    for name in ("data-00000-of-00001.arrow", "a.parquet"):
        images = open_source(tmp_path / name, SourceOptions(image="small/odd")).listing.images
        assert read_image(images["uri"][0].as_py()) == IMAGES[-1]


def test_paths_and_nulls(tmp_path):
    """A row without bytes is the image at its path, below the file's folder; one without both is a failure."""
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "a.jpg").write_bytes(IMAGES[0])
    rows = [{"bytes": None, "path": "a.jpg"}, {"bytes": None, "path": "gone.jpg"}, {"bytes": None, "path": None}]
    source = open_source(save(tmp_path / "saved", table(rows)) / "data-00000-of-00001.arrow", SourceOptions())
    assert read(source) == [IMAGES[0], "unreadable", "no bytes"]


def test_limits(tmp_path):
    """A larger image is refused, and so is a file that has changed since it was listed."""
    source = open_source(save(tmp_path, table()), SourceOptions(max_bytes=10))
    assert read(source) == ["too large"] * 6
    save(tmp_path, table(IMAGES[:1]))
    assert read(source) == ["changed"] * 6


@pytest.mark.parametrize("content", [b"", b"no arrow at all", b"ARROW1\0\0"])
def test_broken(tmp_path, content):
    """A file that is no Arrow file is refused by its name."""
    (tmp_path / "a.arrow").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.arrow"):
        open_source(tmp_path / "a.arrow", SourceOptions())


def test_no_images(tmp_path):
    """A dataset without a column of images says which columns there are."""
    rows = pa.table({"text": ["a"], "n": [1]})
    with pytest.raises(InputError, match="text, n"):
        open_source(save(tmp_path, rows), SourceOptions())
    with pytest.raises(InputError, match="no images"):
        open_source(tmp_path, SourceOptions(image="n"))


def test_parquet_names_its_images(tmp_path):
    """Parquet files of such datasets say their column of images, too."""
    pq.write_table(table(), tmp_path / "train.parquet")
    source = open_source(tmp_path / "train.parquet", SourceOptions())
    assert read(source) == IMAGES
    assert source.listing.images["label"].to_pylist() == ["cat", "dog"] * 3
