import numpy as np

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def test_frozen(opened, tiny, tf):
    """The frozen graph has no variables left, and gives what the unfrozen one does, live batch norm included."""
    backbone = opened(str(tiny))
    assert backbone.frozen.variables == ()
    assert {"VarHandleOp", "ReadVariableOp"}.isdisjoint(op.type for op in backbone.frozen.graph.get_operations())
    (got,) = backbone.frozen(pixels=tf.constant(PIXELS))
    assert np.abs(got - backbone.call(PIXELS / np.float32(255))).max() < 1e-4


def test_frozen_once(opened, tiny):
    """A backbone is frozen once, however many engines run it."""
    assert opened(str(tiny)).frozen is opened(str(tiny)).frozen
