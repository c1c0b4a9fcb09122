import json

import numpy as np
import pytest

from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source

CLASSES = ("cat", "dog", "owl")


def image(number):
    """Create bytes that pass for an image, others for each number."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(200)


@pytest.fixture
def dataset(tf, tmp_path):
    """A folder as `tfds` writes it: `pets/1.0.0` with the splits train (4 images in 2 shards) and test (1)."""
    folder = tmp_path / "pets" / "1.0.0"
    folder.mkdir(parents=True)
    features = {
        "image": {"pythonClassName": "tensorflow_datasets.core.features.image_feature.Image", "image": {}},
        "label": {"classLabel": {"numClasses": "3"}},
        "tags": {"sequence": {"feature": {"classLabel": {"numClasses": "3"}}}},
        "id": {"text": {}},
    }
    splits = [{"name": "train", "shardLengths": ["2", "2"]}, {"name": "test", "shardLengths": ["1"]}]
    info = {"name": "pets", "version": "1.0.0", "fileFormat": "tfrecord", "splits": splits}
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    (folder / "dataset_info.json").write_text(json.dumps(info))
    for name in ("label", "tags"):
        (folder / f"{name}.labels.txt").write_text("".join(f"{one}\n" for one in CLASSES))
    shards = {"train.tfrecord-00000-of-00002": (0, 1), "train.tfrecord-00001-of-00002": (2, 3)}
    for shard, numbers in (shards | {"test.tfrecord-00000-of-00001": (4,)}).items():
        with tf.io.TFRecordWriter(str(folder / f"pets-{shard}")) as writer:
            for n in numbers:
                values = {
                    "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image(n)])),
                    "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[n % 3 if n != 3 else -1])),
                    "tags": tf.train.Feature(int64_list=tf.train.Int64List(value=range(n % 3))),
                    "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"n%d" % n])),
                }
                writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
    return tmp_path / "pets"


def rows(source, *names):
    """Return some columns of a source's listing, a tuple a row."""
    return [tuple(row[name] for name in names) for row in source.listing.images.to_pylist()]


def test_a_folder(dataset):
    """The folder is its images, labelled by the names of their classes, each with its split, which a note counts."""
    source = open_source(str(dataset), SourceOptions(id="id"))
    assert sorted(rows(source, "id", "label", "split", "tags")) == [
        ("n0", "cat", "train", []),
        ("n1", "dog", "train", ["cat"]),
        ("n2", "owl", "train", ["cat", "dog"]),
        ("n3", None, "train", []),
        ("n4", "dog", "test", ["cat"]),
    ]
    assert "source_label" not in source.listing.images.column_names
    (note,) = source.notes
    assert note.endswith("is the data set pets 1.0.0; the column split says which: test (1), train (4).")
    assert sorted(source.read(np.arange(5))) == sorted(map(image, range(5)))


def test_one_split(dataset):
    """A glob chooses a split; without an option the ids are file and record."""
    source = open_source(f"{dataset}/1.0.0/pets-test.*", SourceOptions())
    assert rows(source, "id", "label") == [("pets-test.tfrecord-00000-of-00001/0", "dog")]


@pytest.mark.parametrize(
    "text",
    [
        '{"splits": {"test": {}}}',
        '{"splits": [{"name": "test", "shardLengths": ["x"]}]}',
        '{"splits": 3}',
        '{"splits": [3]}',
    ],
)
def test_info_of_another_program(text, dataset):
    """A dataset_info.json of another form, such as Hugging Face's, says nothing of the records."""
    (dataset / "1.0.0" / "dataset_info.json").write_text(text)
    assert rows(open_source(f"{dataset}/1.0.0/pets-test.*", SourceOptions()), "label") == [("1",)]


@pytest.mark.parametrize("spoiled", ["features.json", "label.labels.txt"])
def test_without_names(spoiled, dataset):
    """Where a file of names is missing or says something else, the numbers stay."""
    (dataset / "1.0.0" / spoiled).write_text("[]" if spoiled.endswith("json") else "cat\n")
    source = open_source(f"{dataset}/1.0.0/pets-test.*", SourceOptions())
    assert rows(source, "label") == [("1",)]
