import shutil

import numpy as np
import pytest

from frieze.core import ModelError
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones.saved_model import _named_size, module_name

IMAGES = np.random.default_rng(0).random((3, 32, 32, 3), np.float32)


def refusal(**requested):
    """Open what can't be opened, and return the error's text."""
    with pytest.raises(ModelError) as caught:
        open_backbone(BackboneRequest(**requested))
    assert caught.value.hint
    return str(caught.value)


@pytest.fixture
def save(tf, tmp_path):
    """`save(call, side=32, name="net")`: a SavedModel whose `__call__` takes images of that side."""

    def write(call, side=32, name="net", **signatures):
        module = tf.Module()
        module.__call__ = tf.function(call, input_signature=[tf.TensorSpec([None, side, side, 3], tf.float32)])
        tf.saved_model.save(module, str(tmp_path / name), signatures=signatures or None)
        return str(tmp_path / name)

    return write


def two_maps(images):
    """Return two outputs: maps [B, h, w, 3] and rows [B, 3]."""
    return {"maps": images, "rows": images[:, 0, 0]}


@pytest.fixture(scope="module")
def hub1(tf, tmp_path_factory):
    """A TF1 hub module: graphs without tags and for training, a `default` signature, a weight of (1, 2, 3)."""
    folder = tmp_path_factory.mktemp("hub1") / "module"
    builder = tf.compat.v1.saved_model.Builder(str(folder))
    for tags in ([], ["train"]):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            images = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], name="images")
            weight = tf.compat.v1.get_variable("weight", initializer=[1.0, 2.0, 3.0])
            output = tf.reduce_mean(images, (1, 2)) * weight + (100.0 if tags else 0.0)
            session.run(tf.compat.v1.global_variables_initializer())
            predict = tf.compat.v1.saved_model.signature_def_utils.predict_signature_def
            signatures = {"default": predict({"images": images}, {"default": output})}
            if not tags:
                builder.add_meta_graph_and_variables(session, tags, signature_def_map=signatures)
            else:
                builder.add_meta_graph(tags, signature_def_map=signatures)
    builder.save()
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder


def test_tf2_callable(tiny, module, opened):
    """A module in hub form is called as it is meant to be: pixels in [0, 1], not in training."""
    backbone = opened(str(tiny))
    assert (backbone.spec.pixels, backbone.spec.dim) == ("0..1", 16)
    expected = module(IMAGES, training=False).numpy()
    assert np.abs(expected - module(IMAGES, training=True).numpy()).max() > 0.1
    assert np.allclose(backbone.call(IMAGES), expected, atol=1e-6)


def test_spec(tiny, opened):
    """The spec says where the module lies, what it is called and the size its graph states."""
    spec = opened(str(tiny)).spec
    assert (spec.handle, spec.name, spec.image_size) == (str(tiny), "tiny", (32, 32))
    assert (spec.fit, spec.layer, spec.weights, spec.precision) == ("squash", None, None, "float32")


def test_tf1_hub_module(hub1, opened):
    """A TF1 hub module is called by its signature, in the graph that is not for training."""
    backbone = opened(str(hub1))
    images = np.full((2, 16, 16, 3), 0.5, np.float32)
    assert (backbone.spec.dim, backbone.spec.image_size) == (3, (16, 16))
    assert np.allclose(backbone.call(images), [[0.5, 1.0, 1.5]] * 2)


def test_several_outputs(save):
    """Of several outputs one must be named; the error lists them."""
    text = refusal(handle=save(two_maps))
    assert "several outputs. It has: maps, rows." in text
    assert "`layer='NAME'`" in text


@pytest.mark.parametrize("layer", ["maps", "rows"])
def test_layer(layer, save):
    """--layer takes one output; maps are averaged over height and width."""
    backbone = open_backbone(BackboneRequest(handle=save(two_maps), layer=layer))
    expected = IMAGES.mean((1, 2)) if layer == "maps" else IMAGES[:, 0, 0]
    assert (backbone.spec.layer, backbone.spec.dim) == (layer, 3)
    assert np.allclose(backbone.call(IMAGES), expected, atol=1e-6)


def test_unknown_layer(save, tiny):
    """A layer that does not exist is rejected with those that are, also where there is only one output."""
    assert "no output heads. It has: maps, rows." in refusal(handle=save(two_maps), layer="heads")
    assert "no output heads" in refusal(handle=str(tiny), layer="heads")


@pytest.mark.parametrize("outputs", [("default", "other"), ("only",)])
def test_the_obvious_output(outputs, save):
    """An output called `default`, or the only one, needs no naming."""
    handle = save(lambda images: {name: images[:, 0, 0] * (at + 1) for at, name in enumerate(outputs)})
    assert np.allclose(open_backbone(BackboneRequest(handle=handle)).call(IMAGES), IMAGES[:, 0, 0])


