"""A SavedModel whose variables are free: the judge is the module itself."""

import numpy as np
import pytest

from frieze.core import InputError, import_keras
from frieze.embedder import BackboneRequest, open_backbone, open_trainable


@pytest.fixture(scope="module")
def images():
    """Six noisy images float32 [6, 8, 8, 3] in [0, 1]."""
    return np.random.default_rng(1).random((6, 8, 8, 3), np.float32)


def free(path, unfreeze=None):
    """Open a trunk."""
    return open_trainable(BackboneRequest(handle=str(path)), unfreeze=unfreeze)


@pytest.fixture(scope="module")
def taught(live, images):
    """A trunk with all free, trained for two steps in a Keras network."""
    keras = import_keras()
    trunk, pixels = free(live), keras.Input((8, 8, 3))
    network = keras.Model(pixels, keras.layers.Dense(2, activation="softmax")(trunk.embeddings(pixels)))
    network.compile(keras.optimizers.Adam(0.05), loss="sparse_categorical_crossentropy", jit_compile=False)
    network.fit(images, np.array([0, 1] * 3), epochs=2, verbose=0)
    return trunk


@pytest.fixture(scope="module")
def stored(taught, tmp_path_factory):
    """The folder that the trained trunk was saved to."""
    folder = tmp_path_factory.mktemp("stored") / "top"
    taught.save(folder)
    return folder


@pytest.mark.parametrize(
    ("unfreeze", "message", "n_free"),
    [
        (None, "4 of 6 variables", 108),
        ("all", "4 of 6 variables", 108),
        ("top/*", "1 of 6 variables", 24),
        ("top/kernel,norm/*", "3 of 6 variables", 36),
    ],
)
def test_variables_are_free_by_name(live, unfreeze, message, n_free):
    """All trainable variables, or those of some names and patterns, learn."""
    trunk = free(live, unfreeze)
    assert (trunk.free, trunk.n_free) == (message, n_free)


@pytest.mark.parametrize("unfreeze", ["20", "block_16/*", "norm/moving_mean"])
def test_a_name_that_is_not_there(live, unfreeze):
    """A number, and a name of no trainable variable, are rejected with names that are."""
    with pytest.raises(InputError, match="No trainable variable of live is named") as caught:
        free(live, unfreeze)
    assert "conv/kernel" in caught.value.hint


def test_a_split_is_refused(live):
    """The frozen part of a SavedModel can't be separated from the rest."""
    with pytest.raises(InputError, match="is a SavedModel") as caught:
        free(live).split()
    assert "`cache`" in caught.value.hint


@pytest.mark.parametrize("training", [False, True])
def test_stays_in_inference_mode(live, images, training):
    """Within a network in training mode, too, it gives the frozen backbone's embeddings."""
    keras = import_keras()
    pixels = keras.Input((8, 8, 3))
    network = keras.Model(pixels, free(live).embeddings(pixels))
    frozen = open_backbone(BackboneRequest(handle=str(live))).call(images)
    assert np.allclose(network(images, training=training), frozen, atol=1e-5)


def test_the_precision_of_a_graph_is_fixed(live, images):
    """In any policy it computes in the float32 that it was saved in, and says so."""
    trunk = free(live)
    with trunk.computing("mixed_float16") as policy:
        embeddings = trunk.embeddings(images)
    assert (policy, embeddings.dtype) == ("float32", "float32")


def test_statistics_stay(taught, live, tf):
    """After training the moving statistics are the same bits, and all else has moved."""
    before = {one.name: one.numpy() for one in tf.saved_model.load(str(live)).variables}
    after = {one.name: one.numpy() for one in taught._layer._module.call.module.variables}
    moved = {name.partition(":")[0] for name in before if not np.array_equal(before[name], after[name])}
    assert moved == {"conv/kernel", "norm/gamma", "norm/beta", "top/kernel"}


def test_what_is_saved_is_a_backbone(stored, taught, live, images):
    """It is opened as a SavedModel with the trained vectors and another fingerprint."""
    opened = open_backbone(BackboneRequest(handle=str(stored)))
    assert np.allclose(opened.call(images), taught.embeddings(images), atol=1e-5)
    assert opened.spec.fingerprint != open_backbone(BackboneRequest(handle=str(live))).spec.fingerprint


def test_what_is_saved_has_hub_form(stored, taught, images, tf):
    """Loaded by TensorFlow alone it is called with images, and lists its variables as the first one did."""
    module = tf.saved_model.load(str(stored))
    assert np.allclose(module(images), taught.embeddings(images), atol=1e-5)
    assert len(module.variables) == 6
    names = sorted(one.name.partition(":")[0] for one in module.trainable_variables)
    assert names == ["conv/kernel", "norm/beta", "norm/gamma", "top/kernel"]


def test_what_is_saved_can_be_trained_again(stored, taught, images):
    """As a trunk it has the same names, and begins with the vectors that it ended with."""
    trunk = free(stored, "top/*,norm/gamma")
    assert trunk.free == "2 of 6 variables"
    assert np.allclose(trunk.embeddings(images), taught.embeddings(images), atol=1e-5)


def test_memory_grows_with_the_batch(live):
    """Pixels count with the images, gradients and Adam's moments with what is free."""
    few, many = free(live, "top/*"), free(live)
    assert few.count_bytes(3) - few.count_bytes(2) == 4 * 8 * 8 * 3
    assert many.count_bytes(1) - few.count_bytes(1) == 4 * 3 * (108 - 24)


def test_the_folder_of_a_model(stored, tmp_path, images):
    """Beside its head, in `saved_model`, a backbone is found by the folder of both."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model").symlink_to(stored)
    one, other = (free(path).embeddings(images) for path in (tmp_path / "model", stored))
    assert np.array_equal(one, other)
