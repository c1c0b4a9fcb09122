import numpy as np
import pytest

from frieze.classifiers import HeadConfig, open_head
from frieze.classifiers.config import Network
from frieze.classifiers.training.fit import fit_head
from frieze.core import import_tensorflow, unit_rows


def test_a_head_in_a_graph_is_the_head(doubtful, head):
    """Each head's TensorFlow function gives its own probabilities, from embeddings of any length."""
    opened, embeddings = open_head(doubtful[head]), doubtful.features.embeddings()
    for scale in (1, 1000):
        got = opened.as_function()(import_tensorflow().constant(scale * embeddings)).numpy()
        assert (got.dtype, got.shape) == (np.float32, (150, 3))
        assert np.allclose(got, opened.probabilities(scale * embeddings), atol=1e-5)


def test_two_classes(overlapping, head):
    """So it does with two classes, of which scikit-learn keeps one row of weights."""
    rows = np.flatnonzero(overlapping.labels != "cow")
    embeddings = overlapping.embeddings()[rows]
    brief = Network(epochs=1) if head == "keras" else Network()
    fitted, _ = fit_head(HeadConfig(head, network=brief), unit_rows(embeddings), overlapping.labels[rows])
    got = fitted.as_function()(import_tensorflow().constant(embeddings)).numpy()
    assert np.allclose(got, fitted.probabilities(embeddings), atol=1e-5)


@pytest.mark.parametrize("value", [0, 1e-9])
def test_next_to_nothing(doubtful, head, value):
    """An embedding of zeros, or so short that it has no direction, is none of a not-a-number."""
    opened, embedding = open_head(doubtful[head]), np.full((1, 8), value, "f4")
    got = opened.as_function()(import_tensorflow().constant(embedding)).numpy()
    if head == "knn" and not value:  # all rows are equally near: any may vote
        assert got.sum() == pytest.approx(1)
    else:
        assert np.allclose(got, opened.probabilities(embedding), atol=1e-5)


def test_it_can_be_traced(doubtful, head):
    """The function runs in a graph with an open number of rows."""
    tf = import_tensorflow()
    opened, embeddings = open_head(doubtful[head]), doubtful.features.embeddings()
    graph = tf.function(opened.as_function(), [tf.TensorSpec([None, 8], tf.float32)], autograph=False)
    assert np.allclose(graph(embeddings), opened.probabilities(embeddings), atol=1e-5)
