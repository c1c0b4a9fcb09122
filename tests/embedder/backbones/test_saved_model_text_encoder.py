import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from frieze.core import MismatchError, ModelError
from frieze.embedder import BackboneRequest, open_backbone, open_text_encoder
from frieze.embedder.backbones.saved_model_text_encoder import (
    fingerprint_of_saved_model_text_encoder,
    open_saved_model_text_encoder,
)

VECTORS = {"a": np.array([0, 0, 1.0]), "red": np.array([1.0, 0, 0]), "bird": np.array([0, 2.0, 0])}
TEXTS = ["a red bird", "bird", "an unknown bird"]
EXPECTED = [[1, 2, 1], [0, 2, 0], [0, 2, 0]]


@pytest.fixture
def make(tmp_path, write_saved_text_tower):
    """`make(vectors=VECTORS, **options)`: the folder of a text tower, D = 3."""
    return lambda vectors=VECTORS, **options: write_saved_text_tower(tmp_path / "tower", vectors, **options)


@pytest.fixture
def save(tf, make):
    """`save(call, *specs)`: a folder of a tokenizer and of a module with this call."""

    def write(call, *specs, name="__call__"):
        folder, module = make(), tf.Module()
        setattr(module, name, tf.function(call, specs, autograph=False))
        tf.saved_model.save(module, str(folder), signatures=getattr(module, name))
        return folder

    return write


@pytest.mark.parametrize("is_masked", [True, False])
@pytest.mark.parametrize("length", [None, 2, 8])
def test_equals_the_module(length, is_masked, make, tf):
    """A vector is what the module itself makes of the tokenizer's ids, with and without a mask, at its own length."""
    folder = make(length=length, is_masked=is_masked)
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "[UNK]"}))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if length is not None:
        tokenizer.enable_padding(length=length)
        tokenizer.enable_truncation(length)
    serve, expected = tf.saved_model.load(str(folder)).signatures["serving_default"], []
    for one in map(tokenizer.encode, TEXTS):
        inputs = {"input_ids": one.ids, "attention_mask": one.attention_mask} if is_masked else {"input_ids": one.ids}
        (row,) = serve(**{name: tf.constant([value], tf.int64) for name, value in inputs.items()})["text_embeds"]
        expected.append(row.numpy().tolist())
    vectors = open_saved_model_text_encoder(folder).encode(TEXTS)
    assert (vectors.tolist(), vectors.dtype) == (expected, np.float32)
    if is_masked and length != 2:
        assert expected == EXPECTED


def test_padding_token(make):
    """What fills up a short text is the token that tokenizer_config.json names."""
    folder = make(length=3, is_masked=False)  # weights a token by its number
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "red"}))
    assert open_saved_model_text_encoder(folder).encode(["bird"]).tolist() == [[2 + 2, 3 * 2, 0]]


def test_call_without_a_signature(make, tf):
    """Without a signature the call is used, in inference mode, with its inputs in a dict and its only output [B, D]."""
    folder, module = make(), tf.Module()

    def call(inputs, training=False):
        numbers = tf.cast(inputs["token_ids"], tf.float32) * (-1.0 if training else 1.0)
        return {"sum": tf.reduce_sum(numbers, 1, keepdims=True), "tokens": numbers[..., None]}

    module.__call__ = tf.function(call, autograph=False)
    for training in (True, False):
        tokens = {"token_ids": tf.TensorSpec([None, None], tf.int32, "token_ids")}
        module.__call__.get_concrete_function(tokens, training=training)
    tf.saved_model.save(module, str(folder))
    assert open_saved_model_text_encoder(folder).encode(["a red bird"]).tolist() == [[1 + 2 + 3]]


def test_fingerprint(make):
    """The fingerprint changes with each file of the SavedModel and with the tokenizer; a missing tokenizer is named."""
    folder = make()
    files = [folder / "saved_model.pb", *(folder / "variables").iterdir(), folder / "tokenizer.json"]
    digests = {fingerprint_of_saved_model_text_encoder(folder)}
    for path in files:
        path.write_bytes(path.read_bytes() + b" ")
        digests.add(fingerprint_of_saved_model_text_encoder(folder))
    assert len(digests) == 1 + len(files)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"no tokenizer\.json beside"):
        open_saved_model_text_encoder(folder)


