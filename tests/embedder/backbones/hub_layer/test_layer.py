import subprocess
import sys

import numpy as np
import pytest

from frieze.core import InputError, ModelError

RNG = np.random.default_rng(0)
IMAGES = RNG.random((12, 8, 8, 3), np.float32)
LABELS = np.arange(12) % 3
TRAINABLE = {"conv/kernel", "norm/gamma", "norm/beta", "top/kernel"}
STATISTICS = {"norm/moving_mean", "norm/moving_variance"}


@pytest.fixture(scope="module")
def keras():
    """Keras, imported once."""
    import keras

    return keras


@pytest.fixture
def make(live):
    """`make(handle=live, **options)`: a layer."""
    from frieze.embedder import HubLayer

    return lambda handle=live, **options: HubLayer(handle, **options)


@pytest.fixture
def build(keras):
    """`build(layer, form="sequential", run_eagerly=True)`: a compiled model of the layer and a softmax of 3 classes.

    A graph would take longer to trace than to run.
    """

    def build_model(layer, form="sequential", *, run_eagerly=True):
        keras.utils.set_random_seed(1)
        images, softmax = keras.Input(IMAGES.shape[1:]), keras.layers.Dense(3, activation="softmax")
        model = keras.Sequential([layer, softmax])
        if form == "functional":
            model = keras.Model(images, softmax(layer(images)))
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=run_eagerly)
        return model

    return build_model


@pytest.fixture
def save(tf, tmp_path):
    """`save(call, **attributes)`: a SavedModel's folder, whose call takes float32 [B, 8, 8, 3]."""

    def write(call, **attributes):
        module = tf.Module()
        for name, value in attributes.items():
            setattr(module, name, value)
        module.__call__ = tf.function(call, [tf.TensorSpec([None, 8, 8, 3])])
        tf.saved_model.save(module, str(tmp_path / "saved"))
        return tmp_path / "saved"

    return write


def values(layer):
    """Return the layer's weights by the module's names."""
    return dict(zip(layer.variable_names, [weight.numpy().copy() for weight in layer._bound], strict=True))


def moved(layer, model):
    """Fit for two steps, and return the names of the weights that moved."""
    before = values(layer)
    model.fit(IMAGES, LABELS, batch_size=6, verbose=0)
    return {name for name, value in values(layer).items() if not np.array_equal(value, before[name])}


@pytest.mark.parametrize("form", ["sequential", "functional"])
@pytest.mark.parametrize(
    ("trainable", "expected"),
    [
        (False, set()),
        (True, TRAINABLE),
        ("all", TRAINABLE),
        (["norm/*", "top/kernel"], TRAINABLE - {"conv/kernel"}),
        ("conv/kernel", {"conv/kernel"}),
    ],
)
def test_what_fit_moves(form, trainable, expected, make, build):
    """`fit` moves exactly the chosen weights, in each form of model, and leaves the statistics of batch norm alone."""
    layer = make(trainable=trainable)
    assert moved(layer, build(layer, form)) == expected


@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_what_fit_moves_in_a_graph(form, make, build):
    """The same holds where Keras traces a graph of its steps, as it does unless told otherwise."""
    layer = make(trainable=["norm/*", "top/kernel"])
    assert moved(layer, build(layer, form, run_eagerly=False)) == TRAINABLE - {"conv/kernel"}


@pytest.mark.parametrize(("trainable", "expected"), [(False, set()), ("conv/*", {"conv/kernel"} | STATISTICS)])
def test_training_mode_moves_statistics(trainable, expected, make, build):
    """In training mode the module moves its statistics too, unless the layer is frozen."""
    layer = make(trainable=trainable, batch_norm="train")
    assert moved(layer, build(layer)) == expected


def test_statistics_are_not_trainable(make):
    """Moving statistics are weights that don't train, whatever the switches say."""
    layer = make(trainable=True, batch_norm="train")
    assert {weight.name for weight in layer.trainable_weights} == {name.replace("/", ".") for name in TRAINABLE}
    assert {weight.name for weight in layer.non_trainable_weights} == {name.replace("/", ".") for name in STATISTICS}


