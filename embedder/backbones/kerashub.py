"""`kerashub:PRESET`: image networks of KerasHub with their own preprocessing, and the text towers of some."""

import contextlib
import difflib
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from frieze.core import Floats, InputError, ModelError, import_keras, import_keras_hub, import_tensorflow, seeded
from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.base import Network, StatedPixels
from frieze.embedder.backbones.batch_dependence import check_image_input
from frieze.embedder.backbones.catalogue import KERASHUB
from frieze.embedder.backbones.keras_file import cut_model, read_pixels
from frieze.embedder.backbones.pooling import PoolError
from frieze.embedder.backbones.request import PRESET_CONFIG, BackboneRequest, absolute_handle, preset_folder
from frieze.embedder.backbones.text_encoder import TextEncoder

_BYTES = "0..255"
"""The range of pixels that KerasHub's image converters take."""
_CLASS_TOKEN = {"DINOV2Backbone", "DINOV3Backbone", "DeiTBackbone", "ViTBackbone"}
"""Networks whose first token stands for the image, as their classifiers and papers read it."""
_CLS = "cls"  # the pooling that takes the class token
_IMAGES_RANK, _TOKENS_RANK, _COLOURS = 4, 3, 3
_ROUNDING = 1e-4
_TEXTS_AT_ONCE = 256
_MAX_CHARACTERS = 300


def open_preset(request: BackboneRequest) -> Network:
    """Load a preset as a Keras model: preprocessing, network and pooling.

    Raises:
        ModelError: There is no such preset, it takes no images, or it has no such layer.
        InputError: KerasHub is not installed, or `pixels` contradicts the preset's preprocessing.
    """
    folder = preset_folder(request.handle)
    digest = None if folder is None else fingerprint.of_preset(folder)
    backbone = _load_backbone(request)
    converter = _load_optional("layers", "ImageConverter", request.handle)
    if converter is not None and request.pixels not in (None, _BYTES):
        raise InputError(f"{request.handle} has its own preprocessing.", hint="Leave `pixels` out.")
    digest = digest or _fingerprint(request.handle, backbone, converter)
    handle = absolute_handle(request.handle)
    size = None if converter is None else converter.image_size
    model = _to_model(backbone, converter, pool=request.pool, name=_name(request.handle))
    cut = cut_model(model, request.layer)
    has_texts = _has_text_tower(backbone) and _load_preprocessor(request.handle) is not None and request.layer is None
    return Network(
        name=_name(request.handle),
        handle=handle,
        fingerprint=digest,
        image_size=_image_size(model) or size,
        read_pixels=lambda: read_pixels(cut) if converter is None else StatedPixels(_BYTES),
        call=lambda images: cut(images, training=False),
        model=lambda: cut,
        text_encoder={"handle": handle, "fingerprint": digest} if has_texts else None,
    )


def open_preset_text_encoder(handle: str) -> TextEncoder:
    """Load the text tower of a preset.

    Raises:
        ModelError: There is no such preset, or it has no text tower.
        InputError: KerasHub is not installed.
    """
    folder = preset_folder(handle)
    digest = None if folder is None else fingerprint.of_preset(folder)
    backbone, preprocessor = _load_backbone(BackboneRequest(handle=handle)), _load_preprocessor(handle)
    if preprocessor is None or not _has_text_tower(backbone):
        raise ModelError(f"{handle} has no text tower with a tokenizer.", hint="Use a preset of CLIP or SigLIP.")
    preprocessor.image_converter = None  # some convert images even where there are none
    digest = digest or _fingerprint(handle, backbone, _load_optional("layers", "ImageConverter", handle))
    return TextEncoder(
        _encoder(backbone, preprocessor), digest, _logit_scale(backbone), lambda text: _is_cut(preprocessor, text)
    )


def _is_cut(preprocessor: Any, text: str) -> bool:
    """Return whether a text has tokens beyond those that its network takes."""
    length = preprocessor.sequence_length
    longer = preprocessor({"prompts": [text], "images": None}, sequence_length=2 * length)
    return bool(np.asarray(longer["padding_mask"])[:, length:].any())


