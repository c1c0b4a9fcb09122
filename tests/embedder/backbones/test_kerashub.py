import functools
import sys
import zipfile

import numpy as np
import pytest

from frieze.core import InputError, ModelError, import_keras, import_keras_hub, unit_rows
from frieze.embedder import BackboneRequest, open_backbone, open_text_encoder
from frieze.embedder.backbones import kerashub
from frieze.embedder.backbones.kept_graph import find_graph
from frieze.embedder.engines.keep_graph import keep_graph

# KerasHub leaves it to Python to close the files of vocabularies.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SCALE, OFFSET = [1 / 58.4, 1 / 57.1, 1 / 57.4], [-2.1, -2.0, -1.8]
TINY = {"num_layers": 2, "num_heads": 2, "hidden_dim": 16}
SIDE_PX = 32


def vit(models, **options):
    """Build a ViT."""
    options = {"image_shape": (SIDE_PX, SIDE_PX, 3), "patch_size": 8, "mlp_dim": 32} | TINY | options
    return models.ViTBackbone(**options)


def dinov2(models):
    """Build a DINOv2, whose position embedding is interpolated."""
    options = {"patch_size": 8, "intermediate_dim": 32, "image_shape": (SIDE_PX, SIDE_PX, 3)} | TINY
    return models.DINOV2Backbone(**options, position_embedding_shape=(48, 48), num_register_tokens=2)


def resnet(models):
    """Build a ResNet, which takes any size."""
    numbers = {"input_conv_filters": [64], "input_conv_kernel_sizes": [3], "stackwise_num_filters": [64, 8]}
    numbers |= {"stackwise_num_blocks": [1, 1], "stackwise_num_strides": [1, 2]}
    return models.ResNetBackbone(block_type="basic_block", **numbers)


def clip(models):
    """Build a CLIP of 12 numbers."""
    text = {"vocabulary_size": 20, "embedding_dim": 16, "intermediate_dim": 32, "max_sequence_length": 8} | TINY
    images = {"patch_size": 8, "intermediate_dim": 32, "image_shape": (SIDE_PX, SIDE_PX, 3)} | TINY
    return models.CLIPBackbone(models.CLIPVisionEncoder(**images), models.CLIPTextEncoder(**text), projection_dim=12)


def siglip(models):
    """Build a SigLIP of 16 numbers."""
    text = {"vocabulary_size": 40, "embedding_dim": 16, "intermediate_dim": 32, "max_sequence_length": 8} | TINY
    images = {"patch_size": 8, "intermediate_dim": 32, "image_shape": (SIDE_PX, SIDE_PX, 3)} | TINY
    return models.SigLIPBackbone(models.SigLIPVisionEncoder(**images), models.SigLIPTextEncoder(**text))


def clip_tokenizer(models):
    """Build a tokenizer of a few words."""
    pieces = ["!", "a", "a</w>", "r", "e", "d", "d</w>", "b", "i", "re", "red</w>", "bi", "bir", "bird</w>", "r</w>"]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    merges = ["r e", "re d</w>", "b i", "bi r", "bir d</w>"]
    return models.CLIPTokenizer(vocabulary=vocabulary, merges=merges)


def siglip_tokenizer(models):
    """Train a tokenizer on two sentences."""
    import io

    import sentencepiece

    proto = io.BytesIO()
    ids = {"pad_id": 0, "bos_id": -1, "eos_id": 1, "unk_id": 2}
    sentences = iter(["a red bird", "a photo of a bird"])
    trainer = sentencepiece.SentencePieceTrainer
    trainer.train(sentence_iterator=sentences, model_writer=proto, vocab_size=16, minloglevel=2, **ids)
    return models.SigLIPTokenizer(proto=proto.getvalue())


NETWORKS = {
    "vit": ("ViT", vit, lambda output: output[:, 0]),
    "dinov2": ("DINOV2", dinov2, lambda output: output[:, 0]),
    "resnet": ("ResNet", resnet, lambda output: output.mean((1, 2))),
}
"""Preset -> name of its classes, what builds it, and how its paper pools it."""
TWO_TOWERS = {"clip": ("CLIP", clip, clip_tokenizer), "siglip": ("SigLIP", siglip, siglip_tokenizer)}
"""Preset -> name of its classes, what builds it, and its tokenizer."""


