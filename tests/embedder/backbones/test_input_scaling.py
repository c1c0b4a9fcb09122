import numpy as np
import pytest

from frieze.core import ModelError, import_keras
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones.input_scaling import trace_graph

SIDE_PX = 16
STATISTICS = {"mean": [0.485, 0.456, 0.406], "variance": [0.229**2, 0.224**2, 0.225**2]}
IMAGES = np.random.default_rng(0).random(
    (3, SIDE_PX, SIDE_PX, 3), np.float32
)  # in [0, 1], as every backbone takes them
TO_RANGE = {"0..1": IMAGES, "-1..1": IMAGES * 2 - 1, "0..255": IMAGES * 255}

# What stands before the network -> the range that it was made for; written as a function of Keras' layers.
FIRST_LAYERS = {
    "rescaling": (lambda layers: [layers.Rescaling(1 / 255)], "0..255"),
    "centred": (lambda layers: [layers.Rescaling(1 / 127.5, -1)], "0..255"),
    "doubled": (lambda layers: [layers.Rescaling(2, -1)], "0..1"),
    "from-signed": (lambda layers: [layers.Rescaling(0.5, 0.5)], "-1..1"),
    "imagenet": (lambda layers: [layers.Normalization(**STATISTICS)], "0..1"),
    "imagenet-bytes": (
        lambda layers: [layers.Normalization(mean=[123.7, 116.3, 103.5], variance=[3364.0] * 3)],
        "0..255",
    ),
    "both": (lambda layers: [layers.Rescaling(1 / 255), layers.Normalization(**STATISTICS)], "0..255"),
    "augmented": (
        lambda layers: [
            layers.RandomFlip(),
            layers.RandomRotation(0.1),
            layers.RandomContrast(0.2),
            layers.Resizing(20, 20),
            layers.CenterCrop(12, 12),
            layers.ZeroPadding2D(2),
            layers.Rescaling(1 / 255),
        ],
        "0..255",
    ),
    "lambda": (lambda layers: [layers.Lambda(lambda images: (images - 127.5) / 127.5)], "0..255"),
}


@pytest.fixture
def network(tf):
    """`network(*layers, call=None)`: a Keras model whose first step is these layers, or a function of images."""
    keras = import_keras()
    layers = keras.layers

    def build(*first, call=None, side=SIDE_PX):
        keras.utils.set_random_seed(1)
        images = keras.Input((side, side, 3))
        maps = images if call is None else call(images)
        for layer in first:
            maps = layer(maps)
        inner = keras.Input(maps.shape[1:])
        base = keras.Model(inner, layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(inner)))
        return keras.Model(images, base(maps))

    return build


def range_of(model, tf, shape=(None, SIDE_PX, SIDE_PX, 3)):
    """Return the range that is read from a Keras model."""
    return trace_graph(lambda images: model(images, training=False), tf.TensorSpec(shape)).pixels


def cosine(some, others):
    """Return the least cosine between rows."""
    a, b = (np.asarray(rows) / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (some, others))
    return float((a * b).sum(axis=1).min())


@pytest.mark.parametrize("name", [name for name in FIRST_LAYERS if name != "lambda"])
def test_keras_file(name, network, tmp_path):
    """The numbers of a `.keras` file's first layers tell the range: embeddings are those of the network itself."""
    build, expected = FIRST_LAYERS[name]
    model = network(*build(import_keras().layers))
    model.save(tmp_path / "net.keras")
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net.keras")))
    assert (backbone.spec.pixels, backbone.pixels_from) == (expected, "layers")
    assert cosine(backbone.call(IMAGES), model(TO_RANGE[expected], training=False)) > 0.99999


@pytest.mark.parametrize("form", ["export", "save"])
@pytest.mark.parametrize("name", [name for name in FIRST_LAYERS if name != "augmented"])
def test_saved_model_of_keras(name, form, network, tf, tmp_path):
    """So do those in a SavedModel that Keras 3 wrote, by `model.export` or by TensorFlow's own function."""
    build, expected = FIRST_LAYERS[name]
    model = network(*build(import_keras().layers))
    if form == "export":
        model.export(tmp_path / "net", verbose=False)
    else:
        tf.saved_model.save(model, str(tmp_path / "net"))
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net")))
    assert (backbone.spec.pixels, backbone.pixels_from) == (expected, "layers")
    assert cosine(backbone.call(IMAGES), model(TO_RANGE[expected], training=False)) > 0.99999


@pytest.mark.parametrize("pixels", [None, "0..255"])
def test_exported_augmentation(pixels, network, tmp_path):
    """A SavedModel whose layers of augmentation are at work is rejected, whatever its range: nothing of it repeats."""
    build, _ = FIRST_LAYERS["augmented"]
    network(*build(import_keras().layers)).export(tmp_path / "net", verbose=False)
    with pytest.raises(ModelError, match="its embeddings would differ every time") as caught:
        open_backbone(BackboneRequest(handle=str(tmp_path / "net"), pixels=pixels))
    assert "Pass the model's .keras file" in caught.value.hint


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda images: images / 255.0, "0..255"),
        (lambda images: (images - 127.5) / 127.5, "0..255"),
        (lambda images: images[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32), "0..255"),
        (lambda images: (images - 0.5) * 2, "0..1"),
        (lambda images: images**2, None),
        (lambda images: images - import_keras().ops.mean(images), None),
        (lambda images: images, None),
    ],
)
def test_operations(call, expected, network, tf):
    """Sums and products written into a functional model count as layers do; what is not linear tells nothing."""
    assert range_of(network(call=call), tf) == expected


