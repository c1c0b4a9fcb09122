"""Batches of images, and what a frozen part makes of them once."""

import itertools
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from frieze.classifiers.finetuning.inputs import CHUNK, CachedActivations, Images, batches
from frieze.core import InputError, import_keras

CODES = np.arange(20) % 3
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def images():
    """Twenty images of 4 x 4 pixels; `requested` lists the positions that were read."""
    requested = []

    def read(positions):
        requested.extend(positions.tolist())
        return PIXELS[positions]

    actual = Images(read, [(4, 4, 3)])
    actual.requested = requested
    return actual


def drawn(images, positions, **options):
    """Return the positions drawn, batch by batch, by looking them up among the pixels."""
    actual = [(pixels.numpy(), codes.numpy()) for (pixels,), codes in batches(images, CODES, positions, **options)]
    rows = [[int(np.flatnonzero((one == PIXELS).all((1, 2, 3)))[0]) for one in pixels] for pixels, _ in actual]
    assert all(np.array_equal(CODES[drawn_rows], codes) for drawn_rows, (_, codes) in zip(rows, actual, strict=True))
    return rows


def test_each_row_comes_once(images, tf):
    """Batches have each row once, with its class, the last batch what is left."""
    rows = drawn(images, np.arange(3, 20), batch_size=5, seed=[0, 1])
    assert [len(batch) for batch in rows] == [5, 5, 5, 2]
    assert sorted(itertools.chain(*rows)) == list(range(3, 20))


def test_the_seed_decides_the_order(images, tf):
    """The same seed draws the same order, another one another; without a seed the order is that of the positions."""
    one, same, other, none = (
        list(itertools.chain(*drawn(images, np.arange(20), batch_size=8, seed=seed)))
        for seed in ([0, 1], [0, 1], [0, 2], None)
    )
    assert one == same != other
    assert none == list(range(20))


def test_the_number_of_batches_is_known(images, tf):
    """Keras is told how many batches there are before any is drawn."""
    assert int(batches(images, CODES, np.arange(20), batch_size=6, seed=None).cardinality()) == 4
    assert images.requested == []


def test_a_failed_read_raises_its_error(tf):
    """An image that is gone ends the run with its own error, which TensorFlow would hide in one of its own."""

    def lose(_):
        raise InputError("a.jpg can't be read any more.", hint="Put it back.")

    images = Images(lose, [(4, 4, 3)])
    with pytest.raises(InputError, match=r"a\.jpg") as caught, images.reraising():
        list(batches(images, CODES, np.arange(3), batch_size=2, seed=None))
    assert caught.value.hint == "Put it back."


def test_every_error_of_a_read_is_raised(tf):
    """So does any other error, be it of the disk or for lack of memory."""

    def fail(_):
        raise MemoryError("no room")

    images = Images(fail, [(4, 4, 3)])
    with pytest.raises(MemoryError, match="no room"), images.reraising():
        list(batches(images, CODES, np.arange(3), batch_size=2, seed=None))


def test_other_errors_stay(images, tf):
    """An error of TensorFlow's that no read caused is not hidden."""
    with pytest.raises(tf.errors.ResourceExhaustedError), images.reraising():
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")


@pytest.fixture
def lower(tf):
    """A frozen part of two outputs: images in [0, 1] doubled [4, 4, 3], and their mean [3]."""
    keras = import_keras()
    inputs = keras.Input((4, 4, 3))
    return keras.Model(inputs, [keras.layers.Rescaling(2.0)(inputs), keras.layers.GlobalAveragePooling2D()(inputs)])


@pytest.fixture
def maps(lower, images, tmp_path):
    """`maps()`: the maps in a folder of their own, not filled."""
    return lambda: CachedActivations(tmp_path / "work" / "maps", lower, images, 20)


def untold(*_):
    """Take progress and say nothing."""


def test_maps_are_what_the_frozen_part_gives(maps):
    """Each array's rows are its output for the images in [0, 1], in float16, in the order asked."""
    made = maps()
    made.fill(np.arange(20), untold)
    doubled, means = made.rows(np.array([7, 2]))
    assert (doubled.dtype, made.dtype, made.shapes) == (np.float16, "float16", [(4, 4, 3), (3,)])
    assert np.allclose(doubled, PIXELS[[7, 2]] / 127.5, atol=1e-3)
    assert np.allclose(means, PIXELS[[7, 2]].mean((1, 2)) / 255, atol=1e-3)


def test_maps_take_two_bytes_a_number(maps, tmp_path):
    """What they will take on disk is known before, and is what they take."""
    made = maps()
    made.fill(np.arange(20), untold)
    files = [path for path in (tmp_path / "work" / "maps").iterdir() if path.name != "done"]
    assert made.n_bytes == sum(path.stat().st_size for path in files) == 20 * 2 * (48 + 3)


def test_maps_are_made_once(maps, images):
    """Made before, they are not made again; only the images asked for go through the frozen part."""
    maps().fill(np.arange(5, 15), untold)
    reopened = maps()
    reopened.fill(np.arange(5, 15), untold)
    assert images.requested == list(range(5, 15))
    assert np.allclose(reopened.rows(np.array([9]))[0], PIXELS[[9]] / 127.5, atol=1e-3)


def test_incomplete_caches_are_written_again(maps, images):
    """Cut off while they are made, they are made from the beginning."""

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        maps().fill(np.arange(20), stop)
    reopened = maps()
    reopened.fill(np.arange(20), untold)
    assert images.requested == [*range(CHUNK), *range(20)]
    assert np.allclose(reopened.rows(np.arange(20))[0], PIXELS / 127.5, atol=1e-3)


def test_progress_ends_with_all(maps):
    """Images done and all images are told, chunk by chunk."""
    message = []
    maps().fill(np.arange(20), lambda *steps: message.append(steps))
    assert message == [(CHUNK, 20), (20, 20)]


def test_numbers_beyond_float16(lower, images, tmp_path):
    """Maps too large for float16 are refused, not kept as infinite; nothing counts as made."""
    keras = import_keras()
    large = keras.Model(lower.inputs[0], keras.layers.Rescaling(1e6)(lower.outputs[0]))
    with pytest.raises(InputError, match="too large for float16") as caught:
        CachedActivations(tmp_path / "maps", large, images, 20).fill(np.arange(20), untold)
    assert "`cache`" in caught.value.hint
    assert not (tmp_path / "maps" / "done").exists()


def test_no_room(maps, monkeypatch, tmp_path):
    """Where the disk has not the room, nothing is made, and what is wanted and free is told."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match=r"take 2\.1KB; 1KB are free") as caught:
        maps().fill(np.arange(20), untold)
    assert "leave `cache` out" in caught.value.hint
    assert not (tmp_path / "work").exists()