@pytest.fixture(scope="module")
def keras_hub():
    """KerasHub."""
    return import_keras_hub("the test")


@pytest.fixture(scope="module")
def presets(keras_hub, tmp_path_factory):
    """A folder of presets of random weights, saved as KerasHub saves them."""
    import keras

    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("presets")
    numbers = {"image_size": (SIDE_PX, SIDE_PX), "scale": SCALE, "offset": OFFSET}
    for name, (kind, build, _) in NETWORKS.items():
        build(keras_hub.models).save_to_preset(folder / name)
        getattr(keras_hub.layers, f"{kind}ImageConverter")(**numbers).save_to_preset(folder / name)
    for name, (kind, build, tokenizer) in TWO_TOWERS.items():
        backbone = build(keras_hub.models)
        backbone.save_to_preset(folder / name)
        converter = getattr(keras_hub.layers, f"{kind}ImageConverter")(**numbers)
        preprocessor = getattr(keras_hub.models, f"{kind}Preprocessor")
        preprocessor(tokenizer(keras_hub.models), converter, sequence_length=8).save_to_preset(folder / name)
    return folder


@pytest.fixture(scope="module")
def pixels():
    """Three images: uint8 [3, 32, 32, 3]."""
    return np.random.default_rng(0).integers(0, 256, (3, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def embed(backbone, pixels):
    """Embed uint8 [B, H, W, 3]."""
    return np.asarray(backbone.call(pixels.astype(np.float32) / 255))


@functools.cache
def opened(folder, **options):
    """Open a preset of a folder, once."""
    return open_backbone(BackboneRequest(handle=f"kerashub:{folder}", **options))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_equals_keras_hub(name, presets, pixels, keras_hub):
    """A preset's vectors are KerasHub's own: its image converter, its network, pooled as its paper does."""
    backbone = opened(presets / name)
    images = keras_hub.layers.ImageConverter.from_preset(str(presets / name))(pixels)
    network = keras_hub.models.Backbone.from_preset(str(presets / name))
    output = np.asarray(network({"images": images} if isinstance(network.input, dict) else images))
    assert embed(backbone, pixels) == pytest.approx(NETWORKS[name][2](output), abs=1e-5)
    assert (backbone.spec.image_size, backbone.spec.pixels) == ((SIDE_PX, SIDE_PX), "0..255")
    assert (backbone.spec.handle, backbone.spec.text_encoder) == (f"kerashub:{presets / name}", None)


@pytest.mark.slow
def test_pooled_otherwise(presets, pixels, keras_hub):
    """Tokens are pooled as the request says, if it does."""
    images = keras_hub.layers.ImageConverter.from_preset(str(presets / "vit"))(pixels)
    tokens = np.asarray(keras_hub.models.Backbone.from_preset(str(presets / "vit"))(images))
    backbone = opened(presets / "vit", pool="avg")
    assert embed(backbone, pixels) == pytest.approx(tokens.mean(1), abs=1e-5)
    assert backbone.spec.pool == "avg"


@pytest.mark.slow
def test_no_class_token(keras_hub, tmp_path, presets):
    """A class token that a network lacks is refused by name: the first token would be a corner of the image."""
    vit(keras_hub.models, use_class_token=False).save_to_preset(tmp_path / "plain")
    with pytest.raises(ModelError, match="plain has no class token"):
        opened(tmp_path / "plain", pool="cls", pixels="0..1")
    assert opened(presets / "vit", pool="cls").spec.pool == "cls"


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO_TOWERS)
def test_towers_agree(name, presets, pixels, keras_hub):
    """Cosines of image and text vectors, times the logit scale, are the logits of the network itself."""
    backbone, texts = opened(presets / name), ["a red bird", "bird"]
    encoder = open_text_encoder(backbone.spec, where="the test")
    preprocessor = keras_hub.models.CausalLMPreprocessor.from_preset(str(presets / name))
    inputs = preprocessor({"prompts": texts, "images": pixels.astype(np.float32)})
    logits = keras_hub.models.Backbone.from_preset(str(presets / name))(
        {"images": inputs["images"], "token_ids": inputs["token_ids"]}
    )["vision_logits"]
    cosines = unit_rows(embed(backbone, pixels)) @ unit_rows(encoder.encode(texts)).T
    assert cosines * encoder.logit_scale == pytest.approx(np.asarray(logits), abs=1e-4)


@pytest.mark.slow
def test_many_texts(presets, monkeypatch):
    """Texts are encoded some at a time, and a text does not depend on those beside it."""
    monkeypatch.setattr("frieze.embedder.backbones.kerashub._TEXTS_AT_ONCE", 2)
    encoder = open_text_encoder(opened(presets / "clip").spec, where="the test")
    texts = ["a red bird", "bird", "a", "red", "a bird"]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert encoder.encode(texts) == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("name", TWO_TOWERS)
def test_texts_that_are_cut(name, presets):
    """A text with more tokens than the network takes is known: its end is not read."""
    encoder = open_text_encoder(opened(presets / name).spec, where="the test")
    short, long = "a red bird", "a red bird " * 50
    assert encoder.encode([long]) == pytest.approx(encoder.encode([long + "bird"]), abs=1e-6)
    assert [encoder.is_cut(text) for text in (short, long)] == [False, True]


@pytest.mark.slow
def test_other_converters(presets, keras_hub, tmp_path):
    """Preprocessing that does more than scale and shift pixels is refused, not left out."""
    rounding = keras_hub.layers.ImageConverter(scale=1.0)
    rounding.call = lambda images: np.round(images / 50)
    with pytest.raises(ModelError, match="does more to pixels"):
        kerashub._rescaling(rounding)


@pytest.mark.slow
def test_classifier(presets, pixels, keras_hub, tmp_path):
    """Of the preset of a classifier the network below its classes is read."""
    preprocessor = keras_hub.models.ViTImageClassifierPreprocessor(
        keras_hub.layers.ViTImageConverter(image_size=(SIDE_PX, SIDE_PX), scale=SCALE, offset=OFFSET)
    )
    network = keras_hub.models.Backbone.from_preset(str(presets / "vit"))
    keras_hub.models.ViTImageClassifier(network, 5, preprocessor).save_to_preset(tmp_path / "classifier")
    expected = embed(opened(presets / "vit"), pixels)
    assert embed(opened(tmp_path / "classifier"), pixels) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_other_size(presets, pixels):
    """A network that takes other sizes is built for the requested one; one that does not says so."""
    large = np.repeat(np.repeat(pixels, 2, axis=1), 2, axis=2)
    assert embed(opened(presets / "dinov2", image_size=64), large).shape == (3, 16)
    with pytest.raises(ModelError, match="can't be loaded by KerasHub"):
        opened(presets / "vit", image_size=64)


@pytest.mark.slow
def test_layers(presets, pixels):
    """A layer of the network is read as BASE/LAYER; a text tower does not belong to it."""
    backbone = opened(presets / "clip", layer="clip_backbone/vision_pooler")
    assert (embed(backbone, pixels).shape, backbone.spec.text_encoder) == ((3, 16), None)


@pytest.mark.slow
def test_opens_again(presets, monkeypatch):
    """A relative folder is stored as an absolute one, and the stored spec opens the same network."""
    monkeypatch.chdir(presets)
    spec = opened("./clip").spec
    monkeypatch.chdir("/")
    assert spec.handle == f"kerashub:{presets / 'clip'}"
    assert open_backbone(BackboneRequest.of(spec)).spec == spec


@pytest.mark.slow
def test_fingerprint(presets, tmp_path, keras_hub):
    """Other weights or another vocabulary are another network; the date of saving is not."""
    import shutil

    before = opened(presets / "clip").spec.fingerprint
    copy = shutil.copytree(presets / "clip", tmp_path / "clip")
    (copy / "metadata.json").write_text("{}")
    assert opened(copy).spec.fingerprint == before
    other = shutil.copytree(copy, tmp_path / "other")
    merges = other / "assets" / "tokenizer" / "merges.txt"
    merges.write_text(merges.read_text().replace("b i\n", ""))
    assert opened(other).spec.fingerprint != before


@pytest.mark.slow
@pytest.mark.usefixtures("needs_openvino")
def test_kept_graph(presets, pixels, monkeypatch, tmp_path):
    """The graph of a preset is kept: the next start knows all of the spec without loading the network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = opened(presets / "siglip")
    keep_graph(backbone)
    request = BackboneRequest(handle=f"kerashub:{presets / 'siglip'}")
    assert find_graph(request, backbone.spec.fingerprint).to_spec(request) == backbone.spec
    assert open_backbone(request).graph_path is not None


@pytest.fixture
def named(presets, keras_hub, monkeypatch):
    """`tiny_clip`, one more name of KerasHub, whose files are in a folder already."""
    from keras_hub.src.utils import preset_utils

    described = {"kaggle_handle": str(presets / "clip")}
    monkeypatch.setitem(preset_utils.BUILTIN_PRESETS, "tiny_clip", described)
    of_class = preset_utils.BUILTIN_PRESETS_FOR_BACKBONE[keras_hub.models.CLIPBackbone]
    monkeypatch.setitem(of_class, "tiny_clip", described)
    return "tiny_clip"


@pytest.mark.slow
@pytest.mark.usefixtures("needs_openvino")
def test_named_preset(named, presets, pixels, monkeypatch, tmp_path):
    """A name is its own handle; it knows words, and its graph is kept by the name and the libraries' versions."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    backbone = opened(named)
    assert (backbone.spec.name, backbone.spec.handle) == ("tiny_clip", "kerashub:tiny_clip")
    assert embed(backbone, pixels) == pytest.approx(embed(opened(presets / "clip"), pixels), abs=1e-6)
    assert open_text_encoder(backbone.spec, where="the test").encode(["bird"]).shape == (1, 12)
    keep_graph(backbone)
    reopened = open_backbone(BackboneRequest.of(backbone.spec))
    assert reopened.graph_path is not None
    assert reopened.spec == backbone.spec


@pytest.mark.slow
def test_pixels_of_a_preset(presets, keras_hub, tmp_path):
    """A preset with preprocessing takes no other range; one without it has to be told."""
    with pytest.raises(InputError, match="has its own preprocessing"):
        opened(presets / "vit", pixels="torch")
    vit(keras_hub.models).save_to_preset(tmp_path / "bare")
    with pytest.raises(ModelError, match="does not show what pixels"):
        opened(tmp_path / "bare")
    assert opened(tmp_path / "bare", pixels="-1..1").spec.pixels == "-1..1"


@pytest.mark.slow
def test_no_images(keras_hub, tmp_path):
    """A preset of texts alone is refused with what it takes."""
    options = {"vocabulary_size": 20, "intermediate_dim": 32, "max_sequence_length": 8} | TINY
    keras_hub.models.BertBackbone(**options).save_to_preset(tmp_path / "bert")
    with pytest.raises(ModelError, match=r"is a BertBackbone, which takes .*token_ids"):
        opened(tmp_path / "bert")


@pytest.mark.slow
def test_no_code_is_run(presets, tmp_path):
    """A preset whose configuration names a class of somebody else is refused, not imported."""
    import shutil

    copy = shutil.copytree(presets / "vit", tmp_path / "vit")
    converter = copy / "image_converter.json"
    converter.write_text('{"module": "subprocess", "class_name": "Popen", "config": {}, "registered_name": "Popen"}')
    with pytest.raises(ModelError, match="can't be loaded by KerasHub"):
        opened(copy)


@pytest.mark.slow
def test_unknown_name(keras_hub, tmp_path):
    """A name that no preset has, and a folder without one, are refused, with similar names."""
    with pytest.raises(ModelError, match="KerasHub has no preset siglip_base_patch16_225") as caught:
        opened("siglip_base_patch16_225")
    assert "siglip_base_patch16_224 or" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"with a config\.json"):
        opened(tmp_path / "empty")


