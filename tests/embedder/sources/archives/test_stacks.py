import gzip
import io
import struct

import h5py
import numpy as np
import pytest
from PIL import Image

from frieze.core import ImageError, InputError
from frieze.embedder.sources import SourceOptions
from frieze.embedder.sources.archives import array_files
from frieze.embedder.sources.open import open_source, read_image

N = 7
COLOUR = np.random.default_rng(0).integers(0, 256, (N, 6, 8, 3), np.uint8)
GREY = COLOUR[..., 0]
LABELS = np.arange(N) % 3


def write(path, **arrays):
    """Write arrays to a file of the kind of its name; `__` in a name is a group."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                chunks = (min(2, len(values)), *values.shape[1:])
                file.create_dataset(name.replace("__", "/"), data=values, chunks=chunks, compression="gzip")
    else:
        for name, values in arrays.items():
            np.save(path.with_name(f"{name}.npy"), values)
    return path


def listed(path, **options):
    """Open a source."""
    return open_source(str(path), SourceOptions(**options))


def rows(source, *names):
    """Return some columns of a source's listing, a tuple a row."""
    return [tuple(row[name] for name in names) for row in source.listing.images.to_pylist()]


def pictures(source, numbers=None):
    """Read and decode images: arrays, or the reason why there are none."""
    n = len(source.listing.images)
    contents = source.read(np.array(range(n) if numbers is None else numbers, np.int64))
    return [one.reason if isinstance(one, ImageError) else np.asarray(Image.open(io.BytesIO(one))) for one in contents]


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "images.npy"])
@pytest.mark.parametrize("images", [COLOUR, GREY, COLOUR[..., :1], np.tile(GREY[..., None], 4)], ids=str)
def test_a_stack(name, images, tmp_path):
    """Images and labels are those of the arrays, in order, from all at once, by row and by uri."""
    path = write(tmp_path / name, images=images, labels=LABELS)
    source = listed(path)
    base = name if name.endswith("npy") else f"{name}/images"
    expected = [(f"{base}/{n:06d}", f"{tmp_path}/{base}/{n:06d}", str(LABELS[n]), images[0].nbytes) for n in range(N)]
    assert rows(source, "id", "uri", "label", "size_bytes") == expected
    for actual, one in zip(pictures(source), images, strict=True):
        assert np.array_equal(actual, one.squeeze())
    assert [len(one) for one in pictures(source, [5, 0, 6])] == [6] * 3
    assert np.array_equal(pictures(source, [3])[0], images[3].squeeze())
    assert read_image(expected[4][1]) == next(iter(source.read(np.array([4]))))
    assert [note for note in source.notes if note.startswith(f"The labels of {name} are those of labels")] != []


@pytest.mark.parametrize("name", ["a.h5", "a.npz"])
def test_splits(name, tmp_path):
    """All splits are read, each with its own labels, and told apart in a column."""
    arrays = {"x_train": COLOUR, "y_train": LABELS, "x_test": COLOUR[:2], "y_test": LABELS[:2] + 5, "mean": COLOUR[0]}
    source = listed(write(tmp_path / name, **arrays))
    assert sorted(rows(source, "split", "label")) == sorted(
        [("train", str(label)) for label in LABELS] + [("test", "5"), ("test", "6")]
    )
    assert len(pictures(source)) == N + 2


def test_groups_and_columns(tmp_path):
    """Each group of an HDF5 file has its own arrays; those of as many values are columns, text included."""
    age = np.linspace(0, 1, N)
    arrays = {"train__images": COLOUR, "train__labels": LABELS[:, None], "train__age": age, "val__images": COLOUR[:1]}
    path = write(tmp_path / "a.h5", **arrays)
    with h5py.File(path, "a") as file:
        file["train"]["name"] = [f"n{n}" for n in range(N)]
    source = listed(path, id="name")
    ids = [f"n{n}" for n in range(N)] + ["a.h5/val/images/000000"]
    assert rows(source, "id", "label", "age", "split") == list(
        zip(ids, [*map(str, LABELS), None], [*age, None], ["train"] * N + ["val"], strict=True)
    )


def test_channels_first(tmp_path):
    """Channels that can only be the first axis are read so, and a note says it."""
    source = listed(write(tmp_path / "a.h5", images=np.moveaxis(COLOUR, -1, 1)))
    assert all(map(np.array_equal, pictures(source), COLOUR))
    assert source.notes == ("Images of a.h5 have shape [3, 6, 8]: their channels come first.",)


@pytest.mark.parametrize("dtype", ["f4", "u2", "i8"])
@pytest.mark.parametrize("name", ["a.h5", "a.npz", "images.npy"])
def test_other_types(name, dtype, tmp_path):
    """Values whose white is not known are refused with what to write, never guessed."""
    with pytest.raises(InputError, match=r"the value of white is not known: store uint8"):
        listed(write(tmp_path / name, images=COLOUR.astype(dtype)))


