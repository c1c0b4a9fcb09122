"""What `hub.KerasLayer`'s own tests exercise, and no other test here: forms of inputs, outputs and calls."""

import json

import numpy as np
import pytest

from frieze.core import InputError, ModelError

X = np.array([[1.0], [2.0], [3.0]], np.float32)
TEXTS = np.array([["a"], ["abc"], ["ab"]])


@pytest.fixture(scope="module")
def keras():
    """Keras, imported once."""
    import keras

    return keras


@pytest.fixture
def make(tf, tmp_path):
    """`make(call, *specs, **options)`: a layer, with these options, of a module that is saved with this call.

    `signatures`, `attributes` and `traces`, further arguments of the call for each of its graphs, are the module's.
    """
    from frieze.embedder import HubLayer

    def write(call, *specs, signatures=None, attributes=(), traces=None, **options):
        module = tf.Module()
        for name, value in dict(attributes).items():
            setattr(module, name, value)
        module.__call__ = tf.function(call, specs if traces is None else None, autograph=False)
        for trace in traces or ():
            module.__call__.get_concrete_function(*specs, **trace)
        tf.saved_model.save(module, str(tmp_path / "net"), signatures=signatures)
        return HubLayer(tmp_path / "net", **options)

    return write


@pytest.fixture
def numbers(tf):
    """The spec of float32 [B, 1]."""
    return tf.TensorSpec([None, 1], name="x")


def reload(layer):
    """Return a layer of the same config, through JSON."""
    return type(layer).from_config(json.loads(json.dumps(layer.get_config())))


def test_defaults_of_the_call(make, numbers, tf):
    """Arguments reach the call beside defaults of it that were not named, also after a round trip of the config."""
    scalar = tf.TensorSpec([])
    layer = make(lambda x, a=1.0, b=0.0: a * x + b, numbers, scalar, scalar, arguments={"a": 10.0})
    assert layer(X).numpy().tolist() == reload(layer)(X).numpy().tolist() == [[10], [20], [30]]


def test_arguments_that_no_file_holds(make, numbers, tf):
    """Arguments that JSON can't hold work, and are refused by name where the layer is saved, not when it is loaded."""
    layer = make(lambda x, a=1.0: a * x, numbers, tf.TensorSpec([]), arguments={"a": tf.constant(2.0)})
    assert layer(X).numpy().tolist() == (2 * X).tolist()
    with pytest.raises(InputError, match="`arguments` has a EagerTensor in 'a'") as caught:
        layer.get_config()
    assert "plain numbers" in caught.value.hint
    layer.arguments = {"a": np.float32(2)}
    assert layer.get_config()["arguments"] == {"a": 2}


@pytest.mark.parametrize("output", [None, "serving_default", "serving_default:output_0", "twice", "twice:double"])
def test_call_or_signature(output, make, keras, tf):
    """The call, a signature, or one output of a signature, also of another function than the call; so after JSON."""
    spec = tf.TensorSpec(None, name="x")
    twice = tf.function(lambda x: {"double": 2 * x}, [spec], autograph=False)
    signatures = {"twice": twice, "serving_default": tf.function(lambda x: x + 1, [spec], autograph=False)}
    layer = make(lambda x: x + 1, spec, signatures=signatures, output=output)
    expected = (2 * X if output and output.startswith("twice") else X + 1).tolist()
    assert layer(X).numpy().tolist() == reload(layer)(X).numpy().tolist() == expected
    model = keras.Sequential([layer])
    model(X)
    assert keras.models.model_from_json(model.to_json())(X).numpy().tolist() == expected


def test_a_number_without_a_batch(make, tf):
    """A module that takes any shape takes a single number too."""
    layer = make(lambda x: x + 1, tf.TensorSpec(None))
    assert float(layer(np.float32(10))) == 11


def test_output_of_a_single_tensor(make, numbers):
    """The name of an output is refused where the call returns one tensor; the message lists what there is."""
    layer = make(lambda x: x + 1, numbers, output="output_0")
    with pytest.raises(ModelError, match=r"no output output_0\. It has: default"):
        layer(X)