@pytest.mark.slow
def test_keras_file(presets, keras_hub, tmp_path, monkeypatch, pixels):
    """A `.keras` file with layers of KerasHub is loaded, and says what to install where it is missing."""
    path = tmp_path / "net.keras"
    network = keras_hub.models.Backbone.from_preset(str(presets / "resnet"))
    network.save(path)
    backbone = open_backbone(BackboneRequest(handle=str(path), pixels="0..255", image_size=SIDE_PX))
    expected = np.asarray(network(pixels.astype(np.float32))).mean((1, 2))
    assert embed(backbone, pixels) == pytest.approx(expected, abs=1e-4)
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(InputError, match=r"net\.keras requires KerasHub") as caught:
        open_backbone(BackboneRequest(handle=str(path), pixels="0..255"))
    assert caught.value.hint == "Type: pip install 'frieze[kerashub]'"


@pytest.mark.slow
def test_hdf5_file(presets, keras_hub, tmp_path, pixels):
    """So is an `.h5` file of a model around them; one of KerasHub's own class, which the format can't name, is not."""
    network = keras_hub.models.Backbone.from_preset(str(presets / "resnet"))
    keras = import_keras()
    images = keras.Input((SIDE_PX, SIDE_PX, 3))
    keras.Model(images, network(images)).save(tmp_path / "around.h5")
    backbone = open_backbone(BackboneRequest(handle=str(tmp_path / "around.h5"), pixels="0..255"))
    expected = np.asarray(network(pixels.astype(np.float32))).mean((1, 2))
    assert embed(backbone, pixels) == pytest.approx(expected, abs=1e-4)
    network.save(tmp_path / "alone.h5")
    with pytest.raises(ModelError, match="Unknown layer: 'ResNetBackbone'") as caught:
        open_backbone(BackboneRequest(handle=str(tmp_path / "alone.h5"), pixels="0..255"))
    assert caught.value.hint.startswith("Save it with model.save('NAME.keras')")


