import dataclasses

import pytest

from frieze.core import ModelError
from frieze.embedder.backbones.hub_layer.module import open_module

SHAPE, OTHER = (None, 8, 8, 3), (5, 8, 8, 3)


def test_output_shapes_are_kept(live):
    """Shapes of the output are inferred once; without its files a module knows those inferred before, no others."""
    module = open_module(live, output=None, trust=False)
    assert module.output_shape(SHAPE, arguments={}) == (None, 4)
    without_files = dataclasses.replace(module, call=None)
    assert without_files.output_shape(SHAPE, arguments={}) == (None, 4)
    with pytest.raises(ModelError, match="is not loaded"):
        without_files.output_shape(OTHER, arguments={})
    assert module.output_shape(OTHER, arguments={}) == (5, 4)