def test_layer_as_signature(save, tf):
    """--layer also names a signature, which goes before the call."""
    images = tf.TensorSpec([None, 32, 32, 3], tf.float32, name="images")
    flipped = tf.function(lambda images: {"out": -images[:, 0, 0]}, input_signature=[images])
    handle = save(lambda images: images[:, 0, 0], flipped=flipped)
    assert np.allclose(open_backbone(BackboneRequest(handle=handle, layer="flipped")).call(IMAGES), -IMAGES[:, 0, 0])
    assert np.allclose(open_backbone(BackboneRequest(handle=handle)).call(IMAGES), IMAGES[:, 0, 0])


def test_output_of_no_use(save):
    """An output that is neither rows nor maps is rejected with its shape."""
    assert "shape [B];" in refusal(handle=save(lambda images: images[:, 0, 0, 0]))


def test_size_in_the_name(save):
    """Where the graph takes any size, the name tells it; else it is 224."""
    for name, side in (("net_100_96", 96), ("net", 224)):
        handle = save(lambda images: images[:, 0, 0], side=None, name=name)
        assert open_backbone(BackboneRequest(handle=handle)).spec.image_size == (side, side)
    assert open_backbone(BackboneRequest(handle=handle, image_size=50)).spec.image_size == (50, 50)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("mobilenet_v2_100_224", 224),
        ("google/imagenet/mobilenet_v1_025_128/feature_vector/5", 128),
        ("google/imagenet/inception_v3/feature_vector/5", 299),
        ("google/imagenet/inception_resnet_v2/feature_vector/5", 299),
        ("google/imagenet/nasnet_large/feature_vector/5", 331),
        ("google/imagenet/resnet_v2_50/feature_vector/5", None),
        ("google/imagenet/resnet_v2_152/feature_vector/5", None),
        ("net_2240", None),
    ],
)
def test_named_size(name, side):
    """A module's name tells its size where it holds one; depths and multipliers are none."""
    assert _named_size(name) == (None if side is None else (side, side))


def test_name(tmp_path):
    """A module is named by its folder, or the one above where that says nothing."""
    for below in ("mobilenet", "mobilenet/saved_model", "mobilenet/5", "mobilenet/saved_model/1"):
        assert module_name(tmp_path / below) == "mobilenet"


def test_wrong_size(tiny):
    """A size that the graph does not take is rejected with what to give."""
    text = refusal(handle=str(tiny), image_size=64)
    assert "tiny can't embed images of 64 x 64 pixels" in text
    assert "It was made for 32 x 32; set that size with `image_size`" in text


def test_no_saved_model(folder):
    """A folder that holds something else is rejected."""
    assert "holds no saved_model.pb" in refusal(handle=str(folder))


@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
)
def test_damaged(name, tiny, tmp_path):
    """A SavedModel with a file truncated or missing is rejected, with what to do."""
    for keep in (0.5, None):
        copy = shutil.copytree(tiny, tmp_path / f"{keep}")
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        if keep:
            (copy / name).write_bytes(content[: int(len(content) * keep)])
        text = refusal(handle=str(copy))
        assert "Unpack the SavedModel again" in text or "holds no saved_model.pb" in text


def test_nothing_to_call(tf, tmp_path):
    """A SavedModel that can't be called with anything is rejected."""
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    assert "only these signatures: none" in refusal(handle=str(tmp_path / "empty"))


@pytest.mark.parametrize("kind", [list, tuple])
def test_outputs_in_a_list(kind, save):
    """Outputs in a list or tuple are named by their places; one alone needs no naming."""
    only = save(lambda images: kind([images[:, 0, 0]]), name="only")
    assert np.allclose(open_backbone(BackboneRequest(handle=only)).call(IMAGES), IMAGES[:, 0, 0])
    both = save(lambda images: kind([images, -images[:, 0, 0]]), name="both")
    assert "several outputs. It has: 0, 1." in refusal(handle=both)
    assert np.allclose(open_backbone(BackboneRequest(handle=both, layer="1")).call(IMAGES), -IMAGES[:, 0, 0])


def test_outputs_within_outputs(save):
    """Outputs within others are named by both keys."""
    handle = save(lambda images: {"maps": {"first": images, "second": [images * 2]}, "row": images[:, 0, 0]})
    assert "It has: maps/first, maps/second/0, row." in refusal(handle=handle)
    expected = 2 * IMAGES.mean((1, 2))
    assert np.allclose(open_backbone(BackboneRequest(handle=handle, layer="maps/second/0")).call(IMAGES), expected)


def test_output_of_a_signature(save, tf):
    """--layer SIGNATURE:OUTPUT names one of several outputs of a signature; the signature alone lists them."""
    spec = [tf.TensorSpec([None, 32, 32, 3], tf.float32, name="images")]
    both = tf.function(lambda images: {"up": images[:, 0, 0], "down": -images[:, 0, 0]}, spec, autograph=False)
    handle = save(lambda images: images[:, 0, 0], both=both)
    assert "several outputs. It has: down, up." in refusal(handle=handle, layer="both")
    assert "`layer='SIGNATURE:NAME'`" in refusal(handle=handle, layer="both")
    assert "no output left. It has: down, up." in refusal(handle=handle, layer="both:left")
    backbone = open_backbone(BackboneRequest(handle=handle, layer="both:down"))
    assert (backbone.spec.layer, backbone.spec.dim) == ("both:down", 3)
    assert np.allclose(backbone.call(IMAGES), -IMAGES[:, 0, 0])


