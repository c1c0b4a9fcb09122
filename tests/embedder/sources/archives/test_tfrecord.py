import io
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source, read_image
from frieze.features import open_features

OURS = ("id", "uri", "label", "size_bytes", "mtime_ns")


def image(number):
    """Create bytes that pass for an image, others for each number."""
    return b"\xff\xd8\xff\xe0" + np.random.default_rng(number).bytes(200 + number)


@pytest.fixture
def listed(write_records, tmp_path):
    """`listed(records, **options)`: a file `a.tfrecord` of these, opened."""

    def write_and_open(records, **options):
        return open_source(str(write_records(tmp_path / "a.tfrecord", records)), SourceOptions(**options))

    return write_and_open


def rows(source):
    """Return the rows of a source's listing."""
    return source.listing.images.to_pylist()


def columns(source):
    """Return the user's own columns of each row."""
    return [{name: value for name, value in row.items() if name not in OURS} for row in rows(source)]


def failures(source):
    """Return (id, reason) of what can't be listed."""
    return [(failure.id, failure.reason) for failure in source.listing.failures]


def contents(source):
    """Read all images."""
    return list(source.read(np.arange(len(source.listing.images))))


def test_agrees_with_tensorflow(listed, tf, tmp_path):
    """Images and labels are those that TensorFlow reads from the same file, in the same order."""
    source = listed([{"image/encoded": image(number), "image/class/label": number % 3} for number in range(50)])
    target = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], "int64"),
    }
    dataset = tf.data.TFRecordDataset(str(tmp_path / "a.tfrecord"))
    expected = [tf.io.parse_single_example(record, target) for record in dataset]
    assert contents(source) == [record["image/encoded"].numpy() for record in expected]
    assert [row["label"] for row in rows(source)] == [str(record["image/class/label"].numpy()) for record in expected]
    assert source.listing.images["size_bytes"].to_pylist() == [len(image(number)) for number in range(50)]


def test_facts(listed, tmp_path):
    """A record is named by its file and number, and has its file's time."""
    row = rows(listed([{"image": image(0)}, {"image": image(1), "width": 5}]))[1]
    assert row == {
        "id": "a.tfrecord/1",
        "uri": f"{tmp_path}/a.tfrecord/1",
        "label": None,
        "size_bytes": 205,
        "mtime_ns": (tmp_path / "a.tfrecord").stat().st_mtime_ns,
        "source_width": 5,
    }


VALUES = (
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=32, allow_nan=False),
    st.text(max_size=4).map(str.encode),
)


@given(features=st.one_of(st.lists(st.lists(values, max_size=2), min_size=1) for values in VALUES))
@settings(max_examples=60)
def test_columns(features, write_records, tmp_path_factory):
    """A feature is a column: of single values where no record has several, else of lists; text for bytes."""
    path = tmp_path_factory.mktemp("tfrecord") / "a.tfrecord"
    write_records(path, [{"image": image(0), "größe": values} for values in features])
    lists = [[one.decode() if isinstance(one, bytes) else one for one in values] for values in features]
    has_several = any(len(values) > 1 for values in lists)
    actual = open_source(str(path), SourceOptions()).listing.images["größe"].to_pylist()
    assert actual == (lists if has_several else [values[0] if values else None for values in lists])


def test_features_of_some_records(listed):
    """A feature that a record lacks is null there; bytes that are no text are skipped; mixed types become text."""
    records = [{"year": 1999, "mixed": 1}, {"mask": b"\x89PNG", "mixed": b"x"}, {"scores": [0.5, 1.5]}]
    actual = columns(listed([{"image": image(0), **record} for record in records]))
    assert [one["year"] for one in actual] == [1999, None, None]
    assert [one["scores"] for one in actual] == [None, None, [0.5, 1.5]]
    assert "mask" not in actual[0]
    assert actual[2]["mixed"] is None


