"""A Keras model whose top is free: the judge is the frozen backbone."""

import functools
import shutil

import numpy as np
import pytest

from frieze.core import InputError, ModelError, import_keras
from frieze.embedder import BackboneRequest, open_backbone, open_trainable
from frieze.embedder.backbones.catalogue import BUILTIN_MODEL


@pytest.fixture(scope="module")
def images():
    """Six noisy images float32 [6, 16, 16, 3] in [0, 1]."""
    return np.random.default_rng(1).random((6, 16, 16, 3), np.float32)


@pytest.fixture(scope="module")
def frozen(residual, images):
    """The backbone's own embeddings of the images, float32 [6, 12]."""
    return open_backbone(BackboneRequest(handle=str(residual))).call(images).numpy()


def free(path, unfreeze, **options):
    """Open a trunk."""
    return open_trainable(BackboneRequest(handle=str(path), **options), unfreeze=unfreeze)


kept = functools.cache(free)
"""The same trunk for all tests that change nothing of it."""


def network_of(trunk):
    """Return the trunk below a Dense layer of two classes, compiled with a rate that moves everything."""
    keras = import_keras()
    pixels = keras.Input((16, 16, 3))
    network = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(trunk.embeddings(pixels)))
    network.compile(keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy", jit_compile=False)
    return network


def by_name(trunk):
    """Return a copy of each weight by its path."""
    return {weight.path: weight.numpy().copy() for weight in trunk._model.weights}


@pytest.fixture(scope="module")
def taught(residual, images):
    """A trunk with the layers from `high` on free, trained for two steps: the trunk, and its weights before."""
    trunk = free(residual, "high")
    before = by_name(trunk)
    network_of(trunk).fit(images, np.array([0, 1] * 3), epochs=2, verbose=0)
    return trunk, before


@pytest.fixture(scope="module")
def stored(taught, tmp_path_factory):
    """The folder that the trained trunk was saved to."""
    folder = tmp_path_factory.mktemp("stored") / "top"
    taught[0].save(folder)
    return folder


@pytest.mark.parametrize(
    ("unfreeze", "names"),
    [
        ("2", {"top"}),
        ("high", {"high", "high_norm", "top"}),
        ("all", {"low", "low_norm", "high", "high_norm", "top"}),
        (None, {"low", "low_norm", "high", "high_norm", "top"}),
    ],
)
def test_layers_from_one_on_are_free(residual, unfreeze, names):
    """The last N layers, or those from a name on, or all learn, and no others; 20 by default."""
    trunk = kept(residual, unfreeze)
    weights = trunk._model.trainable_weights
    assert {weight.path.split("/")[0] for weight in weights} == names
    assert trunk.n_free == sum(np.prod(weight.shape) for weight in weights)


def test_describes_free_layers(residual):
    """In words: how many layers of how many, and the first one's name."""
    assert kept(residual, "high").free == "5 of 10 layers, from high on"


@pytest.mark.parametrize(
    ("unfreeze", "message", "hint"),
    [
        ("hihg", "residual has 10 layers, and none named hihg", "high"),
        ("0", "none named 0", "a number from 1 to 10"),
        ("11", "none named 11", "a number from 1 to 10"),
        ("1", "1 of 10 layers, from mean on: none of them has weights to train", "more layers"),
    ],
)
def test_what_is_not_there(residual, unfreeze, message, hint):
    """A name or number that is no layer's, and layers without weights, are rejected with valid values."""
    with pytest.raises(InputError, match=message) as caught:
        free(residual, unfreeze)
    assert hint in caught.value.hint


def test_builtin_learns():
    """The built-in network can be fine-tuned as any other: all of it, or its last layers."""
    assert kept("builtin", "all").n_free == BUILTIN_MODEL.n_parameters
    assert kept("builtin", "embedding").n_free == (480 + 64 + 128 + 1) * 256


def test_embeds_as_the_frozen_backbone(residual, images, frozen):
    """Before any training its embeddings are the backbone's, as they are outside and inside a network."""
    trunk = kept(residual, "all")
    assert np.allclose(trunk.embeddings(images), frozen, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_stays_in_inference_mode(residual, images, frozen, training):
    """Within a network that is called in training mode, too, batch norm uses its statistics: Keras would override."""
    keras = import_keras()
    pixels = keras.Input((16, 16, 3))
    network = keras.Model(pixels, kept(residual, "all").embeddings(pixels))
    assert np.allclose(network(images, training=training), frozen, atol=1e-5)


def test_statistics_stay(taught):
    """After training, moving means and variances are the same bits, also of layers that are free."""
    after, before = by_name(taught[0]), taught[1]
    moved = {path for path in after if not np.array_equal(after[path], before[path])}
    assert moved == {"high/kernel", "high_norm/gamma", "high_norm/beta", "top/kernel", "top/bias"} | (
        {"high/bias"} & moved  # its gradient is near nothing here
    )


@pytest.mark.parametrize(("unfreeze", "n_cuts"), [("high", 2), ("top", 1), ("add", 2), ("low_relu", 1)])
def test_split_in_two(residual, images, frozen, unfreeze, n_cuts):
    """The frozen part and then the rest give what the whole gives; a connection past the cut is cut too."""
    lower, upper = kept(residual, unfreeze).split()
    maps = lower(images)
    assert len(lower.outputs) == n_cuts
    assert np.allclose(upper(maps), frozen, atol=1e-5)


@pytest.mark.parametrize("unfreeze", ["second", "third"])
def test_split_at_a_sum_that_is_no_layer(tmp_path, images, unfreeze):
    """A connection that a sum of two tensors makes, as in ConvNeXt, is cut like that of a layer."""
    keras = import_keras()
    pixels = keras.Input((16, 16, 3))
    first = keras.layers.Conv2D(4, 3, padding="same", name="first")(keras.layers.Rescaling(2.0, -1.0)(pixels))
    second = keras.layers.Conv2D(4, 3, padding="same", name="second")(keras.layers.ReLU()(first))
    keras.Model(pixels, keras.layers.Conv2D(5, 3, name="third")(first + second)).save(tmp_path / "sum.keras")
    trunk = free(tmp_path / "sum.keras", unfreeze)
    lower, upper = trunk.split()
    assert len(lower.outputs) == {"second": 2, "third": 1}[unfreeze]
    assert np.allclose(upper(lower(images)), trunk.embeddings(images), atol=1e-4)


def test_only_the_upper_part_learns(residual):
    """The rest has all that is free, the frozen part nothing of it."""
    trunk = kept(residual, "high")
    lower, upper = trunk.split()
    assert lower.trainable_weights == []
    assert sum(np.prod(weight.shape) for weight in upper.trainable_weights) == trunk.n_free


def test_upper_part_stays_in_inference_mode(residual, images, frozen):
    """Called in training mode the rest gives the same embeddings."""
    lower, upper = kept(residual, "high").split()
    assert np.allclose(upper(lower(images), training=True), frozen, atol=1e-5)


def test_all_free_is_not_split(residual):
    """Where everything learns there is no part to keep."""
    with pytest.raises(InputError, match="Every layer is free") as caught:
        kept(residual, "all").split()
    assert "`cache`" in caught.value.hint


def test_memory_grows_with_the_batch(residual):
    """An image more takes so much more; more layers that learn take more; what is held for no image are the weights."""
    one, two, three = (kept(residual, "high").count_bytes(n) for n in (1, 2, 3))
    assert three - two == two - one > 4 * 2 * (8 * 8 * 8) * 3
    assert kept(residual, "all").count_bytes(1) > one
    assert 2 * one - two == 4 * (kept(residual, "all")._model.count_params() + 3 * kept(residual, "high").n_free)


def test_memory_of_a_network_of_any_size(residual, tmp_path):
    """A network that leaves the size of images open is trained at the requested size."""
    keras = import_keras()
    closed = keras.saving.load_model(residual)
    keras.models.clone_model(closed, keras.Input((None, None, 3))).save(tmp_path / "open.keras")
    one, other = (free(path, "high", image_size=16) for path in (residual, tmp_path / "open.keras"))
    assert one.count_bytes(4) == other.count_bytes(4)
    assert free(tmp_path / "open.keras", "high", image_size=32).count_bytes(4) > 2 * one.count_bytes(4)


def test_what_is_saved_is_a_backbone(stored, taught, residual, images):
    """It is opened as a SavedModel with the trained vectors, its own size and another fingerprint."""
    opened, first = (open_backbone(BackboneRequest(handle=str(path))).spec for path in (stored, residual))
    call = open_backbone(BackboneRequest(handle=str(stored))).call
    assert np.allclose(call(images), taught[0].embeddings(images), atol=1e-5)
    assert (opened.dim, opened.image_size, opened.pixels) == (12, (16, 16), "0..1")
    assert opened.fingerprint != first.fingerprint


def test_what_is_saved_has_hub_form(stored, taught, images, tf):
    """Loaded by TensorFlow alone it is called with images, and lists variables, those that learn, and losses."""
    module = tf.saved_model.load(str(stored))
    assert np.allclose(module(images), taught[0].embeddings(images), atol=1e-5)
    assert len(module.variables) == 14
    fixed = {one.name for one in module.variables} - {one.name for one in module.trainable_variables}
    assert fixed == {f"{norm}_norm/moving_{what}:0" for norm in ("low", "high") for what in ("mean", "variance")}
    assert list(module.regularization_losses) == []
    assert module.signatures["serving_default"](images=tf.constant(images))["feature_vector"].shape == (6, 12)


def test_what_is_saved_can_be_trained_again(stored, taught, images):
    """As a trunk it begins with the vectors that it ended with, and all but its statistics may learn."""
    trunk = free(stored, "high*")
    assert trunk.free == "4 of 14 variables"
    assert np.allclose(trunk.embeddings(images), taught[0].embeddings(images), atol=1e-5)
    assert free(stored, None).free == "10 of 14 variables"


def test_a_layer_of_maps_is_averaged(residual, images):
    """A layer that gives maps is averaged over height and width, as the frozen backbone does."""
    frozen = open_backbone(BackboneRequest(handle=str(residual), layer="add"))
    assert frozen.spec.dim == 8
    assert np.allclose(free(residual, "high", layer="add").embeddings(images), frozen.call(images), atol=1e-5)


def test_full_disk(residual, tmp_path, monkeypatch, tf):
    """What TensorFlow can't write is reported with what to do."""

    def fail(*_args, **_options):
        raise tf.errors.ResourceExhaustedError(None, None, "no room\nat all")

    monkeypatch.setattr(tf.saved_model, "save", fail)
    with pytest.raises(ModelError, match="can't be written as a SavedModel: no room\n") as caught:
        free(residual, "top").save(tmp_path / "out")
    assert "it resumes here" in caught.value.hint


def test_moved(stored, tmp_path, images):
    """A copy elsewhere is the same backbone."""
    copy = shutil.copytree(stored, tmp_path / "copy")
    one, other = (open_backbone(BackboneRequest(handle=str(path))) for path in (stored, copy))
    assert one.spec.fingerprint == other.spec.fingerprint
    assert np.array_equal(one.call(images), other.call(images))


def test_builtin_is_taught_apart(images):
    """What is learnt on top of the built-in network changes no embedding that it gives elsewhere."""
    pixels = np.repeat(np.repeat(images, 8, axis=1), 8, axis=2)
    backbone = open_backbone(BackboneRequest(layer="pooled"))
    before = backbone.call(pixels).numpy()
    for weight in backbone.model.trainable_weights:
        weight.assign(weight * 1.5)
    assert not np.allclose(backbone.model(pixels), before, atol=1e-2)
    assert (backbone.call(pixels).numpy() == before).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_computes_in_mixed_precision(residual, images, frozen, policy):
    """In the block it computes in half precision, near what float32 gives; the weights are float32 all the time."""
    trunk = free(residual, "high")
    with trunk.computing(policy) as actual:
        embeddings = trunk.embeddings(images)
        assert (actual, f"mixed_{embeddings.dtype.name}") == (policy, policy)
        assert {weight.value.dtype.name for weight in trunk._model.weights} == {"float32"}
    assert np.allclose(np.asarray(embeddings, np.float32), frozen, atol=0.02)


def test_the_precision_ends_with_the_block(residual, images, frozen):
    """After the block, also one that an error ends, it computes in float32 again."""
    trunk = free(residual, "high")
    with pytest.raises(KeyboardInterrupt), trunk.computing("mixed_float16"):
        raise KeyboardInterrupt
    assert trunk.embeddings(images).dtype == "float32"
    assert np.allclose(trunk.embeddings(images), frozen, atol=1e-5)


def test_code_of_somebodys_own_stays_in_float32(residual, images):
    """A layer whose code is not Keras' own may rely on float32: it gets float32, whatever the policy."""
    keras, trunk = import_keras(), free(residual, "high")

    class Own(keras.layers.ReLU):
        def call(self, values):
            assert values.dtype == "float32"
            return super().call(values)

    trunk._model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3), Own(), keras.layers.Flatten()]
    )
    with trunk.computing("mixed_float16"):
        assert trunk.embeddings(images).dtype == "float16"


@pytest.mark.parametrize("pool", ["max", "gem", "none"])
def test_pool(pool, residual, images, tmp_path):
    """Maps are pooled as the frozen backbone pools them, in the trunk, in its two parts and in the stored module."""
    options = {"layer": "top", "pool": pool}
    expected = open_backbone(BackboneRequest(handle=str(residual), **options)).call(images).numpy()
    trunk = free(residual, "high", **options)
    lower, upper = trunk.split()
    trunk.save(tmp_path / "stored")
    stored = open_backbone(BackboneRequest(handle=str(tmp_path / "stored"), pixels="0..1"))
    for embeddings in (trunk.embeddings(images), upper(lower(images)), stored.call(images)):
        assert np.allclose(embeddings, expected, atol=1e-4)
    assert stored.spec.pool is None
