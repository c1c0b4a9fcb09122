"""The batches, compared with the views and targets that they are drawn from."""

import numpy as np
import pytest

from tools.distill.batches import BATCH, TrainingData, batches
from tools.distill.crops import view_file


@pytest.fixture
def data(tmp_path):
    """Two views of 300 images, each of one colour of its own; targets that encode the image's number."""
    views = [view_file(tmp_path, number) for number in range(2)]
    colours = np.stack([np.arange(300) // 20 * 10, np.arange(300) % 20 * 10, np.full(300, 90)], axis=1)
    for number, view in enumerate(views):
        np.save(view, np.broadcast_to(colours[:, None, None] + number, (300, 128, 128, 3)).astype(np.uint8))
    targets = [np.arange(300, dtype=np.float32)[:, None] + 1000 * number for number in range(2)]
    return TrainingData(views, targets, np.arange(10, 290), epochs=4, seed=7)


def epoch_targets(data, epoch):
    """Return the targets of an epoch's batches, concatenated."""
    return np.concatenate([batch.targets[:, 0] for batch in batches(data, epoch)]).astype(int)


def test_whole_batches(data):
    """An epoch shows each image once at most, in whole batches; those left out never."""
    rows = epoch_targets(data, 0)
    assert len(rows) == len(set(rows)) == 280 // BATCH * BATCH
    assert set(rows) <= set(range(10, 290))


def test_views_in_turn(data):
    """Each epoch shows the next view, and begins with the first again."""
    assert [int(epoch_targets(data, epoch).min() >= 1000) for epoch in range(4)] == [0, 1, 0, 1]


def test_same_again(data):
    """An epoch has the same batches each time, and another epoch has others."""
    first, second, other = (list(batches(data, epoch)) for epoch in (0, 0, 2))
    for one, repeated, new in zip(first, second, other, strict=True):
        assert all((a == b).all() for a, b in zip(one, repeated, strict=True))
        assert (one.targets != new.targets).any()


def test_targets_stay_with_their_images(data):
    """A target belongs to its image, whose pixels are its colour, or the mean of it where the colour is taken."""
    n_grey = 0
    for batch in batches(data, 0):
        for pixels, row in zip(batch.pixels, batch.targets[:, 0].astype(int), strict=True):
            colour = np.array([row // 20 * 10, row % 20 * 10, 90])
            is_grey = (pixels == int(colour.mean())).all()
            n_grey += is_grey
            assert is_grey or (pixels == colour).all()
    assert 5 < n_grey < 60  # a tenth of 256


def test_mirrored(data):
    """About half of the images are mirrored, from left to right; none upside down."""
    rows, columns = np.mgrid[:128, :128].astype(np.uint8)
    for view in data.views:
        np.save(view, np.broadcast_to(np.stack([columns, rows, 0 * rows], axis=-1), (300, 128, 128, 3)))
    coloured = [one for batch in batches(data, 0) for one in batch.pixels if (one[..., 2] == 0).all()]
    assert all((one[..., 1] == rows).all() for one in coloured)
    n_mirrored = sum((one[..., 0] == columns[:, ::-1]).all() for one in coloured)
    assert n_mirrored + sum((one[..., 0] == columns).all() for one in coloured) == len(coloured)
    assert 0.3 * len(coloured) < n_mirrored < 0.7 * len(coloured)


def test_light(data):
    """Contrast and brightness move by 15 % at most, and the middle grey stays in the middle of its range."""
    for batch in batches(data, 0):
        assert np.abs(batch.gain - 1).max() <= 0.15
        assert np.abs(0.5 * batch.gain + batch.shift - 0.5).max() <= 0.15 + 1e-6
        assert batch.gain.std() > 0.05
        assert (0.5 * batch.gain + batch.shift).std() > 0.05
