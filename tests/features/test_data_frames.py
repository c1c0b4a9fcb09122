import base64
import io
import sys

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image

from frieze.core import InputError
from frieze.features import Shard, data_frames, open_features, open_writer, part_schema, to_part


def _write(path, manifest, spec, uris):
    """Store images by URI, labelled a, b, ..., with embeddings 0, 1, ... in a table of one part."""
    columns = dict.fromkeys(part_schema(spec).names, [None] * len(uris))
    columns |= {"id": [f"{n}.jpg" for n in range(len(uris))], "uri": uris, "label": list("abcdefghijkl")[: len(uris)]}
    embeddings = np.repeat(np.arange(len(uris), dtype=np.float32)[:, None], spec.dim, axis=1)
    with open_writer(path, manifest) as writer:
        writer.commit(Shard(0, np.arange(len(uris))), to_part(columns, embeddings, part_schema(spec)))
    return open_features(path)


def test_pandas(table):
    """A data frame has a row per image in the table's order, and each embedding as an array of float32."""
    features = open_features(table)
    frame = features.to_pandas()
    assert frame["id"].tolist() == features.ids.tolist()
    assert np.array_equal(np.stack(frame["embedding"]), features.embeddings())
    assert frame["embedding"][0].dtype == np.float32


def test_polars(table):
    """Polars gets the same rows, and the embeddings as arrays of one width."""
    features = open_features(table)
    frame = features.to_polars()
    assert frame.schema["embedding"] == pl.Array(pl.Float32, 4)
    assert np.array_equal(frame["embedding"].to_numpy(), features.embeddings())


def test_arrow_stream(table):
    """Libraries that take an Arrow stream get all columns, batch by batch, other labels where the view has them."""
    labels = np.array(["x", None, "y", "x"], dtype=object)
    features = open_features(table).with_labels(labels, labels_from={})
    whole = pa.table(features)
    assert whole.column_names == [*features.rows.column_names, "embedding"]
    assert whole["label"].to_pylist() == labels.tolist()
    assert duckdb.from_arrow(whole).filter("label = 'x'").project("size_bytes").fetchall() == [(1,), (4,)]


def test_dataset(table):
    """A dataset filters rows on disk and finds those of every part."""
    selected = open_features(table).dataset().to_table(filter=pc.field("size_bytes") > 1, columns=["id"])
    assert sorted(selected["id"].to_pylist()) == ["b", "c", "d"]


def test_dataset_in_a_bucket(table, bucket):
    """A table in a bucket is a dataset, too."""
    bucket.put_folder(table, "t.features")
    assert open_features(f"{bucket.url}/t.features").dataset().count_rows() == len(open_features(table))


def test_no_library(table, monkeypatch):
    """A library that is missing is named, with what to type."""
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InputError, match="polars") as caught:
        open_features(table).to_polars()
    assert caught.value.hint == "Type: pip install polars"


def test_html(tmp_path, manifest, spec):
    """In a notebook a table shows its repr and pictures with their labels; what is no image has its label alone."""
    Image.new("RGB", (600, 300), "red").save(tmp_path / "a&b.png")
    (tmp_path / "c.png").write_text("no image")
    uris = [str(tmp_path / "a&b.png"), str(tmp_path / "c.png"), "s3://bucket/d.png"]
    html = _write(tmp_path / "t", manifest, spec, uris)._repr_html_()
    assert html.count('<img src="data:image/jpeg;base64,') == 1
    assert [f"{label}</span>" in html for label in "abc"] == [True] * 3
    assert "Features(3 x 4, tiny" in html


def test_html_of_parts(tmp_path):
    """A row of a part of an image shows the part; so does a file whose own name ends like a box show itself."""
    picture = Image.new("RGB", (400, 300), "red")
    picture.paste("blue", (100, 50, 300, 150))
    picture.save(tmp_path / "a.png")
    url = data_frames._thumbnail(f"{tmp_path}/a.png#100,50,200,100")
    shown = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert (shown.size, shown.getpixel((1, 1))[2] > 200) == ((96, 48), True)
    (tmp_path / "a.png").rename(tmp_path / "b#1,2,3,4")
    assert data_frames._thumbnail(f"{tmp_path}/b#1,2,3,4") is not None


def test_html_of_many(tmp_path, manifest, spec):
    """At most eight images are shown, evenly spaced; names are escaped."""
    features = _write(tmp_path / "t", manifest, spec, ["<x>"] * 12)
    assert features._repr_html_().count("<span") == data_frames._N_THUMBNAILS