def test_unfrozen_later(make, build):
    """`layer.trainable` unfreezes what was chosen, or all where nothing was, and freezes it again."""
    for chosen, expected in ((False, TRAINABLE), (["top/*"], {"top/kernel"})):
        layer = make(trainable=chosen)
        layer.trainable = True
        assert moved(layer, build(layer)) == expected
        layer.trainable = False
        assert moved(layer, build(layer)) == set()


@pytest.mark.parametrize("batch_norm", ["inference", "train"])
@pytest.mark.parametrize("training", [False, True])
def test_the_module_itself(batch_norm, training, make, live, tf):
    """The layer gives what the module gives, in training mode only where both the layer and the call say so."""
    layer, module = make(trainable=True, batch_norm=batch_norm), tf.saved_model.load(str(live))
    expected = module(IMAGES, training=training and batch_norm == "train").numpy()
    assert np.allclose(layer(IMAGES, training=training), expected, atol=1e-6)
    other = module(IMAGES, training=not (training and batch_norm == "train")).numpy()
    assert np.abs(expected - other).max() > 0.01


def test_losses(make, build, live, tf):
    """The module's penalties are the model's losses and part of what `fit` lowers while the layer trains; else none."""
    module = tf.saved_model.load(str(live))
    expected = [float(loss()) for loss in module.regularization_losses]
    assert min(expected) > 0.05
    layer = make(trainable=True)
    model = build(layer)
    model(IMAGES)
    assert [float(loss) for loss in model.losses] == pytest.approx(expected)
    with_them = model.evaluate(IMAGES, LABELS, verbose=0)
    layer.trainable = False
    model.compile(loss="sparse_categorical_crossentropy")
    model(IMAGES)
    assert model.losses == []
    assert with_them - model.evaluate(IMAGES, LABELS, verbose=0) == pytest.approx(sum(expected), rel=1e-5)
    layer.trainable = True
    assert [float(loss) for loss in model.losses] == pytest.approx(expected)


def test_weights_are_the_variables(make, live, tf):
    """What is assigned to a weight the module sees, and the other way round."""
    module = tf.saved_model.load(str(live))
    layer = make(module)
    top = layer.variable_names.index("top/kernel")
    layer.weights[[weight.name for weight in layer.weights].index("top.kernel")].assign(np.zeros((6, 4)))
    assert not np.any(module(IMAGES))
    module.variables[top].assign(np.ones((6, 4)))
    assert np.array_equal(layer._bound[top].numpy(), np.ones((6, 4)))


def test_layers_of_their_own(make, live, tf):
    """Two layers of one folder have their own variables; two layers of one loaded module share them."""
    first, second = make(), make()
    first.set_weights([np.zeros_like(weight) for weight in first.get_weights()])
    assert np.any(second.get_weights()[0])
    module = tf.saved_model.load(str(live))
    first, second = make(module), make(module)
    first.set_weights([np.zeros_like(weight) for weight in first.get_weights()])
    assert not np.any(second.get_weights()[0])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int8", "bool", "string", np.uint8, np.dtype("int64")])
def test_a_type_that_holds_no_floats_is_refused(dtype, make):
    """A dtype that would cut the output down to whole numbers or texts is rejected, however it is written."""
    with pytest.raises(InputError, match=f"dtype {dtype if dtype == 'string' else np.dtype(dtype).name}") as caught:
        make(dtype=dtype)
    assert "mixed_float16" in caught.value.hint


@pytest.mark.parametrize(("policy", "narrow"), [("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float16")])
def test_mixed_precision(policy, narrow, make, build, tf):
    """Under mixed precision the module sees the inputs as they are and runs in float32; its output is cast."""
    expected = tf.cast(make()(IMAGES), narrow)
    layer = make(dtype=policy, trainable=["top/*"])
    assert layer(IMAGES).dtype == narrow
    assert np.array_equal(layer(IMAGES), expected)
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    assert moved(layer, build(layer)) == {"top/kernel"}


def test_narrow_inputs(make):
    """Inputs of another floating type are cast to the module's."""
    halves = IMAGES.astype(np.float16)
    assert np.allclose(make()(halves), make()(halves.astype(np.float32)), atol=1e-6)