def test_one_signature_of_any_name(tf, tmp_path):
    """A module that has one signature and can't be called otherwise is called by it."""
    module = tf.Module()
    spec = [tf.TensorSpec([None, 32, 32, 3], tf.float32, name="images")]
    run = tf.function(lambda images: {"row": images[:, 0, 0]}, spec, autograph=False)
    tf.saved_model.save(module, str(tmp_path / "net"), signatures={"embed_images": run})
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net"), pixels="0..1"))
    assert np.allclose(backbone.call(IMAGES), IMAGES[:, 0, 0])


@pytest.fixture
def channels_first(tf, tmp_path):
    """`channels_first(call)`: a SavedModel whose call takes float32 [B, 3, 24, 32]."""

    def write(call):
        module = tf.Module()
        module.__call__ = tf.function(call, [tf.TensorSpec([None, 3, 24, 32], tf.float32)], autograph=False)
        tf.saved_model.save(module, str(tmp_path / "net"))
        return str(tmp_path / "net")

    return write


def test_channels_first(channels_first, tf):
    """A module that takes channels first, as those from PyTorch, gets them so; its size is still height and width."""
    backbone = open_backbone(BackboneRequest(handle=channels_first(lambda images: tf.reduce_mean(images, (2, 3)))))
    assert backbone.spec.image_size == (24, 32)
    images = np.random.default_rng(0).random((2, 24, 32, 3), np.float32)
    assert np.allclose(backbone.call(images), images.mean((1, 2)), atol=1e-5)


def test_maps_of_channels_first(channels_first, tf):
    """Its maps are averaged over height and width where their shape tells which these are; else they are rejected."""
    handle = channels_first(lambda images: tf.stack([images[:, 0, :4, :4], images[:, 1, :4, :4]], axis=1))
    images = np.random.default_rng(0).random((2, 24, 32, 3), np.float32)
    expected = images[:, :4, :4, :2].mean((1, 2))
    assert np.allclose(open_backbone(BackboneRequest(handle=handle)).call(images), expected, atol=1e-5)
    assert "is ambiguous" in refusal(handle=channels_first(lambda images: images))


def test_files_for_images(tf, tmp_path):
    """A module that takes images as files is rejected with its other signatures, one of which takes pixels."""
    module = tf.Module()
    files = tf.function(
        lambda files: {"size": tf.strings.length(files)}, [tf.TensorSpec([None], tf.string, name="files")]
    )
    pixels = tf.function(
        lambda images: {"row": images[:, 0, 0]}, [tf.TensorSpec([None, 32, 32, 3], name="images")], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path / "net"), signatures={"serving_default": files, "pixels": pixels})
    text = refusal(handle=str(tmp_path / "net"))
    assert "takes images as files, not as pixels" in text
    assert "It has: pixels, serving_default." in text
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "net"), layer="pixels:row", pixels="0..1"))
    assert np.allclose(backbone.call(IMAGES), IMAGES[:, 0, 0])


@pytest.mark.parametrize("place", ["call", "function", "branch"])
def test_a_module_that_writes_to_its_variables_is_refused(place, tf, tmp_path):
    """Batch norm in training mode moves its mean at each call, wherever in the graph: refused when it is opened."""

    def move(images):
        module.mean.assign(0.9 * module.mean + 0.1 * tf.reduce_mean(images))
        return images

    def call(images):
        moved = {
            "call": move,
            "function": tf.function(move),
            "branch": lambda images: tf.cond(tf.reduce_max(images) > 0, lambda: move(images), lambda: images),
        }[place](images)
        return tf.reduce_mean(moved, (1, 2)) * tf.ones(3)

    module = tf.Module()
    module.mean = tf.Variable(0.0)
    module.__call__ = tf.function(call, input_signature=[tf.TensorSpec([None, 32, 32, 3])])
    tf.saved_model.save(module, str(tmp_path / "net"))
    assert "net changes its variables when it is called" in refusal(handle=str(tmp_path / "net"))


def test_a_module_that_normalises_over_the_batch_is_refused(save, tf):
    """A module whose vectors depend on the other images of a batch is rejected when it is opened."""
    handle = save(lambda images: tf.reduce_mean(images, (1, 2)) - tf.reduce_mean(images, (0, 1, 2)))
    assert "embeds an image differently with other images in its batch" in refusal(handle=handle)


@pytest.mark.parametrize("channels", [1, 4])
def test_a_module_of_other_channels(channels, tf, tmp_path):
    """A module of grey images, or of four channels, is rejected by its input's shape."""
    module = tf.Module()
    spec = tf.TensorSpec([None, 32, 32, channels])
    module.__call__ = tf.function(lambda images: tf.reduce_mean(images, (1, 2)), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "net"))
    assert f"takes inputs of the shape (32, 32, {channels})" in refusal(handle=str(tmp_path / "net"))
