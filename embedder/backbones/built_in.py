"""`builtin`: a small network of our own that comes with the package; docs/builtin.md tells what it is and is not."""

import functools
from typing import Any

from embedder.backbones import fingerprint
from embedder.backbones.catalogue import BUILT_IN, BUILT_IN_FILE, BUILT_IN_NAME, OURS
from embedder.backbones.keras_file import cut_model, load_model
from embedder.backbones.request import BackboneRequest, Network


def open_built_in(request: BackboneRequest) -> Network:
    """Load the network, or a layer of it.

    Raises:
        ModelError: It has no such layer.
    """
    model = cut_model(_loaded(), request.layer)
    return Network(
        name=BUILT_IN_NAME,
        handle=BUILT_IN,
        fingerprint=fingerprint.of_file(BUILT_IN_NAME, BUILT_IN_FILE),
        image_size=(OURS.side_px, OURS.side_px),
        pixels=OURS.pixels,
        call=lambda images: model(images, training=False),
        model=lambda: cut_model(load_model(BUILT_IN_FILE), request.layer),  # one that may learn is nobody else's
    )


@functools.cache
def _loaded() -> Any:
    """Load the network once a process: building its layers takes half a second."""
    return load_model(BUILT_IN_FILE)