def test_more_than_computing(save, tf, tmp_path):
    """A text tower that reads a file is refused before it runs, with what to do: there is no trust at a search."""
    path = str(tmp_path / "secret")
    folder = save(
        lambda ids: tf.cast(ids, tf.float32) + tf.cast(tf.strings.length(tf.io.read_file(path)), tf.float32),
        tf.TensorSpec([None, None], tf.int64, "input_ids"),
    )
    with pytest.raises(ModelError, match="does more than compute: ReadFile") as caught:
        open_saved_model_text_encoder(folder)
    assert "export it again without these operations" in caught.value.hint


def test_other_inputs(save, tf):
    """A graph of images, of floats or of three inputs is refused with what to export."""
    images, floats = tf.TensorSpec([None, 8, 8, 3], name="pixels"), tf.TensorSpec([None, None], name="input_ids")
    types = [tf.TensorSpec([None, None], tf.int64, name) for name in ("input_ids", "attention_mask", "type_ids")]
    for specs in ([images], [floats], types):
        folder = save(lambda *inputs: tf.reduce_sum(tf.cast(inputs[0], tf.float32), -1), *specs)
        with pytest.raises(ModelError, match=rf"takes .*{specs[-1].name}.*; expected are the integers") as caught:
            open_saved_model_text_encoder(folder)
        assert "Export the text tower alone" in caught.value.hint


def test_no_vector(save, tf):
    """A graph without an output [B, D] is refused by its outputs."""
    folder = save(
        lambda ids: {"states": tf.cast(ids, tf.float32)[..., None]}, tf.TensorSpec([None, None], tf.int64, "ids")
    )
    with pytest.raises(ModelError, match=r"it has: states \(None, None, 1\)"):
        open_saved_model_text_encoder(folder)


def test_tokens_of_another_network(make):
    """Tokens beyond the network's table, of a tokenizer that is not its own, are an error that names the tokenizer."""
    folder = make()
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace('"bird":3', '"bird":999').replace('"bird": 3', '"bird": 999'))
    with pytest.raises(ModelError, match=r"can't be run with the tokens of its tokenizer\.json"):
        open_saved_model_text_encoder(folder).encode(["bird"])


def test_longer_than_the_network(save, tf):
    """A text that the network can't take is an error that says so; cut to a stated length it is taken."""
    folder = save(
        lambda ids: tf.cast(ids, tf.float32) + tf.ones([2])[: tf.shape(ids)[1]],
        tf.TensorSpec([None, None], tf.int64, "input_ids"),
    )
    with pytest.raises(ModelError, match="3 for this text") as caught:
        open_saved_model_text_encoder(folder).encode(["a red bird"])
    assert 'too long for the network: set "model_max_length"' in caught.value.hint
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 2}))
    assert open_saved_model_text_encoder(folder).encode(["a red bird"]).tolist() == [[2, 3]]


def test_belongs_to_a_backbone(tmp_path, tiny, write_saved_text_tower):
    """A backbone names its text tower, which opens again; another width, and other weights later, are refused."""
    tower = write_saved_text_tower(tmp_path / "wide", {"red": np.ones(16)})
    request = BackboneRequest(handle=str(tiny), text_encoder=str(tower))
    spec = open_backbone(request).spec
    assert open_text_encoder(spec, where="photos.index").encode(["red"]).tolist() == [[1] * 16]
    write_saved_text_tower(tower, {"red": np.zeros(16)})
    with pytest.raises(MismatchError, match=r"is another one than photos\.index was made with"):
        open_text_encoder(spec, where="photos.index")
    write_saved_text_tower(tower, VECTORS)
    with pytest.raises(MismatchError, match="width 3, the backbone of width 16"):
        open_backbone(request)
