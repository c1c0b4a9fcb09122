import numpy as np
import pytest

from frieze.core import InputError, import_keras
from frieze.embedder import BackboneRequest, embed_images, open_backbone, reopen_backbone, spot_check
from frieze.features import open_features


@pytest.fixture(scope="module")
def wide(tmp_path_factory, tf):
    """A `.keras` file of a network for images of 24 x 40 pixels, height first."""
    keras = import_keras()
    keras.utils.set_random_seed(0)
    images = keras.Input((24, 40, 3))
    maps = keras.layers.Conv2D(6, 3, 2)(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, keras.layers.Flatten()(maps), name="wide")
    path = tmp_path_factory.mktemp("wide") / "wide.keras"
    model.save(path)
    return path


def test_stored_non_square_size(wide, folder, embed, out):
    """A table of a network with a non-square input is verified, searched and resumed at the stored size."""
    embed(folder, out, backbone=wide)
    table = open_features(out)
    assert table.spec.image_size == (24, 40)
    assert spot_check(table, n=4)["least_cosine"] > 0.9999
    query = embed_images([folder / "a.jpg"], reopen_backbone(table.spec, where="here"))
    assert np.abs(query[0] - table.embeddings()[0]).max() < 1e-4


@pytest.mark.parametrize("requested", [(24, 40), "24x40", "24X40"])
def test_requested_size(wide, requested):
    """Height and width can be requested, and are stored as typed."""
    request = BackboneRequest(handle=str(wide), image_size=requested)
    assert open_backbone(request).spec.image_size == (24, 40)
    assert request.to_json()["image_size"] == "24x40"


@pytest.mark.parametrize(("requested", "kept"), [(32, 32), ("32", 32), ((32, 32), 32), (None, None)])
def test_a_square_is_one_number(requested, kept):
    """A square is stored as its side, as ever."""
    assert BackboneRequest(image_size=requested).to_json()["image_size"] == kept


@pytest.mark.parametrize("requested", [0, -1, "x", "3x", "3x4x5", (3, 0), "wide"])
def test_invalid_size(requested):
    """An invalid size is rejected with the valid forms."""
    with pytest.raises(InputError, match="`image_size` is") as caught:
        _ = BackboneRequest(image_size=requested).size
    assert "HxW" in caught.value.hint


def test_older_requests_are_the_same():
    """A request stored before `stretch` existed equals one without it."""
    stored = BackboneRequest().to_json()
    del stored["stretch"]
    assert BackboneRequest().is_same_as(stored)
    assert not BackboneRequest(stretch=True).is_same_as(stored)
    assert not BackboneRequest().is_same_as(stored | {"stretch": True})


@pytest.mark.parametrize("name", ["net.keras", "net.h5", "net.hdf5"])
def test_files_are_absolute(name, tmp_path, monkeypatch):
    """A file is stored by its absolute path: two folders' files of one relative name are two networks."""
    monkeypatch.chdir(tmp_path)
    assert BackboneRequest(handle=name).to_json()["handle"] == str(tmp_path / name)
