import shutil

import numpy as np
import pytest

from frieze.classifiers import measure_drift
from frieze.core import InputError, MismatchError


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


def test_known_images_are_left_out(doubtful, table, new_table, points):
    """Training and held-out images count neither by id nor by bytes."""
    ids, labels, embeddings = points(noise=0.4, n=50)
    copies = [f"copy/{name}" for name in ids]
    hashes = [f"hash of {name}" for name in ids]
    with pytest.raises(InputError, match="0 images of"):
        measure_drift(doubtful["linear"], table(ids, labels, embeddings, sha256=["other"] * 150, name="by-id.features"))
    with pytest.raises(InputError, match="0 images of"):
        measure_drift(doubtful["linear"], table(copies, labels, embeddings, sha256=hashes, name="by-bytes.features"))


def test_a_head_without_training_images_is_refused(doubtful, new_table, tmp_path):
    """A head of an earlier version has to be trained again."""
    path = shutil.copytree(doubtful["linear"], tmp_path / "old.head")
    forget_familiarity(path)
    with pytest.raises(InputError, match="without its training images"):
        measure_drift(path, new_table())


def forget_familiarity(path):
    """Make a head what earlier versions stored."""
    import json

    from frieze.core import write_with_checksums

    (path / "familiarity.npz").unlink()
    document = json.loads((path / "head.json").read_text(encoding="utf-8"))
    write_with_checksums(path, "head.json", {k: v for k, v in document.items() if k not in {"files", "sha256"}})


def test_another_backbone_is_refused(doubtful, new_table):
    """A table of another backbone can't be compared."""
    with pytest.raises(MismatchError, match="fingerprint"):
        measure_drift(doubtful["linear"], new_table(fingerprint="0" * 64))


def test_least_familiar_are_those_of_numpy(doubtful, new_table):
    """Their familiarity is the share of held-out images with a lower mean cosine to the five nearest references."""
    features = new_table(n=20)
    drift = measure_drift(doubtful["linear"], features)
    with np.load(doubtful["linear"] / "familiarity.npz") as arrays:
        references, held_out = arrays["references"].astype("f4"), arrays["similarities"]
    vectors = features.embeddings()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = np.sort(vectors @ references.T, axis=1)[:, -5:].mean(axis=1)
    expected = (held_out <= similarities[:, None]).mean(axis=1)
    assert [one["familiarity"] for one in drift["least_familiar"]] == pytest.approx(np.sort(expected)[:20], abs=1e-6)
