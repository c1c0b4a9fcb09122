import json
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from frieze.core import InputError, ModelError
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones import hub_download as hub
from frieze.embedder.backbones.hub_layer import archive as hub_archive

IMAGES = np.random.default_rng(0).random((12, 8, 8, 3), np.float32)
LABELS = np.arange(12) % 3
DATA = "assets/layers/hub_layer/variables/variables.data-00000-of-00001"


@pytest.fixture(scope="module")
def keras():
    """Keras, imported once."""
    import keras

    return keras


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Each test is as a process of its own: nothing is known of modules that others opened."""
    monkeypatch.setattr(hub_archive, "_FOLDERS", {})


@pytest.fixture
def folder(live, tmp_path):
    """A copy of the tiny module that a test may take away."""
    return shutil.copytree(live, tmp_path / "module")


@pytest.fixture
def model(folder, keras):
    """A trained model of the layer, top and batch norm free, and a softmax."""
    from frieze.embedder import HubLayer

    layer = HubLayer(folder, trainable=["top/*", "norm/*"], batch_norm="train", name="hub_layer")
    return fitted(keras.Sequential([keras.Input((8, 8, 3)), layer, keras.layers.Dense(3, activation="softmax")]), keras)


def fitted(model, keras, *, run_eagerly=True):
    """Train for three steps with an optimizer that remembers; a graph would take longer to trace than to run."""
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", run_eagerly=run_eagerly)
    model.fit(IMAGES, LABELS, batch_size=4, shuffle=False, verbose=0)
    return model


def saved(model, tmp_path):
    """Save the model; as if in another process nothing is kept of it."""
    path = tmp_path / "model.keras"
    model.save(path)
    hub_archive._FOLDERS.clear()
    return path


def altered(path, member, change):
    """Write the file anew with one member changed."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert change(content[member]) != content[member]
    content[member] = change(content[member])
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize("form", ["sequential", "functional"])
def test_round_trip(is_gone, form, model, folder, keras, tmp_path):
    """A model's file gives the same outputs, whether or not the module's folder is still there."""
    if form == "functional":
        images = keras.Input((8, 8, 3))
        model = keras.Model(images, model.layers[1](model.layers[0](images)))
        fitted(model, keras, run_eagerly=False)
    path, expected = saved(model, tmp_path), model.predict(IMAGES, verbose=0)
    if is_gone:
        shutil.rmtree(folder)
    assert np.array_equal(keras.saving.load_model(path).predict(IMAGES, verbose=0), expected)


@pytest.mark.parametrize("is_gone", [False, True])
def test_trains_on(is_gone, model, folder, keras, tmp_path):
    """A loaded model trains on as the saved one would have: optimizer, chosen weights, mode and penalties are kept."""
    path = saved(model, tmp_path)
    if is_gone:
        shutil.rmtree(folder)
    loaded = keras.saving.load_model(path)
    for one in (model, loaded):
        one.fit(IMAGES, LABELS, batch_size=4, shuffle=False, verbose=0)
    assert len(loaded.trainable_weights) == 5
    for mine, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert np.allclose(mine, theirs, atol=1e-6)


def test_chosen_weights_are_kept(model, keras, tmp_path):
    """A layer saved frozen is frozen, and when it is unfrozen trains what was chosen."""
    model.layers[0].trainable = False
    uncompiled = keras.Sequential([keras.Input((8, 8, 3)), model.layers[0]])
    layer = keras.saving.load_model(saved(uncompiled, tmp_path)).layers[0]
    assert layer.trainable_weights == []
    layer.trainable = True
    assert sorted(weight.name for weight in layer.trainable_weights) == ["norm.beta", "norm.gamma", "top.kernel"]


def test_saved_again(model, folder, keras, tmp_path):
    """A model loaded from a file can be saved again when the module's folder no longer exists."""
    path, expected = saved(model, tmp_path), model.predict(IMAGES, verbose=0)
    shutil.rmtree(folder)
    first = keras.saving.load_model(path)
    path.unlink()
    second = keras.saving.load_model(saved(first, tmp_path))
    assert np.array_equal(second.predict(IMAGES, verbose=0), expected)


def test_clone(model, folder, keras):
    """A clone has variables of its own with the module's values, also of a layer that was downloaded."""
    clone = keras.models.clone_model(model)
    from frieze.embedder import HubLayer

    fresh = HubLayer(folder)
    for mine, theirs in zip(clone.layers[0]._bound, fresh._bound, strict=True):
        assert np.array_equal(mine, theirs)
    assert not np.array_equal(clone.layers[0](IMAGES), model.layers[0](IMAGES))