@pytest.fixture
def without_keras_hub(monkeypatch):
    """A machine without KerasHub."""
    monkeypatch.setitem(sys.modules, "keras_hub", None)


def test_preset_without_keras_hub(without_keras_hub):
    """Without KerasHub a preset says what to install."""
    with pytest.raises(InputError, match="kerashub:siglip_base_patch16_224 requires KerasHub") as caught:
        opened("siglip_base_patch16_224")
    assert caught.value.hint == "Type: pip install 'frieze[kerashub]'"


def test_file_without_keras_hub(without_keras_hub, tmp_path):
    """Without KerasHub a `.keras` file with its layers says what to install."""
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr(
            "config.json", '{"module": "keras_hub.src.models.vit.vit_backbone", "class_name": "ViTBackbone"}'
        )
    with pytest.raises(InputError, match=r"net\.keras requires KerasHub"):
        open_backbone(BackboneRequest(handle=str(tmp_path / "net.keras"), pixels="0..1"))


def test_hdf5_file_without_keras_hub(without_keras_hub, tmp_path):
    """So does an `.h5` file, whose layers stand in an attribute."""
    import h5py

    with h5py.File(tmp_path / "net.h5", "w") as file:
        file.attrs["model_config"] = '{"class_name": "keras_hub>ViTBackbone"}'
    with pytest.raises(InputError, match=r"net\.h5 requires KerasHub"):
        open_backbone(BackboneRequest(handle=str(tmp_path / "net.h5"), pixels="0..1"))


def test_trust(tmp_path):
    """A preset runs no code that could be trusted: `trust` is refused."""
    with pytest.raises(InputError, match="`trust_backbone` does not go with kerashub:x"):
        opened("x", trust=True)
