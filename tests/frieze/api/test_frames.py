"""Tables whose rows are frames of files: they are held out file by file."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import frieze


def write_animation(path, level, n_frames):
    """Write frames of noise around a grey."""
    random = np.random.default_rng(level + n_frames)
    frames = [Image.fromarray(random.integers(level, level + 60, (24, 24, 3), np.uint8)) for _ in range(n_frames)]
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six animations of five frames in each of two classes, as a table of three frames of each, and a head of it."""
    folder = tmp_path_factory.mktemp("frames")
    for number in range(6):
        write_animation(folder / f"in/dark/{number}.gif", 10 + number, 5)
        write_animation(folder / f"in/light/{number}.gif", 150 + number, 5)
    frieze.embed(folder / "in", frames=3, out=folder / "t")
    return folder


@pytest.fixture(scope="module")
def head(folder):
    """The document of a head, which took no option for the split."""
    return frieze.train(folder / "t", out=folder / "h", head="prototype", test_size=0.34)


def parts_of_files(head):
    """Return the parts of a head's split in which the frames of each file are."""
    parts = {}
    for row in pq.read_table(head / "split.parquet").to_pylist():
        parts.setdefault(row["id"].rpartition("/")[0], set()).add(row["part"])
    return list(parts.values())


def test_rows_name_their_file(folder):
    """A frame's row has the id of its file in the column `file`."""
    rows = frieze.open_features(folder / "t").rows
    assert rows["id"].to_pylist()[:2] == ["dark/0.gif/0", "dark/0.gif/2"]
    assert rows["file"].to_pylist()[:4] == ["dark/0.gif"] * 3 + ["dark/1.gif"]


def test_train(folder, head, caplog):
    """Frames of one file are on one side of the split, as head.json says."""
    parts = parts_of_files(folder / "h")
    assert all(len(one) == 1 for one in parts)
    assert set.union(*parts) == {"train", "test"}
    split = json.loads((folder / "h/head.json").read_text())["split"]
    assert (split["method"], split["group"]) == ("grouped", "file")


def test_train_says_so(folder, tmp_path, caplog):
    """The split is said in one line; so is a group of the user's own that divides files, which is taken."""
    frieze.train(folder / "t", out=tmp_path / "a", head="prototype")
    assert caplog.text.count("frames of one file stay on one side of the split, as with `group='file'`.") == 1
    caplog.clear()
    frieze.train(folder / "t", out=tmp_path / "b", head="prototype", group="id")
    assert "stay on one side" not in caplog.text
    assert "frames of one file have several values of `id`" in caplog.text
    assert any(len(one) == 2 for one in parts_of_files(tmp_path / "b"))


def test_compare(folder, head, caplog):
    """A comparison splits as training does."""
    (row,) = frieze.compare(folder / "t", heads="prototype", test_size=0.34)["rows"]
    assert "frames of one file stay on one side" in caplog.text
    assert row["accuracy"] == head["accuracy"]


def test_evaluate(folder, head, tmp_path):
    """Of a table with other frames of the same files, those of files that the head was fitted on are left out."""
    frieze.embed(folder / "in", frames="all", out=tmp_path / "all")
    document = frieze.evaluate(folder / "h", tmp_path / "all")
    n_files = head["n_test"] // 3
    assert (document["n_test"], document["n_relatives"]) == (5 * n_files, 2 * (12 - n_files))
    assert "of a file or image that it was fitted on rows of" in document["note"]


def test_audit(tmp_path, caplog):
    """A frame is judged without the others of its file, so that a file under the wrong label is found as a whole."""
    random, files = np.random.default_rng(0), np.repeat(np.arange(20), 5)
    embeddings = np.eye(22, dtype="f4")[files] + np.eye(22, dtype="f4")[20 + files % 2]
    embeddings += 0.1 * random.normal(size=(100, 22)).astype("f4")
    ids = [f"{file}.gif/{frame}" for file, frame in zip(files, np.tile(np.arange(5), 20), strict=True)]
    labels = np.where((files % 2 == 0) | (files == 7), "even", "odd")
    columns = {"id": ids, "label": labels, "file": [f"{file}.gif" for file in files], "embedding": list(embeddings)}
    pq.write_table(pa.table(columns), tmp_path / "v.parquet")
    frieze.import_vectors(tmp_path / "v.parquet", out=tmp_path / "v")
    frieze.audit(tmp_path / "v", out=tmp_path / "f.parquet", min_score=0.9999)
    assert "frames of one file are judged without each other" in caplog.text
    rows = pq.read_table(tmp_path / "f.parquet").to_pylist()
    assert {row["id"] for row in rows if row["kind"] == "label"} == {f"7.gif/{frame}" for frame in range(5)}