def test_whole_numbers_are_refused(make, keras):
    """Whole pixels are rejected with the hint, since a module wants [0, 1]; that hint is right."""
    pixels = np.round(IMAGES * 255).astype(np.uint8)
    with pytest.raises(InputError, match="gets uint8") as caught:
        make()(pixels)
    assert "keras.layers.Rescaling(1 / 255)" in str(caught.value)
    model = keras.Sequential([keras.layers.Rescaling(1 / 255), make()])
    assert np.allclose(model(pixels), make()((pixels / 255).astype(np.float32)), atol=1e-5)


def test_shapes(make, keras):
    """The output's shape is known before any image is seen."""
    assert make().compute_output_shape((None, 8, 8, 3)) == (None, 4)
    assert make()(keras.Input((8, 8, 3), batch_size=5)).shape == (5, 4)
    assert keras.Sequential([keras.Input((8, 8, 3)), make()]).output_shape == (None, 4)


def test_another_size_is_refused(make, keras):
    """Images of another size than the module's are rejected with the hint, and that hint is right."""
    with pytest.raises(InputError, match=r"shape \(None, 9, 8, 3\)") as caught:
        make()(keras.Input((9, 8, 3)))
    assert "keras.layers.Resizing(8, 8)" in str(caught.value)
    assert make()(keras.layers.Resizing(8, 8)(keras.Input((9, 8, 3)))).shape == (None, 4)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"trainable": ["top/*", "bottom/*"]}, "is named bottom/*."),
        ({"trainable": "norm/moving_mean"}, "norm/moving_mean exists and is not trainable"),
        ({"trainable": []}, "in an empty list"),
        ({"batch_norm": "on"}, "Use one of: inference, train."),
        ({"trainable": "Top/*"}, "It has 4, among them: top/kernel, conv/kernel, norm/gamma, norm/beta."),
    ],
)
def test_wrong_options(options, says, make):
    """A name of nothing that trains and an unknown word are rejected; the message lists what there is."""
    with pytest.raises(InputError) as caught:
        make(**options)
    assert says in str(caught.value)


def test_no_training_mode(make, save):
    """A module whose call takes no `training` runs in inference mode; the other one is rejected."""
    folder = save(lambda images: images[:, 0, 0])
    assert np.array_equal(make(folder)(IMAGES, training=True), IMAGES[:, 0, 0])
    with pytest.raises(InputError, match="no training mode"):
        make(folder, batch_norm="train")


def test_nothing_to_train(make, save):
    """To train a module without variables is rejected."""
    with pytest.raises(InputError, match="has no trainable variables"):
        make(save(lambda images: images[:, 0, 0]), trainable=True)


@pytest.mark.parametrize("output", [None, "default"])
def test_signature(output, make, build, tf, tmp_path):
    """A module that has signatures only, as TF1's, can be used frozen; to train it is rejected."""
    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0, 3.0], name="weight")
    spec = tf.TensorSpec([None, 8, 8, 3], name="images")
    serve = tf.function(lambda images: {"default": tf.reduce_mean(images, (1, 2)) * module.weight}, [spec])
    tf.saved_model.save(module, str(tmp_path), signatures={"default": serve})
    layer = make(tmp_path, output=output)
    assert np.allclose(layer(IMAGES), IMAGES.mean((1, 2)) * [1, 2, 3], atol=1e-5)
    assert moved(layer, build(layer)) == set()
    assert layer.count_params() == 3
    with pytest.raises(InputError, match="called by a signature"):
        make(tmp_path, output=output, trainable=True)


def test_variables_that_the_module_does_not_list(make, tiny):
    """Variables that only the graph knows are weights too, and each has a name of its own."""
    layer = make(tiny)
    assert layer.variable_names == ["Variable", "Variable_1", "Variable_2", "Variable_3"][: len(layer.weights)]
    assert len(layer.weights) >= 2
    assert make(tiny, trainable="Variable_1").trainable_weights[0].shape == layer._bound[1].shape


def test_arguments(make, tf, tmp_path):
    """More arguments reach the module's call."""
    module = tf.Module()
    module.__call__ = tf.function(lambda images, scale=1.0: images[:, 0, 0] * scale)
    for scale in (1.0, 3.0):
        module.__call__.get_concrete_function(tf.TensorSpec([None, 8, 8, 3]), scale=scale)
    tf.saved_model.save(module, str(tmp_path))
    assert np.allclose(make(tmp_path, arguments={"scale": 3.0})(IMAGES), IMAGES[:, 0, 0] * 3)


