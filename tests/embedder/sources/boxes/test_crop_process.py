"""Parts that are cut in another process: `crop_all` here is the judge."""

import contextlib
import copy

import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError
from frieze.embedder.images.limits import Limits
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.boxes import expand
from frieze.embedder.sources.boxes.crop import WHOLE, crop_all
from frieze.embedder.sources.boxes.crop_process import CropProcess
from frieze.embedder.sources.open import open_source

BOXES = [(0, 0, 5, 5), (2, 3, 100, 4), (90, 90, 5, 5)]


@pytest.fixture
def photo(tmp_path):
    """An image of 20 x 30 pixels, as bytes."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)).save(tmp_path / "a.png")
    return (tmp_path / "a.png").read_bytes()


@pytest.mark.slow
def test_an_image_that_decodes_for_ever(hostile_jpeg, photo):
    """All its parts are failures; the images before and after it have the parts that they have here."""
    expected = [str(one) for one in crop_all(photo, BOXES)]
    with contextlib.closing(CropProcess(Limits(image_timeout=0.5))) as process:
        before, hostile, after = (process.crop_all(data, BOXES, WHOLE) for data in (photo, hostile_jpeg, photo))
    assert [one.reason for one in hostile] == ["timeout"] * 3
    assert [[str(one) for one in parts] for parts in (before, after)] == [expected] * 2


@pytest.mark.slow
def test_a_process_that_is_killed(photo):
    """The parts of its image fail with the reason, and another process takes its place."""
    with contextlib.closing(CropProcess(Limits(image_timeout=60))) as process:
        process.crop_all(photo, BOXES, WHOLE)
        process._helper._child.kill()
        assert [one.reason for one in process.crop_all(photo, BOXES, WHOLE)] == ["out of memory"] * 3
        assert isinstance(process.crop_all(photo, BOXES, WHOLE)[0], bytes)


def test_pickled():
    """A process is no part of what is sent to other machines: each starts one of its own."""
    limits = Limits(image_timeout=3)
    assert copy.copy(CropProcess(limits)).__getstate__() == {"_limits": limits}


def test_waits_once_for_an_image(photo, tmp_path, monkeypatch):
    """The parts of an image that took too long fail in the next batch without another try."""
    requested = []

    class Slow:
        def __init__(self, limits):
            assert limits.image_timeout == 9

        def crop_all(self, _data, boxes, _options):
            requested.append(len(boxes))
            return [expand.TIMEOUT] * len(boxes)

    monkeypatch.setattr(expand, "CropProcess", Slow)
    source = open_source(str(tmp_path), SourceOptions(tiles="2x2", limits=Limits(image_timeout=9)))
    contents = [one for rows in ([0, 1], [2, 3]) for one in source.read(np.array(rows))]
    assert (requested, [isinstance(one, ImageError) for one in contents]) == ([2], [True] * 4)
