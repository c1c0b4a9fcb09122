"""Real photographs through real weights; skipped where the shared data are not there (FRIEZE_DATA)."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from frieze.embedder import BackboneRequest, embed_images, open_backbone
from frieze.features import open_features

pytestmark = pytest.mark.slow


def open_srgb(path):
    """Open an image in sRGB: with a colour profile all of it is converted by lcms2."""
    image = Image.open(path)
    profile, image = image.info.get("icc_profile"), ImageOps.exif_transpose(image).convert("RGB")
    if profile:
        there, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, there, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    return image


NAME = "mobilenet_v2_100_224"


@pytest.fixture(scope="module")
def photographs(shared_data):
    """20 natural photographs of five kinds of flowers."""
    return sorted((shared_data / "images" / "flowers_ccby_200").glob("*/*.jpg"))[::10]


@pytest.fixture(scope="module")
def handle(shared_data):
    """A SavedModel with ImageNet weights."""
    return str(shared_data / "backbones" / NAME / "saved_model")


@pytest.fixture(scope="module")
def expected(handle, photographs, tf):
    """The plain loop's vectors: Pillow, bilinear, the loaded module."""
    module = tf.saved_model.load(handle)
    images = [open_srgb(path).resize((224, 224), Image.Resampling.BILINEAR) for path in photographs]
    return np.concatenate([module(np.asarray(image, np.float32)[None] / 255).numpy() for image in images])


def test_names_and_sizes(shared_data):
    """Each real SavedModel is opened with the width and size of its notes."""
    for name, dim, side in ((NAME, 1280, 224), ("mobilenet_v1_025_128", 256, 128), ("resnet8_cifar10_32", 64, 32)):
        path = shared_data / "backbones" / name / "saved_model"
        spec = open_backbone(BackboneRequest(handle=str(path))).spec
        assert (spec.name, spec.dim, spec.image_size) == (name, dim, (side, side))


def test_agrees_with_the_plain_loop(handle, photographs, expected, cosines):
    """Every photograph's vector has cosine >= 0.998 to the plain loop's."""
    assert len(photographs) == 20
    got = embed_images(photographs, open_backbone(BackboneRequest(handle=handle)))
    assert cosines(got, expected).min() >= 0.998


def test_stored_vectors(handle, shared_data, embed, cosines, tf, tmp_path):
    """Every stored vector of a table has cosine >= 0.999 to the plain loop's, for a network with live batch norm."""
    handle = shared_data / "backbones" / f"{NAME}_bn" / "saved_model"
    folder = shared_data / "images" / "flowers_ccby_200" / "daisy"
    embed(folder, tmp_path / "out", backbone=handle, batch_size=4, limit=12)
    module, features = tf.saved_model.load(str(handle)), open_features(tmp_path / "out")
    for path, vector in zip(features.rows["uri"].to_pylist(), features.embeddings(), strict=True):
        image = open_srgb(path).resize((224, 224), Image.Resampling.BILINEAR)
        assert cosines([vector], module(np.asarray(image, np.float32)[None] / 255))[0] >= 0.999


def test_large_photographs(shared_data, cosines):
    """Real photographs of 2 to 24 megapixels, decoded at a fraction, agree with a full decode: at least .999."""
    path = shared_data / "backbones" / "mobilenet_v1_025_128" / "saved_model"
    backbone = open_backbone(BackboneRequest(handle=str(path)))
    photographs = sorted((shared_data / "images" / "large_photos").rglob("*.jpg"))[::2]
    assert len(photographs) >= 10
    whole = [open_srgb(path) for path in photographs]
    side = backbone.spec.image_size
    full = [np.asarray(image.resize(side, Image.Resampling.BILINEAR)) for image in whole]
    assert cosines(embed_images(photographs, backbone), embed_images(full, backbone)).min() >= 0.999


def test_keras_twin(shared_data, handle, photographs, cosines):
    """`keras:MobileNetV2` with the same network's weights agrees with the SavedModel, cosine >= 0.9999."""
    weights = str(shared_data / "backbones" / NAME / "keras" / "mobilenet_v2_notop.keras")
    one, twin = (
        embed_images(photographs, open_backbone(request))
        for request in (BackboneRequest(handle=handle), BackboneRequest(handle="keras:MobileNetV2", weights=weights))
    )
    assert cosines(one, twin).min() >= 0.9999