def test_one_of_several_outputs(make, numbers):
    """Several outputs are refused with their names; with a name the layer returns that one of a dict."""

    def call(x, return_dict=False):
        return {"sum": x + x, "none": x - x} if return_dict else x

    options = {"traces": [{"return_dict": False}, {"return_dict": True}], "arguments": {"return_dict": True}}
    with pytest.raises(ModelError, match=r"several outputs\. It has: none, sum") as caught:
        make(call, numbers, **options)(X)
    assert "output='NAME'" in caught.value.hint
    layer = make(call, numbers, **options, output="sum")
    assert layer(X).numpy().tolist() == (X + X).tolist()


def test_shapes_that_the_graph_hides(make, numbers, keras, tf):
    """Of a list of outputs whose sizes the graph does not tell, a layer returns one by number, of the right shape."""
    side = tf.Variable(2, trainable=False)

    def square(x, rank):
        sizes = tf.concat([tf.shape(x)[:1], tf.repeat(side, rank)], 0)
        return tf.broadcast_to(tf.reshape(x, [-1, *[1] * rank]), sizes)

    layer = make(lambda x: [square(x, 1), square(x, 2)], numbers, output="1", attributes={"side": side})
    assert layer(keras.Input((1,))).shape == (None, 2, 2)
    assert layer(X).numpy()[:, 0, 1].tolist() == [1, 2, 3]


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_texts(policy, make, keras, tf, tmp_path):
    """A module of texts has its shape without `output_shape`, trains, and is exported, also in mixed precision."""
    weight = tf.Variable([[0.1, 0.3]], name="w")
    layer = make(
        lambda x: tf.cast(tf.strings.length(x), tf.float32) @ weight,
        tf.TensorSpec([None, 1], tf.string),
        attributes={"w": weight},
        trainable=True,
        dtype=policy,
    )
    assert layer.compute_output_shape((3, 1)) == (3, 2)
    texts = keras.Input((1,), dtype="string")
    model = keras.Model(texts, layer(texts))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.fit(tf.constant(TEXTS), np.tile([[1.0], [3.0], [2.0]], 2), verbose=0)
    assert (layer.get_weights()[0] > [[0.1, 0.3]]).all()
    model.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    assert np.array_equal(exported.serve(tf.constant(TEXTS)), model(tf.constant(TEXTS)))


def test_what_else_the_module_holds(make, tf, tmp_path):
    """`resolved_object` is the loaded module, with its assets and attributes."""
    (tmp_path / "number.txt").write_text("12345")
    attributes = {"source": tf.saved_model.Asset(str(tmp_path / "number.txt")), "expected": tf.Variable([[12345]])}
    layer = make(
        lambda x: tf.strings.to_number(x, tf.int32), tf.TensorSpec([None, 1], tf.string), attributes=attributes
    )
    (tmp_path / "number.txt").unlink()
    module = layer.resolved_object
    text = tf.io.read_file(module.source.asset_path)
    assert layer(text[None, None]).numpy().tolist() == module.expected.numpy().tolist()


def test_trainable_in_second_place(make, numbers, tf):
    """`trainable` is the second argument, and a variable that the module does not train stays as it is."""
    slope, offset = tf.Variable([[0.5]], name="slope"), tf.Variable([1.0], name="offset", trainable=False)
    layer = make(lambda x: x @ slope + offset, numbers, attributes={"slope": slope, "offset": offset})
    layer = type(layer)(layer.resolved_object, "all")
    assert [weight.name for weight in layer.trainable_weights] == ["slope"]
    assert [weight.name for weight in layer.non_trainable_weights] == ["offset"]


def test_statistics_after_training(live, tf):
    """In training mode a trainable layer moves the statistics of batch norm in training alone, and then uses them."""
    from frieze.embedder import HubLayer

    images = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    layer = HubLayer(live, trainable=True, batch_norm="train")
    layer(images, training=True)
    weights, vectors = layer.get_weights(), layer(images).numpy()
    assert not np.allclose(vectors, HubLayer(live)(images))
    assert np.allclose(layer(images[:1]), vectors[:1], atol=1e-6)
    assert all(map(np.array_equal, layer.get_weights(), weights))
