import numpy as np
import pytest

from frieze.embedder.engines.openvino_stem import split_stem

openvino = pytest.importorskip("openvino")
from openvino import opset13 as ops  # noqa: E402  where OpenVINO is installed

IMAGE = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)


def conv(source, n_out, stride=1):
    """Put a convolution and its activation behind an output."""
    n_in = source.get_output_shape(0)[1]
    weights = np.random.default_rng(n_out).normal(size=(n_out, n_in, 3, 3)).astype(np.float32)
    return ops.relu(ops.convolution(source, weights, [stride, stride], [1, 1], [1, 1], [1, 1]))


def run(model, image):
    """Run a model."""
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0]


def network(*layers):
    """Give a model, and what it computes."""
    entry = ops.parameter([1, 3, 16, 16], np.float32)
    last = entry
    for layer in layers:
        last = layer(last)
    model = openvino.Model([last], [entry])
    return model, run(model, IMAGE)


def skipping(source):
    """Go round two convolutions."""
    return ops.add(source, conv(conv(source, 8), source.get_output_shape(0)[1]))


def plain(*widths):
    """Give convolutions, one after the other."""
    return [lambda source, width=width: conv(source, width) for width in widths]


def test_same_answer():
    """The two parts, one after the other, compute what the whole did."""
    model, wanted = network(*plain(8, 4, 8, 16, 16, 16))
    stem, rest = split_stem(model)
    assert np.allclose(run(rest, run(stem, IMAGE)), wanted, atol=1e-4)


def test_where_least_is_handed_on():
    """Of the places behind the first four layers the narrowest is cut, and behind its activation."""
    model, _ = network(*plain(8, 4, 8, 16, 2, 2))
    stem, _ = split_stem(model)
    assert list(stem.output(0).get_shape()) == [1, 4, 16, 16]
    assert stem.get_results()[0].input_value(0).get_node().get_type_name() == "Relu"


def test_never_beside_a_shortcut():
    """A place that something goes round is no cut."""
    model, wanted = network(*plain(8), skipping, *plain(16, 16, 16))
    stem, rest = split_stem(model)
    assert stem.get_results()[0].input_value(0).get_node().get_type_name() == "Add"
    assert np.allclose(run(rest, run(stem, IMAGE)), wanted, atol=1e-4)


def test_no_cut():
    """A graph whose input goes round all of its first layers can't be cut."""
    model, _ = network(lambda source: ops.add(source, conv(conv(conv(conv(conv(source, 4), 4), 4), 4), 3)))
    with pytest.raises(RuntimeError, match="its first layers can't be told from the rest"):
        split_stem(model)
