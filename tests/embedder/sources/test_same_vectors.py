"""The same images in every form of source: the same vectors and labels."""

import csv
import io
import json
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from frieze.embedder import BackboneRequest, JobOptions, SourceOptions, embed_source
from frieze.features import open_features


def write_folder(images, folder):
    """Write LABEL/NAME.jpg files."""
    for name, label, data in images:
        path = folder / "folder" / label / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder / "folder"


def write_csv(images, folder):
    """Write a manifest that names the folder's files."""
    write_folder(images, folder)
    with (folder / "images.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "number"])
        rows.writerows([f"folder/{label}/{name}.jpg", label, number] for number, (name, label, _) in enumerate(images))
    return folder / "images.csv"


def write_jsonl(images, folder):
    """Write the same as lines of JSON."""
    write_folder(images, folder)
    lines = [json.dumps({"path": f"folder/{label}/{name}.jpg", "label": label}) for name, label, _ in images]
    (folder / "images.jsonl").write_text("\n".join(lines))
    return folder / "images.jsonl"


def write_list(images, folder):
    """Write the paths, one a line."""
    write_folder(images, folder)
    (folder / "images.txt").write_text("".join(f"folder/{label}/{name}.jpg\n" for name, label, _ in images))
    return folder / "images.txt"


def write_glob(images, folder):
    """Name the folder's files by a pattern."""
    return write_folder(images, folder) / "*" / "*.jpg"


def write_tar(images, folder):
    """Write WebDataset shards of a thousand images: NAME.jpg and NAME.cls."""
    shards = folder / "shards"
    shards.mkdir()
    for start in range(0, len(images), 1000):
        with tarfile.open(shards / f"{start // 1000:05d}.tar", "w") as shard:
            for name, label, data in images[start : start + 1000]:
                for suffix, content in (("jpg", data), ("cls", label.encode())):
                    member = tarfile.TarInfo(f"{name}.{suffix}")
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    return shards


def write_parquet(images, folder):
    """Write one table of bytes."""
    names, labels, data = zip(*images, strict=True)
    pq.write_table(pa.table({"id": names, "label": labels, "image": data}), folder / "images.parquet")
    return folder / "images.parquet"


def write_tfrecord(images, folder):
    """Write `tf.train.Example`s as TensorFlow's image scripts do."""
    import tensorflow as tf

    def feature(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    with tf.io.TFRecordWriter(str(folder / "images.tfrecord")) as file:
        for name, label, data in images:
            features = {
                "image/encoded": feature(data),
                "image/class/text": feature(label.encode()),
                "image/filename": feature(name.encode()),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            file.write(example.SerializeToString())
    return folder / "images.tfrecord"


def write_zip(images, folder):
    """Write one archive of LABEL/NAME.jpg."""
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, label, data in images:
            archive.writestr(f"{label}/{name}.jpg", data)
    return folder / "images.zip"


def write_tar_gz(images, folder):
    """Write one compressed archive of LABEL/NAME.jpg."""
    with tarfile.open(folder / "images.tar.gz", "w:gz", compresslevel=1) as archive:
        for name, label, data in images:
            member = tarfile.TarInfo(f"{label}/{name}.jpg")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return folder / "images.tar.gz"


def write_hdf5(images, folder):
    """Write the bytes of the files, and the labels beside them."""
    import h5py

    with h5py.File(folder / "images.h5", "w") as file:
        stack = file.create_dataset("images", len(images), h5py.vlen_dtype(np.uint8))
        for row, (_, _, data) in enumerate(images):
            stack[row] = np.frombuffer(data, np.uint8)
        file["labels"] = [label for _, label, _ in images]
    return folder / "images.h5"


def write_tfds(images, folder):
    """Write what TensorFlow Datasets makes: records with numbers of classes, and the names beside them."""
    import tensorflow as tf

    classes = sorted({label for _, label, _ in images})
    (folder / "tfds").mkdir()
    splits = [{"name": "test", "shardLengths": [str(len(images))]}]
    (folder / "tfds" / "dataset_info.json").write_text(json.dumps({"name": "d", "version": "1.0.0", "splits": splits}))
    features = {"featuresDict": {"features": {"image": {}, "label": {"classLabel": {}}}}}
    (folder / "tfds" / "features.json").write_text(json.dumps(features))
    (folder / "tfds" / "label.labels.txt").write_text("".join(f"{label}\n" for label in classes))
    with tf.io.TFRecordWriter(str(folder / "tfds" / "d-test.tfrecord-00000-of-00001")) as file:
        for _, label, data in images:
            image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))
            number = tf.train.Feature(int64_list=tf.train.Int64List(value=[classes.index(label)]))
            example = tf.train.Example(features=tf.train.Features(feature={"image": image, "label": number}))
            file.write(example.SerializeToString())
    return folder / "tfds"


def write_npz(images, folder):
    """Write the pixels of images of one size, and the labels."""
    pixels = np.stack([np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for _, _, data in images])
    np.savez(folder / "images.npz", images=pixels, labels=[label for _, label, _ in images])
    return folder / "images.npz"


def write_hugging_face(images, folder):
    """Write a dataset of two splits as `datasets` saves it: Arrow streams, and JSON that says what they are."""
    names = sorted({label for _, label, _ in images})
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    for split, some in {"train": images[1:], "test": images[:1]}.items():
        (folder / "saved" / split).mkdir(parents=True)
        structs = [{"bytes": data, "path": f"{name}.jpg"} for name, _, data in some]
        table = pa.table({"image": structs, "label": [names.index(label) for _, label, _ in some]})
        table = table.replace_schema_metadata(metadata)
        file = folder / "saved" / split / "data-00000-of-00001.arrow"
        with pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, 10)
        (file.parent / "state.json").write_text(json.dumps({"_data_files": [{"filename": file.name}]}))
    (folder / "saved" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return folder / "saved"


FORMS = {
    "folder": write_folder,
    "glob": write_glob,
    "list": write_list,
    "csv": write_csv,
    "jsonl": write_jsonl,
    "tar": write_tar,
    "parquet": write_parquet,
    "tfrecord": write_tfrecord,
    "zip": write_zip,
    "tar.gz": write_tar_gz,
    "hdf5": write_hdf5,
    "tfds": write_tfds,
    "hugging face": write_hugging_face,
}

LISTS = ("folder", "glob", "list", "csv", "jsonl")
"""Forms whose images are files of their own."""
N_REAL = 1_500
"""More than one shard of `write_tar` holds."""
PIXEL_FORMS = {"npz": write_npz}
"""Forms that hold pixels, so that no image has the bytes of its file."""


def content(source, out, backbone, **options):
    """Embed a source; gives sha256 -> (label, vector), so that ids, which differ by form, do not matter."""
    request, job = BackboneRequest(handle=str(backbone)), JobOptions(source=SourceOptions(), **options)
    embed_source(source, out, request=request, options=job)
    table = open_features(out)
    actual = zip(table.rows["sha256"].to_pylist(), table.labels, table.embeddings(), strict=True)
    return {sha: (label, vector) for sha, label, vector in actual}


def check_same(actual, expected):
    """Hold two sources' contents against each other."""
    assert actual.keys() == expected.keys()
    assert all(actual[sha][0] == expected[sha][0] for sha in expected)
    differences = [np.abs(actual[sha][1] - expected[sha][1]).max() for sha in expected]
    assert max(differences) < 1e-4


@pytest.fixture(scope="module")
def images(gallery):
    """The gallery as (name, label, bytes)."""
    paths = sorted(gallery.glob("*/*.jpg"))
    return [(path.stem, path.parent.name, path.read_bytes()) for path in paths]


@pytest.mark.parametrize("form", FORMS)
def test_same_vectors(form, images, gallery, tiny, tmp_path):
    """Whatever the form of the source, each image has the vector and the label that it has in a folder."""
    options = {"batch_size": 4, "shard_size": 9}
    expected = content(gallery, tmp_path / "expected", tiny, **options)
    source = FORMS[form](images, tmp_path)
    check_same(content(str(source), tmp_path / "out", tiny, **options), expected)
    assert len(expected) == 24


@pytest.mark.parametrize("form", PIXEL_FORMS)
def test_pixels(form, tiny, tmp_path):
    """A stack of pixels gives the vectors and labels of the same pixels in files without loss, in its order."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 40, 30, 3), np.uint8)
    images = []
    for number, one in enumerate(pixels):
        file = io.BytesIO()
        Image.fromarray(one).save(file, "PNG")
        images.append((f"{number:02d}", ["cat", "dog"][number % 2], file.getvalue()))
    source, request, options = PIXEL_FORMS[form](images, tmp_path), BackboneRequest(handle=str(tiny)), JobOptions()
    embed_source(str(source), tmp_path / "out", request=request, options=options)
    embed_source([{"image": data} for *_, data in images], tmp_path / "expected", request=request, options=options)
    actual, expected = open_features(tmp_path / "out"), open_features(tmp_path / "expected")
    assert list(actual.labels) == [label for _, label, _ in images]
    assert np.abs(actual.embeddings() - expected.embeddings()).max() < 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_again(form, images, tiny, tmp_path):
    """Run again, no source has anything to do."""
    source = FORMS[form](images, tmp_path)
    request, options = BackboneRequest(handle=str(tiny)), JobOptions()
    embed_source(str(source), tmp_path / "out", request=request, options=options)
    document = embed_source(str(source), tmp_path / "out", request=request, options=options)
    assert (document["embedded"], document["unchanged"]) == (0, 24)


@pytest.fixture(scope="module")
def cifar(shared_data):
    """The first 1,500 images of the CIFAR-10 test set as (name, label, bytes)."""
    actual = {}
    path = min((shared_data / "images" / "cifar10_test_webdataset").glob("*.tar"))
    with tarfile.open(path) as shard:
        for member in shard:
            actual[member.name] = shard.extractfile(member).read()
    names = [name.removesuffix(".jpg") for name in actual if name.endswith(".jpg")][:N_REAL]
    return [(name, actual[f"{name}.cls"].decode().strip(), actual[f"{name}.jpg"]) for name in names]


@pytest.fixture(scope="module")
def cifar_vectors(cifar, tiny, tmp_path_factory):
    """Their contents, embedded from a folder."""
    folder = tmp_path_factory.mktemp("cifar")
    return content(write_folder(cifar, folder), folder / "out", tiny)


@pytest.mark.slow
@pytest.mark.usefixtures("embed")  # with which the backbone stays open
@pytest.mark.parametrize("form", [form for form in FORMS if form not in LISTS])
def test_many(form, cifar, cifar_vectors, tiny, tmp_path):
    """The same 1,500 real images give the same vectors and labels in every form that holds many in a file."""
    check_same(content(str(FORMS[form](cifar, tmp_path)), tmp_path / "out", tiny), cifar_vectors)
    assert len(cifar_vectors) == N_REAL
