"""Groups of duplicates for audits and splits."""

import contextlib
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ImageOps

import frieze
from benchmarks.search.made_images import LOOK_ALIKES, photograph
from frieze.api import duplicate_groups


class NamedRows:
    """Stands for an index of images named by letters."""

    ids = tuple("abcdefgh")

    def __len__(self):
        """Return the number of images."""
        return len(self.ids)


@pytest.fixture
def find(monkeypatch):
    """`find(groups, look_alikes, n_unreadable=0, has_opencv=True)`: the groups of images a to h, as numbers."""

    def run(groups, look_alikes, *, n_unreadable=0, has_opencv=True):
        document = {
            "groups": [{"ids": list(ids)} for ids in groups],
            "look_alikes": [{"ids": list(ids)} for ids in look_alikes],
            "n_unreadable": n_unreadable,
            "notes": ["What was not read."] if n_unreadable else [],
            "min_score": 0.9,
        }
        monkeypatch.setattr(duplicate_groups, "find_copies", lambda *_, **__: document)
        monkeypatch.setattr(duplicate_groups, "can_compare", lambda: has_opencv)
        return duplicate_groups.find_duplicate_groups(NamedRows()).groups.tolist()

    return run


def test_copies_are_duplicates(find, caplog):
    """Where all images can be compared, confirmed copies are duplicates, and look-alikes are not; nothing is said."""
    assert find(["bd", "ac"], ["be", "fg"]) == [0, 1, 0, 1, -1, -1, -1, -1]
    assert caplog.text == ""


@pytest.mark.parametrize("missing", [{"n_unreadable": 1}, {"has_opencv": False}])
def test_look_alikes_where_pixels_are_missing(find, caplog, missing):
    """Where images can't be read, or OpenCV is missing, look-alikes are duplicates, too, with the copies of each."""
    assert find(["ab", "cd", "ef"], ["ac", "gh"], **missing) == [0, 0, 0, 0, 1, 1, 2, 2]
    stderr = caplog.text
    assert "images that look alike count as duplicates here." in stderr
    assert ("What was not read." in stderr) == ("n_unreadable" in missing)


def test_no_duplicates(find):
    """Without duplicates no image has a group."""
    assert find([], []) == find([], [], n_unreadable=2) == [-1] * 8


@pytest.mark.parametrize("groups", [[-1, 0, -1, 0, 1, 1], [-1, -1, -1], [0, 0]])
def test_numbers_of_groups(groups, monkeypatch):
    """Duplicates share a group; every row without a duplicate is a group of its own."""
    monkeypatch.setattr(duplicate_groups, "temporary_index", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(
        duplicate_groups, "find_duplicate_groups", lambda _: SimpleNamespace(groups=np.array(groups, np.int64))
    )
    table = SimpleNamespace(rows=pa.table({"id": [f"{row}" for row in range(len(groups))]}))
    numbers = duplicate_groups.number_groups(table, None)
    for row, group in enumerate(groups):
        shared = [other for other, number in enumerate(numbers) if number == numbers[row]]
        assert shared == ([row] if group < 0 else [other for other, one in enumerate(groups) if one == group])


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder of two classes beside its table: the right one mirrors the left one; each has frames of one scene."""
    folder = tmp_path_factory.mktemp("labelled")
    for label in ("left", "right"):
        (folder / "photos" / label).mkdir(parents=True)
    frame = LOOK_ALIKES["frames of a still camera"]
    for number in range(6):
        photograph(number).save(folder / f"photos/left/{number}.png")
        ImageOps.mirror(photograph(number)).save(folder / f"photos/right/{number}.png")
        frame(number).save(folder / f"photos/{'left' if number % 2 else 'right'}/frame {number}.png")
    frieze.embed(folder / "photos", out=folder / "t.features")
    return folder / "photos"


def rows_of(file, kind):
    """Return the ids of the findings of a kind."""
    return {row["id"] for row in pq.read_table(file).to_pylist() if row["kind"] == kind}


def test_an_audit_finds_copies(labelled, tmp_path, caplog):
    """An audit finds confirmed copies under two labels, and no frames that only look alike."""
    frieze.audit(labelled.parent / "t.features", out=tmp_path / "f.parquet", min_score=0.9)
    expected = {f"{label}/{number}.png" for label in ("left", "right") for number in range(6)}
    assert rows_of(tmp_path / "f.parquet", "duplicate_labels") == expected
    assert "look alike" not in caplog.text


def test_an_audit_without_images(labelled, tmp_path, caplog):
    """Where the images are gone, an audit takes look-alikes for duplicates and says so."""
    photos = shutil.copytree(labelled, tmp_path / "photos")
    frieze.embed(photos, out=tmp_path / "t.features")
    shutil.rmtree(photos)
    caplog.clear()
    frieze.audit(tmp_path / "t.features", out=tmp_path / "f.parquet", min_score=0.9)
    assert "left/frame 1.png" in rows_of(tmp_path / "f.parquet", "duplicate_labels")
    stderr = " ".join(caplog.text.split())
    assert "and are no copies of any other." in stderr
    assert "images that look alike count as duplicates here." in stderr


def test_a_split_keeps_copies_together(labelled, tmp_path):
    """With `group="duplicates"` a copy is on the side of its original, though its label is another one."""
    frieze.train(labelled.parent / "t.features", out=tmp_path / "h", group="duplicates", head="prototype")
    parts = {row["id"]: row["part"] for row in pq.read_table(tmp_path / "h" / "split.parquet").to_pylist()}
    assert [parts[f"left/{number}.png"] == parts[f"right/{number}.png"] for number in range(6)] == [True] * 6
    assert set(parts.values()) == {"train", "test"}
    assert len({parts[name] for name in parts if "frame" in name}) == 2