def test_which_array(tmp_path):
    """Arrays of the same shape without a usual name must be chosen from; others than the usual ones are noted."""
    path = write(tmp_path / "a.npz", one=COLOUR, two=COLOUR[::-1])
    with pytest.raises(InputError, match=r"several arrays may be its images: one, two: choose one with .image='NAME'"):
        listed(path)
    assert np.array_equal(pictures(listed(path, image="two"))[0], COLOUR[-1])
    with pytest.raises(InputError, match="No image has a key three; there are: one, two"):
        listed(path, image="three")
    source = listed(write(tmp_path / "a.npz", images=COLOUR, masks=GREY))
    assert source.notes == ("Other arrays of a.npz that may be images are not read: masks.",)
    assert rows(source, "id")[0] == ("a.npz/images/000000",)


def test_label_option(tmp_path):
    """Of several arrays of labels none is guessed; one is asked for, and the others are columns."""
    path = write(tmp_path / "a.h5", images=COLOUR, fine_labels=LABELS, coarse_labels=LABELS * 2)
    assert rows(listed(path), "label", "fine_labels")[1] == (None, 1)
    assert rows(listed(path, label="coarse_labels"), "label", "fine_labels")[1] == ("2", 1)


def test_files_in_an_array(tmp_path):
    """An array of files' bytes, as HDF5's rows of any length are, is its images, unchanged."""
    data = [b"\xff\xd8\xff\xe0" + bytes(range(n)) for n in range(4)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        stack = file.create_dataset("images", 4, h5py.vlen_dtype(np.uint8))
        stack[:] = [np.frombuffer(one, np.uint8) for one in data]
    source = listed(tmp_path / "a.h5")
    assert list(source.read(np.arange(4))) == data
    assert read_image(f"{tmp_path}/a.h5/images/000002") == data[2]


def write_idx(path, values, compress=bytes):
    """Write an IDX file."""
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    path.write_bytes(compress(head + values.astype("u1").tobytes()))


@pytest.mark.parametrize(("ending", "compress"), [("", bytes), (".gz", gzip.compress)])
def test_mnist(ending, compress, tmp_path):
    """MNIST's files are read as they are distributed, with the labels of the file beside them."""
    write_idx(tmp_path / f"train-images-idx3-ubyte{ending}", GREY, compress)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{ending}", LABELS, compress)
    write_idx(tmp_path / f"t10k-labels-idx1-ubyte{ending}", LABELS + 5, compress)
    source = listed(tmp_path / f"train-images-idx3-ubyte{ending}")
    assert rows(source, "label") == [(str(label),) for label in LABELS]
    assert all(map(np.array_equal, pictures(source), GREY))


def test_cut_short(tmp_path):
    """A .npy that is cut short gives its whole images, and one failure that names the byte."""
    np.save(tmp_path / "stack.npy", COLOUR)
    data = (tmp_path / "stack.npy").read_bytes()[:-200]
    (tmp_path / "stack.npy").write_bytes(data)
    source = listed(tmp_path / "stack.npy")
    (failure,) = source.listing.failures
    assert failure.message == f"the file ends at byte {len(data)}, after 5 of 7 images"
    assert all(map(np.array_equal, pictures(source), COLOUR[:5]))


def test_bombs(tmp_path):
    """A small file that claims very many images is refused before they are listed, a large image when it is read."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", (10**9, 100, 100, 3), "u1", chunks=(1, 100, 100, 3))
    with pytest.raises(InputError, match="1,000,000,000 images unpack to more than 200 times the size"):
        listed(tmp_path / "a.h5")
    np.save(tmp_path / "stack.npy", COLOUR)
    assert pictures(listed(tmp_path / "stack.npy", max_bytes=COLOUR[0].nbytes - 1), [0]) == ["too large"]


def test_no_other_file_is_read(tmp_path):
    """Data sets whose values lie in other files, and links to them, are not followed."""
    (tmp_path / "secret").write_bytes(bytes(COLOUR.nbytes))
    write(tmp_path / "other.h5", images=COLOUR)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("images", COLOUR.shape, "u1", external=[(str(tmp_path / "secret"), 0, COLOUR.nbytes)])
        file["link"] = h5py.ExternalLink("other.h5", "images")
        layout = h5py.VirtualLayout(COLOUR.shape, "u1")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "images", COLOUR.shape)
        file.create_virtual_dataset("x", layout)
    with pytest.raises(InputError, match=r"images \(its values lie in other files\), x \(its values lie in other"):
        listed(tmp_path / "a.h5")


@pytest.mark.parametrize("name", ["a.h5", "a.npz", "a.npy", "a-idx3-ubyte"])
@pytest.mark.parametrize("data", [b"", b"text" * 99, b"\x93NUMPY\x01\x00\xff\xff", b"\x00\x00\x08\x03\x00"])
def test_no_arrays(name, data, tmp_path):
    """A file that is not what its name says is refused by its name."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="There is no image in"):
        listed(tmp_path / name)


@pytest.mark.parametrize("shape", ["(7, 6, 8, 3", "(-7, 6, 8, 3)", "(7, -6, 8, 3)"])
def test_broken_headers(shape, tmp_path):
    """A header of a .npy file that is no description of an array is refused."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(2000))
    with pytest.raises(InputError, match=r"a\.npy can't be read"):
        listed(tmp_path / "a.npy")


def test_damaged_labels_inside(tmp_path):
    """Labels in the same file that are damaged beyond their header refuse it: images would lose their labels."""
    many = np.random.default_rng(0).integers(0, 256, (9000, 2, 2, 3), np.uint8)
    path = write(tmp_path / "a.npz", x=many, y=np.random.default_rng(0).integers(0, 1 << 40, 9000))
    data = bytearray(path.read_bytes())
    at = len(data) - 4000
    data[at : at + 500] = bytes(500)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.npz can't be read"):
        listed(path)


def test_one_bad_file_in_an_array(tmp_path):
    """A first value that is no image is a failure of its own; a name that is no UTF-8 is no obstacle."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset(b"im\xffages", (2,), h5py.vlen_dtype(np.uint8))
        data[1] = np.frombuffer(b"GIF89a" + bytes(20), np.uint8)
    source = listed(tmp_path / "a.h5")
    assert rows(source, "id") == [("a.h5/im\\xffages/000000",), ("a.h5/im\\xffages/000001",)]
    assert [isinstance(one, ImageError) for one in source.read(np.arange(2))] == [True, False]
    assert read_image(rows(source, "uri")[1][0])[:4] == b"GIF8"


def test_unknown_numbers(tmp_path):
    """A label that is not a number is unknown."""
    path = write(tmp_path / "a.npz", x=GREY, y=np.where(LABELS, LABELS / 2, np.nan))
    assert rows(listed(path), "label")[:3] == [(None,), ("0.5",), ("1.0",)]


def test_objects_are_never_loaded(tmp_path):
    """Pickled objects are refused without unpickling them; so is an array stored column by column."""
    np.save(tmp_path / "a.npy", np.array([COLOUR, None], object), allow_pickle=True)
    with pytest.raises(InputError, match="its values are Python objects"):
        listed(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.asfortranarray(COLOUR))
    with pytest.raises(InputError, match="Fortran order"):
        listed(tmp_path / "b.npy")


def test_changes_while_it_is_read(tmp_path):
    """A file that changes after it was listed is a failure of its images."""
    source = listed(write(tmp_path / "a.npz", images=COLOUR))
    write(tmp_path / "a.npz", images=COLOUR[:, ::-1], x=GREY)
    assert pictures(source, [0, 1]) == ["changed", "changed"]


def test_in_blocks(tmp_path, monkeypatch):
    """HDF5 is read a block of whole chunks at a time, however few rows fit."""
    monkeypatch.setattr(array_files, "_BLOCK_BYTES", COLOUR[0].nbytes + 1)
    source = listed(write(tmp_path / "a.h5", images=COLOUR))
    assert all(map(np.array_equal, pictures(source), COLOUR))
    reader = source.read.__self__
    assert len(reader._stacks[0]._block) == 1
    assert np.array_equal(pictures(source, [2])[0], COLOUR[2])
    assert len(reader._stacks[0]._block) == 2


@pytest.mark.parametrize(("n_rows", "message"), [(0, "its values are no images"), (1 << 40, "unpack to more than 200")])
def test_claimed_numbers_of_files(n_rows, message, tmp_path):
    """Neither none nor a million millions of files in an array of HDF5 end a run in an error of ours."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("images", n_rows, h5py.vlen_dtype(np.uint8), maxshape=(None,))
        if n_rows:
            data[0] = np.frombuffer(b"\xff\xd8\xff\xe0" + bytes(99), np.uint8)
    with pytest.raises(InputError, match=message):
        listed(tmp_path / "a.h5")


def test_labels_that_are_not_read(tmp_path):
    """Where labels can't be read or chosen, a note says so: images without labels are no surprise."""
    source = listed(write(tmp_path / "a.npz", images=COLOUR, labels=np.array(["x"] * len(COLOUR), object)))
    assert source.notes == (
        "The labels labels of a.npz are not read: its values are Python objects; store them as text.",
    )
    source = listed(write(tmp_path / "b.npz", images=COLOUR, labels=LABELS, target=LABELS))
    assert source.notes == ("The labels of b.npz may be those of labels, target: choose one with `label`.",)


@pytest.mark.parametrize("n_bytes", [5, 130])
def test_broken_labels_beside(n_bytes, tmp_path):
    """A file of labels that is damaged or cut short is refused by its own name."""
    np.save(tmp_path / "x.npy", COLOUR)
    np.save(tmp_path / "y.npy", LABELS)
    (tmp_path / "y.npy").write_bytes((tmp_path / "y.npy").read_bytes()[:n_bytes])
    with pytest.raises(InputError, match=r"labels beside it, .*/y\.npy, can't be read: .* rename that file"):
        listed(tmp_path / "x.npy")
