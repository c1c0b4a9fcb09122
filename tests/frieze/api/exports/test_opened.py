"""Exported tables, opened by the programs that they are for: what these read is what the table holds."""

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import frieze

FOLDERS = {"datasets": "a.parquet", "embedding-atlas": "a.parquet", "lance": "a.lance"}
"""Format -> name of an export."""


@pytest.fixture
def export_world(world, tmp_path):
    """`export_world(format)`: the world's table in a format, with predictions: what `export` said, and the table."""

    def export(name):
        out = tmp_path / "out" / FOLDERS[name]
        document = frieze.export(
            world / "photos.features", out=out, format=name, predictions=world / "photos.head", force=True
        )
        return document, frieze.open_features(world / "photos.features")

    return export


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_lancedb(export_world):
    """LanceDB opens a table with all columns, and finds an image by its vector."""
    lancedb = pytest.importorskip("lancedb")
    document, table = export_world("lance")
    opened = lancedb.connect(Path(document["out"]).parent).open_table("a")
    rows = opened.to_arrow()
    assert rows["id"].to_pylist() == list(table.ids)
    assert np.array_equal(np.stack(rows["embedding"].to_numpy()), table.embeddings())
    assert rows["prediction"].to_pylist() == list(table.labels)
    (nearest,) = opened.search(table.embeddings()[3]).limit(1).to_list()
    assert nearest["id"] == table.ids[3]


@pytest.mark.slow
def test_datasets(export_world):
    """`datasets` opens pictures, classes by name, and vectors."""
    datasets = pytest.importorskip("datasets")
    document, table = export_world("datasets")
    opened = datasets.Dataset.from_parquet(document["out"], cache_dir=f"{document['out']}.cache")
    assert opened.features["label"].names == ["blue", "green", "red"]
    assert opened.features["label"].int2str(opened["label"][:]) == list(table.labels)
    assert opened[3]["image"].size == (64, 48)
    assert np.array_equal(np.array(opened["embedding"][:], np.float32), table.embeddings())
    assert (opened[3]["id"], opened[3]["prediction"]) == (table.ids[3], table.labels[3])


@pytest.mark.slow
def test_datasets_of_an_archive(photos, tmp_path):
    """Images in an archive are in the file itself."""
    datasets = pytest.importorskip("datasets")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        for name in ("red/1.png", "blue/2.png"):
            file.write(photos / name, name)
    frieze.embed(tmp_path / "z.zip", out=tmp_path / "f")
    frieze.export(tmp_path / "f", out=tmp_path / "a.parquet", format="datasets")
    (tmp_path / "z.zip").unlink()
    opened = datasets.Dataset.from_parquet(str(tmp_path / "a.parquet"), cache_dir=str(tmp_path / "cache"))
    for row in opened:
        assert np.array_equal(
            np.asarray(row["image"]), np.asarray(Image.open(photos / row["id"].removeprefix("z.zip/")))
        )


@pytest.mark.slow
def test_points_and_neighbours(export_world):
    """embedding-atlas' file has the map's points, each row's nearest rows by cosine, itself first, and pictures."""
    import pyarrow.parquet as pq

    document, table = export_world("embedding-atlas")
    rows = pq.read_table(document["out"])
    unit = table.embeddings() / np.linalg.norm(table.embeddings(), axis=1, keepdims=True)
    expected = np.argsort(-(unit @ unit.T), axis=1, kind="stable")[:, :5]
    assert [one["ids"][:5] for one in rows["neighbors"].to_pylist()] == expected.tolist()
    distances = np.array([one["distances"] for one in rows["neighbors"].to_pylist()])
    assert distances[:, 0] == pytest.approx(np.zeros(len(table)), abs=1e-5)
    assert (np.diff(distances) >= 0).all()
    assert np.ptp(rows["x"].to_numpy()) > 0.1
    with Image.open(io.BytesIO(rows["image"][0].as_py()["bytes"])) as image:
        assert (image.format, image.size) == ("JPEG", (64, 48))
    assert document["notes"] == []


@pytest.mark.slow
def test_embedding_atlas(export_world, tmp_path):
    """The command that `export` prints opens the file in embedding-atlas."""
    if shutil.which("embedding-atlas") is None:
        pytest.skip("embedding-atlas is not installed")
    document, _ = export_world("embedding-atlas")
    line = f"{document['opened_by']} --export-application {tmp_path / 'page'}"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it may be elsewhere
    subprocess.run(line, shell=True, check=True, capture_output=True, env=environment)  # noqa: S602  our own line
    assert (tmp_path / "page" / "index.html").is_file()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FOLDERS)
def test_odd_columns(odd_table, odd_head, tmp_path, name):
    """Lists, dates, nulls, and a user's column of an export's own name are taken; pictures that are gone are said."""
    pytest.importorskip("lance")
    out = tmp_path / FOLDERS[name]
    document = frieze.export(odd_table, out=out, format=name, predictions=odd_head)
    columns = read_columns(out)
    assert columns["id"][:4] == ["Bär.jpg", "=SUM(A1)", 'c,"d".jpg', "-5"]
    assert columns["labels"][:4] == [["a", "b"], [], None, ["c"]]
    assert columns["source_prediction"][:3] == ["mine", "my own", None]
    assert document["bytes"] > 1000
    assert len(document["notes"]) == (name != "lance")


def read_columns(path):
    """Return the columns of a Parquet file or a Lance dataset as lists."""
    import lance
    import pyarrow.parquet as pq

    table = lance.dataset(str(path)).to_table() if path.suffix == ".lance" else pq.read_table(path)
    return table.to_pydict()


@pytest.mark.parametrize("name", FOLDERS)
def test_force_replaces_exports_only(odd_table, run, tmp_path, name):
    """--force replaces an export of the same format, and nothing else."""
    pytest.importorskip("lance")
    out = tmp_path / FOLDERS[name]
    line = ("export", odd_table, "--format", name, "--out", out)
    assert [run(*line, *force).exit_code for force in ([], [], ["--force"])] == [0, 1, 0]
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    (out / "mine").mkdir(parents=True)
    result = run(*line, "--force")
    assert (result.exit_code, (out / "mine").is_dir()) == (1, True)
