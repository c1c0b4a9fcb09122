"""Search by words: through the command, Python and a page of hits."""

import shutil

import numpy as np
import pytest

import frieze
from frieze.core import MismatchError


def labels(document):
    """Return the labels of each query's hits."""
    return [{hit["label"] for hit in one["hits"]} for one in document["queries"]]


def test_command(text_world, run_json):
    """`text:` finds what the words say; a prompt after - is stayed away from; other queries go along."""
    queries = ("text:a red bird", "text:blue|green|-green", "id:green/1.png")
    code, document = run_json("search", text_world / "text.index", *queries, "-k", "10")
    assert (code, labels(document)) == (0, [{"red"}, {"blue"}, {"green"}])
    assert [one["query"] for one in document["queries"]] == list(queries)


def test_python(text_world):
    """`frieze.search` takes the same text, and scores it by the index's metric."""
    (answer,) = frieze.search(text_world / "text.index", "text:red", k=1)["queries"]
    (hit,) = answer["hits"]
    table = frieze.open_features(text_world / "text.features")
    vectors, names = table.embeddings(), np.array(table.labels)
    query = vectors[names == "red"].mean(axis=0) - vectors.mean(axis=0)
    image = vectors[table.ids.tolist().index(hit["id"])]
    cosine = query @ image / np.linalg.norm(query) / np.linalg.norm(image)
    assert hit["score"] == pytest.approx(cosine, abs=1e-3)


def test_metric_of_lengths(text_world, tmp_path, run):
    """Words in an index with the metric l2, where long vectors are far from every text, come with a note on stderr."""
    frieze.index(text_world / "text.features", out=tmp_path / "l2", metric="l2")
    result = run("search", tmp_path / "l2", "text:red", "text:blue")
    assert result.exit_code == 0
    assert result.stderr.count("has the metric l2, by which long vectors are far from every text") == 1
    assert "metric" not in run("search", tmp_path / "l2", "id:red/0.png").stderr
    assert "metric" not in run("search", text_world / "text.index", "text:red").stderr


def test_texts_that_are_cut(text_world, world, tmp_path, run_json, run, write_text_tower):
    """Of a text that is longer than the text tower takes, a note says that its end is not read."""
    shutil.copytree(text_world / "tower", tmp_path / "tower")
    (tmp_path / "tower" / "tokenizer_config.json").write_text('{"model_max_length": 2}')
    frieze.embed(world / "photos", out=tmp_path / "f", text_encoder=tmp_path / "tower")
    frieze.index(tmp_path / "f", out=tmp_path / "i")
    _, document = run_json("search", tmp_path / "i", "text:a red bird", "text:red", "-k", "1")
    note = "Of texts that are longer than the text tower takes the end is not read: 'a red bird'."
    assert document["notes"] == [note]
    assert note in run("search", tmp_path / "i", "text:a red bird").stderr
    labelled = frieze.label(tmp_path / "f", classes="red,blue", template="a {} bird", out=tmp_path / "head")
    assert labelled["notes"][1:] == [note.replace("'a red bird'", "'a blue bird', 'a red bird'")]


def test_page_of_hits(text_world, tmp_path):
    """A page of hits shows the query in words without a picture of it."""
    frieze.search(text_world / "text.index", "text:red", k=2, html=tmp_path / "hits.html")
    page = (tmp_path / "hits.html").read_text()
    assert "<h3>text:red</h3>" in page
    assert page.count("<figure") == 2


def test_stored_with_the_table(text_world, world, run_json):
    """A table names its text tower, and a rerun without the option keeps it, without embedding anything."""
    path = text_world / "text.features"
    stored = run_json("info", path)[1]["backbone"]["text_encoder"]
    assert stored["handle"] == str(text_world / "tower")
    document = frieze.embed(world / "photos", out=path)
    assert (document["embedded"], document["remembered"]) == (0, {"text_encoder": str(text_world / "tower")})
    assert run_json("info", path)[1]["backbone"]["text_encoder"] == stored


def test_added_later(text_world, world, tmp_path):
    """A text tower is added to a table that has none, without embedding anything."""
    out = shutil.copytree(world / "photos.features", tmp_path / "f")
    document = frieze.embed(world / "photos", out=out, text_encoder=text_world / "tower")
    assert document["embedded"] == 0
    frieze.index(out, out=tmp_path / "index")
    assert labels(frieze.search(tmp_path / "index", "text:blue", k=5)) == [{"blue"}]


def test_saved_model(world, tmp_path, run_json, write_saved_text_tower):
    """A folder with a SavedModel and its tokenizer is a text tower too: through the command, from table to hits."""
    table, out = (
        frieze.open_features(world / "photos.features"),
        shutil.copytree(world / "photos.features", tmp_path / "f"),
    )
    vectors, labels_of = table.embeddings(), np.array(table.labels)
    red = vectors[labels_of == "red"].mean(axis=0) - vectors.mean(axis=0)
    tower = write_saved_text_tower(tmp_path / "tower", {"red": red})
    assert run_json("embed", world / "photos", "--out", out, "--text-encoder", tower)[1]["embedded"] == 0
    frieze.index(out, out=tmp_path / "index")
    code, document = run_json("search", tmp_path / "index", "text:a red bird", "-k", "5")
    assert (code, labels(document)) == (0, [{"red"}])


def test_no_words(world, run):
    """An index of a backbone without a text tower says which ones know words."""
    result = run("search", world / "photos.index", "text:red")
    assert result.exit_code == 1
    assert "was made with frieze-mini-3, which knows no words" in result.stderr
    assert "kerashub:siglip_base_patch16_224" in result.stderr


def test_another_tower(text_world, world, tmp_path, write_text_tower):
    """A text tower that was replaced since is refused, until another run stores it."""
    tower = shutil.copytree(text_world / "tower", tmp_path / "tower")
    frieze.embed(world / "photos", out=tmp_path / "f", text_encoder=tower)
    frieze.index(tmp_path / "f", out=tmp_path / "index")
    write_text_tower(tower, {"red": np.ones(256)})
    with pytest.raises(MismatchError, match="is another one than"):
        frieze.search(tmp_path / "index", "text:red")
    assert frieze.embed(world / "photos", out=tmp_path / "f")["embedded"] == 0
    frieze.index(tmp_path / "f", out=tmp_path / "index")
    assert len(frieze.search(tmp_path / "index", "text:red", k=3)["queries"][0]["hits"]) == 3


def test_wrong_tower(world, tmp_path, write_text_tower):
    """A text tower of another width is refused before anything is embedded."""
    tower = write_text_tower(tmp_path / "tower", {"red": np.ones(8)})
    with pytest.raises(MismatchError, match="width 8, the backbone of width 256"):
        frieze.embed(world / "photos", out=tmp_path / "f", text_encoder=tower)
    assert not (tmp_path / "f").exists()
