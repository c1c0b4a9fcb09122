import dataclasses

import numpy as np
import pytest

from frieze.embedder import FITS, decode_batch, decode_for, fit_batch, freeze_with


@pytest.mark.parametrize("fit", FITS)
def test_files_become_what_the_backbone_sees(gallery, opened, tiny, tf, fit):
    """Photographs of any size, in one batch, become the pixels of `decode_for`, to a level."""
    spec = dataclasses.replace(opened(str(tiny)).spec, fit=fit)
    data = [path.read_bytes() for path in sorted(gallery.rglob("*.jpg"))[:6]]
    got = tf.function(lambda files: decode_batch(files, spec), autograph=False)(tf.constant(data)).numpy()
    expected = np.stack([decode_for(one, spec)[0] for one in data]).astype(int)
    assert (got.shape, got.dtype) == (expected.shape, np.uint8)
    assert np.abs(got - expected).max() <= 1


def test_no_files_are_no_pixels(opened, tiny, tf):
    """An empty batch is one of no images."""
    spec = opened(str(tiny)).spec
    assert decode_batch(tf.constant([], tf.string), spec).shape == (0, 32, 32, 3)


def test_pixels_are_fitted_as_the_spec_says(opened, tiny, photo, tf):
    """Pixels of another size are brought to the backbone's."""
    image = np.asarray(photo(0))[None]
    assert fit_batch(tf.constant(image), opened(str(tiny)).spec).shape == (1, 32, 32, 3)


def test_what_comes_after_is_frozen_in(opened, tiny, module, tf):
    """The frozen function holds no variable, and gives what comes after the backbone."""
    factor = tf.Variable(2.0)
    frozen = freeze_with(opened(str(tiny)), lambda embeddings: embeddings * factor)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    (got,) = frozen(pixels=tf.constant(pixels))
    assert not frozen.variables
    assert np.allclose(got, 2 * module(pixels.astype("f4") / 255), atol=1e-4)