def test_shape_that_the_graph_leaves_open(make, build, save, tf):
    """Where the graph does not tell the output's shape, a blank image does, and a Dense layer can follow."""
    width = tf.Variable(3, name="width")
    folder = save(
        lambda images: tf.reshape(images[:, 0, 0], tf.concat([tf.shape(images)[:1], [width]], 0)), width=width
    )
    layer = make(folder)
    assert layer.compute_output_shape((None, 8, 8, 3)) == (None, 3)
    assert moved(layer, build(layer)) == set()


def test_no_module(make, tmp_path):
    """A folder without a SavedModel is rejected."""
    with pytest.raises(ModelError, match=r"holds no saved_model\.pb"):
        make(tmp_path)


@pytest.mark.slow
def test_waits_for_keras():
    """`import frieze` and `frieze.embedder` do not load TensorFlow; asking for HubLayer does, and it is one class."""
    code = """
import sys; import frieze.embedder as embedder; import frieze
assert "HubLayer" in dir(frieze) and "tensorflow" not in sys.modules and "keras" not in sys.modules
assert frieze.HubLayer is embedder.HubLayer and "keras" in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_losses_follow_the_weights(make, build):
    """Penalties are those of the weights as they are now, not as they were at the last call."""
    layer = make(trainable=True)
    model = build(layer)
    model(IMAGES)
    before = [float(loss) for loss in model.losses]
    layer.set_weights([2 * weight for weight in layer.get_weights()])
    assert [float(loss) for loss in model.losses] == pytest.approx([4 * loss for loss in before])
    assert [float(loss) for loss in layer.losses] == pytest.approx([4 * loss for loss in before])


@pytest.fixture
def signature(tf, tmp_path):
    """The folder of a module that is called by a signature."""
    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0, 3.0])
    spec = tf.TensorSpec([None, 8, 8, 3], name="images")
    run = lambda images: {"default": tf.reduce_mean(images, (1, 2)) * module.weight}  # noqa: E731
    serve = tf.function(run, [spec], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "net"), signatures={"default": serve})
    return tmp_path / "net"


def test_nothing_to_free(make, signature):
    """To unfreeze a layer later whose module has nothing that trains is rejected, as it is from the start."""
    layer = make(signature)
    layer.trainable = False
    with pytest.raises(InputError, match="has no trainable variables"):
        layer.trainable = True
    assert not layer.trainable


def test_a_model_that_is_freed_around_it(make, signature, build):
    """Unfreezing a model unfreezes its other layers; a layer with nothing to train stays frozen with a warning."""
    layer = make(signature, name="frozen")
    model = build(layer)
    model(IMAGES)
    model.trainable = False
    with pytest.warns(UserWarning, match="frozen stays frozen: net has no trainable variables"):
        model.trainable = True
    assert (layer.trainable, len(model.trainable_weights)) == (False, 2)


@pytest.mark.parametrize(
    ("option", "mend"),
    [
        ({"signature": "serving_default"}, "output='SIGNATURE'"),
        ({"output_key": "top"}, "output='KEY'"),
        ({"signature_outputs_as_dict": True}, "a layer for each output"),
        ({"output_shape": [4]}, "finds the shape"),
        ({"tags": ["serve"]}, "tf.saved_model.load(FOLDER, tags=...)"),
        ({"load_options": None}, "tf.saved_model.load(FOLDER, options=...)"),
    ],
)
def test_options_of_the_hub_s_layer(option, mend, make):
    """Each option of `hub.KerasLayer` that is not taken is refused by its name, with the way to do it here."""
    with pytest.raises(InputError, match=f"no `{next(iter(option))}`") as caught:
        make(**option)
    assert mend in caught.value.hint


def test_several_inputs_are_refused(make):
    """A dict or several tensors of inputs are refused with the way."""
    layer, images = make(), np.zeros((1, 8, 8, 3), np.float32)
    for inputs in ({"images": images}, [images, images]):
        with pytest.raises(InputError, match=f"a {type(inputs).__name__} of inputs"):
            layer(inputs)
