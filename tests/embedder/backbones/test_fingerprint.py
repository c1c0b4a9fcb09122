import shutil

import numpy as np
import pytest

from frieze.core import ModelError
from frieze.embedder import BackboneRequest, open_backbone
from frieze.embedder.backbones import fingerprint_of_files
from frieze.embedder.backbones.fingerprint import model_folder, of_file, of_saved_model, of_weights


@pytest.fixture
def saved(tmp_path):
    """A folder with the files of a SavedModel."""
    folder = tmp_path / "saved"
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data", "assets/words.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data", "assets/words.txt"])
def test_one_byte(name, saved):
    """One other byte in a file that TensorFlow reads is another network."""
    before = of_saved_model(saved)
    content = bytearray((saved / name).read_bytes())
    content[3] ^= 1
    (saved / name).write_bytes(content)
    assert of_saved_model(saved) != before


def test_a_backbone_beside_its_head(saved, tmp_path):
    """What fine-tuning stores beside a head is meant by the folder of both; else a folder is itself."""
    shutil.copytree(saved, tmp_path / "model" / "saved_model")
    assert model_folder(tmp_path / "model") == tmp_path / "model" / "saved_model"
    assert model_folder(tmp_path / "model" / "saved_model") == tmp_path / "model" / "saved_model"
    assert model_folder(tmp_path) == tmp_path
    request = BackboneRequest(handle=str(tmp_path / "model"))
    assert fingerprint_of_files(request) == of_saved_model(saved)


def test_a_file_more(saved):
    """A file that comes, goes or is renamed where TensorFlow reads is another network."""
    before = of_saved_model(saved)
    (saved / "variables" / "variables.data").rename(saved / "variables" / "renamed.data")
    assert of_saved_model(saved) != before


def test_notes_do_not_count(saved, tmp_path):
    """Notes beside the network change nothing, nor does where it lies."""
    before = of_saved_model(saved)
    (saved / "README.md").write_text("notes")
    (saved / "fingerprint.pb").write_text("TensorFlow's own")
    assert of_saved_model(saved.rename(tmp_path / "moved")) == before


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("b", [np.zeros(2, "f4"), np.ones(2, "f4")]),
        ("a", [np.ones(2, "f4"), np.zeros(2, "f4")]),
        ("a", [np.zeros((1, 2), "f4"), np.ones(2, "f4")]),
        ("a", [np.zeros(2, "i4"), np.ones(2, "f4")]),
    ],
)
def test_weights(name, weights):
    """Name, order, shape and kind of the weights count, not how they lie in memory."""
    first = of_weights("a", [np.zeros(2, "f4"), np.ones(2, "f4")])
    assert of_weights("a", [np.zeros(4, "f4")[::2], np.ones(2, "f4")]) == first
    assert of_weights(name, weights) != first


def test_files_of_weights(tmp_path):
    """A file of weights counts by the network's name and its bytes, not by its path; a missing one is named."""
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    first = of_file("net", tmp_path / "a")
    assert of_file("net", tmp_path / "b") == first
    assert first not in (of_file("net", tmp_path / "c"), of_file("other", tmp_path / "a"))
    with pytest.raises(ModelError, match=r"There is no file .*nowhere"):
        of_file("net", tmp_path / "nowhere")


@pytest.mark.parametrize("handle", ["keras:MobileNetV2", "https://tfhub.dev/a/1", "nowhere", "nowhere.keras"])
def test_unknown_without_loading(handle):
    """Where no local file decides, there is no fingerprint without loading."""
    assert fingerprint_of_files(BackboneRequest(handle=handle)) is None


def test_without_loading_built_in(opened):
    """The built-in network's fingerprint is known too: a table of an older one is not taken for one of today's."""
    assert fingerprint_of_files(BackboneRequest()) == opened("builtin").spec.fingerprint


def test_without_loading_saved_model(tiny, opened):
    """A SavedModel's fingerprint is known without loading it, and is the one that its spec has."""
    assert fingerprint_of_files(BackboneRequest(handle=str(tiny))) == opened(str(tiny)).spec.fingerprint


def test_without_loading_keras_file(small_network, opened):
    """So is a `.keras` file's."""
    handle = str(small_network[1] / "small.keras")
    spec = opened(handle, pixels="0..1").spec
    assert fingerprint_of_files(BackboneRequest(handle=handle)) == spec.fingerprint


def test_without_loading_weights(small_network, small_application):
    """So is that of a file of weights."""
    request = BackboneRequest(handle=small_application, weights=str(small_network[1] / "small.weights.h5"))
    assert fingerprint_of_files(request) == open_backbone(request).spec.fingerprint
