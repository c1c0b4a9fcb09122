"""The library changes no global state of the program that imports it."""

import os
import random
import subprocess
import sys
import warnings

import numpy as np
import pytest

from frieze.core import environment, import_keras
from frieze.embedder import BackboneRequest, Limits, open_backbone

_IMPORTS = """
import logging, os, random, sys, warnings
import numpy as np
from PIL import Image, ImageFile

def state():
    drawn = random.getstate(), [np.array(one).tolist() for one in np.random.get_state()], np.geterr()
    return drawn, list(warnings.filters), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, logging.root.level

before, environment = state(), dict(os.environ)
import frieze
from frieze import classifiers, core, embedder, features
assert state() == before
assert dict(os.environ) == environment
core.import_tensorflow()
core.import_keras()
core.import_tensorflow_hub()
assert state()[0] == before[0]
assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == environment.get("TF_CPP_MIN_LOG_LEVEL")
"""


def state(tf):
    """Return the next draw of each generator, and the other global state of a process."""
    keras = import_keras()
    context = sys.modules["tensorflow.python.eager.context"].context()
    shared = (keras.config.floatx(), keras.config.backend(), keras.config.dtype_policy().name)
    drawn = (
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002  the old one is what a caller may have seeded
        context._seed,
        context._rng and context._rng.getstate(),
    )
    return drawn, shared, list(warnings.filters), dict(os.environ)


@pytest.mark.slow
def test_imports():
    """Importing the packages, and TensorFlow through them, changes no filter, generator, limit or environment."""
    done = subprocess.run([sys.executable, "-c", _IMPORTS], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_opening_an_application(small_application, tf):
    """Opening a Keras application changes no state of the caller's random generators."""
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002  as above
    tf.random.set_seed(5)
    before = state(tf)
    first = open_backbone(BackboneRequest(handle=small_application, weights="random")).spec
    assert state(tf) == before
    random.seed(6)
    second = open_backbone(BackboneRequest(handle=small_application, weights="random")).spec
    assert second.fingerprint == first.fingerprint


def test_opening_a_file(residual, tf):
    """Opening a `.keras` file changes none either, though its layers draw numbers before the weights are loaded."""
    random.seed(5)
    before = state(tf)
    open_backbone(BackboneRequest(handle=str(residual)))
    assert state(tf) == before


def test_limits_hold_for_a_while():
    """Pillow's warnings are silenced only while images are embedded."""
    before = list(warnings.filters)
    with Limits().hold():
        assert warnings.filters != before
    assert warnings.filters == before


def test_environment_comes_back(monkeypatch):
    """Environment variables that are set for a while are restored, also those that did not exist."""
    monkeypatch.setenv("FRIEZE_SOME", "old")
    with environment(FRIEZE_SOME="new", FRIEZE_OTHER="new"):
        assert (os.environ["FRIEZE_SOME"], os.environ["FRIEZE_OTHER"]) == ("new", "new")
    assert os.environ["FRIEZE_SOME"] == "old"
    assert "FRIEZE_OTHER" not in os.environ
