import json
import sys

import numpy as np
import pytest

from frieze.core import InputError, MismatchError, ModelError
from frieze.embedder import BackboneRequest, open_backbone, open_text_encoder
from frieze.embedder.backbones.onnx_text_encoder import open_onnx_text_encoder

pytestmark = pytest.mark.usefixtures("needs_openvino")
VECTORS = {"a": np.array([0, 0, 1.0]), "red": np.array([1.0, 0, 0]), "bird": np.array([0, 2.0, 0])}
TEXTS = ["a red bird", "bird", "an unknown bird"]
EXPECTED = [[1, 2, 1], [0, 2, 0], [0, 2, 0]]


@pytest.fixture
def tower(tmp_path, write_text_tower):
    """The folder of a text tower whose text is the sum of its words, D = 3."""
    return write_text_tower(tmp_path / "tower", VECTORS)


@pytest.mark.parametrize("length", [None, 2, 8])
def test_texts(length, tmp_path, write_text_tower):
    """A text is its tokens, padded and cut to the length that the graph requires; its padding does not count."""
    encoder = open_onnx_text_encoder(write_text_tower(tmp_path / "tower", VECTORS, length=length))
    expected = EXPECTED if length != 2 else [[1, 0, 1], [0, 2, 0], [0, 0, 0]]
    assert encoder.encode(TEXTS).tolist() == expected
    assert encoder.encode(TEXTS).dtype == np.float32


def test_padding_token(tmp_path, write_text_tower):
    """What fills up a short text is the token that tokenizer_config.json names; a graph may take no mask."""
    folder = write_text_tower(tmp_path / "tower", VECTORS, length=3, is_masked=False)  # weights a token by its number
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": {"content": "red"}}))
    assert open_onnx_text_encoder(folder).encode(["bird"]).tolist() == [[2 + 2, 3 * 2, 0]]


def test_file_or_folder(tower):
    """The ONNX file stands for its folder, and both have one fingerprint, which changes with the tokenizer."""
    before = open_onnx_text_encoder(tower).fingerprint
    assert open_onnx_text_encoder(tower / "model.onnx").fingerprint == before
    (tower / "tokenizer.json").write_text((tower / "tokenizer.json").read_text() + " ")
    assert open_onnx_text_encoder(tower).fingerprint != before


def test_no_tower(tmp_path, tower):
    """A folder without a model, with two of them, or without a tokenizer is refused by its name."""
    (tmp_path / "empty").mkdir()
    cases = {tmp_path / "none": "does not exist", tmp_path / "empty": "has 0 .onnx files"}
    for path, message in cases.items():
        with pytest.raises(ModelError, match=message):
            open_onnx_text_encoder(path)
    (tower / "other.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"has 2 \.onnx files"):
        open_onnx_text_encoder(tower)
    with pytest.raises(ModelError, match="is no ONNX file, or damaged"):
        open_onnx_text_encoder(tower / "other.onnx")
    (tower / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json beside"):
        open_onnx_text_encoder(tower / "model.onnx")


def test_weights_elsewhere(tower):
    """A graph that keeps weights outside of its folder is refused: it must not read whatever file it names."""
    import onnx

    model = onnx.load(tower / "model.onnx")
    onnx.external_data_helper.convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    onnx.save(model, tower / "model.onnx")
    assert open_onnx_text_encoder(tower).encode(TEXTS).tolist() == EXPECTED
    data = (tower / "model.onnx").read_bytes().replace(b"weights.bin", b"../a/b.html")
    (tower / "model.onnx").write_bytes(data)
    with pytest.raises(ModelError, match="outside of its own folder"):
        open_onnx_text_encoder(tower)


def test_unknown_operations(tower):
    """A graph with operations of somebody else is refused, with what to export."""
    data = (tower / "model.onnx").read_bytes()
    (tower / "model.onnx").write_bytes(data.replace(b"Gather", b"Gothic"))
    with pytest.raises(ModelError, match="can't be read by OpenVINO") as caught:
        open_onnx_text_encoder(tower)
    assert "Export the text tower alone" in caught.value.hint


def test_other_inputs(tower, tmp_path):
    """A graph that takes pixels too, as a whole CLIP does, is refused with what to export."""
    import onnx

    model = onnx.load(tower / "model.onnx")
    model.graph.input.append(onnx.helper.make_tensor_value_info("pixel_values", 1, [1, 3, 8, 8]))
    onnx.save(model, tower / "model.onnx")
    with pytest.raises(ModelError, match="takes input_ids, attention_mask, pixel_values") as caught:
        open_onnx_text_encoder(tower)
    assert "Export the text tower alone" in caught.value.hint


def test_without_the_library(tower, monkeypatch):
    """Without the tokenizers library the message says what to install."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match="not installed") as caught:
        open_onnx_text_encoder(tower)
    assert caught.value.hint == "Type: pip install 'frieze[words]'"


def test_belongs_to_a_backbone(tmp_path, tiny, write_text_tower):
    """A backbone with a text tower names it in its spec, which opens it again; another width is refused."""
    tower = write_text_tower(tmp_path / "wide", {"red": np.ones(16)})
    spec = open_backbone(BackboneRequest(handle=str(tiny), text_encoder=str(tower))).spec
    assert spec.text_encoder["handle"] == str(tower)
    assert open_text_encoder(spec, where="photos.index").encode(["red"]).shape == (1, 16)
    narrow = write_text_tower(tmp_path / "narrow", VECTORS)
    with pytest.raises(MismatchError, match="width 3, the backbone of width 16"):
        open_backbone(BackboneRequest(handle=str(tiny), text_encoder=str(narrow)))


def test_two_onnx_files(tmp_path, onnx_network, write_text_tower):
    """An ONNX file for images takes an ONNX text tower as any backbone does, and stays OpenVINO's own."""
    tower = write_text_tower(tmp_path / "tower", {"red": np.ones(8)})
    request = BackboneRequest(handle=str(onnx_network("tokens")), pixels="clip", pool="cls", text_encoder=str(tower))
    backbone = open_backbone(request)
    assert backbone.openvino_graph is not None
    assert open_text_encoder(backbone.spec, where="the test").encode(["red"]).tolist() == [[1] * 8]


def test_another_tower(tmp_path, tiny, write_text_tower):
    """A text tower that was replaced since is refused: its vectors would mean something else."""
    tower = write_text_tower(tmp_path / "tower", {"red": np.ones(16)})
    spec = open_backbone(BackboneRequest(handle=str(tiny), text_encoder=str(tower))).spec
    write_text_tower(tower, {"red": np.zeros(16)})
    with pytest.raises(MismatchError, match=r"is another one than photos\.index was made with"):
        open_text_encoder(spec, where="photos.index")


def test_no_words(tiny):
    """A backbone of images alone says which ones know words."""
    spec = open_backbone(BackboneRequest(handle=str(tiny))).spec
    assert "text_encoder" not in spec.to_json()
    with pytest.raises(InputError, match=r"photos\.index was made with tiny, which knows no words") as caught:
        open_text_encoder(spec, where="photos.index")
    assert "CLIP or SigLIP" in caught.value.hint
