"""Exported tables, opened by the programs that they are for: what these read is what the table holds."""

import base64
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import frieze

FOLDERS = {"datasets": "a.parquet", "embedding-atlas": "a.parquet", "fiftyone": "a.fiftyone", "lance": "a.lance"}
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
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    subprocess.run(line, shell=True, check=True, capture_output=True, env=environment)  # noqa: S602  our own line
    assert (tmp_path / "page" / "index.html").is_file()


FIFTYONE = """
import json, sys
import fiftyone as fo
data = fo.Dataset.from_dir(sys.argv[1], fo.types.FiftyOneDataset)
sample = data.first()
print(json.dumps({
    "ids": data.values("image_id"),
    "labels": data.values("ground_truth.label"),
    "predictions": data.values("prediction.label"),
    "confidence": sample.prediction.confidence,
    "embedding": sample.embedding.tolist(),
    "width": sample.metadata.width,
    "files": [fo.core.storage.isfile(path) for path in data.values("filepath")],
}))
data.delete()
"""


@pytest.mark.slow
@pytest.mark.parametrize("source", ["folder", "archive"])
def test_fiftyone(world, photos, tmp_path, source):
    """FiftyOne imports samples with labels, predictions, vectors and pictures, also of images in an archive."""
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("FiftyOne is not installed")
    features, out = world / "photos.features", tmp_path / "a.fiftyone"
    if source == "archive":
        features = tmp_path / "f"
        with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
            for name in ("red/1.png", "blue/2.png"):
                file.write(photos / name, name)
        frieze.embed(tmp_path / "z.zip", out=features)
    frieze.export(features, out=out, format="fiftyone", predictions=world / "photos.head")
    line = [sys.executable, "-c", FIFTYONE, out]
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    opened, table = json.loads(done.stdout.splitlines()[-1]), frieze.open_features(features)
    assert opened["ids"] == list(table.ids)
    assert opened["labels"] == opened["predictions"] == list(table.labels)
    assert np.array_equal(np.array(opened["embedding"], np.float32), table.embeddings()[0])
    assert (opened["width"], 0.3 < opened["confidence"] <= 1, all(opened["files"])) == (64, True, True)


def test_layout_for_fiftyone(odd_table, odd_head, tmp_path):
    """A sample has FiftyOne's form: labels as classifications, the vector as it packs one, and dates."""
    frieze.export(odd_table, out=tmp_path / "a.fiftyone", format="fiftyone", predictions=odd_head)
    columns = read_columns(tmp_path / "a.fiftyone")
    assert [one and (one["_cls"], one["label"]) for one in columns["ground_truth"][:2]] == [
        ("Classification", "bär"),
        None,
    ]
    packed = base64.b64decode(columns["embedding"][1]["$binary"]["base64"])
    vector = np.load(io.BytesIO(zlib.decompress(packed)))
    assert np.array_equal(vector, frieze.open_features(odd_table).embeddings()[1])
    assert columns["taken"][1:3] == [{"$date": "1970-01-02T00:00:00.000Z"}, None]
    labels, probabilities = frieze.open_head(odd_head).predict(frieze.open_features(odd_table).embeddings())
    assert columns["prediction"][0]["label"] == labels[0]
    assert columns["prediction"][0]["confidence"] == pytest.approx(float(probabilities[0]))


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
    """Return the columns of a Parquet file, a Lance dataset or FiftyOne's samples as lists."""
    if path.suffix == ".fiftyone":
        samples = json.loads((path / "samples.json").read_text(encoding="utf-8"))["samples"]
        return {name.replace("image_id", "id"): [row[name] for row in samples] for name in samples[0]}
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
