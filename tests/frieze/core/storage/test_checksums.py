import json

import pytest

from frieze.core import (
    FeatureFileError,
    check_files,
    check_own_checksum,
    find_altered_files,
    has_checksums,
    write_text,
    write_with_checksums,
)
from frieze.core.storage.atomic_files import json_text

DOCUMENT = {"kind": "thing", "small": 1e-05, "zeros": "0" * 64, "name": "é"}


@pytest.fixture
def folder(tmp_path):
    """A folder of two files and the JSON file that lists them."""
    (tmp_path / "below").mkdir()
    (tmp_path / "a.bin").write_bytes(bytes(range(256)))
    (tmp_path / "below" / "b.bin").write_bytes(b"b")
    write_with_checksums(tmp_path, "thing.json", DOCUMENT)
    return tmp_path


def read(folder):
    """Read the JSON file."""
    return json.loads((folder / "thing.json").read_text(encoding="utf-8"))


def flip(path, bit):
    """Turn one bit of a file over."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def is_refused(folder):
    """Return whether the JSON file is no JSON any more, or is refused."""
    try:
        check_own_checksum(folder / "thing.json", read(folder), hint="")
    except (ValueError, FeatureFileError):
        return True
    return False


def test_what_is_listed_is_told(folder):
    """Every file is listed by its path, and a folder that stands as written passes."""
    document = read(folder)
    assert (sorted(document["files"]), has_checksums(document)) == (["a.bin", "below/b.bin"], True)
    check_own_checksum(folder / "thing.json", document, hint="")
    check_files(folder, document, document["files"], hint="")
    assert find_altered_files(folder, document) == []


def test_each_bit_of_the_list_counts(folder):
    """Each bit of the JSON file is covered: digits, names, spaces, the letter of an exponent and the hash itself."""
    path = folder / "thing.json"
    missed = []
    for bit in range(8 * path.stat().st_size):
        flip(path, bit)
        missed += [] if is_refused(folder) else [bit]
        flip(path, bit)
    assert missed == []


@pytest.mark.parametrize("name", ["a.bin", "below/b.bin"])
def test_an_altered_file_is_named(folder, name):
    """One other bit in a listed file is reported by find_altered_files and refused by check_files."""
    flip(folder / name, 3)
    assert find_altered_files(folder, read(folder)) == [f"{folder / name} is not the file that was stored."]
    with pytest.raises(FeatureFileError, match=f"{name} is not the file that was stored"):
        check_files(folder, read(folder), [name], hint="")


def test_a_missing_file_is_named(folder):
    """A listed file that is gone is told."""
    (folder / "a.bin").unlink()
    assert find_altered_files(folder, read(folder)) == [f"{folder / 'a.bin'} can't be read: No such file or directory."]


def test_a_file_that_is_not_listed_is_refused(folder):
    """A file that came later is none of the folder's own."""
    (folder / "c.bin").write_bytes(b"")
    with pytest.raises(FeatureFileError, match="is not the file that was stored"):
        check_files(folder, read(folder), ["c.bin"], hint="")


def test_an_older_folder_lists_nothing(folder):
    """Where an earlier version listed nothing, nothing is refused."""
    write_text(folder / "thing.json", json_text(DOCUMENT))
    check_own_checksum(folder / "thing.json", read(folder), hint="")
    check_files(folder, read(folder), ["a.bin"], hint="")
    assert (find_altered_files(folder, read(folder)), has_checksums(read(folder))) == ([], False)
