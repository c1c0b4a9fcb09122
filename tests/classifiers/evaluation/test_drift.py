import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from frieze.classifiers import SplitConfig, measure_drift, train_head
from frieze.classifiers.evaluation.drift import _compare_classes
from frieze.core import InputError, MismatchError, write_with_checksums


@pytest.fixture
def new_table(table, points):
    """A function that writes a table of new images: their number in each class, and the noise of their vectors."""

    def write(*, noise=0.4, n=50, seed=9, classes=3, **options):
        ids, _, embeddings = points(noise=noise, n=n, seed=seed)
        kept = classes * n
        return table([f"new/{name}" for name in ids[:kept]], [None] * kept, embeddings[:kept], **options)

    return write


def test_images_alike_have_not_drifted(doubtful, new_table):
    """Images drawn as the training images were do not drift."""
    drift = measure_drift(doubtful["linear"], new_table(n=200))
    assert not drift["has_drifted"]
    assert (drift["rows"], drift["n_known"], drift["n_held_out"], sum(drift["familiarity"])) == (600, 0, 30, 600)


def test_other_images_have_drifted(doubtful, new_table):
    """Images with more noise are unfamiliar, and the least familiar ones are named in order."""
    drift = measure_drift(doubtful["linear"], new_table(noise=4.0, n=100))
    assert drift["has_drifted"]
    assert drift["familiarity_test"]["is_different"]
    assert drift["n_unfamiliar"] > 100
    least = [one["similarity"] for one in drift["least_familiar"]]
    assert (len(least), least) == (20, sorted(least))


def test_other_shares_of_classes_are_drift(doubtful, new_table):
    """Images of one class alone are as familiar, but the predicted classes have other shares."""
    drift = measure_drift(doubtful["linear"], new_table(n=200, classes=1))
    assert not drift["familiarity_test"]["is_different"]
    assert drift["class_test"]["is_different"]
    assert drift["has_drifted"]
    assert drift["classes"][0]["class"] == "ant"
    assert drift["classes"][0]["share"] > drift["classes"][0]["held_out_share"]


def test_known_images_are_left_out(doubtful, table, points):
    """Training and held-out images count neither by id, where one hash is unknown, nor by bytes."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    hashes = [f"hash of {name}" for name in ids]
    with pytest.raises(InputError, match="0 images of"):
        measure_drift(doubtful["linear"], table(ids, labels, embeddings, sha256=[None] * 150, name="id.features"))
    copies = table([f"copy/{name}" for name in ids], labels, embeddings, sha256=hashes, name="bytes.features")
    with pytest.raises(InputError, match="0 images of"):
        measure_drift(doubtful["linear"], copies)


def test_other_images_of_the_same_name_are_new(doubtful, table, points):
    """An image with the id of a training image and other bytes, such as IMG_0001.jpg of another camera, is new."""
    ids, labels, embeddings = points(noise=0.4, n=50, seed=3)
    drift = measure_drift(doubtful["linear"], table(ids, labels, embeddings, sha256=[f"other {n}" for n in ids]))
    assert (drift["rows"], drift["n_known"]) == (150, 0)


def test_of_images_of_one_group_one_is_tested(table, points, tmp_path):
    """Where the head was trained by a column, one image of each of its values is tested, new and held out."""
    ids, labels, embeddings = points(noise=0.4, n=100)
    sites = [f"site {number // 5}" for number in range(300)]
    old = table(ids, labels, embeddings, name="old.features")
    train_head(old, tmp_path / "head", split_config=SplitConfig(group="site", groups=lambda: np.arange(300) // 5))
    new = table([f"new/{name}" for name in ids], labels, embeddings, sha256=[f"new {name}" for name in ids])
    new.rows = new.rows.append_column("site", pa.array(sites))
    drift = measure_drift(tmp_path / "head", new)
    assert (drift["rows"], drift["n_tested"]) == (300, 60)
    assert drift["n_held_out_tested"] == drift["n_held_out"] / 5


@pytest.mark.parametrize(("n_held_out", "n_new", "n_classes"), [(20, 20_000, 300), (100, 2_000, 300)])
def test_many_classes_and_few_images_are_no_drift(n_held_out, n_new, n_classes):
    """Where classes are many and images few, samples of one distribution are far apart by chance, and no drift."""
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(n_classes, 0.3))
    for _ in range(3):
        new, held_out = (rng.choice(n_classes, n, p=shares) for n in (n_new, n_held_out))
        test = _compare_classes(new, held_out, n_classes=n_classes)
        assert test["statistic"] > 0.1
        assert not test["is_different"]


def test_a_head_without_training_images_is_refused(doubtful, new_table, tmp_path):
    """A head of an earlier version has to be trained again."""
    path = shutil.copytree(doubtful["linear"], tmp_path / "old.head")
    (path / "familiarity.npz").unlink()
    document = json.loads((path / "head.json").read_text(encoding="utf-8"))
    write_with_checksums(path, "head.json", {k: v for k, v in document.items() if k not in {"files", "sha256"}})
    with pytest.raises(InputError, match="without its training images, by an earlier version"):
        measure_drift(path, new_table())


def test_another_backbone_is_refused(doubtful, new_table):
    """A table of another backbone can't be compared."""
    with pytest.raises(MismatchError, match="fingerprint"):
        measure_drift(doubtful["linear"], new_table(fingerprint="0" * 64))


def test_least_familiar_are_those_of_numpy(doubtful, new_table):
    """Their familiarity is the rank among the held-out images of the mean cosine to the five nearest references."""
    features = new_table(n=20)
    drift = measure_drift(doubtful["linear"], features)
    with np.load(doubtful["linear"] / "familiarity.npz") as arrays:
        references, held_out = arrays["references"].astype("f4"), arrays["similarities"]
    vectors = features.embeddings()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = np.sort(vectors @ references.T, axis=1)[:, -5:].mean(axis=1)
    expected = (1 + (held_out <= similarities[:, None]).sum(axis=1)) / 31
    assert [one["familiarity"] for one in drift["least_familiar"]] == pytest.approx(np.sort(expected)[:20], abs=1e-6)
