"""`builtin`: a small network of our own that comes with the package; docs/builtin.md tells what it is and is not."""

import functools
from typing import Any

from frieze.embedder.backbones import fingerprint
from frieze.embedder.backbones.builtin_graph import read_plain
from frieze.embedder.backbones.catalogue import BUILT_IN, BUILT_IN_FILE, BUILT_IN_NAME, OURS
from frieze.embedder.backbones.keras_file import cut_model, load_model
from frieze.embedder.backbones.request import BackboneRequest, Network, StatedPixels


def open_built_in(request: BackboneRequest) -> Network:
    """Load the network, or a layer of it.

    Raises:
        ModelError: It has no such layer.
    """

    def load() -> Any:
        return cut_model(load_model(BUILT_IN_FILE), request.layer)

    return Network(
        name=BUILT_IN_NAME,
        handle=BUILT_IN,
        fingerprint=fingerprint.of_file(BUILT_IN_NAME, BUILT_IN_FILE),
        image_size=(OURS.side_px, OURS.side_px),
        read_pixels=lambda: StatedPixels(OURS.pixels),
        call=read_plain(BUILT_IN_FILE) if request.layer is None else functools.partial(load(), training=False),
        model=load,  # one that may learn is nobody else's
    )
