import dataclasses

import numpy as np
import pytest

from embedder import ENGINES
from embedder.engines import choose_engine
from embedder.engines.tensorflow import TensorFlowEngine, freeze
from features import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def engine(tiny, opened):
    """The reference engine on the tiny backbone."""
    return TensorFlowEngine(opened(str(tiny)))


@pytest.mark.parametrize("name", ENGINES)
def test_agrees_with_the_module(name, opened, tiny, module):
    """Each engine gives float32 [B, D], what the module itself gives for pixels / 255."""
    embeddings = choose_engine(name, opened(str(tiny))).infer(PIXELS)
    assert (embeddings.shape, embeddings.dtype) == ((32, 16), np.float32)
    assert np.abs(embeddings - module(PIXELS / np.float32(255))).max() < 1e-4


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_batch_size_does_not_matter(batch_size, engine):
    """However images are cut into batches, their vectors are the same."""
    pieces = [engine.infer(PIXELS[start : start + batch_size]) for start in range(0, 32, batch_size)]
    assert np.abs(np.concatenate(pieces) - engine.infer(PIXELS)).max() < 1e-4


def test_empty_batch(engine):
    """A batch without images gives no rows of the right width: all its files may have failed."""
    assert engine.infer(PIXELS[:0]).shape == (0, 16)


def test_frozen(opened, tiny, tf):
    """The frozen graph has no variables left, and gives what the unfrozen one does, live batch norm included."""
    backbone = opened(str(tiny))
    frozen = freeze(backbone)
    assert frozen.variables == ()
    assert {"VarHandleOp", "ReadVariableOp"}.isdisjoint(op.type for op in frozen.graph.get_operations())
    (got,) = frozen(pixels=tf.constant(PIXELS))
    assert np.abs(got - backbone.call(PIXELS / np.float32(255))).max() < 1e-4


def test_keras_batch_norm(opened):
    """A Keras network is frozen as it infers: the images of a batch do not change each other's vectors."""
    engine = TensorFlowEngine(opened("keras:MobileNetV3Small", weights="random", image_size=32))
    alone = np.concatenate([engine.infer(PIXELS[:1]), engine.infer(PIXELS[1:2])])
    assert np.abs(engine.infer(PIXELS[:2]) - alone).max() < 1e-4


def test_tensors(engine, tf):
    """Pixels may come as a tensor, as the pipeline hands them over."""
    assert np.array_equal(engine.infer(tf.constant(PIXELS)), engine.infer(PIXELS))


def test_device(engine, tf):
    """Without a GPU pixels stay in the host's memory, in batches of 32."""
    if tf.config.list_logical_devices("GPU"):
        pytest.skip("there is a GPU")
    assert (engine.device, engine.batch_size) == (None, 32)


def test_first_batch_is_as_fast_as_any(opened, tiny, infers):
    """Making an engine runs one image through: what is slow once is slow before the first batch."""
    TensorFlowEngine(opened(str(tiny)))
    assert infers == [1]


def test_auto(opened, tiny):
    """`auto` is the reference engine."""
    assert choose_engine("auto", opened(str(tiny))).name == "tensorflow"


def test_unknown_engine(opened, tiny):
    """An engine that there is not is refused with the names of those there are."""
    with pytest.raises(InputError, match=r"Unknown engine: abacus\.\nUse one of: auto, tensorflow"):
        choose_engine("abacus", opened(str(tiny)))


def test_other_sizes(opened, tiny, tf):
    """A size that is no square keeps height before width."""
    backbone = opened(str(tiny))
    spec = dataclasses.replace(backbone.spec, image_size=(4, 6), dim=3)
    tall = dataclasses.replace(backbone, spec=spec, call=lambda images: tf.reduce_sum(images, (1, 2)))
    assert TensorFlowEngine(tall).infer(np.full((1, 4, 6, 3), 255, np.uint8)).tolist() == [[24.0] * 3]