def _fingerprint(handle: str, backbone: Any, converter: Any) -> str:
    """Hash the weights and the preprocessing of a preset that is downloaded: its files lie in caches of others."""
    numbers = None if converter is None else (converter.scale, converter.offset)
    return fingerprint.of_weights(f"{handle}:{numbers}", backbone.get_weights())


def _encoder(backbone: Any, preprocessor: Any) -> Callable[[Sequence[str]], Floats]:
    def encode_some(texts: Sequence[str]) -> Floats:
        tokens = preprocessor({"prompts": list(texts), "images": None})["token_ids"]
        return np.asarray(backbone.get_text_embeddings(tokens), np.float32)

    def encode(texts: Sequence[str]) -> Floats:
        starts = range(0, len(texts), _TEXTS_AT_ONCE)
        return np.concatenate([encode_some(texts[start : start + _TEXTS_AT_ONCE]) for start in starts])

    return encode


def _logit_scale(backbone: Any) -> float:
    """Return the factor on cosines that a two-tower network has learnt; it stores the logarithm."""
    logarithm = next(layer.logit_scale for layer in backbone.layers if hasattr(layer, "logit_scale"))
    return float(np.exp(np.asarray(logarithm)))


def _has_text_tower(backbone: Any) -> bool:
    return hasattr(backbone, "get_vision_embeddings") and hasattr(backbone, "get_text_embeddings")


def _load_backbone(request: BackboneRequest) -> Any:
    """Load a network, for the requested size where its preset has another one."""
    keras_hub = import_keras_hub(request.handle)
    preset = _check_known(request.handle, keras_hub.models.Backbone.presets)
    with _translate_errors(request.handle):
        backbone = keras_hub.models.Backbone.from_preset(preset)
    shape = _image_shape(backbone, request.handle)
    if request.size in (None, shape[:2]) or None in shape[:2]:
        return backbone
    with _translate_errors(request.handle):
        return keras_hub.models.Backbone.from_preset(preset, image_shape=(*(request.size or ()), _COLOURS))


def _check_known(handle: str, presets: Collection[str]) -> str:
    """Return a preset as KerasHub takes it.

    Raises:
        ModelError: It is no URL, no folder with a preset, and none of the names.
    """
    preset = _preset(handle)
    if "://" in preset or preset in presets or preset_folder(handle) is not None:
        return preset
    near = difflib.get_close_matches(preset, presets, n=3, cutoff=0.6)
    raise ModelError(
        f"KerasHub has no preset {preset}, and there is no folder {preset} with a {PRESET_CONFIG}.",
        hint=(f"Did you mean {' or '.join(near)}? " if near else "")
        + "Give a name of keras.io/keras_hub/presets, kaggle://..., hf://..., or a folder.",
    )


def _image_shape(backbone: Any, handle: str) -> tuple[int | None, ...]:
    """Return height, width and colours of the images that a network takes.

    Raises:
        ModelError: It takes no images, or more than these.
    """
    shapes = [tuple(one.shape[1:]) for one in backbone.inputs if len(one.shape) == _IMAGES_RANK]
    if len(shapes) != 1 or (len(backbone.inputs) != 1 and not _has_text_tower(backbone)):
        takes = ", ".join(one.name for one in backbone.inputs)
        raise ModelError(
            f"{handle} is a {type(backbone).__name__}, which takes {takes}; expected are images alone.",
            hint="Use a preset of an image classifier or backbone, or of CLIP or SigLIP: keras.io/keras_hub/presets",
        )
    check_image_input((None, *shapes[0]), name=handle)
    return shapes[0]


def _load_optional(room: str, kind: str, handle: str) -> Any:
    """Load a converter or preprocessor of a preset; None where it has none."""
    keras_hub = import_keras_hub(handle)
    with _translate_errors(handle):
        try:
            return getattr(getattr(keras_hub, room), kind).from_preset(_preset(handle))
        except FileNotFoundError:
            return None