@pytest.mark.parametrize(
    ("features", "options", "label", "left"),
    [
        ({"image/class/text": b"owl", "image/class/label": 3}, {}, "owl", {"image/class/label": 3}),
        ({"image/class/text": b"", "image/class/label": 3}, {}, "3", {"image/class/text": ""}),
        ({"label": 7, "class": b"x"}, {}, "7", {"class": "x"}),
        ({"label": [7, 8]}, {}, None, {"labels": ["7", "8"]}),
        ({"label": 7, "kind": b"owl"}, {"label": "kind"}, "owl", {"source_label": 7}),
        ({"label": 7}, {"labels": "none"}, None, {"source_label": 7}),
        ({"labels": 7}, {}, "7", {}),
        ({"labels": 7, "kind": []}, {"label": "kind"}, None, {"labels": 7, "kind": None}),
    ],
)
def test_labels(features, options, label, left, listed):
    """The label is the feature requested, else the first of the common ones that tells something."""
    source = listed([{"image": image(0), **features}], **options)
    assert (rows(source)[0]["label"], columns(source)) == (label, [left])


@pytest.mark.parametrize(
    ("features", "options", "expected"),
    [
        ({"image": image(1), "image/encoded": image(2)}, {}, image(2)),
        ({"a": b"text", "b": image(1), "c": image(2)}, {}, image(1)),
        ({"image": b"raw pixels", "jpg": image(1)}, {}, image(1)),
        ({"image/encoded": image(1), "image/depth": image(2)}, {"image": "image/depth"}, image(2)),
    ],
)
def test_which_feature_is_the_image(features, options, expected, listed):
    """The image is the feature requested, else the first common one that is an image, else the first of all."""
    source = listed([features], **options)
    assert contents(source) == [expected] == [read_image(rows(source)[0]["uri"])]


def test_uri_names_the_feature(listed, tmp_path):
    """The uri is the file, the record's number and, where one was requested, the feature."""
    records = [{"image": image(0), "image/depth": image(1)}] * 2
    uris = [[row["uri"] for row in rows(listed(records, **requested))] for requested in ({}, {"image": "image/depth"})]
    place = tmp_path / "a.tfrecord"
    assert uris == [[f"{place}/0", f"{place}/1"], [f"{place}/0/image/depth", f"{place}/1/image/depth"]]


def test_chosen_id(listed):
    """A feature names the images; a record that has none of it is named by its number."""
    source = listed([{"image": image(0), "key": b"first"}, {"image": image(1)}], id="key")
    assert [row["id"] for row in rows(source)] == ["first", "a.tfrecord/1"]


def test_mistyped_image(listed):
    """A feature that no record has is rejected, with the names that there are."""
    with pytest.raises(InputError, match=r"No image has a key imgae; there are: height, image\."):
        listed([{"image": image(0), "height": 3}], image="imgae")


def test_records_without_an_image(listed):
    """A record without an image is counted; one whose image is no image by its bytes fails when it is read."""
    source = listed([{"audio": b"RIFF"}, {"image": image(0)}, {"audio": [b"1", b"2"]}, {"image": b"pixels"}])
    assert ([row["id"] for row in rows(source)], source.listing.n_ignored) == (["a.tfrecord/1", "a.tfrecord/3"], 2)
    assert contents(source)[1].reason == "not an image"


def test_record_that_is_no_example(write_records, tf, tmp_path):
    """A record that is no Example is a failure under its number; those behind it are listed."""
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        writer.write(b"\xff\xffno message")
    path = write_records(tmp_path / "b.tfrecord", [{"image": image(0)}])
    path.write_bytes((tmp_path / "a.tfrecord").read_bytes() + path.read_bytes())
    source = open_source(str(path), SourceOptions())
    assert failures(source) == [("b.tfrecord/0", "damaged record")]
    assert contents(source) == [image(0)]


def test_too_large_record(listed):
    """A record of more bytes than are allowed is a failure, and is not read."""
    source = listed([{"image": image(0), "text": b"x" * 1000}, {"image": image(1)}], max_bytes=1000)
    assert failures(source) == [("a.tfrecord/0", "too large")]
    assert contents(source) == [image(1)]


@pytest.fixture(scope="session")
def whole(write_records, tmp_path_factory):
    """The bytes of a file of four records, and where each begins."""
    path = tmp_path_factory.mktemp("whole") / "a.tfrecord"
    sizes = [write_records(path, [{"image": image(0)}] * count).stat().st_size for count in range(1, 5)]
    return path.read_bytes(), [0, *sizes]