@pytest.mark.parametrize("module", ["densenet", "mobilenet_v2", "vgg16"])
def test_preprocess_input(module, network, tf):
    """`keras.applications.*.preprocess_input` within a model takes 0..255, whatever it makes of them."""
    assert range_of(network(call=getattr(import_keras().applications, module).preprocess_input), tf) == "0..255"


def test_nested(network, tf):
    """Layers are followed into models that are layers, however deep."""
    keras = import_keras()
    inner = keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 127.5, -1)])
    assert range_of(network(keras.Sequential([keras.layers.RandomZoom(0.1), inner])), tf) == "0..255"


def test_adapted(network, tf):
    """A Normalization layer that learnt its numbers from images tells their range; one that has none does not."""
    layer = import_keras().layers.Normalization()
    images = np.random.default_rng(0).normal([120, 90, 60], 40, (30, 8, 8, 3)).clip(0, 255)
    layer.adapt(images)
    assert range_of(network(layer), tf) == "0..255"
    layer = import_keras().layers.Normalization()
    layer.adapt(images / 255)
    assert range_of(network(layer), tf) == "0..1"
    assert range_of(network(import_keras().layers.Normalization(mean=0.0, variance=1.0)), tf) is None


def test_any_size(network, tf):
    """A model for images of any size is read as others are."""
    model = network(import_keras().layers.Rescaling(1 / 255), side=None)
    assert range_of(model, tf, (None, None, None, 3)) == "0..255"


def test_narrow_numbers(network, tf):
    """A model that computes in float16 is read as others are."""
    layers = import_keras().layers
    assert range_of(network(layers.Rescaling(1 / 127.5, -1, dtype="mixed_float16")), tf) == "0..255"
    assert range_of(network(layers.Normalization(**STATISTICS, dtype="mixed_float16")), tf) == "0..1"


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV3Small",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("EfficientNetB0", "ConvNeXtTiny", "VGG16")),
    ],
)
def test_applications(name, tf):
    """Networks of keras.applications that rescale by themselves take 0..255; the others do not tell."""
    build = getattr(import_keras().applications, name)
    model = build(weights=None, include_top=False, input_shape=(32, 32, 3))
    assert range_of(model, tf, (None, 32, 32, 3)) == (None if name == "VGG16" else "0..255")


def test_unknown_is_refused(network, tmp_path):
    """A SavedModel of Keras' without such layers is rejected, as a `.keras` file is; --pixels names the range."""
    model = network()
    model.export(tmp_path / "net", verbose=False)
    with pytest.raises(ModelError, match="does not show what pixels") as caught:
        open_backbone(BackboneRequest(handle=str(tmp_path / "net")))
    assert "`pixels` 0..1, -1..1, 0..255, caffe, torch or clip" in caught.value.hint
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net"), pixels="-1..1"))
    assert backbone.pixels_from == "option"
    assert cosine(backbone.call(IMAGES), model(TO_RANGE["-1..1"], training=False)) > 0.99999


@pytest.mark.parametrize(
    ("call", "expected", "known_from"),
    [
        (lambda images: images, "0..1", "hub"),
        (lambda images: images * 2 - 1, "0..1", "layers"),
        (lambda images: images / 255, "0..255", "layers"),
    ],
)
def test_hub_module(call, expected, known_from, tf, tmp_path):
    """A module in hub form takes 0..1 as all of them do, unless the numbers in its graph say otherwise."""
    module = tf.Module()
    module.kernel = tf.Variable(np.random.default_rng(0).normal(0, 1, (3, 3, 3, 6)).astype(np.float32))

    def run(images):
        return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(call(images), module.kernel, 1, "VALID")), (1, 2))

    module.__call__ = tf.function(run, [tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3])], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "net"))
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net")))
    assert (backbone.spec.pixels, backbone.pixels_from) == (expected, known_from)
    assert np.allclose(backbone.call(IMAGES), run(TO_RANGE[expected]), rtol=1e-4)


def test_whole_numbers(tf, tmp_path):
    """A module that takes uint8 gets 0..255, rounded."""
    module = tf.Module()
    spec = tf.TensorSpec([None, SIDE_PX, SIDE_PX, 3], tf.uint8, name="images")
    run = tf.function(
        lambda images: {"mean": tf.reduce_mean(tf.cast(images, tf.float32), (1, 2))}, [spec], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path / "net"), signatures=run)
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net")))
    assert backbone.spec.pixels == "0..255"
    whole = np.arange(256, dtype=np.uint8).reshape(1, SIDE_PX, SIDE_PX, 1).repeat(3, 3)
    assert np.array_equal(backbone.frozen(tf.constant(whole))[0], [[127.5] * 3])


@pytest.mark.parametrize("name", ["mobilenet_v1_025_128", "mobilenet_v2_100_224_bn", "resnet8_cifar10_32"])
def test_real_modules(name, data_dir):
    """The graphs of real modules say themselves what their makers say: 0..1."""
    folder = data_dir / "backbones" / name
    backbone = open_backbone(BackboneRequest(handle=str(folder)))
    assert (backbone.spec.pixels, backbone.pixels_from) == ("0..1", "layers")