def test_weights_fit_other_choices(model, folder, keras, tmp_path):
    """Weights saved from a layer fit one of the same module that trains others."""
    from frieze.embedder import HubLayer

    model.save_weights(tmp_path / "some.weights.h5")
    other = keras.Sequential([keras.Input((8, 8, 3)), HubLayer(folder, trainable="conv/*"), keras.layers.Dense(3)])
    other.load_weights(tmp_path / "some.weights.h5")
    assert np.allclose(other.layers[0](IMAGES), model.layers[0](IMAGES), atol=1e-6)


def test_spoilt_weights_of_the_module(model, folder, keras, tmp_path):
    """A file in which a byte of the module's files differs is rejected, also while the module's own folder is there."""
    path = saved(model, tmp_path)
    altered(path, DATA, lambda data: bytes([data[0] ^ 1]) + data[1:])
    for _ in range(2):
        with pytest.raises(ValueError, match="differ from those that were saved"):
            keras.saving.load_model(path)
        shutil.rmtree(folder, ignore_errors=True)


def test_module_left_out(model, folder, keras, tmp_path):
    """A file without the module's graph is rejected."""
    path = saved(model, tmp_path)
    shutil.rmtree(folder)
    altered(path, "assets/layers/hub_layer/saved_model.pb", lambda _: b"")
    with pytest.raises(ValueError, match="are damaged"):
        keras.saving.load_model(path)


def test_other_variables(model, folder, keras, tmp_path):
    """A file that lists other variables than its module has is rejected."""
    path = saved(model, tmp_path)
    shutil.rmtree(folder)
    altered(path, "config.json", lambda text: text.replace(b'"name": "conv/kernel"', b'"name": "cone/kernel"'))
    with pytest.raises(ValueError, match="lists other variables than module in it has"):
        keras.saving.load_model(path)


def test_another_module_at_the_handle(model, folder, save_tiny, keras, tmp_path):
    """Where another module lies at the handle now, the model has its own all the same."""
    path, expected = saved(model, tmp_path), model.predict(IMAGES, verbose=0)
    shutil.rmtree(folder)
    save_tiny(folder)
    assert np.array_equal(keras.saving.load_model(path).predict(IMAGES, verbose=0), expected)


def test_folder_changed_before_saving(model, folder, save_tiny, tmp_path):
    """A model is not saved with another module than it was made of."""
    shutil.rmtree(folder)
    save_tiny(folder)
    with pytest.raises(ModelError, match="gone or changed"):
        model.save(tmp_path / "model.keras")


@pytest.fixture
def writing(tf, tmp_path):
    """A module that writes a file when it is called."""
    module, target = tf.Module(), str(tmp_path / "written")

    def call(images):
        tf.io.write_file(target, "here")
        return images[:, 0, 0]

    module.__call__ = tf.function(call, [tf.TensorSpec([None, 8, 8, 3])])
    tf.saved_model.save(module, str(tmp_path / "writing"))
    return tmp_path / "writing"


def test_trust_is_for_the_layer_that_was_given_it(writing, keras, tmp_path):
    """A module that writes files wants `trust=True`; a model's file with it is not loaded, and nothing of it is run."""
    from frieze.embedder import HubLayer

    with pytest.raises(ModelError, match=r"WriteFile .*\n.*HubLayer\(\.\.\., trust=True\)"):
        HubLayer(writing)
    with pytest.warns(UserWarning, match="trust_module"):
        path = saved(keras.Sequential([keras.Input((8, 8, 3)), HubLayer(writing, trust=True)]), tmp_path)
    (tmp_path / "written").unlink(missing_ok=True)
    for _ in range(2):
        with pytest.raises((ValueError, ModelError), match="does more than compute"):
            keras.saving.load_model(path)
        shutil.rmtree(writing, ignore_errors=True)
    assert not (tmp_path / "written").exists()


@pytest.fixture
def vocabulary(tf, tmp_path):
    """A module that looks up words in a file of its assets."""
    vocabulary_path, module = tmp_path / "vocabulary_path.txt", tf.Module()
    vocabulary_path.write_text("one\ntwo\n")
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    file = tf.lookup.TextFileInitializer(str(vocabulary_path), tf.string, whole, tf.int64, number)
    module.table = tf.lookup.StaticVocabularyTable(file, 1)

    def call(images):
        return images[:, 0, 0] + tf.cast(module.table.lookup(tf.constant(["two"])), tf.float32)

    module.__call__ = tf.function(call, [tf.TensorSpec([None, 8, 8, 3])], autograph=False)
    tf.saved_model.save(module, str(tmp_path / "vocabulary"))
    return tmp_path / "vocabulary"