@given(cut=st.floats(0, 1, exclude_max=True))
@settings(max_examples=40)
def test_cut_anywhere(cut, whole, tmp_path_factory):
    """In a truncated file, the complete records are listed, and one failure states where the file ends."""
    data, starts = whole
    path = tmp_path_factory.mktemp("cut") / "a.tfrecord"
    path.write_bytes(data + data[: int(cut * len(data))])
    source = open_source(str(path), SourceOptions())
    n_more = max(number for number, start in enumerate(starts) if start <= cut * len(data))
    assert contents(source) == [image(0)] * (4 + n_more)
    is_between = int(cut * len(data)) in starts
    assert failures(source) == ([] if is_between else [("a.tfrecord", "damaged archive")])


@given(at=st.integers(0, 11), flipped=st.integers(1, 255))
@settings(max_examples=40)
def test_broken_framing(at, flipped, whole, tmp_path_factory):
    """A changed byte in a record's length, or in its checksum, is found; the records before are listed."""
    data, starts = bytearray(whole[0]), whole[1]
    data[starts[2] + at] ^= flipped
    path = tmp_path_factory.mktemp("broken") / "a.tfrecord"
    path.write_bytes(data)
    source = open_source(str(path), SourceOptions())
    (failure,) = source.listing.failures
    assert failure.message.startswith(f"record 2, at byte {starts[2]}, is damaged")
    assert contents(source) == [image(0)] * 2


