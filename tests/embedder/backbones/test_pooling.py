import numpy as np
import pytest

from frieze.core import InputError, ModelError, import_keras
from frieze.embedder.backbones.pooling import POOLS, pool_keras_tensor, pool_tensor

MAPS = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
TOKENS = MAPS.reshape(3, 20, 6)
JUDGE = {
    "avg": lambda tokens: tokens.mean(1),
    "max": lambda tokens: tokens.max(1),
    "gem": lambda tokens: (np.maximum(tokens, 1e-6) ** 3).mean(1) ** (1 / 3),
    "cls": lambda tokens: tokens[:, 0],
    "none": lambda tokens: tokens.reshape(3, -1),
}


@pytest.fixture(params=[pool_tensor, pool_keras_tensor])
def pool_with(request, tf):
    """Pooling in TensorFlow, and in Keras."""
    return lambda values, pool: np.asarray(request.param(tf.constant(values), pool))


@pytest.mark.parametrize("pool", POOLS)
def test_tokens(pool, pool_with):
    """Each kind makes of tokens what NumPy does."""
    assert np.allclose(pool_with(TOKENS, pool), JUDGE[pool](TOKENS), atol=1e-5)


@pytest.mark.parametrize("pool", [None, *(name for name in POOLS if name != "cls")])
def test_maps(pool, pool_with):
    """Maps are pooled like tokens, one a place; by default it is their mean."""
    assert np.allclose(pool_with(MAPS, pool), JUDGE[pool or "avg"](TOKENS), atol=1e-5)


def test_vectors_stay(pool_with):
    """Vectors stay as they are; there is nothing to pool of them."""
    assert np.array_equal(pool_with(TOKENS[:, 0], None), TOKENS[:, 0])
    with pytest.raises(InputError, match="`pool='max'` has nothing to pool"):
        pool_with(TOKENS[:, 0], "max")


@pytest.mark.parametrize(("values", "pool"), [(TOKENS, None), (MAPS, "cls")])
def test_never_guessed(values, pool, pool_with):
    """Tokens have no default, and maps no class token."""
    with pytest.raises(InputError, match=r"\[B, (20|4, 5), 6\]"):
        pool_with(values, pool)


def test_other_ranks(pool_with):
    """Values of another rank are refused with their shape."""
    with pytest.raises(ModelError, match=r"has the shape \[B, 2, 5, 2, 6\]; expected is"):
        pool_with(MAPS.reshape(3, 2, 5, 2, 6)[:, :, :, :, :], None)


@pytest.mark.parametrize("values", [TOKENS[:, 0, :0], TOKENS[:, :0], MAPS[:, :, :, :0]])
def test_no_numbers(values, pool_with):
    """An output without numbers is refused with its shape: OpenVINO divides by its size, and ends the process."""
    with pytest.raises(ModelError, match=r"has the shape \[B, .*0.*\]: there are no numbers in it"):
        pool_with(values, None)


def test_unknown_size(tf):
    """Maps whose size is not known before the network runs can't be flattened."""
    keras = import_keras()
    with pytest.raises(ModelError, match=r"has the shape \[B, \?, \?, 6\], whose size is not known"):
        pool_keras_tensor(keras.Input((None, None, 6)), "none")
