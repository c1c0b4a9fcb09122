import pytest

from frieze.embedder.sources.archives.array_names import are_images, are_labels


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train_images", "train_labels"),
        ("train_set_x", "train_set_y"),
        ("X", "y"),
        ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
    ],
)
def test_pairs_of_known_data_sets(images, labels):
    """The arrays of MedMNIST, course data, scikit-learn's users and MNIST pair up, and not the other way round."""
    assert are_images(images)
    assert not are_images(labels)
    assert are_labels(labels, images)
    assert not are_labels(images, labels)
