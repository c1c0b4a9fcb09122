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


def write_tokenizer(folder, *, config=None, pad=None, longest=None):
    """Write what the tokenizer's files of a text tower say of padding, {} or a word, and of length, in tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if pad is not None:
        tokenizer.enable_padding(pad_id=tokenizer.token_to_id(pad), pad_token=pad)
    if longest is not None:
        tokenizer.enable_truncation(longest)
    tokenizer.save(str(folder / "tokenizer.json"))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))


def add_positions(folder, n, *, is_counted):
    """Add a table of n positions, of ones, to a text tower: read by counted numbers, or its first rows are taken."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(folder / "model.onnx")
    model.graph.node[0].output[0] = "words"
    start, stop = ("0", "length") if is_counted else ("[0]", "lengths")
    read = [("Range", ["0", "length", "1"], "numbers_of"), ("Gather", ["table", "numbers_of"], "positions")]
    take = [("Slice", ["table", start, stop, "[0]"], "positions")]
    nodes = [
        ("Shape", ["input_ids"], "sizes"),
        ("Gather", ["sizes", "1"], "length"),
        ("Gather", ["sizes", "[1]"], "lengths"),
    ]
    nodes += [*(read if is_counted else take), ("Add", ["words", "positions"], "tokens")]
    for number, (kind, inputs, output) in enumerate(nodes, 1):
        model.graph.node.insert(number, helper.make_node(kind, inputs, [output]))
    constants = {"0": np.array(0), "1": np.array(1), "[0]": np.array([0]), "[1]": np.array([1])}
    constants["table"] = np.ones((n, 3), np.float32)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    onnx.save(model, folder / "model.onnx")


@pytest.mark.parametrize(
    ("config", "pad"),
    [
        ({"pad_token": "red"}, None),
        ({"pad_token": {"content": "red"}}, "a"),
        ({"pad_token": None}, "red"),
        (None, "red"),
    ],
)
def test_padding_token(config, pad, tmp_path, write_text_tower):
    """What fills up a short text is what tokenizer_config.json names, else the padding of tokenizer.json."""
    folder = write_text_tower(tmp_path / "tower", VECTORS, length=3, is_masked=False)  # weights a token by its number
    write_tokenizer(folder, config=config, pad=pad)
    assert open_onnx_text_encoder(folder).encode(["bird"]).tolist() == [[2 + 2, 3 * 2, 0]]


def test_no_padding_token(tmp_path, write_text_tower):
    """A graph of a fixed length without a mask needs the name of what fills up a short text."""
    folder = write_text_tower(tmp_path / "tower", VECTORS, length=3, is_masked=False)
    with pytest.raises(ModelError, match="no file names the token that fills up short ones") as caught:
        open_onnx_text_encoder(folder)
    assert 'Set "pad_token" in tokenizer_config.json' in caught.value.hint


@pytest.mark.parametrize("token", ["green", 5, ["red"], {"content": 5}, "\ud800"])
def test_unknown_padding_token(token, tmp_path, write_text_tower):
    """A token that the tokenizer does not know, or that is no text, is refused by its file."""
    folder = write_text_tower(tmp_path / "tower", VECTORS, length=3)
    write_tokenizer(folder, config={"pad_token": token}, pad="red")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json has the pad_token .*, which tokenizer\.json lacks"):
        open_onnx_text_encoder(folder)


@pytest.mark.parametrize(("longest", "in_config"), [(2, None), (None, 2), (2, 3), (3, 2.0), (2, 1e30), (2, True)])
def test_long_text(longest, in_config, tower):
    """A graph of any length gets texts cut to the least length that the tokenizer's files state."""
    write_tokenizer(tower, config=in_config and {"model_max_length": in_config}, longest=longest)
    encoder = open_onnx_text_encoder(tower)
    assert encoder.encode(["a red bird"]).tolist() == [[1, 0, 1]]
    assert encoder.cut_texts("text:a red|-a red bird|red") == ["a red bird"]


def test_longer_than_the_network(tower):
    """A text that the network can't take is an error that says so, with what to state; cut, it is taken."""
    add_positions(tower, 2, is_counted=False)
    assert open_onnx_text_encoder(tower).encode(["red bird"]).tolist() == [[3, 4, 2]]
    with pytest.raises(ModelError, match=r"can't be run .* 3 for this text: \[CPU\] Add") as caught:
        open_onnx_text_encoder(tower).encode(["a red bird"])
    assert 'too long for the network: set "model_max_length"' in caught.value.hint
    write_tokenizer(tower, config={"model_max_length": 2})
    assert open_onnx_text_encoder(tower).encode(["a red bird"]).tolist() == [[3, 2, 3]]


@pytest.mark.parametrize("stated", [None, 3])
def test_positions_without_end(stated, tower):
    """A graph that would read zeros beyond its positions is refused until its files state a length it has."""
    add_positions(tower, 2, is_counted=True)
    write_tokenizer(tower, longest=stated)
    with pytest.raises(ModelError, match="has a table of 2 positions, beyond which it reads zeros"):
        open_onnx_text_encoder(tower)
    write_tokenizer(tower, config={"model_max_length": 2})
    assert open_onnx_text_encoder(tower).encode(["a red bird"]).tolist() == [[3, 2, 3]]


def test_tokens_of_another_network(tower):
    """A tokenizer with more tokens than the network has, for which it would read zeros, is refused."""
    text = (tower / "tokenizer.json").read_text()
    (tower / "tokenizer.json").write_text(text.replace('"bird":3', '"bird":4').replace('"bird": 3', '"bird": 4'))
    with pytest.raises(ModelError, match=r"tokenizer\.json has 5 tokens, the network 4"):
        open_onnx_text_encoder(tower)


def test_table_of_the_mask(tower):
    """A table that is read by the mask, as of used and unused tokens, says nothing of the number of tokens."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(tower / "model.onnx")
    model.graph.node[0].output[0] = "words"
    model.graph.node.insert(1, helper.make_node("Gather", ["used", "attention_mask"], ["kinds"]))
    model.graph.node.insert(2, helper.make_node("Add", ["words", "kinds"], ["tokens"]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((2, 3), np.float32), "used"))
    onnx.save(model, tower / "model.onnx")
    assert open_onnx_text_encoder(tower).encode(TEXTS).tolist() == EXPECTED


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
    with pytest.raises(ModelError, match="operators that OpenVINO does not know: Gothic") as caught:
        open_onnx_text_encoder(tower)
    assert "operators of the ONNX standard alone" in caught.value.hint


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