def _load_preprocessor(handle: str) -> Any:
    """Load the tokenizer of a two-tower network with the rules for its prompts; None where it has none."""
    preprocessor = _load_optional("models", "CausalLMPreprocessor", handle)
    tables = import_tensorflow().compat.v1
    # Its tables are ready when they are made; TensorFlow would warn of them whenever it freezes a graph.
    tables.get_default_graph().clear_collection(tables.GraphKeys.TABLE_INITIALIZERS)
    return preprocessor


def _to_model(backbone: Any, converter: Any, *, pool: str | None, name: str) -> Any:
    """Return a Keras model: float32 [B, H, W, 3] -> [B, D] or [B, h, w, D]; [B, T, D] where a pooling is requested."""
    keras = import_keras()
    images = keras.Input(_image_shape(backbone, name), name="pixels")
    pixels = images if converter is None else _rescaling(converter)(images)
    return keras.Model(images, _embed(backbone, pixels, pool, name=name), name=name)


def _rescaling(converter: Any) -> Any:
    """Return a layer that does to resized pixels what an image converter does.

    Raises:
        ModelError: The converter does more than scale and shift them.
    """
    scale, offset = converter.scale, converter.offset
    layer = import_keras().layers.Rescaling(1.0 if scale is None else scale, 0.0 if offset is None else offset)
    converter.image_size = None
    probe = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, _COLOURS)).astype(np.float32)
    if not np.allclose(np.asarray(converter(probe)), np.asarray(layer(probe)), atol=_ROUNDING, rtol=_ROUNDING):
        raise ModelError(
            f"{type(converter).__name__} does more to pixels than scale and shift them.",
            hint="Export the network with its preprocessing as a SavedModel, and pass that folder.",
        )
    return layer


def _embed(backbone: Any, pixels: Any, pool: str | None, *, name: str) -> Any:
    """Apply a network and pool its tokens as its paper does; maps, and tokens that are pooled otherwise, stay.

    Raises:
        PoolError: The pooling takes the class token, and there is none.
    """
    keras = import_keras()
    if _has_text_tower(backbone):
        # On its own input, to which the layers that are read by name are connected.
        (taken,) = (one for one in backbone.inputs if len(one.shape) == _IMAGES_RANK)
        return keras.Model(taken, backbone.get_vision_embeddings(taken), name=backbone.name)(pixels)
    output = backbone(keras.tree.map_structure(lambda _: pixels, backbone.input))
    has_class_token = type(backbone).__name__ in _CLASS_TOKEN and getattr(backbone, "use_class_token", True)
    if len(output.shape) == _TOKENS_RANK and pool == _CLS and not has_class_token:
        raise PoolError(
            f"The network of {name} has no class token: its first token is the top left of an image.",
            hint="Leave `pool` out: its tokens are averaged.",
        )
    if len(output.shape) != _TOKENS_RANK or pool is not None:
        return output
    return output[:, 0] if has_class_token else keras.ops.mean(output, axis=1)


def _image_size(model: Any) -> tuple[int, int] | None:
    height, width = model.inputs[0].shape[1:3]
    return None if height is None or width is None else (int(height), int(width))


def _preset(handle: str) -> str:
    folder = preset_folder(handle)
    return handle.removeprefix(KERASHUB) if folder is None else str(folder)


def _name(handle: str) -> str:
    return _preset(handle).rstrip("/").rpartition("/")[2]


@contextlib.contextmanager
def _translate_errors(handle: str) -> Iterator[None]:
    """Translate KerasHub's errors, keep its progress off stdout, and leave the state of random generators alone."""
    try:
        with seeded(0), contextlib.redirect_stdout(sys.stderr):
            yield
    except Exception as error:
        reason = " ".join(str(error).split())[:_MAX_CHARACTERS]
        hint = "Copy its folder again, or try another `image_size`."
        if preset_folder(handle) is None:
            hint = f"Check the connection and your access, or download it elsewhere and pass {KERASHUB}FOLDER."
        raise ModelError(f"{handle} can't be loaded by KerasHub: {reason}", hint=hint) from error
