import shlex
import struct
import subprocess
import sys

import numpy as np
import pytest

from frieze.core import InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.open import open_source


def refusal(path):
    """Return the message of a source without images."""
    with pytest.raises(InputError) as caught:
        open_source(str(path), SourceOptions())
    return str(caught.value)


def test_idx(tmp_path):
    """A folder of MNIST's files names the pattern that reads them, with their labels."""
    shape = struct.pack(">IIII", 0x803, 2, 28, 28)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(shape + bytes(2 * 28 * 28))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, 2) + bytes([3, 7]))
    (pattern,) = shlex.split(refusal(tmp_path).rpartition("by their names: ")[2])
    assert len(open_source(pattern, SourceOptions()).listing.images) == 2


@pytest.mark.parametrize(("n_labels", "name"), [(1, "data_batch_1.bin"), (2, "train.bin")])
@pytest.mark.parametrize("whole", ["folder", "file"])
def test_cifar(whole, n_labels, name, tmp_path):
    """CIFAR's binary files come with the command that makes arrays of them: the same pixels and labels."""
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    labels = np.tile(np.arange(3, dtype=np.uint8)[:, None], n_labels)
    np.hstack([labels, images.transpose(0, 3, 1, 2).reshape(3, -1)]).tofile(tmp_path / name)
    command = shlex.split(refusal(tmp_path if whole == "folder" else tmp_path / name).rpartition("as .npz: ")[2])
    subprocess.run([sys.executable, *command[1:]], check=True)
    with np.load((tmp_path / name).with_suffix(".npz")) as arrays:
        assert np.array_equal(arrays["images"], images)
        assert arrays["labels"].tolist() == [0, 1, 2]


def test_other_files(tmp_path):
    """Another .bin file has no such hint."""
    (tmp_path / "firmware.bin").write_bytes(bytes(100))
    assert "CIFAR" not in refusal(tmp_path)