@given(at=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
@settings(max_examples=40)
def test_broken_record(at, flipped, whole, tmp_path_factory):
    """A changed byte in a record, or in its checksum, is found; the other records are listed and read."""
    data, starts = bytearray(whole[0]), whole[1]
    start = starts[2] + 12
    data[start + int(at * (starts[3] - start))] ^= flipped
    path = tmp_path_factory.mktemp("broken") / "a.tfrecord"
    path.write_bytes(data)
    source = open_source(str(path), SourceOptions())
    assert (failures(source), contents(source)) == ([("a.tfrecord/2", "damaged record")], [image(0)] * 3)
    with pytest.raises(ImageError, match="its checksum"):
        read_image(f"{path}/2")


@pytest.mark.parametrize("data", [b"\x1f\x8b" + bytes(30), b"not at all a file of records"])
def test_no_records(data, tmp_path):
    """A file of another kind is rejected with what it may be."""
    (tmp_path / "a.tfrecord").write_bytes(data)
    with pytest.raises(InputError, match="record 0, at byte 0, is damaged, or the file is no TFRecord"):
        open_source(str(tmp_path / "a.tfrecord"), SourceOptions())


def test_empty_shard(write_records, tmp_path):
    """A file without a record, as TensorFlow writes where there are more files than images, is nothing wrong."""
    write_records(tmp_path / "train-00000-of-00002", [])
    write_records(tmp_path / "train-00001-of-00002", [{"image": image(0)}])
    source = open_source(str(tmp_path), SourceOptions())
    assert ([row["id"] for row in rows(source)], failures(source)) == (["train-00001-of-00002/0"], [])


@pytest.mark.parametrize("below", ["2", "x", "", "1"])
def test_read_by_uri_fails(below, listed, tmp_path):
    """A record that the file does not hold, or that has no image, says so."""
    listed([{"image": image(0)}, {"audio": b"RIFF"}])
    with pytest.raises(ImageError, match=f"holds no image {below}$") as caught:
        read_image(f"{tmp_path}/a.tfrecord/{below}")
    assert (caught.value.stage, caught.value.reason) == ("read", "missing")


def test_read_by_uri_of_a_damaged_file(listed, tmp_path):
    """The records before the damage can be read by uri too; a file that no longer exists says so."""
    uri = rows(listed([{"image": image(0)}, {"image": image(1)}]))[0]["uri"]
    os.truncate(tmp_path / "a.tfrecord", 300)
    assert read_image(uri) == image(0)
    (tmp_path / "a.tfrecord").unlink()
    with pytest.raises(ImageError, match="No such file"):
        read_image(uri)


def test_embedded_as_a_folder(folder, embed, write_records, tmp_path):
    """A file's table is that of the folder it was made from, but for the ids."""
    images = [path.read_bytes() for path in sorted(folder.iterdir())]
    path = write_records(tmp_path / "a.tfrecord", [{"image/encoded": data} for data in images])
    tables = [tmp_path / "records.features", tmp_path / "folder.features"]
    for source, out in zip((path, folder), tables, strict=True):
        assert embed(source, out)["rows"] == 10
    one, other = (open_features(out) for out in tables)
    assert np.array_equal(one.embeddings(), other.embeddings())
    assert list(one.ids) == [f"a.tfrecord/{number}" for number in range(10)]
    assert embed(path, tables[0])["unchanged"] == 10


def test_without_tensorflow(listed, tmp_path):
    """Listing and reading do not import TensorFlow."""
    listed([{"image": image(0)}])
    lines = [
        "import sys",
        "from frieze.embedder import SourceOptions, open_source, read_image",
        f"source = open_source({str(tmp_path / 'a.tfrecord')!r}, SourceOptions())",
        "(uri,) = source.listing.images['uri'].to_pylist()",
        "assert list(source.read([0])) == [read_image(uri)]",
        "assert 'tensorflow' not in sys.modules",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_several_images_a_record(listed):
    """A feature of several images is a row each, also beside records of one."""
    source = listed([{"image": image(0), "label": 4}, {"frames": [image(1), image(2)], "label": 5}])
    ids = ["a.tfrecord/0", "a.tfrecord/1/0", "a.tfrecord/1/1"]
    assert [(row["id"], row["label"]) for row in rows(source)] == list(zip(ids, "455", strict=True))
    assert (failures(source), contents(source)) == ([], [image(0), image(1), image(2)])
    assert [read_image(row["uri"]) for row in rows(source)] == contents(source)


@pytest.fixture
def write_sequences(tf, to_feature):
    """`write_sequences(path, context, lists)`: one SequenceExample of these, and lists of one value a frame."""

    def write(path, context, lists):
        frames = {name: tf.train.FeatureList(feature=map(to_feature, values)) for name, values in lists.items()}
        example = tf.train.SequenceExample(
            context=tf.train.Features(feature={name: to_feature(value) for name, value in context.items()}),
            feature_lists=tf.train.FeatureLists(feature_list=frames),
        )
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(example.SerializeToString())
        return path

    return write


@pytest.mark.parametrize("image_option", [None, "frames"])
def test_sequence_examples(image_option, write_sequences, tmp_path):
    """Each frame of a SequenceExample is a row, with its own values and those of the context."""
    lists = {"frames": [image(0), image(1), image(1)], "at": [0.5, 1.5, 2.5], "words": [b"other length"]}
    path = write_sequences(tmp_path / "a.tfrecord", {"label": 7, "video": b"v"}, lists)
    source = open_source(str(path), SourceOptions(image=image_option))
    assert [(row["id"], row["label"]) for row in rows(source)] == [(f"a.tfrecord/0/{k}", "7") for k in range(3)]
    assert columns(source) == [{"at": at, "video": "v"} for at in (0.5, 1.5, 2.5)]
    assert contents(source) == [image(0), image(1), image(1)]
    assert [read_image(row["uri"]) for row in rows(source)] == contents(source)


def test_sequence_with_an_image_in_its_context(write_sequences, tmp_path):
    """A SequenceExample of one image, such as one with the words of its caption, is that image with a list."""
    lists = {"caption": [3, 1, 2], "words": [b"a", b"red", b"bird"]}
    path = write_sequences(tmp_path / "a.tfrecord", {"image/data": image(0)}, lists)
    source = open_source(str(path), SourceOptions())
    assert columns(source) == [{"caption": [3, 1, 2], "words": ["a", "red", "bird"]}]
    assert contents(source) == [image(0)]


@pytest.mark.parametrize(
    ("mode", "channels", "names"), [("RGB", 3, ("height", "width", "depth")), ("L", 1, ("image/height", "image/width"))]
)
def test_bare_samples(mode, channels, names, listed):
    """Uint8 samples of the shape that their record states are that picture, whatever their first bytes look like."""
    shape = (5, 7, channels)
    pixels = [np.random.default_rng(n).integers(0, 256, shape, np.uint8) for n in range(3)]
    pixels[2][0, :3] = 0  # as some icon's
    facts = dict(zip(names, shape, strict=False)) | {"label": 3}
    source = listed([{"image_raw": one.tobytes(), **facts} for one in pixels])
    for row, content, expected in zip(rows(source), contents(source), pixels, strict=True):
        assert row["size_bytes"] == expected.nbytes
        assert read_image(row["uri"]) == content
        with Image.open(io.BytesIO(content)) as picture:
            assert (picture.mode, np.array_equal(np.asarray(picture).reshape(shape), expected)) == (mode, True)


def test_frames_of_bare_samples(listed):
    """Each of several bare samples in a record is its own picture, though all have the same size."""
    frames = [np.random.default_rng(n).integers(0, 256, (5, 7, 3), np.uint8).tobytes() for n in range(3)]
    source = listed([{"label": 1}, {"image": frames, "height": 5, "width": 7, "depth": 3}])
    assert [content[-105:] for content in contents(source)] == frames
    assert [read_image(row["uri"]) for row in rows(source)] == contents(source)


def test_encoded_beside_its_size(listed):
    """An encoded image is one also where it has as many bytes as its stated size has samples."""
    data = image(0)[:147]
    source = listed([{"image": data, "height": 7, "width": 7, "depth": 3}])
    assert contents(source) == [data]


def test_samples_of_another_shape(listed):
    """Bytes that are not as many as the record states are a failure, and no guess."""
    (content,) = contents(listed([{"image_raw": bytes(100), "height": 7, "width": 5, "depth": 3}]))
    assert (content.stage, content.reason) == ("decode", "not an image")


@pytest.mark.parametrize("method", ["GZIP", "ZLIB"])
def test_compressed(method, tf, write_records, tmp_path):
    """Files that TensorFlow compressed are read through, whatever their names; cut ones up to the cut."""
    plain = write_records(tmp_path / "a", [{"image": image(n), "label": n} for n in range(9)])
    data = [record.numpy() for record in tf.data.TFRecordDataset(str(plain))]
    path = tmp_path / "train-00000-of-00001"
    with tf.io.TFRecordWriter(str(path), options=method) as writer:
        for one in data:
            writer.write(one)
    source = open_source(str(path), SourceOptions())
    assert ([row["label"] for row in rows(source)], failures(source)) == (list("012345678"), [])
    assert contents(source) == [image(n) for n in range(9)]
    assert read_image(f"{path}/5") == image(5)
    path.write_bytes(path.read_bytes()[:1500])
    source = open_source(str(path), SourceOptions())
    assert failures(source) == [("train-00000-of-00001", "damaged archive")]
    assert contents(source) == [image(n) for n in range(len(rows(source)))] != []


def test_lists_of_labels(listed):
    """Where some records have several labels all keep their list, and those of one have a label; else no list stays."""
    records = [{"image": image(n), "label": list(range(n + 1)) if n < 3 else []} for n in range(4)]
    source = listed(records)
    assert [row["label"] for row in rows(source)] == ["0", None, None, None]
    assert [one["labels"] for one in columns(source)] == [["0"], ["0", "1"], ["0", "1", "2"], []]
    assert columns(listed(records[::3])) == [{}, {}]


def test_other_images_of_a_record(listed):
    """Which of several images is taken is noted, unless it was requested."""
    records = [{"image/encoded": image(0), "mask": image(1)}] * 2
    (note,) = listed(records).notes
    assert note.startswith("Records hold other images beside image/encoded, which are not read: mask. Another is")
    assert listed(records, image="mask").notes == ()


def test_names_in_another_encoding(listed):
    """An id or label that the user names is text in whatever encoding: it is not replaced by the default."""
    source = listed([{"image": image(0), "name": b"caf\xe9", "kind": b"\xff"}], id="name", label="kind")
    assert [(row["id"], row["label"]) for row in rows(source)] == [("caf\\xe9", "\\xff")]