@pytest.mark.parametrize("is_there", [True, False])
def test_a_module_with_a_vocabulary_loads_once_it_is_trusted(vocabulary, keras, tmp_path, monkeypatch, is_there):
    """Saving says what loading takes, the error too; after that the model is loaded, its module at hand or not."""
    from frieze.embedder import HubLayer

    monkeypatch.setattr(hub_archive, "_TRUSTED", set())
    model = keras.Sequential([keras.Input((8, 8, 3)), HubLayer(vocabulary, trust=True, name="hub_layer")])
    with pytest.warns(UserWarning, match="InitializeTableFromTextFile") as caught:
        path = saved(model, tmp_path)
    fingerprint = model.layers[0].get_config()["saved_model"]["fingerprint"]
    hub_archive._FOLDERS.clear()
    assert str(caught[0].message).endswith(f"call: frieze.HubLayer.trust_module('{fingerprint}')")
    if not is_there:
        shutil.rmtree(vocabulary)
    with pytest.raises((ValueError, ModelError), match=rf"trust_module\('{fingerprint}'\), then load"):
        keras.saving.load_model(path)
    HubLayer.trust_module(fingerprint)
    assert np.array_equal(keras.saving.load_model(path).predict(IMAGES, verbose=0), IMAGES[:, 0, 0] + 1)


def test_nothing_is_fetched(live, keras, tmp_path, monkeypatch):
    """A layer of a URL is downloaded when it is made; the model's file then needs no connection."""
    from frieze.embedder import HubLayer

    monkeypatch.setattr(hub, "download", lambda handle: live)
    layer = HubLayer("https://tfhub.dev/tiny/1", name="hub_layer")
    model = keras.Sequential([keras.Input((8, 8, 3)), layer])
    path, expected = saved(model, tmp_path), model.predict(IMAGES, verbose=0)
    monkeypatch.setattr(hub, "download", lambda handle: pytest.fail(f"fetches {handle}"))
    loaded = keras.saving.load_model(path)
    assert loaded.layers[0].get_config()["saved_model"]["handle"] == "https://tfhub.dev/tiny/1"
    assert np.array_equal(loaded.predict(IMAGES, verbose=0), expected)


def test_config_alone(model, folder, live):
    """A layer can be made from its config while the module exists; without the module, calling it is rejected."""
    from frieze.embedder import HubLayer

    config = json.loads(json.dumps(model.layers[0].get_config()))
    assert HubLayer.from_config(config)(IMAGES).shape == (12, 4)
    hub_archive._FOLDERS.clear()
    shutil.rmtree(folder)
    with pytest.raises(ModelError, match="is not loaded"):
        HubLayer.from_config(config)(np.zeros((2, 8, 8, 3), np.float32))


def test_loaded_object(live, tf, keras, tmp_path):
    """A layer of an object that was loaded elsewhere can't be saved, since nothing tells its files; its weights can."""
    from frieze.embedder import HubLayer

    model = keras.Sequential([keras.Input((8, 8, 3)), HubLayer(tf.saved_model.load(str(live)))])
    with pytest.raises(InputError, match="its files are unknown"):
        model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")


def test_export(model, folder, keras, tf, tmp_path):
    """`model.export` writes one SavedModel that needs nothing of ours, also from a loaded model."""
    loaded = keras.saving.load_model(saved(model, tmp_path))
    loaded.export(tmp_path / "exported", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "exported"))
    assert np.allclose(exported.serve(IMAGES), model.predict(IMAGES, verbose=0), atol=1e-6)


def test_as_a_backbone(model, folder, tmp_path):
    """A model's file with the layer in it is a backbone for `frieze embed` as any other `.keras` file."""
    path = saved(model, tmp_path)
    shutil.rmtree(folder)
    backbone = open_backbone(BackboneRequest(handle=str(path), layer="hub_layer", pixels="0..1"))
    assert np.allclose(backbone.call(IMAGES), model.layers[0](IMAGES), atol=1e-5)


@pytest.mark.slow
def test_in_another_process(model, folder, tmp_path):
    """A process that has only imported HubLayer loads the file."""
    path, expected = saved(model, tmp_path), model.predict(IMAGES, verbose=0)
    shutil.rmtree(folder)
    np.save(tmp_path / "images.npy", IMAGES)
    code = """
import sys, keras, numpy as np
from frieze import HubLayer
np.save(sys.argv[2] + "/found.npy", keras.saving.load_model(sys.argv[1]).predict(np.load(sys.argv[2] + "/images.npy")))
"""
    subprocess.run([sys.executable, "-c", code, path, tmp_path], check=True, capture_output=True)
    assert np.allclose(np.load(tmp_path / "found.npy"), expected, atol=1e-6)
