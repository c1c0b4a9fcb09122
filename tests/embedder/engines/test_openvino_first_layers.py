import numpy as np
import pytest

from frieze.embedder.engines.openvino_first_layers import split_first_layers

openvino = pytest.importorskip("openvino")
from openvino import opset13 as ops  # noqa: E402  where OpenVINO is installed

IMAGE = np.random.default_rng(0).normal(size=(1, 3, 16, 16)).astype(np.float32)


def conv(source, n_out, stride=1):
    """Append a convolution and its activation to an output."""
    n_in = source.get_output_shape(0)[1]
    weights = np.random.default_rng(n_out).normal(size=(n_out, n_in, 3, 3)).astype(np.float32)
    return ops.relu(ops.convolution(source, weights, [stride, stride], [1, 1], [1, 1], [1, 1]))


def run(model, image):
    """Run a model."""
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(image)[0]


def network(*layers):
    """Build a model; return it and its output."""
    entry = ops.parameter([1, 3, 16, 16], np.float32)
    last = entry
    for layer in layers:
        last = layer(last)
    model = openvino.Model([last], [entry])
    return model, run(model, IMAGE)


def skipping(source):
    """Add a shortcut around two convolutions."""
    return ops.add(source, conv(conv(source, 8), source.get_output_shape(0)[1]))


def plain(*widths):
    """Return a chain of convolutions."""
    return [lambda source, width=width: conv(source, width) for width in widths]


def test_same_answer():
    """The two parts in sequence compute what the whole model computes."""
    model, expected = network(*plain(8, 4, 8, 16, 16, 16))
    first, rest = split_first_layers(model)
    assert np.allclose(run(rest, run(first, IMAGE)), expected, atol=1e-4)


def test_cuts_at_the_smallest_tensor():
    """The cut is at the smallest tensor behind the first four layers, after its activation."""
    model, _ = network(*plain(8, 4, 8, 16, 2, 2))
    first, _ = split_first_layers(model)
    assert list(first.output(0).get_shape()) == [1, 4, 16, 16]
    assert first.get_results()[0].input_value(0).get_node().get_type_name() == "Relu"


def test_never_beside_a_shortcut():
    """A tensor that a shortcut bypasses is no cut."""
    model, expected = network(*plain(8), skipping, *plain(16, 16, 16))
    first, rest = split_first_layers(model)
    assert first.get_results()[0].input_value(0).get_node().get_type_name() == "Add"
    assert np.allclose(run(rest, run(first, IMAGE)), expected, atol=1e-4)


def test_no_cut():
    """A graph whose input bypasses all first layers can't be cut."""
    model, _ = network(lambda source: ops.add(source, conv(conv(conv(conv(conv(source, 4), 4), 4), 4), 3)))
    with pytest.raises(RuntimeError, match="its first layers can't be split from the rest"):
        split_first_layers(model)
